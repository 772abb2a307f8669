// What is left of a damaged trace: every good block, found by sync words where the frames are broken, and what was lost.
import { BadInputError } from "../errors.js";
import { checkBlock } from "./check.js";
import { isObservation } from "./operations.js";
import { type ReadOptions, TraceReader } from "./reader.js";
import type { TraceHeader } from "./record.js";
import { records } from "./records.js";
import { type Block, isKnownType } from "./scan.js";
import type { ByteSink } from "./sink.js";
import { BlockType } from "./wire.js";
import { TraceWriter, type WriterOptions, type WrittenTrace } from "./writer.js";

interface Loss {
	/** File offsets of the bytes not used. */
	readonly from: number;
	readonly to: number;
	readonly reason: string;
}

export interface LossReport {
	goodBlocks: number;
	/** Blocks of which the header was found and the contents are damaged. */
	badBlocks: number;
	bytesLost: number;
	/** Causes missing between good blocks; what the end of a cut file held is not known. */
	causesLost: number;
	/** The end of the trace is missing. */
	cut: boolean;
	/** Whole blocks of types that this version does not know: they cannot be written again. */
	unknownBlocks: number;
	headerLost: boolean;
	/** The first MAX_LOSSES of them. */
	readonly losses: Loss[];
}

const MAX_LOSSES = 1000;

export class Salvage {
	readonly trace: TraceReader;
	readonly report: LossReport;

	constructor(trace: TraceReader) {
		this.trace = trace;
		this.report = {
			goodBlocks: 0,
			badBlocks: 0,
			bytesLost: 0,
			causesLost: 0,
			cut: false,
			unknownBlocks: 0,
			headerLost: trace.headerFlaw !== undefined,
			losses: [],
		};
	}

	#lose(from: number, to: number, reason: string): void {
		this.report.bytesLost += Math.max(to - from, 0);
		if (this.report.losses.length < MAX_LOSSES) this.report.losses.push({ from, to, reason });
	}

	/** The good blocks in order; the report is complete when they are through. Their sequences are the old ones, with gaps. */
	*blocks(): Generator<Block, void, void> {
		const { trace, report } = this;
		const scan = trace.scan();
		let causes = 0;
		let broken: { offset: number; what: string } | undefined;
		for (const step of scan.steps()) {
			if (step.kind === "end") return;
			if (step.kind === "cut") {
				report.cut = true;
				this.#lose(step.offset, trace.bytes ?? step.offset, "the trace is cut off");
			} else if (step.kind === "damage") broken = step;
			else if (step.kind === "resync") {
				if (broken !== undefined) this.#lose(broken.offset, step.offset, broken.what);
			} else {
				const { block } = step;
				if (!isKnownType(block.type)) {
					report.unknownBlocks++;
					continue;
				}
				const flaw = block.firstSequence < causes ? "causes come again" : flawOf(trace, block);
				if (flaw !== undefined) {
					scan.resumeIn(block);
					report.badBlocks++;
					this.#lose(block.offset, Math.min(block.end, scan.offset), flaw);
					continue;
				}
				report.goodBlocks++;
				report.causesLost += block.firstSequence - causes;
				causes = block.firstSequence + (block.type === BlockType.events ? block.events : 0);
				yield block;
			}
		}
	}
}

function flawOf(trace: TraceReader, block: Block): string | undefined {
	let first: string | undefined;
	checkBlock(trace, block, ({ reason }) => {
		first ??= reason;
	});
	return first;
}

/** Open a trace for salvage: a damaged header is replaced. @throws UsageError, LimitError */
export function salvage(source: string | Uint8Array, options: ReadOptions = {}): Salvage {
	return new Salvage(new TraceReader(source, { ...options, damagedHeader: "replace" }));
}

function headerAfter(header: TraceHeader, report: LossReport): TraceHeader {
	const { bytesLost, causesLost, badBlocks, cut, unknownBlocks, headerLost } = report;
	const warnings = [`salvaged: ${bytesLost} bytes, ${causesLost} causes between good blocks and ${badBlocks} damaged blocks were lost`];
	if (cut) warnings.push("salvaged: the end of the trace was cut off");
	if (unknownBlocks > 0) warnings.push(`salvaged: ${unknownBlocks} blocks of unknown types were left out`);
	if (headerLost) warnings.push("salvaged: the header was lost, and with it all that the trace said of its capture");
	const losses = [
		{ name: "salvage.bytes", count: bytesLost },
		{ name: "salvage.causes", count: causesLost },
		{ name: "salvage.blocks", count: badBlocks },
	];
	return { ...header, warnings: [...header.warnings, ...warnings], losses: [...header.losses, ...losses] };
}

/** Good blocks of records; the notes between them go straight to the new trace. */
function* withNotes(found: Salvage, writer: TraceWriter): Generator<Block, void, void> {
	for (const block of found.blocks()) {
		if (block.type === BlockType.metadata) writer.metadata(found.trace.metadata(block));
		else yield block;
	}
}

/**
 * Write what is left of a trace as a new one, which is whole: sequences run on, observations stay where they stood between the causes
 * that are left.
 * @throws BadInputError where there is not one good block; UsageError, LimitError
 */
export function salvageTo(
	source: string | Uint8Array,
	target: string | ByteSink,
	options: WriterOptions & ReadOptions = {},
): { written: WrittenTrace; report: LossReport } {
	const found = salvage(source, options);
	const { header: _, ...writing } = options;
	const writer = new TraceWriter(target, writing);
	try {
		for (const { record } of records(found.trace, { blocks: withNotes(found, writer) })) {
			if (isObservation(record)) writer.observe(record);
			else writer.cause(record);
		}
		if (found.report.goodBlocks === 0) {
			throw new BadInputError("nothing of the trace can be salvaged", { where: found.trace.name, hint: found.trace.headerFlaw?.what });
		}
		return { written: writer.finish(headerAfter(found.trace.header, found.report)), report: found.report };
	} finally {
		writer.abort();
		found.trace.close();
	}
}
