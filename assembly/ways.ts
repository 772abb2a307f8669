// Sets of a TLB: any number of them, any number of ways, LRU and tree-PLRU (docs/machines.md); the same results as src/model/ways.ts.
//
//	set   | tag 0 .. n-1: u32 | entry 0 .. n-1: u32 | order | high 0 .. n-1: u32 | epoch: u32 | pad |     n: the ways, rounded up to 4; 64-byte aligned
//
// A tag is a page's number over the sets. The halves above 32 bits are there only where sets are too few for 36-bit pages to fit (`wide`). With up to
// 4 ways a set is one cache line: | 4 tags 16 | 4 entries 16 | order 1, epoch at 36 |. Entries keep their way; what moves is the order. Entry 0 is a free
// way, whatever its tag, and the padding of the ways: what translates is present, and zeroed memory is an empty TLB.
import { PAGE_LIMIT } from "./layout";
import { makeOrder, replace, use } from "./order";
import { isNarrow, LINE_ENTRIES, LINE_ORDER, Order, Shape } from "./shape";

/** No such way. */
// @ts-ignore: decorator
@inline
export const NO_WAY: u32 = 0xffff_ffff;

/** `tags`: how many there can be in 32 bits. */
export function setShape(shape: Shape, sets: u32, ways: u32, replacement: u32, tags: u64): void {
	shape.sets = sets;
	shape.ways = ways;
	shape.shift = popcnt<u32>(sets) == 1 ? <i32>ctz<u32>(sets) : -1;
	shape.slots = (ways + 3) & ~(<u32>3);
	makeOrder(shape, replacement);
	shape.orderAt = (<usize>shape.slots) << 3;
	// The epoch lies in the cache line of a narrow set's order.
	const orderBytes: usize = shape.order == Order.table ? 4 : shape.order == Order.stamps ? 8 + ((<usize>ways) << 3) : 8;
	shape.wide = <u64>sets * tags < PAGE_LIMIT;
	shape.highAt = shape.orderAt + orderBytes;
	shape.epochAt = shape.highAt + (shape.wide ? (<usize>shape.slots) << 2 : 0);
	shape.setBytes = (shape.epochAt + 4 + 63) & ~63;
	shape.bytes = <usize>sets * shape.setBytes;
}

/** Room behind the entries of a set for what `renew16` clears. */
export function widenSets(shape: Shape): void {
	shape.setBytes = max<usize>(shape.setBytes, (((<usize>shape.slots) << 2) + 64 + 63) & ~63);
	shape.bytes = <usize>shape.sets * shape.setBytes;
}

/** The set of a page number, or of a 2 MiB page's. */
// @ts-ignore: decorator
@inline
export function setOf(shape: Shape, base: usize, page: u64): usize {
	const index: usize = shape.shift >= 0 ? <usize>page & (((<usize>1) << shape.shift) - 1) : <usize>(page % shape.sets);
	return base + index * shape.setBytes;
}

// @ts-ignore: decorator
@inline
export function tagIn(shape: Shape, page: u64): u64 {
	return shape.shift >= 0 ? page >> shape.shift : page / shape.sets;
}

/** Bits of the words, of four, that are equal to one. */
// @ts-ignore: decorator
@inline
function matches(at: usize, word: u32): u32 {
	if (ASC_FEATURE_SIMD) return <u32>i32x4.bitmask(i32x4.eq(v128.load(at), i32x4.splat(word)));
	let mask: u32 = load<u32>(at) == word ? 1 : 0;
	if (load<u32>(at, 4) == word) mask |= 2;
	if (load<u32>(at, 8) == word) mask |= 4;
	if (load<u32>(at, 12) == word) mask |= 8;
	return mask;
}

