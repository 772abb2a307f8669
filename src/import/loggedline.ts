// From the tracker into the trace where access logs say what the guests did: phase by phase, in bounded memory. What ran in a phase is known beforehand
// (foresight.ts). Of a phase with work at the same time the accesses are placed when it is over, or piece by piece where it is longer than what is held.
import type { AccessLog } from "./accesslog.js";
import { LONGEST_WAIT } from "./brackets.js";
import { isSettled, MAX_LAG } from "./delayline.js";
import { beginOf, type Emitter } from "./emit.js";
import type { ForeseenPhase } from "./foresight.js";
import type { CapturedVm } from "./host.js";
import type { BracketItem, FaultItem, Item } from "./items.js";
import { childrenBefore, tellOperations } from "./loggedops.js";
import { Phase } from "./phases.js";
import type { Tracker } from "./tracker.js";

/** Events of a phase that are held at once. */
const HELD_EVENTS = 1 << 16;
/** Places of which it is known what is there: more than anything is waited for. */
const KNOWN_PLACES = 1 << 19;

export class LoggedLine {
	/** Observed faults that match no access of the log. */
	unmatched = 0;
	readonly #tracker: Tracker;
	readonly #emitter: Emitter;
	readonly #phases: readonly ForeseenPhase[];
	readonly #logs: ReadonlyMap<CapturedVm, AccessLog>;
	readonly #children: ReturnType<typeof childrenBefore>;
	#next = 0;
	#phase: Phase | null = null;
	/** What lies before it is resolved. */
	#resolved = 0;
	/** Resolved, not written: in the order of their begins. */
	#kept: Item[] = [];
	/** Split before they ended. */
	#open: (BracketItem | FaultItem)[] = [];
	readonly #company = new Company();
	#limit = 0;

