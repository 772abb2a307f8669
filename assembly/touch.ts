// Memory-level parallelism where the page tables outgrow the caches: the records of upcoming accesses are loaded some dozens at a time, addresses
// first, so that their misses overlap instead of each holding up its own walk (WebAssembly has no prefetch). It changes nothing but the time.
import { opOf, pageAt } from "./decode";
import { logging } from "./log";
import { anyLeafOf, Root, recordIn, tableBytes } from "./pagetable";
import { ROW_SHIFT, Row, ready, refreshRows, rows } from "./rows";

// @ts-ignore: decorator
@inline
const AHEAD: u32 = 64;
/** Smaller tables stay in the caches. */
// @ts-ignore: decorator
@inline
const CACHED_BYTES: usize = 1 << 18;
/** One access in so many that leaves the first-level TLB makes it worth while. */
// @ts-ignore: decorator
@inline
const WORTH: u32 = 4;
// @ts-ignore: decorator
@inline
const NEVER: u32 = 0xffff_ffff;

/** Where the SPTEs of the records at hand stand: u32 each, by the number of the record modulo AHEAD; 0 where they are not known. */
const records: usize = memory.data(256);
/** What was loaded last: kept, or the compiler would drop the loads. */
const loaded: usize = memory.data(4);
let isEmpty: bool = true;
let worthWhile: bool = false;

/** Most accesses left the first level. */
export let mostlyMisses: bool = false;

export function resetTouch(): void {
	worthWhile = false;
	mostlyMisses = false;
	forget();
}

/** What was found for records of another block is nobody's. */
function forget(): void {
	if (isEmpty) return;
	memory.fill(records, 0, 256);
	isEmpty = true;
}

/** What the block before was like: accesses, and those that left the first level of the first strategy's TLB. */
export function judge(accesses: u64, misses: u64): void {
	mostlyMisses = misses * 2 > accesses;
	worthWhile = tableBytes > CACHED_BYTES && misses * WORTH > accesses;
	forget();
}

/** Where `touch` found the SPTEs of a record; 0: they are not known. */
// @ts-ignore: decorator
@inline
export function touchedRecord(index: u32): usize {
	return <usize>load<u32>(records + ((<usize>(index & (AHEAD - 1))) << 2));
}

/** Load what the records from `from` on will ask for. Returns the record at which to come again. */
export function touch(from: u32, events: u32): u32 {
	if (!worthWhile || !ready || logging) return NEVER;
	refreshRows();
	isEmpty = false;
	const end = min<u32>(from + AHEAD, events);
	for (let index = from; index < end; index++) {
		const row = rows + ((<usize>opOf(index)) << ROW_SHIFT);
		const root = changetype<Root>(<usize>load<u32>(row, Row.root));
		const at = (<usize>(index & (AHEAD - 1))) << 2;
		let record: usize = 0;
		if (changetype<usize>(root) != 0) {
			const page = load<u64>(row, Row.page) + load<u32>(pageAt + ((<usize>index) << 2));
			const leaf = anyLeafOf(root, page);
			if (leaf != 0) record = recordIn(root, leaf, page);
		}
		store<u32>(records + at, <u32>record);
	}
	let all: u32 = 0;
	for (let at: usize = 0; at < AHEAD * 4; at += 4) all ^= load<u32>(<usize>load<u32>(records + at));
	store<u32>(loaded, all);
	return end;
}
