// How an array of a TLB lies in memory: ways.ts draws a set.
export const enum Order {
	table = 0,
	nibbles = 1,
	stamps = 2,
	tree = 3,
}

/** One array: how its sets lie in memory. */
@unmanaged
export class Shape {
	sets: u64;
	ways: u32;
	/** log2 of the sets, or -1 where they are no power of two. */
	shift: i32;
	/** Ways rounded up to 4. */
	slots: u32;
	order: u32;
	orderAt: usize;
	/** Tags have a half above 32 bits, which stand here. */
	wide: bool;
	highAt: usize;
	epochAt: usize;
	setBytes: usize;
	bytes: usize;
	/**
	 * table: next states, 16 bytes a state, by the bit of the way; behind them each state's victim.
	 * tree: what a use of a way keeps and sets, 2 x u64 each.
	 */
	table: usize;
	victims: usize;
	/** nibbles: those of the ways, and the shift to the last of them. */
	used: u64;
	lastAt: u64;
}
// @ts-ignore: decorator
@inline
export const SHAPE_BYTES: i32 = 96;

// A set of up to 4 ways with tags of 32 bits: one cache line. log2 of its bytes; where its entries and its order stand.
// @ts-ignore: decorator
@inline
export const LINE_SHIFT: usize = 6;
// @ts-ignore: decorator
@inline
export const LINE_ENTRIES: usize = 16;
// @ts-ignore: decorator
@inline
export const LINE_ORDER: usize = 32;

/** Whether a set is one cache line, with tags of 32 bits: what the event loop looks into itself. */
export function isNarrow(shape: Shape): bool {
	return shape.order == Order.table && !shape.wide;
}

/** Whether a set is what the functions of 16 ways take: tags of 32 bits, sets a power of two. */
export function isCompact(shape: Shape): bool {
	return !shape.wide && shape.shift >= 0 && shape.slots <= 16;
}
