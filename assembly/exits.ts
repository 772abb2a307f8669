// Where in a VM's memory vmexits happen: a count for each strategy and each 2 MiB of guest memory that ever took one.
import { reserve } from "./heap";
import { LEVEL_BITS } from "./layout";
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
