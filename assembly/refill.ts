// What most accesses come to that are no plain hit: a strategy's second level has their entry, or a walk ends at an SPTE that lets them through. The
// same as `lookup` and `translate` would do, without what those do for machines and moments of other kinds: these, and all that exits, are left to
// them untouched.
//
// Nobody asks for the memslot here: an entry or a present SPTE is there only while its memslot is.
import { writeContent } from "./contents";
import { GuestPages } from "./generated/constants";
import { eptAd, usableBits } from "./kvmhost";
import { Bit, FRAME_MASK, FRAME_SHIFT, SpteBit, TlbBit } from "./layout";
import { replace, replaceInLine, use, useLine } from "./order";
import { pscBytes } from "./psc";
import { isCompact, isNarrow, LINE_ENTRIES, Shape } from "./shape";
import { guestPages, l1Shape, l2Shape, Tlb } from "./tlb";
import { entryOf, equal16, lineFree, lineTagged, renew16 } from "./ways";

/** Both levels have tags of 32 bits and up to 16 ways, the first is one cache line a set, and all walks to 4 KiB leaves are alike. */
export let simple: bool = false;
// Of the second level: shift from a page to its tag, and sets less one. Bits of the ways of either level.
let shift2: u32 = 0;
let mask2: usize = 0;
let ways1: u32 = 0;
let ways2: u32 = 0;

export function startRefill(): void {
	simple = isNarrow(l1Shape) && isCompact(l1Shape) && isCompact(l2Shape) && guestPages != GuestPages.huge && pscBytes == 0;
	shift2 = <u32>l2Shape.shift;
	mask2 = <usize>l2Shape.sets - 1;
	ways1 = (1 << l1Shape.ways) - 1;
	ways2 = (1 << l2Shape.ways) - 1;
}

/** Where the set of a page stands in a second level. */
// @ts-ignore: decorator
@inline
export function setPlace(page: u64): usize {
	return (<usize>page & mask2) * l2Shape.setBytes;
}

// @ts-ignore: decorator
@inline
export function tagOfL2(page: u64): u32 {
	return <u32>(page >> shift2);
}

/** What `refillLine` came to. */
export const enum Refill {
	/** Nothing is done: it is not that simple, or exits. */
	none = 0,
	fromL2 = 1,
	byWalk = 2,
}

/**
 * Fill a first level's set, in which no entry has the rights, from the second level or a walk. `place` and `tag2`: of the page in a second level;
 * `spteAt`: its SPTE under this strategy, or a word of 0.
 */
// @ts-ignore: decorator
@inline
export function refillLine(tlb: Tlb, strategy: u32, tag1: u32, place: usize, tag2: u32, need: u32, line: usize, spteAt: usize): Refill {
	const free1 = lineFree(line);
	// There with other rights, or perhaps in an entry of 2 MiB.
	if (((lineTagged(line, tag1) & ~free1) | <u32>tlb.filledHuge) != 0) return Refill.none;
	const shape: Shape = l2Shape;
	const set = tlb.l2 + place;
	renew16(shape, set, tlb.epoch);
	const entries = entryOf(shape, set, 0);
	const free2 = equal16(entries, 0) & ways2;
	const found = equal16(set, tag2) & ~free2 & ways2;
	/** The rights alone: a store through an entry whose content is not known to be its own goes through as well. */
	const rights = need & ~(<u32>TlbBit.ownContent);
	let result: Refill = Refill.fromL2;
	let entryAt: usize = 0;
	let entry: u32 = 0;
	if (found != 0) {
		const way = ctz(found);
		entryAt = entries + ((<usize>way) << 2);
		entry = load<u32>(entryAt);
		if ((entry & rights) != rights) return Refill.none;
		use(shape, set, way);
	} else {
		const spte = load<u32>(spteAt);
		const store2 = rights & Bit.writable;
		const permitted = usableBits | store2;
		if ((spte & permitted) != permitted) return Refill.none;
		// As touch and cachedOf have it.
		const dirty: u32 = (<u32>eptAd) << 4;
		const walked = spte | SpteBit.accessed | ((store2 << 3) & dirty);
		store<u32>(spteAt, walked);
		const kept: u32 = (walked & dirty) == dirty ? FRAME_MASK | Bit.writable : FRAME_MASK;
		entry = (walked & kept) | Bit.present;
		let way: u32 = 0;
		if (free2 != 0) {
			tlb.live++;
			way = ctz(free2);
			use(shape, set, way);
		} else way = replace(shape, set);
		tlb.filled = true;
		store<u32>(set + ((<usize>way) << 2), tag2);
		entryAt = entries + ((<usize>way) << 2);
		store<u32>(entryAt, entry);
		result = Refill.byWalk;
	}
	if ((need & ~entry) != 0) {
		writeContent(entry >> FRAME_SHIFT, strategy);
		entry |= TlbBit.ownContent;
		store<u32>(entryAt, entry);
	}
	let way1: u32 = 0;
	if ((free1 & ways1) != 0) {
		tlb.live++;
		way1 = ctz(free1);
		useLine(l1Shape.table, line, 1 << way1);
	} else way1 = replaceInLine(l1Shape, line);
	store<u32>(line + ((<usize>way1) << 2), tag1);
	store<u32>(line + ((<usize>way1) << 2), entry, LINE_ENTRIES);
	return result;
}
