// A Perfetto trace as its packets: `Trace { repeated TracePacket packet = 1 }`, some of them packed by deflate or zstd (formats.md 1.1).
import { inflateRawSync, inflateSync } from "node:zlib";
import { BadInputError, LimitError } from "../errors.js";
import { isPlainText } from "./foreign.js";
import { readChunks } from "./input.js";
import { fieldsOf, varintAt } from "./protobuf.js";
import { damage, damageOf, type SourceFacts } from "./source.js";
import { unzstd } from "./zstd.js";

/** Packets are under 512 KiB by convention; compressed bundles some MB. */
const MAX_PACKET = 64 << 20;
const MAX_INFLATED = 64 << 20;
const LENIENT = "--lenient leaves it out, and counts it";

/** Begins each packet. */
const PACKET_TAG = 0x0a;

/** Fields of TracePacket that are read here. */
export const Packet = { ftraceEvents: 1, processTree: 2, systemInfo: 45, compressed: 50, zstdCompressed: 133 } as const;

/** Whether the bytes begin with packets: a tag, a length that is not absurd, and a message that can be walked as far as it is there. */
export function looksLikePerfetto(head: Uint8Array): boolean {
	// Its first byte is a newline, as that of many a text.
	if (isPlainText(head)) return false;
	let at = 0;
	let packets = 0;
	let damaged = 0;
	while (at < head.length && packets < 8) {
		// Where something else follows some packets, it is damage.
		if (head[at] !== PACKET_TAG) return packets > 2;
		const length = varintAt(head, at + 1);
		if (length.end < 0 || length.value > BigInt(MAX_PACKET)) return packets > 0 && length.end < 0 && head.length - at < 12;
		const end = length.end + Number(length.value);
		if (end > head.length) return packets > 0 || firstTagIsPackets(head.subarray(length.end));
		if (isMessage(head.subarray(length.end, end))) packets++;
		else if (++damaged > 2) return false;
		at = end;
	}
	// One that is damaged among many is for the reader to tell.
	return packets > 2 * damaged;
}

function isMessage(bytes: Uint8Array): boolean {
	try {
		let fields = 0;
		for (const field of fieldsOf(bytes, "")) if (field.number > 0) fields++;
		return fields > 0 || bytes.length === 0;
	} catch {
		return false;
	}
}

/** A first packet longer than the head: its first field is one that packets have. */
function firstTagIsPackets(message: Uint8Array): boolean {
	const tag = varintAt(message, 0);
	const wire = Number(tag.value & 7n);
	return tag.end > 0 && tag.value >> 3n > 0n && tag.value >> 3n < 1000n && (wire === 0 || wire === 2);
}

/** Whole items `0x0A length packet` of a run of bytes; what is left over is at `rest`. */
function* packetsIn(bytes: Uint8Array, where: string): Generator<{ packet: Uint8Array; end: number }> {
	let at = 0;
	while (at < bytes.length) {
		const tag = varintAt(bytes, at);
		if (tag.end < 0) return;
		const wire = Number(tag.value & 7n);
		const number = tag.value >> 3n;
		if (number === 0n || (wire !== 0 && wire !== 2))
			throw new BadInputError(`no packet where one should begin (tag ${tag.value})`, { where: `${where}, byte ${at}`, hint: LENIENT });
		const length = varintAt(bytes, tag.end);
		if (length.end < 0) return;
		if (wire === 0) {
			at = length.end;
			continue;
		}
		if (length.value > BigInt(MAX_PACKET)) throw new LimitError(`a packet of ${length.value} bytes`, { where: `${where}, byte ${at}` });
		const end = length.end + Number(length.value);
		if (end > bytes.length) return;
		// Other fields than 1 are skipped, as Perfetto's own tokenizer does.
		if (number === 1n) yield { packet: bytes.subarray(length.end, end), end };
		at = end;
	}
}

function inflated(bytes: Uint8Array, where: string): Uint8Array {
	const options = { maxOutputLength: MAX_INFLATED };
	try {
		// zlib's header is there in practice; the documentation says deflate.
		return ((bytes[0] ?? 0) & 15) === 8 ? inflateSync(bytes, options) : inflateRawSync(bytes, options);
	} catch (cause) {
		if (cause instanceof Error && "code" in cause && cause.code === "ERR_BUFFER_TOO_LARGE")
			throw new LimitError(`compressed packets hold more than ${MAX_INFLATED} bytes`, { where });
		throw new BadInputError("compressed packets are damaged", { where, hint: LENIENT, cause });
	}
}

