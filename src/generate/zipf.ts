// Zipf's law in constant time a draw: Walker's alias method, as Vose (1991) builds its tables; assembly/generator draws from them. Ranks are scattered
// over the numbers, so that what is popular does not lie together.
import { ZIPF_COLUMN_BYTES } from "./boundary.js";
import { power, Random } from "./random.js";

const COLUMN_WORDS = ZIPF_COLUMN_BYTES / 4;

/** Fill columns (boundary.ts) for numbers from 0 to as many as there are columns, the k-th most popular with weight k^-exponent. */
export function zipfColumns(columns: Uint32Array, exponent: number, seed: number): void {
	const count = columns.length / COLUMN_WORDS;
	const own = scattered(count, new Random(seed));
	const weight = weights(count, exponent);
	const fill = (column: number, threshold: number, alias: number): void => {
		columns.set([threshold, own[column], own[alias]], column * COLUMN_WORDS);
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
