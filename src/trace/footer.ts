// The index at the end of a trace: what lies where, so that a reader can seek, skip and split (traces/mmtrace.proto, message Index).
import { BadInputError, LimitError } from "../errors.js";
import type { BlockHeader } from "./frame.js";
import { mmreplay } from "./generated/schema.js";
import { hasChecksum, withChecksum } from "./header.js";
import { ALL_BITS, type Bits, CODES, NO_BITS, type Tally, union } from "./tally.js";
import { encodeTrailer } from "./trailer.js";
import { BlockType, type Limits, REQUIRED_TYPE, Tag } from "./wire.js";

/** One block, or several in a row. */
export interface IndexEntry {
	/** Of the first block's field in the file. */
	readonly offset: number;
	readonly firstSequence: number;
	readonly firstNs: number;
	readonly lastNs: number;
	readonly causes: number;
	readonly observations: number;
	/** Bit 0: plain accesses; bit n: operation code n. */
	readonly causeKinds: Bits;
	/** Bit n: operation code 64 + n. */
	readonly observationKinds: Bits;
	/** Bit n: VM n; 63: one with id 63 or more. */
	readonly vms: Bits;
}

export interface TraceIndex {
	readonly entries: readonly IndexEntry[];
	/** Records of the whole trace by code (0: plain accesses); undefined where only headers were scanned. */
	readonly totals: ReadonlyMap<number, number> | undefined;
}

/** Beyond this many entries, pairs of neighbours become one: 2^17 blocks are a thousand million causes. */
const MAX_ENTRIES = 1 << 17;

function merged(a: IndexEntry, b: IndexEntry): IndexEntry {
	return {
		offset: a.offset,
		firstSequence: a.firstSequence,
		firstNs: Math.min(a.firstNs, b.firstNs),
		lastNs: Math.max(a.lastNs, b.lastNs),
		causes: a.causes + b.causes,
		observations: a.observations + b.observations,
		causeKinds: union(a.causeKinds, b.causeKinds),
		observationKinds: union(a.observationKinds, b.observationKinds),
		vms: union(a.vms, b.vms),
	};
}

export class IndexBuilder {
	#entries: IndexEntry[] = [];
	/** Blocks that an entry covers. */
	#stride = 1;
	#inLast = 0;
	readonly #totals = new Float64Array(CODES);
	#counted = true;

	/** `tally`: what the block holds, where it is known. */
	add(offset: number, header: BlockHeader, tally?: Tally): void {
		const type = (header.type & ~REQUIRED_TYPE) >>> 0;
		if (tally === undefined) this.#counted = false;
		else for (let code = 0; code < CODES; code++) this.#totals[code] += tally.totals[code];
		const isCause = type === BlockType.events;
		const isObservation = type === BlockType.observations;
		const entry: IndexEntry = {
			offset,
			firstSequence: header.firstSequence,
			firstNs: header.firstNs,
			lastNs: tally?.lastNs ?? Number.MAX_SAFE_INTEGER,
			causes: isCause ? header.events : 0,
			observations: isObservation ? header.events : 0,
			causeKinds: isCause ? (tally?.kinds(0) ?? ALL_BITS) : NO_BITS,
			observationKinds: isObservation ? (tally?.kinds(64) ?? ALL_BITS) : NO_BITS,
			vms: tally?.vms ?? ALL_BITS,
		};
		if (this.#inLast > 0 && this.#inLast < this.#stride) {
			this.#entries.push(merged(this.#entries.pop() ?? entry, entry));
			this.#inLast++;
			return;
		}
		if (this.#entries.length === MAX_ENTRIES) {
			this.#entries = Array.from({ length: MAX_ENTRIES / 2 }, (_, at) => merged(this.#entries[2 * at], this.#entries[2 * at + 1]));
			this.#stride *= 2;
		}
		this.#entries.push(entry);
		this.#inLast = 1;
	}

	/** Records by code. */
	totals(): Map<number, number> {
		const totals = new Map<number, number>();
		this.#totals.forEach((count, code) => {
			if (count > 0) totals.set(code, count);
		});
		return totals;
	}

	/** `shift`: what has come to stand before the offsets given. */
	build(shift = 0): TraceIndex {
		const totals = this.totals();
		return {
			entries: this.#entries.map((entry) => ({ ...entry, offset: entry.offset + shift })),
			totals: this.#counted ? totals : undefined,
		};
	}
}

function column(entries: readonly IndexEntry[], value: (entry: IndexEntry) => number | Bits): Uint8Array {
	return fixed64s(entries.map(value));
}

