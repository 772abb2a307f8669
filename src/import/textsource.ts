// Text captures of any layout as a source of events: lines in, batches out, with the losses and facts that the text itself tells.
import { BadInputError } from "../errors.js";
import type { EventBatch, KernelEvent } from "./event.js";
import { bpfTemplate, FastBpf } from "./fastbpf.js";
import { FastLines } from "./fastlines.js";
import { readTextBlocks, type TextBlock } from "./input.js";
import type { Intake } from "./intake.js";
import type { KnownLines } from "./knownlines.js";
import type { Layout } from "./linebeginnings.js";
import { damage, damageOf, type EventSource, lose, newFacts, type SourceFacts } from "./source.js";
import { MISFIT } from "./template.js";
import type { TracefsEvent, TracefsLine } from "./tracefs.js";

/** What a line of some layout is. */
export type TextLine =
	| TracefsLine
	| { readonly kind: "kernel"; readonly release: string }
	| { readonly kind: "clock"; readonly clock: string };

export interface TextLayout {
	readonly format: string;
	readonly clock: string;
	/** Most lines are as fastlines.ts or fastbpf.ts reads them. */
	readonly fast?: Layout | "bpftrace" | "bpftrace-json" | undefined;
	/** A line of the file may hold any number of lines of the layout. */
	readonly split?: LineSplitter;
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
	/** Times have no unit: all of a file's, or none. */
	#ticks: boolean | undefined;

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
				if (!this.#isTimed(line.ticks === true)) this.#notOurs(text, number);
				else if (complete) {
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

	#isTimed(ticks: boolean): boolean {
		if (this.#ticks === undefined) {
			this.#ticks = ticks;
			if (ticks) {
				this.#facts.clock ||= "ticks";
				this.#facts.warnings.push(
					"times are ticks of a clock without a unit (counter, x86-tsc), taken for nanoseconds: order and counts are right, durations are not",
				);
			}
		}
		return this.#ticks === ticks;
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
				hint: "--from FORMAT says which it is meant to be; --lenient goes on in search of events",
			});
	}

	/** Events that were read elsewhere. */
	addEvents(count: number): void {
		this.#events += count;
	}

	/** @throws BadInputError where there was no event */
	finish(): void {
		if (this.#events === 0)
			throw new BadInputError(`no trace events in the file, read as ${this.#layout.format}`, {
				where: this.#where,
				hint: "were events enabled, and did anything happen? mmreplay capture prints a recipe that enables them",
			});
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

/** Lines of text within one of the file's. */
type LineSplitter = (line: string, facts: SourceFacts) => readonly string[];

export function textSource(path: string, layout: TextLayout, lenient: boolean): EventSource {
	return {
		path,
		format: layout.format,
		take: (intake) => {
			const facts = newFacts(layout.clock, 1000, lenient);
			return { facts, batches: batchesOf(path, layout, facts, intake) };
		},
	};
}

async function* batchesOf(path: string, layout: TextLayout, facts: SourceFacts, intake: Intake): AsyncGenerator<EventBatch> {
	const lines = new ByteLines(layout, facts, path, intake);
	for await (const block of readTextBlocks(path, facts.digest, damageOf(facts))) yield { each: (visit) => lines.read(block, visit) };
	lines.finish();
}

interface Learning {
	likeness: string;
	tries: number;
}

/** Of UTF-8: some editors put it before a text. */
const BYTE_ORDER_MARK = [0xef, 0xbb, 0xbf];

/** Lines of a name that are looked at for a template. */
const LESSONS = 8;

/** Reads one line at a place of the bytes, as fastlines.ts does. */
interface LineBytes {
	readonly known: KnownLines;
	line(bytes: Uint8Array, view: DataView, from: number, visit: (event: KernelEvent) => void): number;
}

function bytesOf(fast: TextLayout["fast"]): LineBytes | null {
	if (fast === undefined) return null;
	return fast === "bpftrace" || fast === "bpftrace-json" ? new FastBpf(fast === "bpftrace-json") : new FastLines(fast);
}

/** Lines as bytes where they are as usual, and as text where they are not. */
class ByteLines {
	readonly #layout: TextLayout;
	readonly #reader: LineReader;
	readonly #facts: SourceFacts;
	readonly #intake: Intake;
	readonly #fast: LineBytes | null;
	/** By the name of an event: what its last lines look like, and how many more of them may tell. */
	readonly #learning = new Map<string, Learning>();
	#number = 0;
	#counted = 0;

	constructor(layout: TextLayout, facts: SourceFacts, where: string, intake: Intake) {
		this.#layout = layout;
		this.#reader = new LineReader(layout, facts, where);
		this.#facts = facts;
		this.#intake = intake;
		this.#fast = bytesOf(layout.fast);
	}

	read({ bytes, view, length, complete }: TextBlock, visit: (event: KernelEvent) => void): void {
		const fast = complete ? this.#fast : null;
		const begin = this.#number === 0 && BYTE_ORDER_MARK.every((byte, at) => bytes[at] === byte) ? BYTE_ORDER_MARK.length : 0;
		for (let at = begin; at < length; ) {
			this.#number++;
			const next = fast === null ? MISFIT : fast.line(bytes, view, at, visit);
			if (next !== MISFIT) {
				at = next;
				continue;
			}
			const end = complete ? bytes.indexOf(10, at) : length;
			const line = bytes.toString("utf8", at, end);
			const { split } = this.#layout;
			if (split === undefined) this.#text(line, complete, visit);
			else for (const text of split(line, this.#facts)) this.#text(text, complete, visit);
			at = end + 1;
		}
	}

	#text(text: string, complete: boolean, visit: (event: KernelEvent) => void): void {
		this.#count();
		const batch: TracefsEvent[] = [];
		this.#reader.add(text, this.#number, complete, batch);
		const [raw] = batch;
		if (raw === undefined) return;
		const event = this.#intake.take(raw);
		if (event !== null) visit(event);
		if (this.#fast !== null) this.#learn(this.#fast.known, raw, text);
	}

	/** Two lines that look alike are enough: one alone may be damaged. */
	#learn(known: KnownLines, raw: TracefsEvent, text: string): void {
		const learning = this.#learning.get(raw.name) ?? { likeness: "", tries: LESSONS };
		this.#learning.set(raw.name, learning);
		if (learning.tries-- <= 0) return;
		if (this.#fast instanceof FastBpf) {
			this.#learnBpf(known, learning, raw, text);
			return;
		}
		if (this.#intake.isSkipped(raw)) {
			learning.tries = 0;
			known.learn(raw.name, null);
			return;
		}
		const template = this.#intake.template(raw);
		const likeness = JSON.stringify(template);
		if (template !== null && likeness === learning.likeness) {
			learning.tries = 0;
			known.learn(raw.name, template);
		}
		learning.likeness = likeness;
	}

	#learnBpf(known: KnownLines, learning: Learning, raw: TracefsEvent, text: string): void {
		const values = this.#intake.values(raw);
		const found = values === null ? null : bpfTemplate(text, values.shape, values.given);
		const likeness = JSON.stringify(found);
		if (found !== null && likeness === learning.likeness) {
			learning.tries = 0;
			known.learn(found.name, found.template);
		}
		learning.likeness = likeness;
	}

	#count(): void {
		const taken = this.#fast?.known.taken ?? 0;
		this.#reader.addEvents(taken - this.#counted);
		this.#counted = taken;
	}

	finish(): void {
		this.#count();
		for (const [name, lines] of this.#fast?.known.skipped() ?? []) this.#intake.skip(name, lines);
		if (this.#fast?.known.nanoseconds === true) this.#facts.resolutionNs = 1;
		this.#reader.finish();
	}
}
