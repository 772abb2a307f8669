// What repeated measurements say. Medians, and a permutation test (Fisher 1935; Good, "Permutation, Parametric and Bootstrap Tests of Hypotheses")
// for the gate: it asks nothing of how times are distributed, and its false alarms are as rare as it says.

export function median(values: readonly number[]): number {
	const sorted = [...values].sort((a, b) => a - b);
	const middle = sorted.length >> 1;
	const upper = sorted[middle] ?? Number.NaN;
	return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

/** Half the distance between the quartiles, over the median. */
export function spread(values: readonly number[]): number {
	const sorted = [...values].sort((a, b) => a - b);
	const at = (part: number): number => sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] ?? Number.NaN;
	return (at(0.75) - at(0.25)) / 2 / median(values);
}

function mean(values: readonly number[]): number {
	return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** Splits looked at where there are more than one cares to count. */
const SAMPLED_SPLITS = 20_000;

/** A 32-bit generator for the splits: the same verdict for the same numbers. */
function splits(seed: number): () => number {
	let state = seed | 0;
	return () => {
		state = (state + 0x6d2b79f5) | 0;
		let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
		mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
		return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
	};
}

/**
 * How likely values at least as much larger than `before` as `now` are come about by chance: the share of all ways to split the pooled values into two
 * such samples whose means differ as much (sampled; at least 1 / (splits + 1)).
 */
export function chanceOfLarger(now: readonly number[], before: readonly number[]): number {
	const pooled = [...now, ...before];
	const observed = mean(now) - mean(before);
	const total = mean(pooled) * pooled.length;
	const random = splits(pooled.length);
	let asLarge = 1;
	for (let split = 0; split < SAMPLED_SPLITS; split++) {
		let sum = 0;
		for (let at = 0; at < now.length; at++) {
			const other = at + Math.floor(random() * (pooled.length - at));
			const value = pooled[other] ?? 0;
			pooled[other] = pooled[at] ?? 0;
			pooled[at] = value;
			sum += value;
		}
		if (sum / now.length - (total - sum) / before.length >= observed - 1e-12) asLarge++;
	}
	return asLarge / (SAMPLED_SPLITS + 1);
}
