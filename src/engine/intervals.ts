// What the counters grew by along a trace, for time lines: from block to block, and several blocks at a time where there are many. The engine
// comes back between blocks anyway, so this costs a copy of the counters and nothing in the replay.

/** Some blocks one after another. */
export interface IntervalReplay {
	/** Causes before it. */
	readonly firstEvent: number;
	readonly events: number;
	/** Time of its first record since the first of the trace; 0 where the trace has no times. */
	readonly firstNs: number;
	/** What the counters grew by, for each strategy. */
	readonly counters: readonly BigUint64Array[];
}

/** More than a page can draw. */
const MAX_INTERVALS = 512;

interface Cut {
	readonly firstEvent: number;
	readonly firstNs: number;
	/** At its end. */
	events: number;
	counters: readonly BigUint64Array[];
}

export class Intervals {
	#cuts: Cut[] = [];
	/** Blocks to an interval. */
	#stride = 1;
	#blocks = 0;
	#open: { firstEvent: number; firstNs: number } | undefined;

	/** A block was replayed. `events`: causes up to its end; `counters` is asked for where an interval ends. */
	block(
		block: { readonly firstSequence: number; readonly firstNs: number },
		events: number,
		counters: () => readonly BigUint64Array[],
	): void {
		this.#open ??= { firstEvent: block.firstSequence, firstNs: block.firstNs };
		this.#blocks++;
		if (this.#blocks % this.#stride !== 0) return;
		this.#cuts.push({ ...this.#open, events, counters: counters() });
		this.#open = undefined;
		if (this.#cuts.length === MAX_INTERVALS) this.#halve();
	}

	/** Two neighbours become one: it begins where the first does and has the counters of the second. */
	#halve(): void {
		const pairs: Cut[] = [];
		for (let at = 0; at + 1 < this.#cuts.length; at += 2) {
			const [first, second] = this.#cuts.slice(at, at + 2);
			if (first !== undefined && second !== undefined) pairs.push({ ...second, firstEvent: first.firstEvent, firstNs: first.firstNs });
		}
		this.#cuts = pairs;
		this.#stride *= 2;
	}

	/** `final`: the counters at the end of the trace, which has `events` causes. */
	finish(final: readonly BigUint64Array[], events: number): IntervalReplay[] {
		if (this.#open !== undefined) this.#cuts.push({ ...this.#open, events, counters: final });
		return this.#cuts.map((cut, at) => {
			const before = this.#cuts[at - 1]?.counters;
			return {
				firstEvent: cut.firstEvent,
				events: cut.events - cut.firstEvent,
				firstNs: cut.firstNs,
				counters: cut.counters.map((now, strategy) => now.map((value, index) => value - (before?.[strategy]?.[index] ?? 0n))),
			};
		});
	}
}
