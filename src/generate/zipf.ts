// Zipf's law in constant time a draw: Walker's alias method, as Vose (1991) builds its tables. Ranks are scattered over the numbers, so that
// what is popular does not lie together.
import { power, Random } from "./random.js";

export class Zipf {
	readonly #count: number;
	/** Of 2^32: below it the column's own number, else its alias. */
	readonly #threshold: Uint32Array;
	readonly #own: Uint32Array;
	readonly #alias: Uint32Array;

	/** Numbers from 0 to `count` - 1, the k-th most popular with weight k^-exponent. */
	constructor(count: number, exponent: number, seed: number) {
		this.#count = count;
		this.#own = scattered(count, new Random(seed));
		this.#alias = new Uint32Array(count);
		this.#threshold = new Uint32Array(count);
		this.#build(weights(count, exponent));
	}

	#build(weight: Float64Array): void {
		const count = this.#count;
		let total = 0;
		for (const value of weight) total += value;
		const small = new Uint32Array(count);
		const large = new Uint32Array(count);
		let smalls = 0;
		let larges = 0;
		for (let rank = 0; rank < count; rank++) {
			weight[rank] = (weight[rank] * count) / total;
			if (weight[rank] < 1) small[smalls++] = rank;
			else large[larges++] = rank;
		}
		while (smalls > 0 && larges > 0) {
			const poor = small[--smalls];
			const rich = large[larges - 1];
			this.#threshold[poor] = Math.min(Math.floor(weight[poor] * 2 ** 32), 2 ** 32 - 1);
			this.#alias[poor] = this.#own[rich];
			weight[rich] -= 1 - weight[poor];
			if (weight[rich] < 1) {
				larges--;
				small[smalls++] = rich;
			}
		}
		for (const rank of [...small.subarray(0, smalls), ...large.subarray(0, larges)]) {
			this.#threshold[rank] = 2 ** 32 - 1;
			this.#alias[rank] = this.#own[rank];
		}
	}

	draw(random: Random): number {
		const column = random.below(this.#count);
		return random.next() >>> 0 < this.#threshold[column] ? this.#own[column] : this.#alias[column];
	}
}

function weights(count: number, exponent: number): Float64Array {
	const weight = new Float64Array(count);
	for (let rank = 0; rank < count; rank++) weight[rank] = 1 / power(rank + 1, exponent);
	return weight;
}

/** The numbers below `count` in a random order (Fisher and Yates). */
function scattered(count: number, random: Random): Uint32Array {
	const numbers = new Uint32Array(count);
	for (let at = 0; at < count; at++) {
		const other = random.below(at + 1);
		numbers[at] = numbers[other];
		numbers[other] = at;
	}
	return numbers;
}
