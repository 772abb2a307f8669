// Paging-structure caches and what a walk costs with them (docs/machines.md): the same results as src/model/psc.ts.
//
//	of one TLB:  linear | levels 2 .. 5, nested | levels 2 .. 5: each | count: u32 | 0: u32 | key 0 .. n-1: u64 |
//
// Keys of a level stand in order of use, the most recent first. A key: the number of the table entry << 3 | what the walk is for (0: the page itself,
// 1 .. 5: the guest's table of that level).
import { MachineWord } from "./generated/constants";
import { LEVEL_BITS } from "./layout";
import { machineWord } from "./tlb";

// @ts-ignore: decorator
@inline
const LEVELS: u32 = 4;
const enum Dimension {
	linear = 0,
	nested = 1,
}

/** Bytes of one TLB's caches; 0: the machine uses none. */
export let pscBytes: usize = 0;
/** Where the list of a dimension's level is, and how many keys it takes: u32 each. */
const places: usize = memory.data(64);

/** What the last walk took. */
export let references: u32 = 0;
export let pscHits: u32 = 0;

export function setPsc(): void {
	pscBytes = 0;
	if (machineWord(MachineWord.pscUsed) == 0) return;
	for (let list: u32 = 0; list < 2 * LEVELS; list++) {
		const size = machineWord(MachineWord.pscLinear + list);
		store<u32>(places + ((<usize>list) << 3), <u32>pscBytes);
		store<u32>(places + ((<usize>list) << 3), size, 4);
		pscBytes += 8 + ((<usize>size) << 3);
	}
}

// @ts-ignore: decorator
@inline
function placeOf(dimension: u32, level: u32): usize {
	return places + ((<usize>(dimension * LEVELS + level - 2)) << 3);
}

// @ts-ignore: decorator
@inline
function keyOf(page: u64, level: u32, kind: u32): u64 {
	return ((page >> (LEVEL_BITS * (level - 1))) << 3) | kind;
}

/** Whether a key is there; it is now the first of its level. */
function useKey(psc: usize, dimension: u32, level: u32, key: u64): bool {
	const list = psc + load<u32>(placeOf(dimension, level));
	const count = load<u32>(list);
	let at = list + 8;
	const end = at + ((<usize>count) << 3);
	while (at < end && load<u64>(at) != key) at += 8;
	if (at == end) return false;
	for (; at > list + 8; at -= 8) store<u64>(at, load<u64>(at - 8));
	store<u64>(at, key);
	return true;
}

function putKey(psc: usize, dimension: u32, level: u32, key: u64): void {
	const place = placeOf(dimension, level);
	const size = load<u32>(place, 4);
	if (size == 0 || useKey(psc, dimension, level, key)) return;
	const list = psc + load<u32>(place);
	if (load<u32>(list) < size) store<u32>(list, load<u32>(list) + 1);
	let at = list + ((<usize>load<u32>(list)) << 3);
	for (; at > list + 8; at -= 8) store<u64>(at, load<u64>(at - 8));
	store<u64>(at, key);
}

/** Keys of the page itself between two numbers go. */
function dropKeys(psc: usize, dimension: u32, level: u32, first: u64, last: u64): void {
	const list = psc + load<u32>(placeOf(dimension, level));
	const end = list + 8 + ((<usize>load<u32>(list)) << 3);
	let to = list + 8;
	for (let from = to; from < end; from += 8) {
		const key = load<u64>(from);
		const number = key >> 3;
		if ((key & 7) == 0 && number >= first && number <= last) continue;
		store<u64>(to, key);
		to += 8;
	}
	store<u32>(list, <u32>((to - list - 8) >> 3));
}

/** Entries on the way to a page of [page, end) go; those that lead to the guest's own tables stay. */
export function forget(psc: usize, page: u64, end: u64): void {
	for (let level: u32 = 2; level < 2 + LEVELS; level++) {
		const shift = LEVEL_BITS * (level - 1);
		dropKeys(psc, Dimension.linear, level, page >> shift, (end - 1) >> shift);
		dropKeys(psc, Dimension.nested, level, page >> shift, (end - 1) >> shift);
	}
}

export function forgetAll(psc: usize): void {
	for (let list: usize = 0; list < 2 * LEVELS; list++) store<u32>(psc + load<u32>(places + (list << 3)), 0);
}

/** Where a walk begins: the level below the lowest entry that is cached, or the top. */
function startOf(psc: usize, dimension: u32, top: u32, leaf: u32, page: u64, kind: u32): u32 {
	for (let level = leaf + 1; level <= top; level++) {
		if (!useKey(psc, dimension, level, keyOf(page, level, kind))) continue;
		pscHits++;
		return level - 1;
	}
	return top;
}

function keep(psc: usize, dimension: u32, from: u32, leaf: u32, page: u64, kind: u32): void {
	for (let level = from; level > leaf; level--) putKey(psc, dimension, level, keyOf(page, level, kind));
}

/** From a guest-physical page to the host's: references. */
function translateNested(psc: usize, top: u32, leaf: u32, page: u64, kind: u32, kept: bool): u32 {
	const first = startOf(psc, Dimension.nested, top, leaf, page, kind);
	if (kept) keep(psc, Dimension.nested, first, leaf, page, kind);
	return first - leaf + 1;
}

/** A guest's walk; its page tables' levels from top to leaf, the guest's (top 0: it has none) and the host's. Sets references and pscHits. */
export function walkNested(psc: usize, page: u64, guestTop: u32, guestLeaf: u32, hostTop: u32, hostLeaf: u32, permitted: bool): void {
	references = 0;
	pscHits = 0;
	if (guestTop > 0) {
		const before = pscHits;
		const first = startOf(psc, Dimension.linear, guestTop, guestLeaf, page, 0);
		const cached = pscHits != before;
		for (let level = first; level >= guestLeaf; level--) {
			// A cached entry holds the host-physical address of the table below it.
			if (!cached || level < first) references += translateNested(psc, hostTop, hostLeaf, page >> (LEVEL_BITS * level), level, true);
			references++;
		}
		if (permitted) keep(psc, Dimension.linear, first, guestLeaf, page, 0);
	}
	references += translateNested(psc, hostTop, hostLeaf, page, 0, permitted);
	if (!permitted) forget(psc, page, page + 1);
}

/** A host thread's walk of its own mm's tables. Sets references and pscHits. */
export function walkNative(psc: usize, page: u64, top: u32, leaf: u32): void {
	pscHits = 0;
	if (psc == 0) {
		references = top - leaf + 1;
		return;
	}
	const first = startOf(psc, Dimension.linear, top, leaf, page, 0);
	keep(psc, Dimension.linear, first, leaf, page, 0);
	references = first - leaf + 1;
}
