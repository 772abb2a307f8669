// Where in a VM's memory vmexits happen: a count for each strategy and each 2 MiB of guest memory that ever took one. And how long after a zap: a
// leaf whose SPTEs were ever zapped has, beside it, the number of guest accesses at each of those zaps.
import { count, counterOf } from "./counters";
import { Counter } from "./generated/constants";
import { reserve } from "./heap";
import { LEVEL_BITS, NODE_ENTRIES, ZAP_TIMES } from "./layout";
import { leafOf, Root } from "./pagetable";
import { get, resetTable, set, TABLE_BYTES, Table } from "./table";
import { strategies } from "./world";

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
	return counterOf(0, Counter.accesses_guestRead) + counterOf(0, Counter.accesses_guestWrite) + passed;
}

/** The SPTE of a gfn in a TDP leaf is absent since now. */
export function noteZap(root: Root, leaf: usize, gfn: u64, strategy: u32): void {
	let times = <usize>load<u32>(leaf, ZAP_TIMES);
	if (times == 0) {
		times = reserve(<usize>(NODE_ENTRIES * root.words * 8));
		store<u32>(leaf, <u32>times, ZAP_TIMES);
	}
	store<u64>(times + (((<usize>gfn & (NODE_ENTRIES - 1)) * root.words + strategy) << 3), accessesNow() + 1);
}

/** An exit of an absent SPTE of address space 0: the first one behind its zap tells how long that was. */
export function countRefault(root: Root, gfn: u64, strategy: u32): void {
	const leaf = leafOf(root, gfn);
	if (leaf == 0) return;
	const times = <usize>load<u32>(leaf, ZAP_TIMES);
	if (times == 0) return;
	const at = times + (((<usize>gfn & (NODE_ENTRIES - 1)) * root.words + strategy) << 3);
	const then = load<u64>(at);
	if (then == 0) return;
	store<u64>(at, 0);
	const distance = accessesNow() + 1 - then;
	count(strategy, Counter.refaultAccesses_0 + <i32>min<u64>(64 - clz<u64>(distance), 32));
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