/** The packet itself, or those packed in it. Nested packing is not unpacked: Perfetto does not either. */
function* unpacked(packet: Uint8Array, where: string): Generator<Uint8Array> {
	let packed = false;
	for (const field of fieldsOf(packet, where)) {
		if (field.wire !== 2 || (field.number !== Packet.compressed && field.number !== Packet.zstdCompressed)) continue;
		packed = true;
		const bytes = field.number === Packet.compressed ? inflated(field.bytes, where) : unzstd(field.bytes, MAX_INFLATED, where);
		let end = 0;
		for (const inner of packetsIn(bytes, where)) {
			end = inner.end;
			yield inner.packet;
		}
		if (end === 0 && bytes.length > 0) throw new BadInputError("compressed packets hold no packet", { where, hint: LENIENT });
	}
	if (!packed) yield packet;
}

/** Packets are under 512 KiB by convention: where their order is lost, the next one begins in as many bytes. */
const RESYNC_BYTES = 1 << 19;
/** Bytes that are looked at for it, some of them many times. */
const RESYNC_LOOK = 1 << 26;

/**
 * Where packets begin again behind `from`: at one that is whole and that another follows, or the end; -1 where there is none.
 * Only then is a run of bytes that begins like a packet taken for one.
 */
function resynced(bytes: Uint8Array, from: number): number {
	let looked = 0;
	for (let at = bytes.indexOf(PACKET_TAG, from); at >= 0 && looked < RESYNC_LOOK; at = bytes.indexOf(PACKET_TAG, at + 1)) {
		const length = varintAt(bytes, at + 1);
		if (length.end < 0 || length.value < 2n || length.value > BigInt(RESYNC_BYTES)) continue;
		const end = length.end + Number(length.value);
		if (end > bytes.length || (end < bytes.length && bytes[end] !== PACKET_TAG)) continue;
		if (isMessage(bytes.subarray(length.end, end))) return at;
		looked += end - at;
	}
	return -1;
}

/** Goes through a trace as its bytes come. */
class PacketRun {
	readonly #facts: SourceFacts;
	readonly #path: string;
	#rest: Uint8Array = new Uint8Array(0);
	/** Of what is left over in the file. */
	#offset = 0;
	/** No packet begins there: they have to be found again. */
	#lost = false;

	constructor(facts: SourceFacts, path: string) {
		this.#facts = facts;
		this.#path = path;
	}

	/** Packets that are whole with these bytes. */
	add(chunk: Uint8Array): Uint8Array[] {
		const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
		const out: Uint8Array[] = [];
		const used = this.#take(bytes, out);
		// The chunk is only lent.
		this.#rest = Uint8Array.from(bytes.subarray(used));
		this.#offset += used;
		return out;
	}

	#take(bytes: Uint8Array, out: Uint8Array[]): number {
		let used = 0;
		for (;;) {
			if (this.#lost) {
				const found = resynced(bytes, used);
				if (found < 0) return Math.max(used, bytes.length - RESYNC_BYTES);
				this.#lost = false;
				used = found;
			}
			const where = `${this.#path}, from byte ${this.#offset + used}`;
			const from = used;
			try {
				for (const { packet, end } of packetsIn(bytes.subarray(from), where)) {
					this.#unpack(packet, out, where);
					used = from + end;
				}
				return used;
			} catch (error) {
				this.#passOver(error, where);
				this.#lost = true;
				used++;
			}
		}
	}

	#unpack(packet: Uint8Array, out: Uint8Array[], where: string): void {
		if (!this.#facts.lenient) {
			for (const inner of unpacked(packet, where)) out.push(inner);
			return;
		}
		try {
			for (const inner of unpacked(packet, where)) out.push(inner);
		} catch (error) {
			this.#passOver(error, where);
		}
	}

	/** Counts what is damaged, where that is asked for. */
	#passOver(error: unknown, where: string): void {
		if (!this.#facts.lenient || !(error instanceof BadInputError || error instanceof LimitError)) throw error;
		damage(this.#facts, error.what, where);
	}

	/** What comes behind the last whole packet. */
	finish(): Uint8Array[] {
		const rest = this.#rest;
		if (rest.length === 0 || this.#lost || [...packetsIn(rest, this.#path)].length > 0 || isTail(rest)) return [];
		damage(this.#facts, "the trace is cut off in its last packet", `${this.#path}, byte ${this.#offset}`);
		// A length that lies may hide packets.
		this.#lost = true;
		const out: Uint8Array[] = [];
		this.#take(rest.subarray(1), out);
		return out;
	}
}

/** All packets of a trace in the file's order. @throws BadInputError where they are damaged or the last one is cut off, unless lenient */
export async function* packetsOf(path: string, facts: SourceFacts): AsyncGenerator<Uint8Array[]> {
	const run = new PacketRun(facts, path);
	for await (const chunk of readChunks(path, facts.digest, damageOf(facts))) {
		const out = run.add(chunk);
		if (out.length > 0) yield out;
	}
	const last = run.finish();
	if (last.length > 0) yield last;
}

/** Only fields other than packets. */
function isTail(bytes: Uint8Array): boolean {
	try {
		for (const field of fieldsOf(bytes, "")) if (field.number === 1) return false;
		return true;
	} catch {
		return false;
	}
}
