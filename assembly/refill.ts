// What most accesses come to that are no plain hit: some strategy's first level has their entry, or its second level, or a walk ends at an SPTE that
// lets them through. The same as `lookup` and `translate` would do, for all strategies of a record, without what those do for machines and moments of
// other kinds: these, and all that exits, are left to them untouched.
//
// Nobody asks for the memslot here: an entry or a present SPTE is there only while its memslot is.
import { writeContent } from "./contents";
import { countFastL2Hit, countFastMiss, countFastWalk } from "./counters";
import { GuestPages } from "./generated/constants";
import { Bit, FRAME_SHIFT, TlbBit } from "./layout";
import { suspect } from "./oracle";
import { replace, replaceInLine, use, useLine } from "./order";
import { leafOf, Root, recordIn } from "./pagetable";
import { isCompact, isNarrow, LINE_ENTRIES, LINE_SHIFT } from "./shape";
import { cachedOf, hugeLeavesOf, permits, touch } from "./spte";
import { guestPages, l1Bytes, l1Shape, l2Shape, Tlb } from "./tlb";
import { entryOf, free16, lineFree, lineTagged, matchesWith, renew, tagged16 } from "./ways";
import { strategies, tlbOf, Vcpu } from "./world";

/** Both levels have tags of 32 bits and up to 16 ways, the first is one cache line a set, and all walks to 4 KiB leaves are alike. */
export let simple: bool = false;
// Of both levels: shift from a page to its tag, and sets less one. Bits of the ways of the first.
let shift1: u32 = 0;
let shift2: u32 = 0;
let mask1: usize = 0;
let mask2: usize = 0;
let ways1: u32 = 0;

export function startRefill(): void {
	simple = isNarrow(l1Shape) && isCompact(l1Shape) && isCompact(l2Shape) && guestPages != GuestPages.huge;
	shift1 = <u32>l1Shape.shift;
	shift2 = <u32>l2Shape.shift;
	mask1 = <usize>l1Shape.sets - 1;
	mask2 = <usize>l2Shape.sets - 1;
	ways1 = (1 << l1Shape.ways) - 1;
}

/** The record of the page at hand, once a strategy has asked for it, and the strategies in which a 2 MiB leaf has it; 0: not looked up, NO_RECORD. */
let record: usize = 0;
let hugeLeaves: u32 = 0;
// @ts-ignore: decorator
@inline
const NO_RECORD: usize = 1;

/** Take an access under those strategies in which it goes through; the others are returned. Counts who misses the first level. */
export function refill(vcpu: Vcpu, page: u64, need: u32): u32 {
	const tag = <u32>(page >> shift1);
	const busy = vcpu.pending | suspect;
	let line = vcpu.l1 + ((<usize>page & mask1) << LINE_SHIFT);
	let left: u32 = 0;
	record = 0;
	for (let strategy: u32 = 0; strategy < strategies; strategy++) {
		const bit: u32 = 1 << strategy;
		const way = matchesWith(line, tag, need);
		if (way != 0 && (busy & bit) == 0) useLine(l1Shape.table, line, way);
		else {
			countFastMiss(strategy);
			if ((busy & bit) != 0 || vcpu.isWaiting || !refillFrom(tlbOf(vcpu, strategy), strategy, vcpu.vm.root0, page, need, line)) left |= bit;
		}
		line += l1Bytes;
	}
	return left;
}

/** Look up the record of a page for all strategies. */
function findLeaf(root: Root, page: u64): void {
	const leaf = leafOf(root, page);
	record = leaf == 0 ? NO_RECORD : recordIn(root, leaf, page);
	hugeLeaves = leaf == 0 ? 0 : hugeLeavesOf(leaf);
}

/** Fill a first level's set, in which no entry has the rights, from the second level or a walk. False, with nothing done, where it is not that simple. */
function refillFrom(tlb: Tlb, strategy: u32, root: Root, page: u64, need: u32, line: usize): bool {
	const free1 = lineFree(line);
	const tag1 = <u32>(page >> shift1);
	// There with other rights, or perhaps in an entry of 2 MiB.
	if ((lineTagged(line, tag1) & ~free1) != 0 || tlb.filledHuge) return false;
	const set = tlb.l2 + (<usize>page & mask2) * l2Shape.setBytes;
	renew(l2Shape, set, tlb.epoch);
	const tag2 = <u32>(page >> shift2);
	/** The rights alone: a store through an entry whose content is not known to be its own goes through as well. */
	const rights = need & ~(<u32>TlbBit.ownContent);
	let found = tagged16(l2Shape, set, tag2);
	let way = ctz(found) & 15;
	let place = entryOf(l2Shape, set, way);
	let entry: u32 = found == 0 ? 0 : load<u32>(place);
	// The tag of a free way: it may stand in another one too.
	while (entry == 0 && (found & (found - 1)) != 0) {
		found &= found - 1;
		way = ctz(found);
		place = entryOf(l2Shape, set, way);
		entry = load<u32>(place);
	}
	if (entry != 0) {
		if ((entry & rights) != rights) return false;
		use(l2Shape, set, way);
		countFastL2Hit(strategy);
	} else {
		if (record == 0) findLeaf(root, page);
		if (record == NO_RECORD || tlb.psc != 0 || ((hugeLeaves >> strategy) & 1) != 0) return false;
		const at = record + ((<usize>strategy) << 2);
		const spte = load<u32>(at);
		if (!permits(spte, (rights & Bit.writable) != 0)) return false;
		const walked = touch(spte, (rights & Bit.writable) != 0);
		store<u32>(at, walked);
		entry = cachedOf(walked);
		tlb.filled = true;
		const free2 = free16(l2Shape, set);
		if (free2 != 0) {
			tlb.live++;
			way = ctz(free2);
			use(l2Shape, set, way);
		} else way = replace(l2Shape, set);
		store<u32>(set + ((<usize>way) << 2), tag2);
		place = entryOf(l2Shape, set, way);
		store<u32>(place, entry);
		countFastWalk(strategy);
	}
	if ((need & ~entry) != 0) {
		writeContent(entry >> FRAME_SHIFT, strategy);
		entry |= TlbBit.ownContent;
		store<u32>(place, entry);
	}
	let way1: u32 = 0;
	if ((free1 & ways1) != 0) {
		tlb.live++;
		way1 = ctz(free1);
		useLine(l1Shape.table, line, 1 << way1);
	} else way1 = replaceInLine(l1Shape, line);
	store<u32>(line + ((<usize>way1) << 2), tag1);
	store<u32>(line + ((<usize>way1) << 2), entry, LINE_ENTRIES);
	return true;
}
