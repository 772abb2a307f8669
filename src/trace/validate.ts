// Everything that is wrong with a trace, with offsets and reasons; reading stops at the first, this goes on.
import { BadInputError, LimitError } from "../errors.js";
import { checkBlock, PAYLOAD } from "./check.js";
import type { IndexEntry } from "./footer.js";
import { type ReadOptions, TraceReader } from "./reader.js";
import type { Block } from "./scan.js";
import { BlockType } from "./wire.js";

interface Problem {
	/** Of the byte in the file, or of the block where the byte is in a compressed payload. */
	readonly offset: number;
	readonly block?: number | undefined;
	/** Record within the block. */
	readonly event?: number | undefined;
	readonly reason: string;
}

export interface ValidationReport {
	readonly name: string;
	readonly bytes: number | undefined;
	blocks: number;
	causes: number;
	observations: number;
	/** The trace has its end; what was cut off is not known. */
	complete: boolean;
	index: "good" | "damaged" | "none";
	/** All of them, of which `problems` holds the first MAX_PROBLEMS. */
	problemCount: number;
	readonly problems: Problem[];
}

const MAX_PROBLEMS = 1000;

class Validation {
	readonly #trace: TraceReader;
	readonly #index: IndexCheck | undefined;
	readonly #storedFlaw: string | undefined;
	readonly report: ValidationReport;

	constructor(trace: TraceReader) {
		this.#trace = trace;
		this.report = {
			name: trace.name,
			bytes: trace.bytes,
			blocks: 0,
			causes: 0,
			observations: 0,
			complete: false,
			index: "none",
			problemCount: 0,
			problems: [],
		};
		try {
			const stored = trace.storedIndex();
			this.#index = stored && new IndexCheck(stored.entries);
		} catch (error) {
			if (!(error instanceof BadInputError || error instanceof LimitError)) throw error;
			this.#storedFlaw = error.what;
		}
	}

	problem(problem: Problem): void {
		this.report.problemCount++;
		if (this.report.problems.length < MAX_PROBLEMS) this.report.problems.push(problem);
	}

	run(): void {
		const trace = this.#trace;
		const { report } = this;
		if (trace.headerFlaw !== undefined) this.problem({ offset: 0, reason: trace.headerFlaw.what });
		let causes = 0;
		const scan = trace.scan();
		for (const step of scan.steps()) {
			if (step.kind === "block") {
				const { block } = step;
				if (block.firstSequence !== causes) {
					const reason =
						block.firstSequence > causes ? `${block.firstSequence - causes} causes are missing before this block` : "causes come again";
					this.problem({ offset: block.offset, block: block.index, reason });
				}
				const before = report.problemCount;
				this.#block(block);
				if (report.problemCount > before) scan.resumeIn(block);
				causes = block.firstSequence + (block.type === BlockType.events ? block.events : 0);
			} else if (step.kind === "damage") {
				// An unreadable header was a problem of its own already; that no block begins at byte 0 follows from it.
				if (step.offset > 0) this.problem({ offset: step.offset, reason: step.what });
			} else if (step.kind === "cut")
				this.problem({ offset: step.offset, reason: `the trace is cut off after ${scan.blocks} whole blocks` });
			else if (step.kind === "end") report.complete = true;
		}
		this.#closeIndex();
	}

	#block(block: Block): void {
		const { report } = this;
		report.blocks++;
		if (block.type === BlockType.events) report.causes += block.events;
		if (block.type === BlockType.observations) report.observations += block.events;
		this.#index?.block(block);
		checkBlock(this.#trace, block, ({ at, event, reason }) => {
			const inPlace = at !== PAYLOAD && block.codec === 0;
			this.problem({ offset: inPlace ? block.payloadOffset + at : block.offset, block: block.index, event, reason });
		});
	}

	#closeIndex(): void {
		const { report } = this;
		const flaw = this.#storedFlaw ?? this.#index?.end();
		// A cut trace has no index; that it is cut was said.
		if (!report.complete) report.index = "none";
		else if (flaw !== undefined) {
			report.index = "damaged";
			this.problem({ offset: this.#trace.bytes ?? 0, reason: flaw });
		} else if (this.#index !== undefined) report.index = "good";
	}
}

/** Holds the blocks as they come against the index: where each entry begins, and what its blocks hold. */
class IndexCheck {
	readonly #entries: readonly IndexEntry[];
	#entry = -1;
	#causes = 0;
	#observations = 0;
	#flaw: string | undefined;

	constructor(entries: readonly IndexEntry[]) {
		this.#entries = entries;
	}

	block(block: Block): void {
		const next = this.#entries[this.#entry + 1];
		if (next !== undefined && block.offset >= next.offset) {
			this.#closeEntry();
			this.#entry++;
			if (block.offset !== next.offset || block.firstSequence !== next.firstSequence) {
				this.#flaw ??= `index entry ${this.#entry} points to byte ${next.offset}, where no such block begins`;
			}
		} else if (this.#entry < 0) this.#flaw ??= "the index begins after the first block";
		if (block.type === BlockType.events) this.#causes += block.events;
		if (block.type === BlockType.observations) this.#observations += block.events;
	}

	#closeEntry(): void {
		const entry = this.#entries[this.#entry];
		if (entry !== undefined && (entry.causes !== this.#causes || entry.observations !== this.#observations)) {
			this.#flaw ??= `index entry ${this.#entry} has other numbers of records than its blocks`;
		}
		this.#causes = 0;
		this.#observations = 0;
	}

	/** What is wrong with the index, if anything. */
	end(): string | undefined {
		this.#closeEntry();
		if (this.#entry + 1 < this.#entries.length) this.#flaw ??= `index entry ${this.#entry + 1} points beyond the last block`;
		return this.#flaw;
	}
}

/** Check everything that can be checked. @throws UsageError where the trace cannot be opened; LimitError on a header over the cap */
export function validate(source: string | Uint8Array, options: ReadOptions = {}): ValidationReport {
	const trace = new TraceReader(source, { ...options, damagedHeader: "replace" });
	try {
		const validation = new Validation(trace);
		validation.run();
		return validation.report;
	} finally {
		trace.close();
	}
}
