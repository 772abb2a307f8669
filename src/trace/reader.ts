// Reads a trace (docs/trace-format.md): its header, then block after block in bounded memory. Nothing is allocated before the length
// that asks for it was checked, and a payload goes straight into the caller's buffer (the engine's: WebAssembly memory).
import { BadInputError, LimitError } from "../errors.js";
import { decompress, HAS_ZSTD, zstdMissing } from "./codec.js";
import { crc32c } from "./crc32c.js";
import { BlockDigest } from "./digest.js";
import { decodeIndex, IndexBuilder, parseTrailer, type TraceIndex } from "./footer.js";
import { BLOCK_HEADER_BYTES, type BlockHeader, FRAME_BYTES, parseBlockHeader } from "./frame.js";
import { decodeHeader, type HeaderFacts } from "./header.js";
import type { TraceHeader } from "./record.js";
import { Input } from "./source.js";
import { BlockType, Codec, LIMITS, type Limits, MAGIC, REQUIRED_TYPE, Tag, TRAILER_BYTES } from "./wire.js";

/** A block, its payload not yet read. */
export interface Block extends BlockHeader {
	/** Among all blocks of the trace, from 0 (from where iteration began). */
	readonly index: number;
	/** A BlockType without REQUIRED_TYPE. */
	readonly type: number;
	/** Of the block's field in the file. */
	readonly offset: number;
	readonly payloadOffset: number;
	readonly end: number;
}

export interface ReadOptions {
	/** Caps to raise. */
	readonly limits?: Partial<Limits>;
}

/** Where a scan is: `digest` and the sequence check follow it. */
interface Scan {
	offset: number;
	blocks: number;
	/** Causes so far; undefined until the first block where iteration began in the middle. */
	causes: number | undefined;
}

const SALVAGE_HINT = "mmreplay validate --salvage -o FILE keeps every good block";

export class TraceReader {
	readonly header: TraceHeader;
	readonly format: HeaderFacts["format"];
	readonly requiredFeatures: readonly string[];
	readonly optionalFeatures: readonly string[];
	readonly limits: Limits;
	readonly #input: Input;
	/** Offset of the first block. */
	readonly #first: number;
	#digest: string | undefined;
	#stored = new Uint8Array(0);

	/** @throws BadInputError, LimitError, UsageError */
	constructor(source: string | Uint8Array, options: ReadOptions = {}) {
		this.limits = { ...LIMITS, ...options.limits };
		this.#input = new Input(source);
		try {
			const { facts, end } = this.#readHeader();
			this.header = facts.header;
			this.format = facts.format;
			this.requiredFeatures = facts.requiredFeatures;
			this.optionalFeatures = facts.optionalFeatures;
			this.#first = end;
			if (this.requiredFeatures.includes("zstd") && !HAS_ZSTD) throw zstdMissing(this.name);
		} catch (error) {
			this.#input.close();
			throw error;
		}
	}

	/** As messages name the trace. */
	get name(): string {
		return this.#input.name;
	}

	/** Bytes in all; undefined for a pipe. */
	get bytes(): number | undefined {
		return this.#input.size;
	}

