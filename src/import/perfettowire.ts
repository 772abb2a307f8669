// A Perfetto trace as its packets: `Trace { repeated TracePacket packet = 1 }`, some of them packed by deflate or zstd (formats.md 1.1).
import { inflateRawSync, inflateSync } from "node:zlib";
import { BadInputError, LimitError } from "../errors.js";
import { isPlainText } from "./foreign.js";
import { readChunks } from "./input.js";
import { fieldsOf, varintAt } from "./protobuf.js";
import { damage, type SourceFacts } from "./source.js";
import { unzstd } from "./zstd.js";

/** Packets are under 512 KiB by convention; compressed bundles some MB. */
const MAX_PACKET = 64 << 20;
const MAX_INFLATED = 64 << 20;

/** Fields of TracePacket that are read here. */
export const Packet = { ftraceEvents: 1, processTree: 2, systemInfo: 45, compressed: 50, zstdCompressed: 133 } as const;

/** Whether the bytes begin with packets: a tag, a length that is not absurd, and a message that can be walked as far as it is there. */
export function looksLikePerfetto(head: Uint8Array): boolean {
	// Its first byte is a newline, as that of many a text.
	if (isPlainText(head)) return false;
	let at = 0;
	let packets = 0;
	while (at < head.length && packets < 8) {
		if (head[at] !== 0x0a) return false;
		const length = varintAt(head, at + 1);
		if (length.end < 0 || length.value > BigInt(MAX_PACKET)) return packets > 0 && length.end < 0 && head.length - at < 12;
		const end = length.end + Number(length.value);
		if (end > head.length) return packets > 0 || firstTagIsPackets(head.subarray(length.end));
		try {
			let fields = 0;
			for (const field of fieldsOf(head.subarray(length.end, end), "")) if (field.number > 0) fields++;
			if (fields === 0 && length.value > 0n) return false;
		} catch {
			return false;
		}
		packets++;
		at = end;
	}
	return packets > 0;
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
			throw new BadInputError(`no packet where one should begin (tag ${tag.value})`, { where: `${where}, byte ${at}` });
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
		throw new BadInputError("compressed packets are damaged", { where, cause });
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
		if (end === 0 && bytes.length > 0) throw new BadInputError("compressed packets hold no packet", { where });
	}
	if (!packed) yield packet;
}

/** All packets of a trace in the file's order. @throws BadInputError where the last one is cut off, unless lenient */
export async function* packetsOf(path: string, facts: SourceFacts): AsyncGenerator<Uint8Array[]> {
	let rest: Uint8Array = new Uint8Array(0);
	let offset = 0;
	for await (const chunk of readChunks(path, facts.digest)) {
		const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
		const out: Uint8Array[] = [];
		let used = 0;
		const where = `${path}, from byte ${offset}`;
		for (const { packet, end } of packetsIn(bytes, where)) {
			for (const inner of unpacked(packet, where)) out.push(inner);
			used = end;
		}
		// The chunk is only lent.
		rest = Uint8Array.from(bytes.subarray(used));
		offset += used;
		if (out.length > 0) yield out;
	}
	if (rest.length > 0 && [...packetsIn(rest, path)].length === 0 && !isTail(rest))
		damage(facts, "the trace is cut off in its last packet", `${path}, byte ${offset}`);
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
