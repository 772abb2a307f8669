// Two-level set-associative TLBs with true LRU: any number of sets and ways; the same results as src/model/tlb.ts.
//
//	first level    set: | tag 0 .. w-1: u32 | entry 0 .. w-1: u32 |                  sets of one TLB in a row, 64-byte aligned
//	second level   set: | tag 0 .. w-1: u32 | entry 0 .. w-1: u32 | epoch: u32 | pad |   to a multiple of 64 bytes
//
// The ways of a set stand in order of use, the most recent first, so the order is the LRU state. A tag is page / sets: the set is known, so
// 36-bit pages fit 32 bits from 16 sets on. Free ways are at the end, with a tag that no page has.
import { Bit, NO_TAG } from "./layout";

@unmanaged
export class Tlb {
	l1: usize;
	l2: usize;
	/** A set of the second level with another epoch is empty: a flush touches the small first level only. */
	epoch: u32;
	/** Something was filled in since the last flush. */
	filled: u32;
}
// @ts-ignore: decorator
@inline
export const TLB_BYTES: usize = 16;

export let l1Sets: u64 = 1;
export let l1Ways: u32 = 1;
/** log2 of the sets, or -1 where they are no power of two. */
export let l1Shift: i32 = 0;
export let l1SetBytes: usize = 8;
export let l1Bytes: usize = 64;
let l2Sets: u64 = 1;
let l2Ways: u32 = 1;
let l2Shift: i32 = 0;
let l2SetBytes: usize = 64;
export let l2Bytes: usize = 64;
/** Pages from here on cannot be tagged. */
export let taggedPages: u64 = 0;

/** Where the last look-up hit: 1, 2, or 0. */
export let hitLevel: u32 = 0;

export function setGeometry(sets1: u32, ways1: u32, sets2: u32, ways2: u32): void {
	l1Sets = sets1;
	l1Ways = ways1;
	l1Shift = popcnt<u32>(sets1) == 1 ? <i32>ctz<u32>(sets1) : -1;
	l1SetBytes = <usize>ways1 * 8;
	l1Bytes = (<usize>sets1 * l1SetBytes + 63) & ~63;
	l2Sets = sets2;
	l2Ways = ways2;
	l2Shift = popcnt<u32>(sets2) == 1 ? <i32>ctz<u32>(sets2) : -1;
	l2SetBytes = (<usize>ways2 * 8 + sizeof<u32>() + 63) & ~63;
	l2Bytes = <usize>sets2 * l2SetBytes;
	taggedPages = <u64>min<u32>(sets1, sets2) * NO_TAG;
}

/** Give a TLB its memory, which must be zero: epoch 1 makes every second-level set empty. */
export function makeTlb(tlb: Tlb, l1: usize, l2: usize): void {
	tlb.l1 = l1;
	tlb.l2 = l2;
	tlb.epoch = 1;
	tlb.filled = 0;
	memory.fill(l1, 0xff, l1Bytes);
}

// @ts-ignore: decorator
@inline
export function setIndex(page: u64, sets: u64, shift: i32): usize {
	return shift >= 0 ? <usize>page & (((<usize>1) << shift) - 1) : <usize>(page % sets);
}

// @ts-ignore: decorator
@inline
export function tagOf(page: u64, sets: u64, shift: i32): u32 {
	return shift >= 0 ? <u32>(page >> shift) : <u32>(page / sets);
}

/** Way of a tag in a set; `ways` where it is not there. */
// @ts-ignore: decorator
@inline
function wayOf(at: usize, ways: u32, tag: u32): u32 {
	let way: u32 = 0;
	while (way < ways && load<u32>(at + ((<usize>way) << 2)) != tag) way++;
	return way;
}

/** Put an entry first; the ways before `way` move back by one, over it. */
export function toFront(at: usize, ways: u32, way: u32, tag: u32, entry: u32): void {
	const entries = at + ((<usize>ways) << 2);
	for (let index = (<usize>way) << 2; index > 0; index -= 4) {
		store<u32>(at + index, load<u32>(at + index - 4));
		store<u32>(entries + index, load<u32>(entries + index - 4));
	}
	store<u32>(at, tag);
	store<u32>(entries, entry);
}

/** The entry of a tag, now first in its set; 0 where there is none. */
// @ts-ignore: decorator
@inline
function find(at: usize, ways: u32, tag: u32): u32 {
	const way = wayOf(at, ways, tag);
	if (way == ways) return 0;
	const entry = load<u32>(at + ((<usize>ways + <usize>way) << 2));
	if (way > 0) toFront(at, ways, way, tag, entry);
	return entry;
}

// @ts-ignore: decorator
@inline
function fillSet(at: usize, ways: u32, tag: u32, entry: u32): void {
	const way = wayOf(at, ways, tag);
	toFront(at, ways, way == ways ? ways - 1 : way, tag, entry);
}

