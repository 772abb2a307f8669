// A replay by several engines at once, each on a thread: who may, how it is asked for, and how the parts become one result (assembly/shard.ts has
// what a part is, and when it cannot be one).
import { createHash } from "node:crypto";
import { VIOLATIONS_KEPT, type Violation } from "../coherence.js";
import { COUNTER_PATHS } from "../counters.js";
import { ENTRY_WORDS, EntryKind, FRAME_WORD } from "../state.js";
import { FIRST_OBSERVATION, Operation } from "../trace/kinds.js";
import type { TraceReader } from "../trace/reader.js";
import { hasBit, NO_BITS, union } from "../trace/tally.js";
import { SPLITTABLE_OPERATIONS } from "./boundary.js";
import type { ExitRange } from "./engine.js";
import type { IntervalReplay } from "./intervals.js";
import type { PhaseReplay, ReplayResult, UndigestedResult } from "./replay.js";

function vmBits(trace: TraceReader): number[] {
	const vms = trace.index().entries.reduce((all, entry) => union(all, entry.vms), NO_BITS);
	return Array.from({ length: 64 }, (_, bit) => bit).filter((bit) => hasBit(vms, bit));
}

/** How many VMs a trace has, of which a thread each may make sense; those from 63 on count as one. */
export function vmsOf(trace: TraceReader): number {
	return vmBits(trace).length;
}

/** Why a trace cannot be shared out, as far as its index tells; undefined where it may be possible. */
export function whyWhole(trace: TraceReader): string | undefined {
	if (trace.file === undefined) return "it is no file";
	const kinds = trace.index().entries.reduce((all, { causeKinds }) => union(all, causeKinds), NO_BITS);
	if (hasBit(kinds, 63)) return "its index does not say what is in it";
	const others = Object.entries(Operation).filter(([name]) => !SPLITTABLE_OPERATIONS.some((known) => known === name));
	const [found] = others.filter(([, { code }]) => code < FIRST_OBSERVATION && hasBit(kinds, code));
	if (found !== undefined) return `its operation ${found[0]} concerns several address spaces`;
	return vmsOf(trace) < 2 ? "it has one VM" : undefined;
}

/** What every part counts, because it asks for it: all guests' accesses. */
const EVERYWHERE: readonly boolean[] = COUNTER_PATHS.map((path) => path === "accesses.guestRead" || path === "accesses.guestWrite");

/** The counters of all parts together; `parts` is not empty. */
function addCounters(parts: readonly BigUint64Array[]): BigUint64Array {
	const [first = new BigUint64Array(COUNTER_PATHS.length), ...others] = parts;
	return first.map((value, at) => (EVERYWHERE[at] ? value : others.reduce((sum, part) => sum + (part[at] ?? 0n), value)));
}

/** Each strategy's counters of all parts together. */
function addStrategies(parts: readonly (readonly BigUint64Array[])[]): BigUint64Array[] {
	return (parts[0] ?? []).map((_, strategy) =>
		addCounters(parts.map((part) => part[strategy] ?? new BigUint64Array(COUNTER_PATHS.length))),
	);
}

function addPhases(parts: readonly (readonly PhaseReplay[])[]): PhaseReplay[] {
	return (parts[0] ?? []).map((phase, at) => ({ ...phase, counters: addStrategies(parts.map((part) => part[at]?.counters ?? [])) }));
}

function addIntervals(parts: readonly (readonly IntervalReplay[])[]): IntervalReplay[] {
	return (parts[0] ?? []).map((interval, at) => ({ ...interval, counters: addStrategies(parts.map((part) => part[at]?.counters ?? [])) }));
}

/** A VM's ranges are all of one part. */
function joinRanges(parts: readonly (readonly ExitRange[])[]): ExitRange[] {
	return parts.flat().sort((a, b) => a.vm - b.vm || a.gfn - b.gfn);
}

