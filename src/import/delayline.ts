// From the tracker into the trace while the capture is read, in bounded memory: an operation is written once nothing to come can change what it was,
// and in the order of the capture, so that what lies behind it waits too.
import type { Emitter } from "./emit.js";
import { type BracketItem, type FaultItem, type Item, isMerge } from "./items.js";
import type { Places } from "./places.js";
import type { Tracker } from "./tracker.js";

/** Longer than this nothing is waited for. */
export const MAX_LAG = 1 << 17;
/** Places between two looks at what is waited for too long. */
const MARK = 1 << 13;
/** Repeats of a fault that tell its address space. */
const MAX_HOPS = 64;

export class DelayLine {
	readonly #tracker: Tracker;
	readonly #emitter: Emitter;
	readonly #places: Places;
	/** Split before they ended. */
	#open: (BracketItem | FaultItem)[] = [];
	readonly #forced = new Set<Item>();
	/** What lies before it is written. */
	#limit = 0;

	constructor(tracker: Tracker, emitter: Emitter, places: Places) {
		this.#tracker = tracker;
		this.#emitter = emitter;
		this.#places = places;
		places.forget();
	}

	/** Writes what is settled. What was split before it ended is written at marks alone: where it goes must not depend on how often this is called. */
	advance(): void {
		if (this.#open.length === 0 || isMark(this.#tracker.timeline.at)) this.#write(this.#horizon());
	}

	/** Writes all that is left; after Tracker.finish(). */
	finish(): void {
		this.#write(Number.POSITIVE_INFINITY);
	}

	/** The first place of which something is still open. */
	#horizon(): number {
		const { host } = this.#tracker;
		const { items, at } = this.#tracker.timeline;
		const oldest = at - ((at + 1) % MARK) - MAX_LAG;
		let horizon = at;
		for (const item of items) {
			if (item.begin >= horizon) break;
			if (isSettled(item)) continue;
			if (item.begin >= oldest) {
				horizon = item.begin;
				break;
			}
			this.#forced.add(item);
		}
		for (const { tentative } of host.vms) {
			while (tentative.length > 0 && tentative[0].at < oldest) tentative.shift();
			if (tentative.length > 0) horizon = Math.min(horizon, tentative[0].at);
		}
		return Math.max(horizon, this.#limit);
	}

	#write(limit: number): void {
		const { items, observed } = this.#tracker.timeline;
		if (this.#open.length > 0)
			this.#open = this.#open.filter((item) => {
				if (item.end < 0) return true;
				this.#emitter.placeEnd(item, this.#limit);
				return false;
			});
		let taken = 0;
		for (let item = items[taken]; item !== undefined && item.begin < limit; item = items[++taken]) this.#place(item);
		items.splice(0, taken);
		observed.splice(0, this.#emitter.write(observed, limit));
		this.#limit = limit;
	}

	#place(item: Item): void {
		if (this.#forced.size > 0) this.#forced.delete(item);
		if (item.kind === "instant") this.#emitter.place(item, false);
		else if (item.end < 0 && !(item.kind === "fault" && item.mmio)) {
			this.#emitter.place(item, true);
			this.#open.push(item);
		} else this.#emitter.place(item, !(item.kind === "bracket" && !item.hit) && this.#places.othersWithin(item.begin, item.end));
		if (this.#tracker.mergesByReturn && isMerge(item)) this.#emitter.placeMerge(item);
	}
}

const isMark = (place: number): boolean => (place + 1) % MARK === 0;

/** Whether nothing to come can change an item. */
export function isSettled(item: Item): boolean {
	if (item.kind === "instant") return item.pending === 0;
	if (item.kind === "bracket") return item.end >= 0 && item.pending === 0;
	let fault: FaultItem | null = item;
	for (let hops = 0; fault !== null && hops < MAX_HOPS; hops++, fault = fault.next) {
		if (fault.as >= 0 || fault.mmio) return hops > 0 || fault.mmio || fault.end >= 0;
		if (fault.end < 0) return false;
	}
	return true;
}
