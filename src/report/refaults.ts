// The histograms of zap-to-refault distances: guest accesses (`refaultAccesses`) and nanoseconds (`refaultNs`) from a zap to the first exit that misses
// what it took.
import { counterIndex, REFAULT_BUCKETS, REFAULT_NS_BUCKETS } from "../counters.js";

/** Counters that are one histogram. */
export interface Histogram {
	/** Where each bucket begins; the last one has no end. */
	readonly buckets: readonly number[];
	readonly places: readonly number[];
}

const histogram = (path: string, buckets: readonly number[]): Histogram => ({
	buckets,
	places: buckets.map((from) => counterIndex(`${path}.${from}`)),
});

export const REFAULTS_IN_ACCESSES = histogram("refaultAccesses", REFAULT_BUCKETS);
/** Empty where the trace has no times. */
export const REFAULTS_IN_NS = histogram("refaultNs", REFAULT_NS_BUCKETS);

function title(buckets: readonly number[], at: number): string {
	const from = buckets[at] ?? 0;
	const next = buckets[at + 1];
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
export function refaultRows({ buckets, places }: Histogram, counters: readonly BigUint64Array[]): RefaultRows {
	const all = places.map((place) => counters.map((block) => Number(block[place] ?? 0n)));
	const used = all.flatMap((counts, at) => (counts.some((count) => count > 0) ? [at] : []));
	const first = used[0] ?? 0;
	const values = used.length === 0 ? [] : all.slice(first, (used.at(-1) ?? 0) + 1);
	return { first, values, rows: values.map((counts, at) => [title(buckets, first + at), ...counts.map(String)]) };
}
