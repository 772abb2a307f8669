// Who leaves a full set of a TLB: LRU and tree-PLRU as docs/machines.md defines them, for any number of ways. The reference for assembly/ways.ts.
import type { Replacement } from "../machine/machine.js";

/** The order of the ways of one set. A free way is always taken before `victim` is asked. */
export interface Order {
	/** The way was looked up with success, or filled. */
	use(way: number): void;
	victim(): number;
}

/** The way whose last use is the longest ago. */
class Lru implements Order {
	/** Most recently used first. */
	readonly #order: number[];

	constructor(ways: number) {
		this.#order = Array.from({ length: ways }, (_, way) => way);
	}

	use(way: number): void {
		this.#order.splice(this.#order.indexOf(way), 1);
		this.#order.unshift(way);
	}

	victim(): number {
		return this.#order.at(-1) ?? 0;
	}
}

/**
 * A binary tree over the ways: a node over n of them has the first ceil(n / 2) on its left, the rest on its right, and one bit that points to the side
 * whose last use is the longer ago (at first: left). A use turns the bits on its path away from it; the victim is where they point.
 */
class TreePlru implements Order {
	readonly #ways: number;
	/** By the first way on a node's right, which no two nodes share: whether the node points to its right. */
	readonly #right: boolean[];

	constructor(ways: number) {
		this.#ways = ways;
		this.#right = Array.from({ length: ways }, () => false);
	}

	use(way: number): void {
		this.#descend((middle) => {
			this.#right[middle] = way < middle;
			return way >= middle;
		});
	}

	victim(): number {
		return this.#descend((middle) => this.#right[middle] === true);
	}

	/** From the root to a way; `right` chooses at each node. */
	#descend(right: (middle: number) => boolean): number {
		let first = 0;
		let end = this.#ways;
		while (end - first > 1) {
			const middle = first + Math.ceil((end - first) / 2);
			if (right(middle)) first = middle;
			else end = middle;
		}
		return first;
	}
}

export function makeOrder(replacement: Replacement, ways: number): Order {
	return replacement === "lru" ? new Lru(ways) : new TreePlru(ways);
}
