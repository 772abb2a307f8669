// Writes a trace: records in, one file out (docs/trace-format.md). Memory is bounded whatever the length of the trace: a block of each
// kind, and a spool on disk while the header is not known.
import { BlockBuilder } from "./build.js";
import { checkCodec, compress } from "./codec.js";
import { type BuiltBlock, buildFromColumns, type CauseColumns, type PageEncoding } from "./columns.js";
import { crc32c } from "./crc32c.js";
import { BlockDigest } from "./digest.js";
import { encodeFooter, IndexBuilder, lengthField } from "./footer.js";
import { type BlockHeader, encodeFrame } from "./frame.js";
import { encodeHeader } from "./header.js";
import { FIRST_OBSERVATION } from "./kinds.js";
import { encodeMetadata, type Note } from "./metadata.js";
import { operationRecord } from "./operations.js";
import type { Agent, TraceHeader, TraceRecord } from "./record.js";
import { type ByteSink, type Destination, openDestination, Spool } from "./sink.js";
import { Tally } from "./tally.js";
import { encodeTrailer } from "./trailer.js";
import { BlockType, type CodecName, LIMITS, Tag } from "./wire.js";

export interface WriterOptions {
	/** Known from the start: blocks then go straight to the target. Without it they are spooled until `finish(header)`. */
	readonly header?: TraceHeader;
	readonly pages?: PageEncoding;
	readonly codec?: CodecName;
	/** Drop times or offsets within pages that the records have. */
	readonly times?: "keep" | "drop";
	readonly offsets?: "keep" | "drop";
	/** Records of a block, at most. */
	readonly causesPerBlock?: number;
	readonly observationsPerBlock?: number;
	/** Bytes of a block before its codec, about. */
	readonly blockBytes?: number;
	/** Bytes of blocks kept in memory before the spool goes to a file. */
	readonly spoolBytes?: number;
	/** A faster crc32c, for who writes much. */
	readonly checksum?: (bytes: Uint8Array) => number;
}

export interface WrittenTrace {
	readonly bytes: number;
	readonly blocks: number;
	readonly causes: number;
	readonly observations: number;
	/** As TraceReader.digest gives it. */
	readonly digest: string;
}

/** Observations written since the last causes, after which the causes at hand follow although their block is not full: bounds what a reader holds back. */
const MAX_AHEAD = 1 << 19;

function withinEvents(count: number): number {
	if (!Number.isInteger(count) || count < 1 || count > LIMITS.events) throw new RangeError(`${count} records a block`);
	return count;
}

/**
 * Usage: construct, then `cause` and `observe` in the order of the capture, then `finish`; `abort` on any error, or half a file stays
 * under its temporary name until the process ends. All calls are synchronous.
 * A RangeError says that a record cannot be: a defect of the caller's. The trace is then still whole without that record.
 */
export class TraceWriter {
	readonly #destination: Destination;
	readonly #spool: Spool | undefined;
	readonly #sink: ByteSink;
	readonly #causeBuilder = new BlockBuilder(false);
	readonly #observationBuilder = new BlockBuilder(true);
	readonly #index = new IndexBuilder();
	readonly #digest = new BlockDigest();
	readonly #header: TraceHeader | undefined;
	readonly #pages: PageEncoding;
	readonly #codec: CodecName;
	readonly #causesPerBlock: number;
	readonly #observationsPerBlock: number;
	readonly #blockBytes: number;
	readonly #keepTimes: boolean;
	readonly #keepOffsets: boolean;
	readonly #checksum: (bytes: Uint8Array) => number;
	/** Offset of the next block in the sink. */
	#offset = 0;
	#blocks = 0;
	/** Causes in blocks of the file; those of the builder come after. */
	#causesWritten = 0;
	#observations = 0;
	#observationsAhead = 0;
	#open = true;