function dropFrom(at: usize, ways: u32, tag: u32): void {
	const entries = at + ((<usize>ways) << 2);
	const last = (<usize>(ways - 1)) << 2;
	for (let index = (<usize>wayOf(at, ways, tag)) << 2; index <= last; index += 4) {
		store<u32>(at + index, index == last ? NO_TAG : load<u32>(at + index, 4));
		store<u32>(entries + index, index == last ? 0 : load<u32>(entries + index, 4));
	}
}

/** A set of the second level, emptied first if its entries are of an earlier epoch. */
// @ts-ignore: decorator
@inline
function l2Set(tlb: Tlb, page: u64): usize {
	const at = tlb.l2 + setIndex(page, l2Sets, l2Shift) * l2SetBytes;
	const epoch = at + ((<usize>l2Ways) << 3);
	if (load<u32>(epoch) != tlb.epoch) {
		store<u32>(epoch, tlb.epoch);
		memory.fill(at, 0xff, (<usize>l2Ways) << 2);
	}
	return at;
}

/** The entry that translates an access, 0 where none has the right. A hit in the second level refills the first. Sets hitLevel. */
export function lookup(tlb: Tlb, page: u64, write: u32): u32 {
	const need = write << 1;
	const at = tlb.l1 + setIndex(page, l1Sets, l1Shift) * l1SetBytes;
	const tag = tagOf(page, l1Sets, l1Shift);
	const first = find(at, l1Ways, tag);
	if (first != 0 && (first & need) == need) {
		hitLevel = 1;
		return first;
	}
	const second = find(l2Set(tlb, page), l2Ways, tagOf(page, l2Sets, l2Shift));
	if (second != 0 && (second & need) == need) {
		fillSet(at, l1Ways, tag, second);
		hitLevel = 2;
		return second;
	}
	hitLevel = 0;
	return 0;
}

export function fill(tlb: Tlb, page: u64, entry: u32): void {
	tlb.filled = 1;
	fillSet(tlb.l1 + setIndex(page, l1Sets, l1Shift) * l1SetBytes, l1Ways, tagOf(page, l1Sets, l1Shift), entry);
	fillSet(l2Set(tlb, page), l2Ways, tagOf(page, l2Sets, l2Shift), entry);
}

/** Change the entry that a look-up or a fill has just put first in the first level. */
// @ts-ignore: decorator
@inline
export function amendFirst(tlb: Tlb, page: u64, entry: u32): void {
	store<u32>(tlb.l1 + setIndex(page, l1Sets, l1Shift) * l1SetBytes + ((<usize>l1Ways) << 2), entry);
}

/** Whether an entry lets a page be written; the order of use stays. */
export function holdsWritable(tlb: Tlb, page: u64): bool {
	const first = peek(tlb.l1 + setIndex(page, l1Sets, l1Shift) * l1SetBytes, l1Ways, tagOf(page, l1Sets, l1Shift));
	return ((first | peek(l2Set(tlb, page), l2Ways, tagOf(page, l2Sets, l2Shift))) & Bit.writable) != 0;
}

function peek(at: usize, ways: u32, tag: u32): u32 {
	const way = wayOf(at, ways, tag);
	return way == ways ? 0 : load<u32>(at + ((<usize>ways + <usize>way) << 2));
}

/** INVLPG, or what an access that faulted does to its own entry. */
export function flushPage(tlb: Tlb, page: u64): void {
	if (!tlb.filled) return;
	dropFrom(tlb.l1 + setIndex(page, l1Sets, l1Shift) * l1SetBytes, l1Ways, tagOf(page, l1Sets, l1Shift));
	dropFrom(l2Set(tlb, page), l2Ways, tagOf(page, l2Sets, l2Shift));
}

export function flush(tlb: Tlb): void {
	if (!tlb.filled) return;
	tlb.filled = 0;
	memory.fill(tlb.l1, 0xff, l1Bytes);
	tlb.epoch++;
	if (tlb.epoch != 0) return;
	// After 2^32 flushes an old epoch would come back.
	tlb.epoch = 1;
	memory.fill(tlb.l2, 0, l2Bytes);
}

/** Take a bit from every entry of both levels. */
export function stripBit(tlb: Tlb, bit: u32): void {
	if (!tlb.filled) return;
	for (let set: u64 = 0; set < l1Sets; set++) stripSet(tlb.l1 + <usize>set * l1SetBytes, l1Ways, bit);
	for (let set: u64 = 0; set < l2Sets; set++) stripSet(tlb.l2 + <usize>set * l2SetBytes, l2Ways, bit);
}

function stripSet(at: usize, ways: u32, bit: u32): void {
	const entries = at + ((<usize>ways) << 2);
	for (let way: usize = 0; way < ways; way++) store<u32>(entries + (way << 2), load<u32>(entries + (way << 2)) & ~bit);
}

/** The smallest number of pages after which the sets of both levels come round again. */
export function spanOfSets(): u64 {
	let a = l1Sets;
	let b = l2Sets;
	while (b != 0) {
		const rest = a % b;
		a = b;
		b = rest;
	}
	return (l1Sets / a) * l2Sets;
}