/** In a set of one cache line: the bit of the way that has a tag and the rights. */
// @ts-ignore: decorator
@inline
export function matchesWith(at: usize, tag: u32, need: u32): u32 {
	if (ASC_FEATURE_SIMD) {
		const rights = i32x4.splat(need);
		const found = i32x4.eq(v128.load(at), i32x4.splat(tag));
		return <u32>i32x4.bitmask(v128.and(found, i32x4.eq(v128.and(v128.load(at, LINE_ENTRIES), rights), rights)));
	}
	for (let way: usize = 0; way < 16; way += 4)
		if (load<u32>(at + way) == tag && (load<u32>(at + way, LINE_ENTRIES) & need) == need) return 1 << (<u32>(way >> 2));
	return 0;
}

/** Bits of those of 16 words that are equal to one; what is behind a set's last way is of no account. No branch: which four have it cannot be foretold. */
// @ts-ignore: decorator
@inline
export function equal16(at: usize, word: u32): u32 {
	if (!ASC_FEATURE_SIMD)
		return matches(at, word) | (matches(at + 16, word) << 4) | (matches(at + 32, word) << 8) | (matches(at + 48, word) << 12);
	const all = i32x4.splat(word);
	const low = i16x8.narrow_i32x4_s(i32x4.eq(v128.load(at), all), i32x4.eq(v128.load(at, 16), all));
	const high = i16x8.narrow_i32x4_s(i32x4.eq(v128.load(at, 32), all), i32x4.eq(v128.load(at, 48), all));
	return <u32>i8x16.bitmask(i8x16.narrow_i16x8_s(low, high));
}

/** In a set of one cache line: bits of the ways that have a tag, free ones among them; of the free ones, the padding among them. */
// @ts-ignore: decorator
@inline
export function lineTagged(at: usize, tag: u32): u32 {
	return matches(at, tag);
}

// @ts-ignore: decorator
@inline
export function lineFree(at: usize): u32 {
	return matches(at + LINE_ENTRIES, 0);
}

/** Way of a tag; NO_WAY where it is not there. */
// @ts-ignore: decorator
@inline
export function wayOf(shape: Shape, at: usize, tag: u64): u32 {
	const slots = shape.slots;
	for (let first: u32 = 0; first < slots; first += 4) {
		const tags = at + ((<usize>first) << 2);
		let mask = matches(tags, <u32>tag);
		if (mask == 0) continue;
		mask &= ~matches(tags + ((<usize>slots) << 2), 0);
		if (mask == 0) continue;
		if (!shape.wide) return first + ctz<u32>(mask);
		for (; mask != 0; mask &= mask - 1) {
			const way = first + ctz<u32>(mask);
			if (load<u32>(highOf(shape, at, way)) == <u32>(tag >> 32)) return way;
		}
	}
	return NO_WAY;
}

/** The first free way; one beyond the set's, or NO_WAY, where there is none. */
// @ts-ignore: decorator
@inline
function freeWay(shape: Shape, at: usize): u32 {
	const slots = shape.slots;
	for (let first: u32 = 0; first < slots; first += 4) {
		const mask = matches(at + ((<usize>(slots + first)) << 2), 0);
		if (mask != 0) return first + ctz<u32>(mask);
	}
	return NO_WAY;
}

// @ts-ignore: decorator
@inline
function highOf(shape: Shape, at: usize, way: u32): usize {
	return at + shape.highAt + ((<usize>way) << 2);
}

/** The tag of a way that is not free. */
export function tagOfWay(shape: Shape, at: usize, way: u32): u64 {
	const low = load<u32>(at + ((<usize>way) << 2));
	return shape.wide ? ((<u64>load<u32>(highOf(shape, at, way))) << 32) | low : low;
}

function setTagOfWay(shape: Shape, at: usize, way: u32, tag: u64): void {
	store<u32>(at + ((<usize>way) << 2), <u32>tag);
	if (shape.wide) store<u32>(highOf(shape, at, way), <u32>(tag >> 32));
}

/** Where the entry of a way stands. */
// @ts-ignore: decorator
@inline
export function entryOf(shape: Shape, at: usize, way: u32): usize {
	return at + ((<usize>(shape.slots + way)) << 2);
}

/** Whether the last fill took a free way. */
export let tookFree: bool = false;

