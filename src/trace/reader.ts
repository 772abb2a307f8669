// Reads a trace (docs/trace-format.md): its header, then block after block in bounded memory. Nothing is allocated before the length
// that asks for it was checked, and a payload goes straight into the caller's buffer (the engine's: WebAssembly memory).
import { BadInputError, LimitError } from "../errors.js";
import { decompress, hasZstd, zstdMissing } from "./codec.js";
import { crc32c } from "./crc32c.js";
import { BlockDigest } from "./digest.js";
import { decodeIndex, IndexBuilder, type TraceIndex } from "./footer.js";
import { decodeHeader, emptyHeader, type HeaderFacts } from "./header.js";
import { decodeMetadata, type Note } from "./metadata.js";
import type { TraceHeader } from "./record.js";
import { type Block, type Foreseen, isKnownType, Scan, varintAt } from "./scan.js";
import { Input, type OpenFile } from "./source.js";
import { parseTrailer } from "./trailer.js";
import { BlockType, Codec, FORMAT, LIMITS, type Limits, MAGIC, Tag, TRAILER_BYTES } from "./wire.js";

export type { Block };

export interface ReadOptions {
	/** Caps to raise. */
	readonly limits?: Partial<Limits>;
	/** A damaged header is an error; for salvage it is replaced by an empty one, and `headerFlaw` says what was wrong. */
	readonly damagedHeader?: "refuse" | "replace";
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
	/** Why the header was replaced. */
	readonly headerFlaw: BadInputError | undefined;
	#digest: string | undefined;
	#stored = new Uint8Array(0);

	/** @throws BadInputError, LimitError, UsageError */
	constructor(source: string | Uint8Array | OpenFile, options: ReadOptions = {}) {
		this.limits = { ...LIMITS, ...options.limits };
		this.#input = new Input(source);
		try {
			const { facts, end, flaw } = this.#headerOrNone(options.damagedHeader === "replace");
			this.headerFlaw = flaw;
			this.header = facts.header;
			this.format = facts.format;
			this.requiredFeatures = facts.requiredFeatures;
			this.optionalFeatures = facts.optionalFeatures;
			this.#first = end;
			if (this.requiredFeatures.includes("zstd") && !hasZstd()) throw zstdMissing(this.name);
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

	/** The open file; undefined for a pipe and for memory. */
	get file(): OpenFile | undefined {
		return this.#input.file;
	}

	/** Offset of the first block. */
	get start(): number {
		return this.#first;
	}

	#headerOrNone(replace: boolean): { facts: HeaderFacts; end: number; flaw?: BadInputError } {
		try {
			return this.#readHeader();
		} catch (flaw) {
			if (!replace || !(flaw instanceof BadInputError)) throw flaw;
			const facts = { header: emptyHeader(), format: FORMAT, requiredFeatures: [], optionalFeatures: [] };
			// Where the blocks begin is not known: the scan starts with a damage and finds them by their sync words.
			return { facts, end: 0, flaw };
		}
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
	 * a pipe once. Blocks of unknown types are left out. `foreseen`: who may have looked at their headers already.
	 * @throws BadInputError, LimitError at the first thing that is wrong, after every block before it
	 */
	*blocks(from?: number, foreseen?: Foreseen): Generator<Block, void, void> {
		const digest = new BlockDigest();
		let causes = from === undefined ? 0 : undefined;
		const scan = new Scan(this.#input, this.limits, from ?? this.#first, foreseen);
		for (const step of scan.steps()) {
			if (step.kind === "end") break;
			if (step.kind === "cut") throw this.#cut(step.offset, scan.blocks);
			if (step.kind === "damage") throw this.#bad(step);
			if (step.kind !== "block") continue;
			const { block } = step;
			if (causes !== undefined && block.firstSequence !== causes) {
				throw this.#bad({ offset: block.offset, what: `a step from cause ${causes} to ${block.firstSequence}: blocks are missing` });
			}
			digest.add(block);
			causes = block.firstSequence + (block.type === BlockType.events ? block.events : 0);
			if (isKnownType(block.type)) yield block;
		}
		if (from === undefined) this.#digest = digest.hex();
	}

	/** The fields of the trace as they come, damage included; for salvage and validation. */
	scan(from?: number): Scan {
		return new Scan(this.#input, this.limits, from ?? this.#first);
	}

	#bad(flaw: { offset: number; what: string; limit?: boolean; hint?: string }): BadInputError | LimitError {
		const where = this.#input.at(flaw.offset);
		if (flaw.limit) return new LimitError(flaw.what, { where });
		return new BadInputError(`the trace is damaged: ${flaw.what}`, { where, hint: flaw.hint ?? SALVAGE_HINT });
	}

	#cut(offset: number, blocks: number): BadInputError {
		return new BadInputError(`the trace is cut off after ${blocks} whole blocks`, { where: this.#input.at(offset), hint: SALVAGE_HINT });
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
			throw this.#cut(block.offset, block.index);
		}
		if (verify && crc32c(target) !== block.payloadCrc32c) throw this.wrongChecksum(block);
	}

	/** What a block with a wrong checksum is, for a caller that held it against the payload itself. */
	wrongChecksum(block: Block): BadInputError | LimitError {
		return this.#bad({ offset: block.offset, what: `block ${block.index} has a wrong checksum` });
	}

	/** A block's payload, after its codec; valid until the next call. @throws BadInputError */
	payload(block: Block): Uint8Array {
		if (this.#stored.length < block.storedLength) this.#stored = new Uint8Array(block.storedLength);
		const stored = this.#stored.subarray(0, block.storedLength);
		this.#readStored(block, stored, true);
		return decompress(block.codec, stored, block.rawLength, this.where(block));
	}

	/** The notes of a METADATA block. @throws BadInputError, LimitError */
	metadata(block: Block): Note[] {
		return decodeMetadata(this.payload(block), this.limits, this.where(block));
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

	/**
	 * The stored index; where it is missing or damaged, one made by a scan of the block headers, up to the first damage (files only). Such a
	 * one says of each block only that it may hold every kind and VM.
	 */
	index(): TraceIndex {
		const builder = new IndexBuilder();
		try {
			const stored = this.storedIndex();
			if (stored !== undefined) return stored;
		} catch (error) {
			if (!(error instanceof BadInputError || error instanceof LimitError)) throw error;
		}
		try {
			for (const block of this.blocks()) builder.add(block.offset, block);
		} catch (error) {
			if (!(error instanceof BadInputError || error instanceof LimitError)) throw error;
		}
		return builder.build();
	}

	close(): void {
		this.#input.close();
	}
}

/** Open a trace: a path, `-` for standard input, the bytes themselves, or an open file. Only the header is read. @throws BadInputError, LimitError, UsageError */
export function openTrace(source: string | Uint8Array | OpenFile, options: ReadOptions = {}): TraceReader {
	return new TraceReader(source, options);
}