	constructor(tracker: Tracker, emitter: Emitter, phases: readonly ForeseenPhase[], logs: ReadonlyMap<CapturedVm, AccessLog>) {
		this.#tracker = tracker;
		this.#emitter = emitter;
		this.#phases = phases;
		this.#logs = logs;
		this.#children = childrenBefore(
			phases.map(({ span }) => span),
			logs,
		);
	}

	/** Writes what is settled. */
	advance(): void {
		const { at } = this.#tracker.timeline;
		this.#company.reach(at);
		this.#resolveTo(at, at - LONGEST_WAIT);
		this.#write(this.#horizon(at - MAX_LAG), at - MAX_LAG);
	}

	/** Writes all that is left; after Tracker.finish(). */
	finish(): void {
		this.#company.reach(this.#tracker.timeline.at);
		this.#resolveTo(Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY);
		this.#write(Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY);
	}

	/** Resolves what is over; `safe`: what has ended before it ends nowhere else. */
	#resolveTo(at: number, safe: number): void {
		for (;;) {
			const foreseen = this.#phases[this.#next];
			if (foreseen === undefined) {
				this.#resolve(safe, true);
				return;
			}
			const { span, nature } = foreseen;
			if (this.#phase === null) {
				// What lies before the phase.
				this.#resolve(Math.min(span.begin, safe), true);
				if (span.begin > safe) return;
				this.#phase = new Phase(span, this.#logs);
			}
			const tooLong = at - this.#resolved > HELD_EVENTS;
			if (safe < span.end || (nature.concurrent && !tooLong && !this.#isOver(span.end, safe))) {
				if (!nature.concurrent || tooLong) this.#resolve(Math.min(safe, span.end - 1), false);
				return;
			}
			this.#resolve(span.end, true);
			this.unmatched += this.#phase.unmatched;
			this.#phase = null;
			this.#next++;
		}
	}

	/** Whether all that began before `end` has ended for good. */
	#isOver(end: number, safe: number): boolean {
		for (const item of this.#tracker.timeline.items) {
			if (item.begin >= end) return true;
			if (item.kind !== "instant" && (item.end < 0 || item.end > safe)) return false;
		}
		return true;
	}

	/** What the open phase makes of the items that begin before `end`; `last`: it ends there. */
	#resolve(end: number, last: boolean): void {
		if (end <= this.#resolved) return;
		const { timeline, hostFaults, childCopies } = this.#tracker;
		const { items, observed } = timeline;
		let count = 0;
		while (count < items.length && items[count].begin < end) count++;
		const within = items.splice(0, count);
		const faults = takeBefore(hostFaults, end);
		const copies = takeBefore(childCopies, end);
		const from = this.#resolved;
		this.#resolved = end;
		const phase = this.#phase;
		const foreseen = this.#phases[this.#next];
		if (phase === null || foreseen === undefined) {
			this.#keep(within);
			return;
		}
		const told = tellOperations(phase.span, within, copies, this.#logs, this.#children, last);
		if (told.observed.length > 0) {
			observed.push(...told.observed);
			observed.sort((a, b) => a.at - b.at);
		}
		const all = told.items.length === 0 ? within : [...within, ...told.items].sort((a, b) => a.begin - b.begin);
		const { runs, left } = phase.resolve(all, faults, foreseen.nature, from, last);
		for (const run of runs) {
			this.#emitter.placeRun(run);
			this.#company.add(run.at, 1);
		}
		this.#keep(left);
	}

	#keep(items: readonly Item[]): void {
		for (const item of items) this.#kept.push(item);
	}

	/** The first place of which something is still open. */
	#horizon(oldest: number): number {
		for (const item of this.#kept) if (item.begin >= oldest && !isSettled(item)) return Math.min(item.begin, this.#resolved);
		return this.#resolved;
	}

	#write(horizon: number, oldest: number): void {
		const company = this.#company;
		this.#open = this.#open.filter((item) => {
			if (item.end < 0) return true;
			this.#emitter.placeEnd(item, this.#limit);
			company.add(item.end, 1);
			return false;
		});
		const kept = this.#kept;
		for (const item of kept) company.count(item, 1);
		let limit = Math.min(horizon, this.#resolved);
		let placed = 0;
		for (let item = kept[placed]; item !== undefined && item.begin < limit; item = kept[++placed]) {
			if (item.begin >= oldest && item.kind !== "instant" && item.end >= limit) {
				limit = item.begin;
				break;
			}
			this.#place(item);
		}
		this.#kept = kept.slice(placed);
		for (const item of this.#kept) company.count(item, -1);
		this.#limit = Math.max(this.#limit, limit);
		const { observed } = this.#tracker.timeline;
		observed.splice(0, this.#emitter.write(observed, this.#limit));
	}

	#place(item: Item): void {
		if (item.kind === "instant") this.#emitter.place(item, false);
		else if (item.end < 0 && !(item.kind === "fault" && item.mmio)) {
			this.#emitter.place(item, true);
			this.#open.push(item);
		} else this.#emitter.place(item, !(item.kind === "bracket" && !item.hit) && this.#company.othersWithin(beginOf(item), item.end));
	}
}

/** How many begins, ends and accesses are at each of the last places. */
class Company {
	readonly #counts = new Uint32Array(KNOWN_PLACES);
	#reached = -1;

	/** The place that is read now. */
	reach(at: number): void {
		const mask = this.#counts.length - 1;
		for (let place = this.#reached + 1; place <= at; place++) this.#counts[place & mask] = 0;
		this.#reached = at;
	}

	add(place: number, times: number): void {
		if (place < 0 || place <= this.#reached - this.#counts.length) return;
		this.#counts[place & (this.#counts.length - 1)] += times;
	}

	count(item: Item, times: number): void {
		if (item.kind === "bracket" && !item.hit) return;
		this.add(beginOf(item), times);
		if (item.kind !== "instant" && item.end >= 0) this.add(item.end, times);
	}

	/** Whether any place other than an item's own two lies in it. */
	othersWithin(begin: number, end: number): boolean {
		const mask = this.#counts.length - 1;
		if (end - begin > mask) return true;
		let found = 0;
		for (let place = begin; place <= end; place++) {
			found += this.#counts[place & mask];
			if (found > 2) return true;
		}
		return false;
	}
}

/** Takes what lies before a place from the front of a list. */
function takeBefore<T extends { readonly at: number }>(list: T[], end: number): T[] {
	let count = 0;
	while (count < list.length && list[count].at < end) count++;
	return list.splice(0, count);
}