/** In the place of an older entry of the tag, in the first free way, or in the victim's. Where the entry stands. */
export function fillWay(shape: Shape, at: usize, tag: u64, entry: u32): usize {
	const way = wayOf(shape, at, tag);
	if (way == NO_WAY) return fillNew(shape, at, tag, entry);
	tookFree = false;
	const place = entryOf(shape, at, way);
	store<u32>(place, entry);
	use(shape, at, way);
	return place;
}

/** The same for a tag that is not there. */
function fillNew(shape: Shape, at: usize, tag: u64, entry: u32): usize {
	let way = freeWay(shape, at);
	tookFree = way < shape.ways;
	if (tookFree) use(shape, at, way);
	else way = replace(shape, at);
	setTagOfWay(shape, at, way, tag);
	const place = entryOf(shape, at, way);
	store<u32>(place, entry);
	return place;
}

/** Free the way of a tag; says whether there was one. */
export function dropTag(shape: Shape, at: usize, tag: u64): bool {
	const way = wayOf(shape, at, tag);
	if (way == NO_WAY) return false;
	store<u32>(entryOf(shape, at, way), 0);
	return true;
}

/** Empty all sets of an array that has no epochs. */
export function emptyArray(shape: Shape, base: usize): void {
	const end = base + shape.bytes;
	if (!isNarrow(shape)) memory.fill(base, 0, shape.bytes);
	else {
		for (let at = base; at < end; at += 64) {
			if (ASC_FEATURE_SIMD) v128.store(at, i32x4.splat(0), LINE_ENTRIES);
			else {
				store<u64>(at, 0, LINE_ENTRIES);
				store<u64>(at, 0, LINE_ENTRIES + 8);
			}
			store<u8>(at, 0, LINE_ORDER);
		}
	}
}

/** `renew` for a set of the second level of up to 16 ways, without a loop: behind the entries of a smaller one are its order and epoch, or nothing. */
// @ts-ignore: decorator
@inline
export function renew16(shape: Shape, at: usize, epoch: u32): void {
	if (load<u32>(at + shape.epochAt) == epoch) return;
	const entries = entryOf(shape, at, 0);
	if (ASC_FEATURE_SIMD) {
		v128.store(entries, i32x4.splat(0));
		v128.store(entries, i32x4.splat(0), 16);
		v128.store(entries, i32x4.splat(0), 32);
		v128.store(entries, i32x4.splat(0), 48);
	} else {
		store<u64>(entries, 0);
		store<u64>(entries, 0, 8);
		store<u64>(entries, 0, 16);
		store<u64>(entries, 0, 24);
		store<u64>(entries, 0, 32);
		store<u64>(entries, 0, 40);
		store<u64>(entries, 0, 48);
		store<u64>(entries, 0, 56);
	}
	store<u64>(at + shape.orderAt, 0);
	store<u32>(at + shape.epochAt, epoch);
}

/** Empty a set of an earlier epoch. */
// @ts-ignore: decorator
@inline
export function renew(shape: Shape, at: usize, epoch: u32): void {
	if (load<u32>(at + shape.epochAt) != epoch) renewSet(shape, at, epoch);
}

/** Tags may stay. Sixteen bytes at a time: a memory.fill leaves WebAssembly, which costs more than all of this. */
function renewSet(shape: Shape, at: usize, epoch: u32): void {
	const entries = at + ((<usize>shape.slots) << 2);
	for (let entry = entries; entry < at + shape.orderAt; entry += 16) {
		if (ASC_FEATURE_SIMD) v128.store(entry, i32x4.splat(0));
		else {
			store<u64>(entry, 0);
			store<u64>(entry, 0, 8);
		}
	}
	if (shape.order == Order.stamps) memory.fill(at + shape.orderAt, 0, 8 + ((<usize>shape.ways) << 3));
	else if (shape.order == Order.table) store<u8>(at + shape.orderAt, 0);
	else store<u64>(at + shape.orderAt, 0);
	store<u32>(at + shape.epochAt, epoch);
}