	#readHeader(): { facts: HeaderFacts; end: number } {
		const input = this.#input;
		const start = input.peek(0, 1 + 5 + 2 + MAGIC.length);
		const length = start[0] === Tag.header ? varintAt(start, 1) : undefined;
		const isTrace =
			length !== undefined &&
			MAGIC.every((byte, at) => start[length.end + 2 + at] === byte) &&
			start[length.end] === 0x0a &&
			start[length.end + 1] === MAGIC.length;
		if (!isTrace) {
			throw new BadInputError("not an mmreplay trace", {
				where: input.name,
				hint: "mmreplay import makes a trace from a capture",
			});
		}
		if (length.value > this.limits.headerBytes) {
			throw new LimitError(`the header has ${length.value} bytes, more than ${this.limits.headerBytes}`, { where: input.at(0) });
		}
		const message = new Uint8Array(length.value);
		if (input.read(message, length.end) < message.length) {
			throw new BadInputError("the trace ends inside its header", { where: input.at(0) });
		}
		return { facts: decodeHeader(message, input.at(0)), end: length.end + message.length };
	}

	/**
	 * The blocks in file order. A file can be read any number of times and from any block on (`from`: an offset that an index entry gave);
	 * a pipe once. Blocks of unknown types are left out.
	 * @throws BadInputError, LimitError at the first thing that is wrong, after every block before it
	 */
	*blocks(from?: number): Generator<Block, void, void> {
		const scan: Scan = { offset: from ?? this.#first, blocks: 0, causes: from === undefined ? 0 : undefined };
		const digest = new BlockDigest();
		for (;;) {
			const block = this.#next(scan);
			if (block === undefined) break;
			digest.add(block);
			scan.offset = block.end;
			scan.blocks++;
			if (block.type === BlockType.events) scan.causes = block.firstSequence + block.events;
			if (isKnown(block.type)) yield block;
		}
		if (from === undefined) this.#digest = digest.hex();
	}

	/** The next block, or undefined at the trace's end. */
	#next(scan: Scan): Block | undefined {
		const { offset } = scan;
		const input = this.#input;
		const bytes = input.peek(offset, FRAME_BYTES);
		if (bytes.length === 0) throw this.#cut(scan);
		switch (bytes[0]) {
			case Tag.block:
				return this.#blockAt(scan, bytes);
			case Tag.index: {
				const length = varintAt(bytes, 1);
				if (length === undefined) throw bytes.length < 6 ? this.#cut(scan) : this.#bad("has an index without a length", offset);
				this.#expectTrailer(offset + length.end + length.value, offset, scan);
				return undefined;
			}
			case Tag.indexOffset:
				this.#expectTrailer(offset, 0, scan);
				return undefined;
			default:
				throw this.#bad(`has neither a block nor an index where one begins (byte ${bytes[0]})`, offset);
		}
	}

	#expectTrailer(at: number, indexOffset: number, scan: Scan): void {
		const bytes = this.#input.peek(at, TRAILER_BYTES + 1);
		if (bytes.length < TRAILER_BYTES) throw this.#cut(scan);
		if (bytes.length > TRAILER_BYTES || parseTrailer(bytes) !== indexOffset) throw this.#bad("does not end after its index", scan.offset);
	}

	#blockAt(scan: Scan, bytes: Uint8Array): Block {
		const { offset } = scan;
		const outer = varintAt(bytes, 1);
		const start = outer === undefined ? 0 : outer.end + 2;
		if (bytes.length < FRAME_BYTES && start + BLOCK_HEADER_BYTES > bytes.length) throw this.#cut(scan);
		if (outer === undefined || bytes[outer.end] !== Tag.blockHeader || bytes[outer.end + 1] !== BLOCK_HEADER_BYTES) {
			throw this.#bad("has a damaged block", offset);
		}
		const header = parseBlockHeader(bytes, start);
		if (typeof header === "string") throw this.#bad(header, offset);
		this.#checkCaps(header, offset);
		const payloadTag = start + BLOCK_HEADER_BYTES;
		const inner = bytes[payloadTag] === Tag.blockPayload ? varintAt(bytes, payloadTag + 1) : undefined;
		if (bytes.length < FRAME_BYTES && inner === undefined && bytes.length <= payloadTag + 5) throw this.#cut(scan);
		if (inner === undefined || inner.value !== header.storedLength || outer.value !== inner.end - outer.end + header.storedLength) {
			throw this.#bad("has a block whose lengths do not agree", offset);
		}
		const payloadOffset = offset + inner.end;
		const end = payloadOffset + header.storedLength;
		if (this.#input.size !== undefined && end > this.#input.size) throw this.#cut(scan);
		if (scan.causes !== undefined && header.firstSequence !== scan.causes) {
			throw this.#bad(`goes from cause ${scan.causes} to ${header.firstSequence}: blocks are missing`, offset);
		}
		return { ...header, type: (header.type & ~REQUIRED_TYPE) >>> 0, index: scan.blocks, offset, payloadOffset, end };
	}

	#checkCaps(header: BlockHeader, offset: number): void {
		const { limits } = this;
		const where = this.#input.at(offset);
		const type = (header.type & ~REQUIRED_TYPE) >>> 0;
		if (header.type !== type && !isKnown(type)) {
			throw new BadInputError(`the trace needs block type ${type}`, { where, hint: "a newer mmreplay wrote this trace" });
		}
		const length = Math.max(header.storedLength, header.rawLength);
		if (length > limits.blockBytes) throw new LimitError(`a block of ${length} bytes, more than ${limits.blockBytes}`, { where });
		if (header.events > limits.events) throw new LimitError(`a block of ${header.events} records, more than ${limits.events}`, { where });
		if (header.codec === Codec.none && header.storedLength !== header.rawLength)
			throw this.#bad("has a block whose lengths do not agree", offset);
	}

	#bad(what: string, offset: number): BadInputError {
		return new BadInputError(`the trace ${what}`, { where: this.#input.at(offset), hint: SALVAGE_HINT });
	}

	#cut(scan: Scan): BadInputError {
		return new BadInputError(`the trace is cut off after ${scan.blocks} whole blocks`, {
			where: this.#input.at(scan.offset),
			hint: SALVAGE_HINT,
		});
	}

	/**
	 * Read a block's payload, after its codec, into the front of `target`; its length is `block.rawLength`. A stored payload is read in
	 * place. `checksum: "caller"`: the caller holds crc32c(payload) against `block.payloadCrc32c` itself (stored payloads only).
	 * @throws BadInputError on a wrong checksum or codec; RangeError where `target` is too short
	 */
	readPayload(block: Block, target: Uint8Array, checksum: "verify" | "caller" = "verify"): number {
		if (block.codec !== Codec.none) {
			target.set(this.payload(block));
			return block.rawLength;
		}
		if (target.length < block.rawLength) throw new RangeError(`${target.length} bytes for a payload of ${block.rawLength}`);
		this.#readStored(block, target.subarray(0, block.storedLength), checksum === "verify");
		return block.rawLength;
	}

	#readStored(block: Block, target: Uint8Array, verify: boolean): void {
		if (this.#input.read(target, block.payloadOffset) < target.length) {
			throw this.#cut({ offset: block.offset, blocks: block.index, causes: undefined });
		}
		if (verify && crc32c(target) !== block.payloadCrc32c) throw this.#bad(`has a wrong checksum in block ${block.index}`, block.offset);
	}

	/** A block's payload, after its codec; valid until the next call. @throws BadInputError */
	payload(block: Block): Uint8Array {
		if (this.#stored.length < block.storedLength) this.#stored = new Uint8Array(block.storedLength);
		const stored = this.#stored.subarray(0, block.storedLength);
		this.#readStored(block, stored, true);
		return decompress(block.codec, stored, block.rawLength, this.where(block));
	}

	/** A block as a message's WHERE. */
	where(block: Block): string {
		return `${this.#input.at(block.offset)}, block ${block.index}`;
	}

	/**
	 * The trace's identity: sha256 over the payload checksum and type of every block, in file order. For a pipe only after all blocks were
	 * read; a file's headers are scanned where need be.
	 * @throws BadInputError, LimitError
	 */
	digest(): string {
		if (this.#digest === undefined && this.#input.size !== undefined) for (const _ of this.blocks());
		if (this.#digest === undefined) throw new Error("the digest of a pipe is known at its end");
		return this.#digest;
	}

	/** The index as it stands in the file; undefined where there is none. @throws BadInputError, LimitError where it is damaged */
	storedIndex(): TraceIndex | undefined {
		const { size } = this.#input;
		if (size === undefined) return undefined;
		const tail = size - TRAILER_BYTES;
		const offset = tail < this.#first ? undefined : parseTrailer(this.#input.peek(tail, TRAILER_BYTES));
		if (offset === undefined)
			throw new BadInputError("the trace has no index_offset at its end", { where: this.#input.at(Math.max(tail, 0)) });
		if (offset === 0) return undefined;
		const where = this.#input.at(offset);
		const start = offset < this.#first || offset >= tail ? new Uint8Array(0) : this.#input.peek(offset, 6);
		const length = start[0] === Tag.index ? varintAt(start, 1) : undefined;
		if (length === undefined || offset + length.end + length.value !== tail)
			throw new BadInputError("index_offset does not lead to an index", { where });
		if (length.value > this.limits.indexBytes) throw new LimitError(`the index has ${length.value} bytes`, { where });
		const message = new Uint8Array(length.value);
		this.#input.read(message, offset + length.end);
		return decodeIndex(message, this.limits, where);
	}

	/** The stored index; where it is missing or damaged, one made by a scan of the block headers (files only). @throws BadInputError, LimitError */
	index(): TraceIndex {
		try {
			const stored = this.storedIndex();
			if (stored !== undefined) return stored;
		} catch (error) {
			if (!(error instanceof BadInputError || error instanceof LimitError)) throw error;
		}
		const builder = new IndexBuilder();
		for (const block of this.blocks()) builder.add(block.offset, block);
		return builder.build();
	}

	close(): void {
		this.#input.close();
	}
}

function isKnown(type: number): boolean {
	return type >= BlockType.events && type <= BlockType.metadata;
}

/** A varint of up to five bytes at `at`, under 2^32; undefined where it is longer or cut. */
function varintAt(bytes: Uint8Array, at: number): { value: number; end: number } | undefined {
	let value = 0;
	for (let index = 0; index < 5 && at + index < bytes.length; index++) {
		const byte = bytes[at + index];
		value += (byte & 127) * 2 ** (7 * index);
		if (byte < 128) return value < 2 ** 32 ? { value, end: at + index + 1 } : undefined;
	}
	return undefined;
}

/** Open a trace: a path, `-` for standard input, or the bytes themselves. Only the header is read. @throws BadInputError, LimitError, UsageError */
export function openTrace(source: string | Uint8Array, options: ReadOptions = {}): TraceReader {
	return new TraceReader(source, options);
}
