// A small seeded generator (mulberry32): the same programs on every machine.

export class Random {
	#state: number;

	constructor(seed: number) {
		this.#state = seed >>> 0;
	}

	/** A whole number from 0 to below `bound`. */
	below(bound: number): number {
		this.#state = (this.#state + 0x6d2b79f5) >>> 0;
		let mixed = this.#state;
		mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
		mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
		return ((mixed ^ (mixed >>> 14)) >>> 0) % bound;
	}

	chance(percent: number): boolean {
		return this.below(100) < percent;
	}

	pick<T>(from: readonly T[]): T {
		return from[this.below(from.length)];
	}
}