/** A record is one part's, so that no two parts have one of the same event. */
function joinViolations(parts: readonly (readonly Violation[])[]): Violation[] {
	return parts
		.flat()
		.sort((a, b) => a.event - b.event)
		.slice(0, VIOLATIONS_KEPT);
}

/** The final state of one part under a strategy: entries as ArchitecturalState has them, some at a time. */
export interface PartStates {
	readonly batches: Iterator<Uint32Array>;
	/** Frame -> the KSM page that it is. */
	readonly ksmPages: ReadonlyMap<number, number>;
}

/** Frames of several parts, numbered in the order of their first appearance: a KSM page is one frame, and so is the zero page. */
class PartFrames {
	readonly #numbers: Map<number, number>[];
	readonly #pages = new Map<number, number>();
	readonly #ksmPages: readonly ReadonlyMap<number, number>[];
	#next = 1;

	constructor(ksmPages: readonly ReadonlyMap<number, number>[]) {
		this.#ksmPages = ksmPages;
		this.#numbers = ksmPages.map(() => new Map());
	}

	of(part: number, frame: number): number {
		// The zero page is frame 0 everywhere; KSM pages are numbered from 1.
		const page = frame === 0 ? 0 : this.#ksmPages[part]?.get(frame);
		const numbers = page === undefined ? this.#numbers[part] : this.#pages;
		const key = page ?? frame;
		const known = numbers?.get(key);
		if (known !== undefined) return known;
		numbers?.set(key, this.#next);
		return this.#next++;
	}
}

/** Which comes first: PTEs before SPTEs, then by mm or VM; each of these is one part's. */
function isBefore(a: Uint32Array, b: Uint32Array): boolean {
	const kindOf = (batch: Uint32Array): number => ((batch[0] ?? 0) & 0xff) - EntryKind.pte;
	return kindOf(a) !== kindOf(b) ? kindOf(a) < kindOf(b) : (a[1] ?? 0) < (b[1] ?? 0);
}

/** stateDigest of a state that several parts have. A batch is valid until the next one of its part is asked for. */
function partsDigest(counters: BigUint64Array, parts: readonly PartStates[]): string {
	const hash = createHash("sha256");
	hash.update(counters);
	const frames = new PartFrames(parts.map(({ ksmPages }) => ksmPages));
	const heads = parts.map(({ batches }) => batches.next().value as Uint32Array | undefined);
	for (;;) {
		let first = -1;
		for (const [part, batch] of heads.entries()) {
			const best = heads[first];
			if (batch !== undefined && (best === undefined || isBefore(batch, best))) first = part;
		}
		const batch = heads[first];
		if (batch === undefined) return hash.digest("hex");
		const words = batch.slice();
		for (let at = FRAME_WORD; at < words.length; at += ENTRY_WORDS) words[at] = frames.of(first, words[at] ?? 0);
		hash.update(words);
		heads[first] = parts[first]?.batches.next().value as Uint32Array | undefined;
	}
}

/** The parts' results as one. `statesOf` has the parts' final states under the strategy at a place, in the parts' order. */
export function joinParts(parts: readonly UndigestedResult[], statesOf: (place: number) => readonly PartStates[]): ReplayResult {
	const [first] = parts;
	if (first === undefined) throw new RangeError("no parts");
	const strategies = first.strategies.map(({ name }, place) => {
		const ours = parts.flatMap((part) => part.strategies.slice(place, place + 1));
		const counters = addCounters(ours.map((one) => one.counters));
		return {
			name,
			counters,
			violations: joinViolations(ours.map(({ violations }) => violations)),
			digest: partsDigest(counters, statesOf(place)),
		};
	});
	return {
		...first,
		strategies,
		phases: addPhases(parts.map(({ phases }) => phases)),
		intervals: addIntervals(parts.map(({ intervals }) => intervals)),
		ranges: joinRanges(parts.map(({ ranges }) => ranges)),
		peakMemoryBytes: parts.reduce((sum, part) => sum + part.peakMemoryBytes, 0),
		threads: parts.length,
	};
}
