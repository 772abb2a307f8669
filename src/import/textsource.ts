// Text captures of any layout as a source of events: lines in, batches out, with the losses and facts that the text itself tells.
import { BadInputError } from "../errors.js";
import type { EventBatch, KernelEvent } from "./event.js";
import { bpfTemplate, FastBpf } from "./fastbpf.js";
import { type FastLayout, FastLines } from "./fastlines.js";
import { type Line, readLines, readTextBlocks, type TextBlock } from "./input.js";
import type { Intake } from "./intake.js";
import { damage, type EventSource, lose, newFacts, type Reading, type SourceFacts, type TakenReading } from "./source.js";
import type { TracefsEvent, TracefsLine } from "./tracefs.js";

/** What a line of some layout is. */
export type TextLine =
	| TracefsLine
	| { readonly kind: "kernel"; readonly release: string }
	| { readonly kind: "clock"; readonly clock: string };

export interface TextLayout {
	readonly format: string;
	readonly clock: string;
	/** Most lines are as fastlines.ts reads them. */
	readonly fast?: FastLayout | "bpftrace";
	parse(line: string): TextLine;
}

/** Lines before the first event that are none of the format: so many, and the file is something else. */
const MAX_FOREIGN = 20;

/** Text has no NUL. */
const NOISE: TextLine = { kind: "foreign" };

/** Reads lines through one layout and keeps count of what is none of it. */
class LineReader {
	readonly #layout: TextLayout;
	readonly #facts: SourceFacts;
	readonly #where: string;
	#events = 0;
	#foreign = 0;
	#firstForeign = 0;
	#overwritten = 0;

	constructor(layout: TextLayout, facts: SourceFacts, where: string) {
		this.#layout = layout;
		this.#facts = facts;
		this.#where = where;
	}

