// Which way of a set a fill replaces: LRU and tree-PLRU; the same results as src/model/ways.ts. By the number of ways and the policy:
//
//	table     up to 4     a byte, the state; the next one is looked up by state and way, for either policy
//	nibbles   LRU to 16   the ways from the most to the least recently used, 4 bits each, xor 0xfedc_ba98_7654_3210
//	stamps    LRU above   a clock and a stamp for each way: u64, which does not come round
//	tree      PLRU to 64  a bit for each node of the tree
import { Replacing } from "./generated/constants";
import { reserve } from "./heap";
import { LINE_ORDER, Order, Shape } from "./shape";

// @ts-ignore: decorator
@inline
const TABLE_WAYS: u32 = 4;
// @ts-ignore: decorator
@inline
const NIBBLE_WAYS: u32 = 16;
// @ts-ignore: decorator
@inline
const MAX_STATES: usize = 24;
// @ts-ignore: decorator
@inline
const IDENTITY: u64 = 0xfedc_ba98_7654_3210;
// @ts-ignore: decorator
@inline
const ONES: u64 = 0x1111_1111_1111_1111;

/** How the order of a shape's ways is kept, and the tables for that. `shape` has its ways. */
export function makeOrder(shape: Shape, replacement: u32): void {
	if (shape.ways <= TABLE_WAYS) {
		shape.order = Order.table;
		makeTable(shape, replacement);
	} else if (replacement == Replacing.treePlru) {
		shape.order = Order.tree;
		makeMasks(shape);
	} else shape.order = shape.ways <= NIBBLE_WAYS ? Order.nibbles : Order.stamps;
	shape.lastAt = (<u64>(shape.ways - 1)) << 2;
	shape.used = u64.MAX_VALUE >> ((60 as u64) - min<u64>(shape.lastAt, 60));
}

/** States are found as uses lead to them, from the first. LRU: a permutation of the ways; tree: the bits of its nodes. */
function makeTable(shape: Shape, replacement: u32): void {
	const ways = shape.ways;
	shape.table = reserve(MAX_STATES << 4);
	shape.victims = reserve(MAX_STATES);
	const words = reserve(MAX_STATES << 3);
	let count: u32 = 1;
	store<u64>(words, replacement == Replacing.treePlru ? 0 : IDENTITY);
	for (let state: u32 = 0; state < count; state++) {
		const word = load<u64>(words + ((<usize>state) << 3));
		const victim = replacement == Replacing.treePlru ? treeVictim(word, ways) : <u32>(word >> ((<u64>(ways - 1)) << 2)) & 15;
		store<u8>(shape.victims + state, <u8>victim);
		for (let way: u32 = 0; way < ways; way++) {
			const next = replacement == Replacing.treePlru ? (word & treeKept(way, ways)) | treeSet(way, ways) : movedToFront(word, way);
			let at: u32 = 0;
			while (at < count && load<u64>(words + ((<usize>at) << 3)) != next) at++;
			if (at == count) {
				store<u64>(words + ((<usize>count) << 3), next);
				count++;
			}
			store<u8>(shape.table + ((<usize>state) << 4) + ((<usize>1) << way), <u8>at);
		}
	}
}

function makeMasks(shape: Shape): void {
	shape.table = reserve((<usize>shape.ways) << 4);
	for (let way: u32 = 0; way < shape.ways; way++) {
		const at = shape.table + ((<usize>way) << 4);
		store<u64>(at, treeKept(way, shape.ways));
		store<u64>(at, treeSet(way, shape.ways), 8);
	}
}

/** The first way on the right of the node over [first, end). */
// @ts-ignore: decorator
@inline
function middleOf(first: u32, end: u32): u32 {
	return first + ((end - first + 1) >> 1);
}

/** Bits of the nodes that are not on the path to a way. A node's bit is numbered by the first way on its right. */
function treeKept(way: u32, ways: u32): u64 {
	let path: u64 = 0;
	let first: u32 = 0;
	for (let end = ways; end - first > 1; ) {
		const middle = middleOf(first, end);
		path |= (<u64>1) << middle;
		if (way < middle) end = middle;
		else first = middle;
	}
	return ~path;
}

