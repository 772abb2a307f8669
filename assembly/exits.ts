// Where in a VM's memory vmexits happen: a count for each strategy and each 2 MiB of guest memory that ever took one. How long after a zap: a
// leaf whose SPTEs were ever zapped has, beside it, the number of guest accesses at each of those zaps, and their times if the trace has any. And how
// many of a fault's attempts are stale in a row (model.md section 5).
import { count, counterOf } from "./counters";
import { Counter } from "./generated/constants";
import { reserve } from "./heap";
import { LEVEL_BITS, NODE_ENTRIES, ZAP_NS, ZAP_TIMES } from "./layout";
import { leafOf, Root } from "./pagetable";
import { othersSoFar } from "./shard";
import { get, resetTable, set, TABLE_BYTES, Table } from "./table";
import { isTimed, timeNow } from "./times";
import { strategies, VcpuState } from "./world";

/** 512 gfns of a VM, both address spaces. Behind it a u64 for each strategy. */
@unmanaged
export class Range {
	/** vm << 32 | gfn >> 9. */
	key: u64;
	/** In no order. */
	next: Range;
}
// @ts-ignore: decorator
@inline
const HEADER_BYTES: usize = 16;

const ranges = changetype<Table>(memory.data(<i32>TABLE_BYTES));
export let firstRange: Range = changetype<Range>(0);
/** The one that counted last: faults come in runs. */
let last: Range = changetype<Range>(0);

export function resetExits(): void {
	resetTable(ranges);
	firstRange = changetype<Range>(0);
	last = changetype<Range>(0);
	passed = 0;
}

/** Guest accesses that the event loop has seen and not counted yet. */
let passed: u64 = 0;

// @ts-ignore: decorator
@inline
export function setPassed(accesses: u64): void {
	passed = accesses;
}

/** Guest accesses so far, the one at hand included. */
function accessesNow(): u64 {
	return counterOf(0, Counter.accesses_guestRead) + counterOf(0, Counter.accesses_guestWrite) + passed + othersSoFar();
}

/** The SPTE of a gfn in a TDP leaf is absent since now. */
export function noteZap(root: Root, leaf: usize, gfn: u64, strategy: u32): void {
	const place = placeOf(root, gfn, strategy);
	store<u64>(stamps(root, leaf, ZAP_TIMES) + place, accessesNow() + 1);
	if (isTimed()) store<u64>(stamps(root, leaf, ZAP_NS) + place, timeNow() + 1);
	else if (load<u32>(leaf, ZAP_NS) != 0) store<u64>(<usize>load<u32>(leaf, ZAP_NS) + place, 0);
}

// @ts-ignore: decorator
@inline
function placeOf(root: Root, gfn: u64, strategy: u32): usize {
	return ((<usize>gfn & (NODE_ENTRIES - 1)) * root.words + strategy) << 3;
}

/** The numbers beside a leaf, by their place in its header: made at the first zap. */
// @ts-ignore: decorator
@inline
function stamps(root: Root, leaf: usize, header: usize): usize {
	const known = <usize>load<u32>(leaf + header);
	if (known != 0) return known;
	const made = reserve(<usize>(NODE_ENTRIES * root.words * 8));
	store<u32>(leaf + header, <u32>made);
	return made;
}

/** An exit of an absent SPTE of address space 0: the first one behind its zap tells how long that was. */
export function countRefault(root: Root, gfn: u64, strategy: u32): void {
	const leaf = leafOf(root, gfn);
	if (leaf == 0) return;
	const times = <usize>load<u32>(leaf, ZAP_TIMES);
	if (times == 0) return;
	const place = placeOf(root, gfn, strategy);
	const then = load<u64>(times + place);
	if (then == 0) return;
	store<u64>(times + place, 0);
	const distance = accessesNow() + 1 - then;
	count(strategy, Counter.refaultAccesses_0 + <i32>min<u64>(64 - clz<u64>(distance), 32));
	const zapNs = <usize>load<u32>(leaf, ZAP_NS);
	if (zapNs == 0 || !isTimed()) return;
	const thenNs = load<u64>(zapNs + place);
	if (thenNs == 0) return;
	const now = timeNow() + 1;
	// Sources of one trace may run a little apart.
	const ns = now > thenNs ? now - thenNs : 0;
	count(strategy, Counter.refaultNs_0 + <i32>min<u64>(64 - clz<u64>(ns), 41));
}

/** An exit: it goes on with the chain of stale attempts if the vCPU's exit before it was one, on the same gfn. */
export function beginAttempt(state: VcpuState, gfn: u64): void {
	if (!state.wasRetried || state.chainGfn != gfn) state.chain = 0;
	state.chainGfn = gfn;
	state.wasRetried = false;
}

/** Chains of 1 to 16 have a counter each, longer ones by powers of two; each is counted at every length that it comes to. */
export function countRetry(state: VcpuState, strategy: u32): void {
	const length = ++state.chain;
	state.wasRetried = true;
	if (length <= 16) count(strategy, Counter.retriesInARow_1 + <i32>length - 1);
	else if ((length & (length - 1)) == 0 && length <= 65536) count(strategy, Counter.retriesInARow_32 + <i32>ctz(length) - 5);
}

function rangeOf(key: u64): Range {
	const known = get(ranges, key);
	if (known != 0) return changetype<Range>(known);
	const range = changetype<Range>(reserve(HEADER_BYTES + <usize>strategies * 8));
	range.key = key;
	range.next = firstRange;
	firstRange = range;
	set(ranges, key, <u32>changetype<usize>(range));
	return range;
}

/** One kvm_page_fault. */
export function countExitAt(vm: u32, strategy: u32, gfn: u64): void {
	const key = ((<u64>vm) << 32) | (gfn >> LEVEL_BITS);
	if (changetype<usize>(last) == 0 || last.key != key) last = rangeOf(key);
	const at = changetype<usize>(last) + HEADER_BYTES + ((<usize>strategy) << 3);
	store<u64>(at, load<u64>(at) + 1);
}