	/** @throws BadInputError where the lines are none of the format */
	add(text: string, number: number, complete: boolean, batch: TracefsEvent[]): void {
		const line = text.includes("\0") ? NOISE : this.#layout.parse(text.endsWith("\r") ? text.slice(0, -1) : text);
		switch (line.kind) {
			case "event":
				if (complete) {
					this.#events++;
					if (line.event.ns % 1000 !== 0) this.#facts.resolutionNs = 1;
					batch.push(line.event);
				} else this.#cut(number);
				return;
			case "lost":
				lose(this.#facts, "lost", line.events);
				return;
			case "written":
				this.#overwritten = Math.max(this.#overwritten, line.written - line.inBuffer);
				return;
			case "kernel":
				this.#facts.kernel ||= line.release;
				return;
			case "clock":
				this.#facts.clock ||= line.clock;
				return;
			case "foreign":
				if (!complete) this.#cut(number);
				else this.#notOurs(text, number);
				return;
			default:
				return;
		}
	}

	#cut(number: number): void {
		damage(this.#facts, "the trace is cut off in its last line", `${this.#where}, line ${number}`);
		this.#facts.warnings.push(`the trace is cut off in line ${number}: that line was left out`);
	}

	/** Before the first event a tracer may say what it likes. */
	#notOurs(text: string, number: number): void {
		if (this.#foreign++ === 0) this.#firstForeign = number;
		if (this.#events > 0) damage(this.#facts, `not a line of ${this.#layout.format}: ${excerpt(text)}`, `${this.#where}, line ${number}`);
		else if (this.#foreign > MAX_FOREIGN && !this.#facts.lenient)
			throw new BadInputError(`not ${this.#layout.format}: the first ${number} lines are none of it`, {
				where: `${this.#where}, line ${this.#firstForeign}`,
			});
	}

	/** Events that were read elsewhere. */
	addEvents(count: number): void {
		this.#events += count;
	}

	/** @throws BadInputError where there was no event */
	finish(): void {
		if (this.#events === 0) throw new BadInputError(`no trace events in the file, read as ${this.#layout.format}`, { where: this.#where });
		lose(this.#facts, "overwritten", this.#overwritten);
		if (this.#foreign > 0)
			this.#facts.warnings.push(
				`${this.#foreign} lines are no lines of ${this.#layout.format} and were left out, the first at line ${this.#firstForeign}`,
			);
	}
}

function excerpt(text: string): string {
	const shown = text.slice(0, 60).replace(/[^ -~]/g, "?");
	return `"${shown}${text.length > 60 ? "…" : ""}"`;
}

/** Lines, and where several stand in one of the file's (JSON), those. */
export type LineSplitter = (line: Line, facts: SourceFacts) => readonly string[];

export function textSource(path: string, layout: TextLayout, lenient: boolean, split?: LineSplitter): EventSource {
	const source: EventSource = { path, format: layout.format, read: () => reading(path, layout, lenient, split) };
	return layout.fast !== undefined && split === undefined
		? { ...source, take: (intake) => fastReading(path, layout, lenient, intake) }
		: source;
}

function fastReading(path: string, layout: TextLayout, lenient: boolean, intake: Intake): TakenReading {
	const facts = newFacts(layout.clock, 1000, lenient);
	return { facts, batches: fastBatches(path, layout, facts, intake) };
}

async function* fastBatches(path: string, layout: TextLayout, facts: SourceFacts, intake: Intake): AsyncGenerator<EventBatch> {
	const lines = new ByteLines(layout, facts, path, intake);
	for await (const block of readTextBlocks(path, facts.digest)) yield { each: (visit) => lines.read(block, visit) };
	lines.finish();
}

interface Learning {
	likeness: string;
	tries: number;
}

/** Lines of a name that are looked at for a template. */
const LESSONS = 8;

/** Lines as bytes where they are as usual, and as text where they are not. */
class ByteLines {
	readonly #reader: LineReader;
	readonly #facts: SourceFacts;
	readonly #intake: Intake;
	readonly #fast: FastLines | FastBpf;
	readonly #bpf: boolean;
	/** By the name of an event: what its last lines look like, and how many more of them may tell. */
	readonly #learning = new Map<string, Learning>();
	#visit: (event: KernelEvent) => void = () => undefined;
	#number = 0;
	#counted = 0;

	constructor(layout: TextLayout, facts: SourceFacts, where: string, intake: Intake) {
		this.#reader = new LineReader(layout, facts, where);
		this.#facts = facts;
		this.#intake = intake;
		const visitTaken = (event: KernelEvent): void => {
			intake.look(event);
			this.#visit(event);
		};
		this.#bpf = layout.fast === "bpftrace";
		this.#fast = layout.fast === "bpftrace" ? new FastBpf(visitTaken) : new FastLines(layout.fast ?? "kernel", visitTaken);
	}

	read({ bytes, length, complete }: TextBlock, visit: (event: KernelEvent) => void): void {
		this.#visit = visit;
		for (let at = 0; at < length; ) {
			this.#number++;
			const next = complete ? this.#fast.line(bytes, at) : -1;
			if (next >= 0) {
				at = next;
				continue;
			}
			const end = complete ? bytes.indexOf(10, at) : length;
			this.#text(bytes.toString("utf8", at, end), complete);
			at = end + 1;
		}
	}

	#text(text: string, complete: boolean): void {
		this.#count();
		const batch: TracefsEvent[] = [];
		this.#reader.add(text, this.#number, complete, batch);
		const [raw] = batch;
		if (raw === undefined) return;
		const event = this.#intake.take(raw);
		if (event !== null) this.#visit(event);
		this.#learn(raw, text);
	}

	/** Two lines that look alike are enough: one alone may be damaged. */
	#learn(raw: TracefsEvent, text: string): void {
		const learning = this.#learning.get(raw.name) ?? { likeness: "", tries: LESSONS };
		this.#learning.set(raw.name, learning);
		if (learning.tries-- <= 0) return;
		if (this.#bpf) {
			this.#learnBpf(learning, raw, text);
			return;
		}
		if (this.#intake.isSkipped(raw)) {
			learning.tries = 0;
			this.#fast.learn(raw.name, null);
			return;
		}
		const template = this.#intake.template(raw);
		const likeness = JSON.stringify(template);
		if (template !== null && likeness === learning.likeness) {
			learning.tries = 0;
			this.#fast.learn(raw.name, template);
		}
		learning.likeness = likeness;
	}

	#learnBpf(learning: Learning, raw: TracefsEvent, text: string): void {
		const values = this.#intake.values(raw);
		const found = values === null ? null : bpfTemplate(text, values.shape, values.given);
		const likeness = JSON.stringify(found);
		if (found !== null && likeness === learning.likeness) {
			learning.tries = 0;
			this.#fast.learn(found.name, found.template);
		}
		learning.likeness = likeness;
	}

	#count(): void {
		this.#reader.addEvents(this.#fast.taken - this.#counted);
		this.#counted = this.#fast.taken;
	}

	finish(): void {
		this.#count();
		for (const [name, lines] of this.#fast.skipped()) this.#intake.skip(name, lines);
		if (this.#fast.nanoseconds) this.#facts.resolutionNs = 1;
		this.#reader.finish();
	}
}

function reading(path: string, layout: TextLayout, lenient: boolean, split: LineSplitter | undefined): Reading {
	const facts = newFacts(layout.clock, 1000, lenient);
	return { facts, batches: batchesOf(path, layout, split, facts) };
}

async function* batchesOf(
	path: string,
	layout: TextLayout,
	split: LineSplitter | undefined,
	facts: SourceFacts,
): AsyncGenerator<TracefsEvent[]> {
	const reader = new LineReader(layout, facts, path);
	for await (const lines of readLines(path, facts.digest)) {
		const batch: TracefsEvent[] = [];
		for (const line of lines) {
			if (split === undefined) reader.add(line.text, line.number, line.complete, batch);
			else for (const text of split(line, facts)) reader.add(text, line.number, line.complete, batch);
		}
		yield batch;
	}
	reader.finish();
}
