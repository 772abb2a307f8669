// What the reader of any format gives: events in batches, and facts of the source that it came by on the way.
import { BadInputError } from "../errors.js";
import type { EventBatch } from "./event.js";
import type { Damage, SourceDigest } from "./input.js";
import type { Intake } from "./intake.js";

export interface SourceFacts {
	readonly digest: SourceDigest;
	/** uname -r, where the source has it. */
	kernel: string;
	/** Clock of the timestamps by its name in trace_clock; "" if the source does not tell. */
	clock: string;
	resolutionNs: number;
	/** Events that the source says were lost, by the source's word for it. */
	readonly losses: Map<string, number>;
	readonly warnings: string[];
	/** What is damaged is left out and counted; otherwise it ends the import. */
	readonly lenient: boolean;
}

interface Reading {
	readonly facts: SourceFacts;
	/** In the order of time as far as the format keeps one (order.ts for those that do not). */
	readonly batches: AsyncGenerator<EventBatch>;
}

/** A source that can be read more than once. */
export interface EventSource {
	readonly path: string;
	/** "trace.dat v7", "perf script", … */
	readonly format: string;
	take(intake: Intake): Reading;
}

export const newFacts = (clock: string, resolutionNs: number, lenient: boolean): SourceFacts => ({
	digest: { name: "", sha256: "" },
	kernel: "",
	clock,
	resolutionNs,
	losses: new Map(),
	warnings: [],
	lenient,
});

export function lose(facts: SourceFacts, what: string, events: number): void {
	if (events > 0) facts.losses.set(what, (facts.losses.get(what) ?? 0) + events);
}

/** For who reads its bytes. */
export const damageOf =
	(facts: SourceFacts): Damage =>
	(what, where) =>
		damage(facts, what, where);

/** Something of the source is damaged. @throws BadInputError, unless lenient: then it is counted */
export function damage(facts: SourceFacts, what: string, where: string): void {
	if (!facts.lenient)
		throw new BadInputError(what, { where, hint: "--lenient leaves it out, counts it, and calls every count a lower bound" });
	lose(facts, "damaged", 1);
}
