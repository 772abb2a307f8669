// Chains of retries (`retriesInARow`): how often in a row the attempts of a vCPU on one page were stale, and the longest such chain.
import { counterIndex, RETRY_CHAINS } from "../counters.js";

const PLACES = RETRY_CHAINS.map((length) => counterIndex(`retriesInARow.${length}`));

/** Chains longer than 16 are told by powers of two. */
export interface ChainLength {
	readonly atLeast: number;
	/** null: nobody knows. */
	readonly atMost: number | null;
}

function lengthAt(at: number): ChainLength {
	const next = RETRY_CHAINS[at + 1];
	return { atLeast: RETRY_CHAINS[at] ?? 0, atMost: next === undefined ? null : next - 1 };
}

/** The longest chain; null where nothing was retried. */
export function longestChain(counters: BigUint64Array): ChainLength | null {
	const at = PLACES.findLastIndex((place) => (counters[place] ?? 0n) > 0n);
	return at < 0 ? null : lengthAt(at);
}

function title({ atLeast, atMost }: ChainLength): string {
	if (atMost === null) return `${atLeast} and more`;
	return atMost === atLeast ? String(atLeast) : `${atLeast} to ${atMost}`;
}

/** Chains by the length that they came to, up to the longest, for each set of counters. */
export function chainRows(counters: readonly BigUint64Array[]): string[][] {
	const reached = PLACES.map((place) => counters.map((block) => Number(block[place] ?? 0n)));
	const longest = reached.findLastIndex((counts) => counts.some((count) => count > 0));
	return reached
		.slice(0, longest + 1)
		.map((counts, at) => [title(lengthAt(at)), ...counts.map((count, place) => String(count - (reached[at + 1]?.[place] ?? 0)))]);
}
