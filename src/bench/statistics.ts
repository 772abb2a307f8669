// What repeated measurements say. Medians, and a permutation test (Fisher 1935; Good, "Permutation, Parametric and Bootstrap Tests of Hypotheses")
// for the gate: it asks nothing of how times are distributed, and its false alarms are as rare as it says.

export function median(values: readonly number[]): number {
	const sorted = [...values].sort((a, b) => a - b);
	const middle = sorted.length >> 1;
	const upper = sorted[middle] ?? Number.NaN;
	return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

/** Half the distance between the quartiles, over the median; 0 where they are one. */
export function spread(values: readonly number[]): number {
	const sorted = [...values].sort((a, b) => a - b);
	const at = (part: number): number => sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] ?? Number.NaN;
	const distance = at(0.75) - at(0.25);
	return distance === 0 ? 0 : distance / 2 / median(values);
}

function mean(values: readonly number[]): number {
	return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** Splits looked at where there are more than one cares to count. */
const SAMPLED_SPLITS = 10_000;

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

/** Ways to split the pooled rounds into two such samples: the chance of no difference is one of them, at least. */
export function splitsOf(now: number, before: number): number {
	let ways = 1;
	for (let at = 1; at <= now; at++) ways = (ways * (before + at)) / at;
	return Math.round(ways);
}

/** Values less their mean, over their spread: so that figures of little noise and of much can be held against one another. */
function standardized(values: readonly number[]): number[] {
	const middle = mean(values);
	const deviation = Math.sqrt(mean(values.map((value) => (value - middle) ** 2)));
	return values.map((value) => (deviation === 0 ? 0 : (value - middle) / deviation));
}

/**
 * For each figure, how likely it is that any of them, by chance alone, is as much larger in `now` than in `before` as this one is: the share of all ways to
 * split the pooled rounds into two such samples in which the largest of all figures' differences is at least this one's (sampled; at least 1 / (splits + 1)).
 * Rounds are split for all figures together, so figures that move together, being over one yardstick, count once (Westfall and Young 1993, maxT); and
 * as few rounds do as one figure would need. `now`, `before`: a figure's values, one a round.
 */
export function chancesOfLarger(now: readonly (readonly number[])[], before: readonly (readonly number[])[]): number[] {
	const count = Math.min(...now.map((values) => values.length));
	const pooled = now.map((values, figure) => standardized([...values.slice(0, count), ...(before[figure] ?? [])]));
	const all = Math.min(...pooled.map((values) => values.length));
	const rounds = Array.from({ length: all }, (_, round) => round);
	const sums = (chosen: readonly number[]): number[] =>
		pooled.map((values) => chosen.reduce((sum, round) => sum + (values[round] ?? 0), 0));
	const observed = sums(rounds.slice(0, count));
	const random = splits(all);
	const asLarge = observed.map(() => 1);
	for (let split = 0; split < SAMPLED_SPLITS; split++) {
		for (let at = 0; at < count; at++) {
			const other = at + Math.floor(random() * (all - at));
			[rounds[at], rounds[other]] = [rounds[other] ?? 0, rounds[at] ?? 0];
		}
		const largest = Math.max(...sums(rounds.slice(0, count)));
		for (const [figure, sum] of observed.entries()) if (largest >= sum - 1e-9) asLarge[figure] = (asLarge[figure] ?? 0) + 1;
	}
	return asLarge.map((times) => times / (SAMPLED_SPLITS + 1));
}
