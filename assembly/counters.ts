// Counter blocks of u64: one of what is the same under every strategy (what the causes alone decide), then one a strategy. `settle` adds them up.
import { COUNTERS, Counter } from "./generated/constants";
import { reserve } from "./heap";

// @ts-ignore: decorator
@inline
export const COUNTER_BYTES: usize = COUNTERS * 8;

// @ts-ignore: decorator
@inline
const FAST_BYTES: usize = 24;

let common: usize = 0;
let own: usize = 0;
let totals: usize = 0;
let strategies: u32 = 0;
export let referencesPerWalk: u64 = 0;

/** Guest accesses that the event loop took itself. Of those, by strategy: { left to others, hit the second level, walked }, u64 each. */
let fastAccesses: u64 = 0;
let fastMisses: usize = 0;

export function resetCounters(count: u32, walkReferences: u32): void {
	strategies = count;
	referencesPerWalk = walkReferences;
	common = reserve(COUNTER_BYTES);
	own = reserve(COUNTER_BYTES * count);
	totals = reserve(COUNTER_BYTES * count);
	fastMisses = reserve(<usize>count * FAST_BYTES);
	fastAccesses = 0;
}

/** A counter that does not depend on the strategy. */
// @ts-ignore: decorator
@inline
export function countAll(counter: i32): void {
	const at = common + ((<usize>counter) << 3);
	store<u64>(at, load<u64>(at) + 1);
}

// @ts-ignore: decorator
@inline
export function countAllBy(counter: i32, by: u64): void {
	const at = common + ((<usize>counter) << 3);
	store<u64>(at, load<u64>(at) + by);
}

// @ts-ignore: decorator
@inline
export function count(strategy: u32, counter: i32): void {
	const at = own + <usize>strategy * COUNTER_BYTES + ((<usize>counter) << 3);
	store<u64>(at, load<u64>(at) + 1);
}

// @ts-ignore: decorator
@inline
export function countBy(strategy: u32, counter: i32, by: u64): void {
	const at = own + <usize>strategy * COUNTER_BYTES + ((<usize>counter) << 3);
	store<u64>(at, load<u64>(at) + by);
}

/** Index of a site's counter: `bySite` lists the sites in their order, each with the same counters. */
// @ts-ignore: decorator
@inline
export function siteCounter(site: u32, counter: i32): i32 {
	return Counter.bySite_cow_count + <i32>site * (Counter.bySite_unshare_count - Counter.bySite_cow_count) + counter;
}

/** One of the event loop's accesses missed the first level, and is left to others. */
// @ts-ignore: decorator
@inline
export function countFastMiss(strategy: u32): void {
	const at = fastMisses + <usize>strategy * FAST_BYTES;
	store<u64>(at, load<u64>(at) + 1);
}

/** All that missed it under the first strategy so far: the others' are much the same. */
export function fastMissesSoFar(): u64 {
	return load<u64>(fastMisses) + load<u64>(fastMisses, 8) + load<u64>(fastMisses, 16);
}

/** One hit the second level there and then, */
// @ts-ignore: decorator
@inline
export function countFastL2Hit(strategy: u32): void {
	const at = fastMisses + <usize>strategy * FAST_BYTES;
	store<u64>(at, load<u64>(at, 8) + 1, 8);
}

/** or took a walk that went through. */
// @ts-ignore: decorator
@inline
export function countFastWalk(strategy: u32): void {
	const at = fastMisses + <usize>strategy * FAST_BYTES;
	store<u64>(at, load<u64>(at, 16) + 1, 16);
}

// @ts-ignore: decorator
@inline
export function addFastAccesses(accesses: u64): void {
	fastAccesses += accesses;
}

/** What the strategies' counters are now: strategy after strategy in the order of COUNTER_PATHS. */
export function settle(): usize {
	for (let strategy: u32 = 0; strategy < strategies; strategy++) {
		const from = own + <usize>strategy * COUNTER_BYTES;
		const to = totals + <usize>strategy * COUNTER_BYTES;
		for (let at: usize = 0; at < COUNTER_BYTES; at += 8) store<u64>(to + at, load<u64>(common + at) + load<u64>(from + at));
		// The event loop counts the rare misses; a hit is what did not miss.
		const fast = fastMisses + <usize>strategy * FAST_BYTES;
		const l2Hits = load<u64>(fast, 8);
		const fastWalks = load<u64>(fast, 16);
		add(to, Counter.tlb_l1Hit, fastAccesses - load<u64>(fast) - l2Hits - fastWalks);
		add(to, Counter.tlb_l1Miss, l2Hits + fastWalks);
		add(to, Counter.tlb_l2Hit, l2Hits);
		add(to, Counter.tlb_l2Miss, fastWalks);
		add(to, Counter.walk_count, fastWalks);
		// Walks count what they took otherwise, which may be less.
		add(to, Counter.walk_memoryReferences, load<u64>(to + (Counter.walk_count << 3)) * referencesPerWalk);
	}
	return totals;
}

function add(block: usize, counter: i32, by: u64): void {
	const at = block + ((<usize>counter) << 3);
	store<u64>(at, load<u64>(at) + by);
}

/** One counter as it is now; not for those that `settle` works out. */
export function counterOf(strategy: u32, counter: i32): u64 {
	const at = (<usize>counter) << 3;
	return load<u64>(common + at) + load<u64>(own + <usize>strategy * COUNTER_BYTES + at);
}
