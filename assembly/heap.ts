// Linear memory above the static data: one bump pointer, and blocks of powers of two that come back (tables that grow, operations that end).
// Nothing is zeroed before it is needed: memory that was never used is zero already.
import { giveUp } from "./failure";
import { Failure } from "./generated/constants";

// @ts-ignore: decorator
@inline
const ALIGNMENT: usize = 64;
/** Grown by at least this many WebAssembly pages: every growth takes the host's views away. */
// @ts-ignore: decorator
@inline
const GROWTH_PAGES: u32 = 64;
// @ts-ignore: decorator
@inline
const CLASSES: u32 = 32;

let top: usize = 0;
/** Everything from here on is zero. */
let clean: usize = 0;
let capPages: u32 = 65536;
/** Free blocks of 2^n bytes, linked through their first word. */
const free: usize = memory.data(sizeof<u32>() * CLASSES);

/** Forget everything. `cap`: WebAssembly pages that the memory may have. */
export function resetHeap(cap: u32): void {
	if (top > clean) clean = top;
	top = (__heap_base + ALIGNMENT - 1) & ~(ALIGNMENT - 1);
	if (clean < top) clean = top;
	capPages = cap;
	memory.fill(free, 0, sizeof<u32>() * CLASSES);
}

/** Bytes of the world so far. */
// @ts-ignore: decorator
@inline
export function used(): usize {
	return top - __heap_base;
}

function grow(end: u64): void {
	const pages = <u32>memory.size();
	const needed = <u32>((end + 0xffff) >> 16);
	if (needed <= pages) return;
	const step = max<u32>(GROWTH_PAGES, min<u32>(pages >> 2, 4096));
	const wanted = min<u32>(max<u32>(needed, pages + step), capPages);
	if (needed > capPages) giveUp(Failure.memory, end);
	if (memory.grow(wanted - pages) >= 0) return;
	if (memory.grow(needed - pages) < 0) giveUp(Failure.memory, end);
}

/** Zeroed memory that stays until the next reset, aligned to a cache line. */
export function reserve(bytes: usize): usize {
	const at = top;
	// 64 bytes of slack at the very end keep wide loads of what lies before inside the memory.
	const end = <u64>at + ((<u64>bytes + ALIGNMENT - 1) & ~(<u64>ALIGNMENT - 1));
	grow(end + ALIGNMENT);
	top = <usize>end;
	if (at < clean) memory.fill(at, 0, min<usize>(clean, top) - at);
	return at;
}

// @ts-ignore: decorator
@inline
function classOf(bytes: usize): u32 {
	return bytes <= 64 ? 6 : 32 - clz<u32>(<u32>bytes - 1);
}

/** Zeroed memory that can be given back. Rounded up to a power of two. */
export function take(bytes: usize): usize {
	const sizeClass = classOf(bytes);
	if (sizeClass >= CLASSES) giveUp(Failure.memory, bytes);
	const list = free + (sizeClass << 2);
	const block = <usize>load<u32>(list);
	if (block == 0) return reserve((<usize>1) << sizeClass);
	store<u32>(list, load<u32>(block));
	memory.fill(block, 0, (<usize>1) << sizeClass);
	return block;
}

/** Give back what `take` gave for as many bytes. */
export function give(block: usize, bytes: usize): void {
	const list = free + (classOf(bytes) << 2);
	store<u32>(block, load<u32>(list));
	store<u32>(list, <u32>block);
}

/** A block of `wanted` bytes with the content of `block`, which had `bytes` and is given back; 0: there was none. */
export function enlarge(block: usize, bytes: usize, wanted: usize): usize {
	const larger = take(wanted);
	if (block != 0) {
		memory.copy(larger, block, bytes);
		give(block, bytes);
	}
	return larger;
}