	/** `target`: a path, `-` for standard output, or an object that takes bytes. @throws UsageError where the path cannot be written, or this Node has no zstd */
	constructor(target: string | ByteSink, options: WriterOptions = {}) {
		this.#pages = options.pages ?? "fixed";
		this.#codec = options.codec ?? "none";
		this.#causesPerBlock = withinEvents(options.causesPerBlock ?? 8192);
		this.#observationsPerBlock = withinEvents(options.observationsPerBlock ?? 65536);
		// A record is under 256 bytes and a text of 4 KiB: a target of half the cap can never overrun it.
		this.#blockBytes = Math.min(options.blockBytes ?? 1 << 20, LIMITS.blockBytes / 2);
		this.#keepTimes = options.times !== "drop";
		this.#keepOffsets = options.offsets !== "drop";
		this.#checksum = options.checksum ?? crc32c;
		checkCodec(this.#codec);
		this.#header = options.header;
		const head = this.#header === undefined ? undefined : this.#headerField(this.#header);
		this.#destination = openDestination(target);
		if (head === undefined) {
			this.#spool = new Spool(options.spoolBytes ?? 8 << 20);
			this.#sink = this.#spool;
		} else {
			this.#spool = undefined;
			this.#sink = this.#destination;
			this.#destination.write(head);
			this.#offset = head.length;
		}
	}

	/** How page numbers are written, for who builds blocks elsewhere. */
	get pages(): PageEncoding {
		return this.#pages;
	}

	/** Causes so far. */
	get causes(): number {
		return this.#causesWritten + this.#causeBuilder.events;
	}

	/** How many records there are of each code (kinds.ts; 0: plain accesses), once the trace is finished. */
	totals(): ReadonlyMap<number, number> {
		return this.#index.totals();
	}

	/** Append a cause. @throws RangeError on a record that cannot be */
	cause(record: TraceRecord): void {
		const kept = this.#keepTimes && this.#keepOffsets ? record : this.#reduced(record);
		const block = this.#causeBuilder;
		if (!block.takes(kept)) this.#flushCauses();
		block.add(kept);
		if (block.events >= this.#causesPerBlock || block.bytes >= this.#blockBytes) this.#flushCauses();
	}

	/** Append an observation: it came after the causes so far, and before the next. @throws RangeError on a record that cannot be */
	observe(record: TraceRecord): void {
		const kept = this.#keepTimes && this.#keepOffsets ? record : this.#reduced(record);
		const block = this.#observationBuilder;
		if (!block.takes(kept)) this.#flushObservations();
		block.add(kept, this.#causeBuilder.events);
		this.#observed(block);
	}

	#observed(block: BlockBuilder): void {
		this.#observations++;
		if (block.events >= this.#observationsPerBlock || block.bytes >= this.#blockBytes) this.#flushObservations();
		if (this.#observationsAhead + block.events >= MAX_AHEAD) this.#flushCauses();
	}

	/**
	 * As `cause` or `observe` of an operation without a text, by its code: its arguments are values[from] and those that follow, which are lent.
	 * @throws RangeError on a record that cannot be
	 */
	operation(code: number, agent: Agent, page: number, values: Float64Array, from: number, ns: number): void {
		if (!this.#keepTimes) {
			const record = operationRecord(code, agent, page, values, from, undefined);
			if (code >= FIRST_OBSERVATION) this.observe(record);
			else this.cause(record);
			return;
		}
		if (code >= FIRST_OBSERVATION) {
			const block = this.#observationBuilder;
			if (!block.takesTimed) this.#flushObservations();
			block.operation(code, agent, page, values, from, ns, this.#causeBuilder.events);
			this.#observed(block);
			return;
		}
		const block = this.#causeBuilder;
		if (!block.takesTimed) this.#flushCauses();
		block.operation(code, agent, page, values, from, ns);
		if (block.events >= this.#causesPerBlock || block.bytes >= this.#blockBytes) this.#flushCauses();
	}

	/** Append a block of causes from columns. @throws RangeError where they do not fit together; nothing is then written of them */
	block(columns: CauseColumns): void {
		const { ns: _, offset: __, ...bare } = columns;
		const kept: CauseColumns = {
			...bare,
			...(this.#keepTimes && columns.ns !== undefined ? { ns: columns.ns } : {}),
			...(this.#keepOffsets && columns.offset !== undefined ? { offset: columns.offset } : {}),
		};
		this.built(buildFromColumns(kept, this.#pages));
	}

	/** Append a block of causes that was built elsewhere: the same one any number of times. */
	built(built: BuiltBlock): void {
		this.#flushCauses();
		this.#append(BlockType.events, built);
		this.#causesWritten += built.events;
	}

	/** Append facts about the capture that no replay needs. @throws RangeError on a note over the cap */
	metadata(notes: readonly Note[]): void {
		const payload = encodeMetadata(notes);
		this.#flushCauses();
		this.#append(BlockType.metadata, { payload, events: 0, firstNs: 0, tally: new Tally() });
	}

	/** Write what is left and make the file durable under its name. `header`: where the constructor had none. */
	finish(header?: TraceHeader): WrittenTrace {
		if (!this.#open) throw new Error("the trace is finished");
		if ((header === undefined) === (this.#header === undefined)) throw new Error("a trace has one header");
		try {
			this.#flushCauses();
			this.#flushObservations();
			let shift = 0;
			if (header !== undefined) {
				const head = this.#headerField(header);
				this.#destination.write(head);
				this.#spool?.copyTo(this.#destination);
				shift = head.length;
			}
			const end = shift + this.#offset;
			const footer = this.#destination.seekable ? encodeFooter(this.#index.build(shift), end) : encodeTrailer(0);
			this.#destination.write(footer);
			this.#destination.commit();
			return {
				bytes: end + footer.length,
				blocks: this.#blocks,
				causes: this.#causesWritten,
				observations: this.#observations,
				digest: this.#digest.hex(),
			};
		} catch (error) {
			this.#destination.discard();
			throw error;
		} finally {
			this.#open = false;
			this.#spool?.close();
		}
	}

	/** Leave nothing behind. After `finish` this does nothing. */
	abort(): void {
		if (!this.#open) return;
		this.#open = false;
		this.#spool?.close();
		this.#destination.discard();
	}

	#headerField(header: TraceHeader): Uint8Array {
		const message = encodeHeader(header, this.#codec === "zstd" ? ["zstd"] : []);
		return Buffer.concat([lengthField(Tag.header, message.length), message]);
	}

	#reduced(record: TraceRecord): TraceRecord {
		const reduced = { ...record };
		if (!this.#keepTimes) reduced.ns = undefined;
		if (!this.#keepOffsets) reduced.offset = undefined;
		return reduced;
	}

	/** Observations go out before the causes among which they stand, so that a reader can merge the two in one pass. */
	#flushCauses(): void {
		this.#flushObservations();
		this.#observationsAhead = 0;
		const block = this.#causeBuilder;
		if (block.events === 0) return;
		this.#append(BlockType.events, block.build(this.#pages));
		this.#causesWritten += block.events;
		block.clear();
	}

	#flushObservations(): void {
		const block = this.#observationBuilder;
		if (block.events === 0) return;
		this.#append(BlockType.observations, block.build(this.#pages));
		this.#observationsAhead += block.events;
		block.clear();
	}

	#append(type: number, built: BuiltBlock): void {
		if (!this.#open) throw new Error("the trace is finished");
		const { codec, stored } = compress(this.#codec, built.payload);
		const header: BlockHeader = {
			type,
			codec,
			storedLength: stored.length,
			rawLength: built.payload.length,
			events: built.events,
			firstSequence: this.#causesWritten,
			firstNs: built.firstNs,
			payloadCrc32c: this.#checksum(stored),
		};
		const frame = encodeFrame(header);
		this.#sink.write(frame);
		this.#sink.write(stored);
		this.#index.add(this.#offset, header, built.tally);
		this.#digest.add(header);
		this.#offset += frame.length + stored.length;
		this.#blocks++;
	}
}
