// A hash table from 64-bit keys to non-zero 32-bit values: ids of a trace to the engine's records. Open addressing, linear probing.
import { give, take } from "./heap";

// @ts-ignore: decorator
@inline
const ENTRY_BYTES: usize = 16;
// @ts-ignore: decorator
@inline
const FIRST_BITS: u32 = 4;

@unmanaged
export class Table {
	/** Entries: key u64, value u32 (0: free), padding. */
	entries: usize;
	/** log2 of their number. */
	bits: u32;
	count: u32;
}

// @ts-ignore: decorator
@inline
export const TABLE_BYTES: usize = 16;

export function resetTable(table: Table): void {
	table.entries = 0;
	table.bits = 0;
	table.count = 0;
}

// @ts-ignore: decorator
@inline
function slotOf(table: Table, key: u64): u32 {
	return <u32>((key * 0x9e37_79b9_7f4a_7c15) >> (64 - <u64>table.bits));
}

/** The entry of a key, or the free one where it would go. */
function probe(table: Table, key: u64): usize {
	const mask: u32 = (1 << table.bits) - 1;
	let slot = slotOf(table, key);
	while (true) {
		const entry = table.entries + <usize>slot * ENTRY_BYTES;
		if (load<u32>(entry, 8) == 0 || load<u64>(entry) == key) return entry;
		slot = (slot + 1) & mask;
	}
}

/** 0 where there is none. */
export function get(table: Table, key: u64): u32 {
	return table.entries == 0 ? 0 : load<u32>(probe(table, key), 8);
}

export function set(table: Table, key: u64, value: u32): void {
	if (table.entries == 0 || (table.count + 1) * 4 > 3 * ((<u32>1) << table.bits)) rehash(table);
	const entry = probe(table, key);
	if (load<u32>(entry, 8) == 0) table.count++;
	store<u64>(entry, key);
	store<u32>(entry, value, 8);
}

function rehash(table: Table): void {
	const old = table.entries;
	const oldCount: usize = old == 0 ? 0 : (<usize>1) << table.bits;
	table.bits = old == 0 ? FIRST_BITS : table.bits + 1;
	table.entries = take(ENTRY_BYTES << table.bits);
	for (let at = old; at < old + oldCount * ENTRY_BYTES; at += ENTRY_BYTES) {
		if (load<u32>(at, 8) == 0) continue;
		const entry = probe(table, load<u64>(at));
		store<u64>(entry, load<u64>(at));
		store<u32>(entry, load<u32>(at, 8), 8);
	}
	if (old != 0) give(old, oldCount * ENTRY_BYTES);
}

/** Remove a key. Entries behind it move up, so that no probe ends too early. */
export function remove(table: Table, key: u64): void {
	if (table.entries == 0) return;
	let hole = probe(table, key);
	if (load<u32>(hole, 8) == 0) return;
	table.count--;
	const mask: u32 = (1 << table.bits) - 1;
	let slot = <u32>((hole - table.entries) / ENTRY_BYTES);
	let gap = slot;
	while (true) {
		slot = (slot + 1) & mask;
		const entry = table.entries + <usize>slot * ENTRY_BYTES;
		if (load<u32>(entry, 8) == 0) break;
		const home = slotOf(table, load<u64>(entry));
		// It may move into the gap unless its home lies behind the gap, up to where it is.
		if (((slot - home) & mask) >= ((slot - gap) & mask)) {
			store<u64>(hole, load<u64>(entry));
			store<u32>(hole, load<u32>(entry, 8), 8);
			hole = entry;
			gap = slot;
		}
	}
	store<u32>(hole, 0, 8);
}