function fixed64s(words: readonly (number | Bits)[]): Uint8Array {
	const bytes = new Uint8Array(words.length * 8);
	const view = new DataView(bytes.buffer);
	words.forEach((word, at) => {
		const [low, high] = typeof word === "number" ? [word % 2 ** 32, Math.floor(word / 2 ** 32)] : word;
		view.setUint32(at * 8, low, true);
		view.setUint32(at * 8 + 4, high, true);
	});
	return bytes;
}

/** The index field and index_offset, to be written at file offset `offset`. */
export function encodeFooter(index: TraceIndex, offset: number): Uint8Array {
	const { entries, totals } = index;
	const message = withChecksum(
		mmreplay.Index.encode({
			entries: entries.length,
			offset: column(entries, (entry) => entry.offset),
			firstSequence: column(entries, (entry) => entry.firstSequence),
			firstNs: column(entries, (entry) => entry.firstNs),
			lastNs: column(entries, (entry) => entry.lastNs),
			causes: column(entries, (entry) => entry.causes),
			observations: column(entries, (entry) => entry.observations),
			causeKinds: column(entries, (entry) => entry.causeKinds),
			observationKinds: column(entries, (entry) => entry.observationKinds),
			vms: column(entries, (entry) => entry.vms),
			totalCode: Uint8Array.from(totals?.keys() ?? []),
			totalRecords: fixed64s([...(totals?.values() ?? [])]),
			crc32c: 0,
		}).finish(),
	);
	const head = lengthField(Tag.index, message.length);
	return Buffer.concat([head, message, encodeTrailer(offset)]);
}

/** A length-delimited field's tag and length. */
export function lengthField(tag: number, length: number): Uint8Array {
	const bytes = [tag];
	let rest = length;
	for (; rest > 127; rest >>>= 7) bytes.push((rest & 127) | 128);
	bytes.push(rest);
	return Uint8Array.from(bytes);
}

/** @throws BadInputError, LimitError: the trace itself may be whole, and a scan of its blocks makes another index */
export function decodeIndex(message: Uint8Array, limits: Limits, where: string): TraceIndex {
	if (!hasChecksum(message)) throw new BadInputError("the index's checksum is wrong", { where });
	let fields: mmreplay.Index;
	try {
		fields = mmreplay.Index.decode(message);
	} catch (cause) {
		throw new BadInputError("the index is not a valid message", { where, cause });
	}
	const count = fields.entries;
	if (count > limits.entries) throw new LimitError(`the index has ${count} entries, more than ${limits.entries}`, { where });
	const read = (name: string, bytes: Uint8Array, values = count): ((at: number) => Bits) => {
		if (bytes.length !== values * 8)
			throw new BadInputError(`the index's column ${name} has ${bytes.length} bytes for ${values} entries`, { where });
		const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
		return (at) => [view.getUint32(at * 8, true), view.getUint32(at * 8 + 4, true)];
	};
	const number = (name: string, bytes: Uint8Array, values = count): ((at: number) => number) => {
		const words = read(name, bytes, values);
		return (at) => {
			const [low, high] = words(at);
			if (high >= 1 << 21) throw new BadInputError(`the index's column ${name} has a value over 53 bits`, { where });
			return high * 2 ** 32 + low;
		};
	};
	const offset = number("offset", fields.offset);
	const firstSequence = number("first_sequence", fields.firstSequence);
	const firstNs = number("first_ns", fields.firstNs);
	const lastNs = number("last_ns", fields.lastNs);
	const causes = number("causes", fields.causes);
	const observations = number("observations", fields.observations);
	const causeKinds = read("cause_kinds", fields.causeKinds);
	const observationKinds = read("observation_kinds", fields.observationKinds);
	const vms = read("vms", fields.vms);
	const entries = Array.from({ length: count }, (_, at) => ({
		offset: offset(at),
		firstSequence: firstSequence(at),
		firstNs: firstNs(at),
		lastNs: lastNs(at),
		causes: causes(at),
		observations: observations(at),
		causeKinds: causeKinds(at),
		observationKinds: observationKinds(at),
		vms: vms(at),
	}));
	return { entries, totals: fields.totalCode.length > 0 || count === 0 ? totals(fields) : undefined };

	function totals({ totalCode, totalRecords }: mmreplay.Index): ReadonlyMap<number, number> {
		// Codes are under 128, so each is a byte of the column.
		if (totalCode.length > CODES || totalCode.some((code) => code >= CODES))
			throw new BadInputError("the index has unknown totals", { where });
		const records = number("total_records", totalRecords, totalCode.length);
		return new Map([...totalCode].map((code, at) => [code, records(at)]));
	}
}
