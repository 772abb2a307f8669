// The histogram of zap-to-refault distances (`refaultAccesses`): guest accesses from a zap to the first exit that misses what it took.
import { counterIndex, REFAULT_BUCKETS } from "../counters.js";

const PLACES = REFAULT_BUCKETS.map((from) => counterIndex(`refaultAccesses.${from}`));

function title(at: number): string {
	const from = REFAULT_BUCKETS[at] ?? 0;
	const next = REFAULT_BUCKETS[at + 1];
	if (next === undefined) return `${from} and more`;
	return next === from + 1 ? String(from) : `${from} to ${next - 1}`;
}

export interface RefaultRows {
	/** Place of the first row's bucket among all. */
	readonly first: number;
	/** Counts, a row a bucket, for each set of counters. */
	readonly values: readonly (readonly number[])[];
	/** The same with the bucket's name before them. */
	readonly rows: readonly string[][];
}

/** From the first bucket that some count is in to the last one; nothing where there is none. */
export function refaultRows(counters: readonly BigUint64Array[]): RefaultRows {
	const all = PLACES.map((place) => counters.map((block) => Number(block[place] ?? 0n)));
	const used = all.flatMap((counts, at) => (counts.some((count) => count > 0) ? [at] : []));
	const first = used[0] ?? 0;
	const values = used.length === 0 ? [] : all.slice(first, (used.at(-1) ?? 0) + 1);
	return { first, values, rows: values.map((counts, at) => [title(first + at), ...counts.map(String)]) };
}
