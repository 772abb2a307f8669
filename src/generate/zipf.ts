// Zipf's law in constant time a draw: Walker's alias method, as Vose (1991) builds its tables. Ranks are scattered over the numbers, so that
// what is popular does not lie together.
import { power, Random } from "./random.js";

export class Zipf {
	readonly #count: number;
	/** Of each column { threshold of 2^32, below it the column's own number, else its alias, nothing }. */
	readonly #columns: Uint32Array;

	/** Numbers from 0 to `count` - 1, the k-th most popular with weight k^-exponent. */
	constructor(count: number, exponent: number, seed: number) {
		this.#count = count;
		this.#columns = new Uint32Array(count * 4);
		this.#build(scattered(count, new Random(seed)), weights(count, exponent));
	}

	#build(own: Uint32Array, weight: Float64Array): void {
		const count = this.#count;
		const fill = (column: number, threshold: number, alias: number): void => {
			this.#columns.set([threshold, own[column], own[alias]], column * 4);
		};
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
			fill(poor, Math.min(Math.floor(weight[poor] * 2 ** 32), 2 ** 32 - 1), rich);
			weight[rich] -= 1 - weight[poor];
			if (weight[rich] < 1) {
				larges--;
				small[smalls++] = rich;
			}
		}
		for (let at = 0; at < smalls; at++) fill(small[at], 2 ** 32 - 1, small[at]);
		for (let at = 0; at < larges; at++) fill(large[at], 2 ** 32 - 1, large[at]);
	}

	draw(random: Random): number {
		const column = random.below(this.#count) << 2;
		const drawn = random.next();
		const threshold = this.#columns[column] | 0;
		// The borrow of drawn - threshold, unsigned: no branch, because half of them would be foretold wrongly.
		const below = ((~drawn & threshold) | ((~drawn | threshold) & (drawn - threshold))) >>> 31;
		return this.#columns[column + 2 - below];
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