/** Bits of the nodes on the path whose right is away from the way. */
function treeSet(way: u32, ways: u32): u64 {
	let away: u64 = 0;
	let first: u32 = 0;
	for (let end = ways; end - first > 1; ) {
		const middle = middleOf(first, end);
		if (way < middle) {
			away |= (<u64>1) << middle;
			end = middle;
		} else first = middle;
	}
	return away;
}

function treeVictim(bits: u64, ways: u32): u32 {
	let first: u32 = 0;
	for (let end = ways; end - first > 1; ) {
		const middle = middleOf(first, end);
		if (((bits >> middle) & 1) != 0) first = middle;
		else end = middle;
	}
	return first;
}

/** A permutation with one of its nibbles first; those before it move back by one. */
// @ts-ignore: decorator
@inline
function movedToFront(order: u64, way: u32): u64 {
	const differs = order ^ (ONES * <u64>way);
	// The lowest nibble that is 0 is the way's.
	const zero = (differs - ONES) & ~differs & (ONES << 3);
	const moved: u64 = u64.MAX_VALUE >> ((63 as u64) - ctz<u64>(zero));
	return (order & ~moved) | ((order << 4) & moved) | way;
}

/** In a set of one cache line: the way with this bit was used. */
// @ts-ignore: decorator
@inline
export function useLine(table: usize, at: usize, bit: u32): void {
	store<u8>(at, load<u8>(table + ((<usize>load<u8>(at, LINE_ORDER)) << 4) + bit), LINE_ORDER);
}

/** The way was looked up with success, or filled. */
// @ts-ignore: decorator
@inline
export function use(shape: Shape, at: usize, way: u32): void {
	const order = at + shape.orderAt;
	if (shape.order == Order.nibbles) store<u64>(order, movedToFront(load<u64>(order) ^ IDENTITY, way) ^ IDENTITY);
	else useOtherwise(shape, order, way);
}

function useOtherwise(shape: Shape, order: usize, way: u32): void {
	if (shape.order == Order.table) store<u8>(order, load<u8>(shape.table + ((<usize>load<u8>(order)) << 4) + ((<usize>1) << way)));
	else if (shape.order == Order.tree) {
		const masks = shape.table + ((<usize>way) << 4);
		store<u64>(order, (load<u64>(order) & load<u64>(masks)) | load<u64>(masks, 8));
	} else {
		const clock = load<u64>(order) + 1;
		store<u64>(order, clock);
		store<u64>(order + ((<usize>way) << 3), clock, 8);
	}
}

/** The victim of a full set, which becomes the way used last. */
// @ts-ignore: decorator
@inline
export function replace(shape: Shape, at: usize): u32 {
	if (shape.order != Order.nibbles) return replaceOtherwise(shape, at + shape.orderAt);
	const order = load<u64>(at + shape.orderAt) ^ IDENTITY;
	const way = <u32>(order >> shape.lastAt) & 15;
	store<u64>(at + shape.orderAt, ((order & ~shape.used) | ((order << 4) & shape.used) | way) ^ IDENTITY);
	return way;
}

/** The same in a set of one cache line. */
// @ts-ignore: decorator
@inline
export function replaceInLine(shape: Shape, at: usize): u32 {
	const way = <u32>load<u8>(shape.victims + load<u8>(at, LINE_ORDER));
	useLine(shape.table, at, 1 << way);
	return way;
}

function replaceOtherwise(shape: Shape, order: usize): u32 {
	let way: u32 = 0;
	if (shape.order == Order.table) way = <u32>load<u8>(shape.victims + load<u8>(order));
	else if (shape.order == Order.tree) way = treeVictim(load<u64>(order), shape.ways);
	else {
		for (let other: u32 = 1; other < shape.ways; other++) {
			if (load<u64>(order + ((<usize>other) << 3), 8) < load<u64>(order + ((<usize>way) << 3), 8)) way = other;
		}
	}
	useOtherwise(shape, order, way);
	return way;
}
