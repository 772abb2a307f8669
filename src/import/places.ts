// Places of a capture (numbers of its events): the time of each, and how many operations begin or end there. All of them while nothing has been
// written; from then on the last ones, as many as an operation is waited for.
import type { Item } from "./items.js";

const LEAST = 1 << 18;

export class Places {
	#ns = new Float64Array(LEAST);
	#edges = new Uint8Array(LEAST);
	#count = 0;
	#first = 0;
	#before = 0;
	#ring = false;
	/** Steps back of more than a second: two clocks in one file, or per-CPU buffers put end to end. */
	backwards = 0;

	/** The next place. */
	push(ns: number): number {
		const place = this.#count++;
		if (place === 0) this.#first = ns;
		if (place >= this.#ns.length && !this.#ring) this.#grow();
		const since = ns - this.#first;
		if (place > 0 && since < this.#before - 1e9) this.backwards++;
		this.#before = since;
		const slot = place & (this.#ns.length - 1);
		this.#ns[slot] = since;
		this.#edges[slot] = 0;
		return place;
	}

	#grow(): void {
		const ns = new Float64Array(this.#ns.length * 2);
		ns.set(this.#ns);
		this.#ns = ns;
		const edges = new Uint8Array(ns.length);
		edges.set(this.#edges);
		this.#edges = edges;
	}

	/** From here on only the last 2^18 places are asked for, or as many as there are now. */
	forget(): void {
		this.#ring = true;
	}

	/** ns since the first event. */
	readonly at = (place: number): number => Math.max(0, this.#ns[Math.min(place, this.#count - 1) & (this.#ns.length - 1)] ?? 0);

	/** An operation begins or ends at the place that came last. */
	edge(): void {
		this.#edges[(this.#count - 1) & (this.#edges.length - 1)]++;
	}

	/** Counts anew, after begins and ends have moved. */
	recount(items: readonly Item[]): void {
		this.#edges.fill(0);
		for (const item of items) {
			if (item.kind === "bracket" && !item.hit) continue;
			this.#edges[item.begin]++;
			if (item.kind !== "instant") this.#edges[item.end]++;
		}
	}

	/** Whether anything but the operation itself begins or ends in it. */
	othersWithin(begin: number, end: number): boolean {
		const mask = this.#edges.length - 1;
		let found = 0;
		for (let place = begin; place <= end; place++) {
			found += this.#edges[place & mask];
			if (found > 2) return true;
		}
		return false;
	}
}
