// Two-level set-associative TLBs with pages of 4 KiB and 2 MiB: any geometry (ways.ts); the same results as src/model/tlb.ts.
//
//	Tlb -> first level:  4 KiB array, 2 MiB array     a flush zeroes them
//	       second level: 4 KiB array, 2 MiB array     a flush raises the epoch, and a set of another epoch is empty
//
// A level's 2 MiB array may be its 4 KiB one (shared: a bit of the tag tells the sizes apart) or none (pieces: a 4 KiB entry of the page that was touched;
// none at all). A 2 MiB entry holds rights and no frame: the SPTEs of its leaf stay as they are while it lives (huge.ts), so they have the frames.
import { GuestPages, HugeEntries, MACHINE_WORDS, MachineWord } from "./generated/constants";
import { Bit, FRAME_MASK, LEVEL_BITS, PAGE_LIMIT, TlbBit } from "./layout";
import { use } from "./order";
import { forgetAll, pscBytes } from "./psc";
import { SHAPE_BYTES, Shape } from "./shape";
import { dropTag, emptyArray, entryOf, fillWay, NO_WAY, renew, setOf, setShape, tagIn, tagOfWay, tookFree, wayOf, widenSets } from "./ways";

@unmanaged
export class Tlb {
	l1: usize;
	l1Huge: usize;
	l2: usize;
	l2Huge: usize;
	/** Paging-structure caches (psc.ts). */
	psc: usize;
	epoch: u32;
	/** Entries of both levels. */
	live: u32;
	/** Something was filled in since the last flush; a 2 MiB entry. */
	filled: bool;
	filledHuge: bool;
}
// @ts-ignore: decorator
@inline
export const TLB_BYTES: usize = 32;

export const l1Shape = changetype<Shape>(memory.data(SHAPE_BYTES));
const l1HugeShape = changetype<Shape>(memory.data(SHAPE_BYTES));
export const l2Shape = changetype<Shape>(memory.data(SHAPE_BYTES));
const l2HugeShape = changetype<Shape>(memory.data(SHAPE_BYTES));
/** MachineWord: filled in by the host before `start`. */
const words: usize = memory.data(MACHINE_WORDS * 4);
let l1Huge: u32 = 0;
let l2Huge: u32 = 0;
/** How large the guest maps its pages: GuestPages. */
export let guestPages: u32 = 0;
export let rangedFlush: bool = false;
export let hostFlushPages: u64 = 1;

/** First level, 4 KiB pages: bytes of one TLB. */
export let l1Bytes: usize = 64;
/** Some TLB has a 2 MiB entry, or had. */
export let anyHuge: bool = false;

/** Where the last look-up hit: 1, 2, or 0. */
export let hitLevel: u32 = 0;
/** The entry of the first level that a look-up hit or a fill made: its address, 0 where it has none; and whether it is one of 2 MiB. */
let placed: usize = 0;
let placedHuge: bool = false;

/** In an array of both sizes this bit of a tag says 2 MiB: its highest but where tags are wide. */
// @ts-ignore: decorator
@inline
const HUGE_TAG: u64 = 0x8000_0000;
// @ts-ignore: decorator
@inline
const WIDE_HUGE_TAG: u64 = 0x8000_0000_0000_0000;

export function machineWords(): usize {
	return words;
}

// @ts-ignore: decorator
@inline
export function machineWord(word: i32): u32 {
	return load<u32>(words + ((<usize>word) << 2));
}

export function setGeometry(): void {
	l1Huge = setLevel(l1Shape, l1HugeShape, MachineWord.l1Sets);
	l2Huge = setLevel(l2Shape, l2HugeShape, MachineWord.l2Sets);
	widenSets(l2Shape);
	l1Bytes = l1Shape.bytes;
	guestPages = machineWord(MachineWord.guestPages);
	rangedFlush = machineWord(MachineWord.rangedFlush) != 0;
	hostFlushPages = machineWord(MachineWord.hostFlushPages);
	anyHuge = false;
}

function setLevel(small: Shape, huge: Shape, word: i32): u32 {
	const mode = machineWord(word + 3);
	const tags: u64 = mode == HugeEntries.shared ? HUGE_TAG : (<u64>1) << 32;
	setShape(small, machineWord(word), machineWord(word + 1), machineWord(word + 2), tags);
	// Of 2 MiB pages there are 2^27.
	if (mode == HugeEntries.own) setShape(huge, machineWord(word + 4), machineWord(word + 5), machineWord(word + 6), PAGE_LIMIT);
	return mode;
}

// @ts-ignore: decorator
@inline
function hugeBytes(shape: Shape, mode: u32): usize {
	return mode == HugeEntries.own ? shape.bytes : 0;
}

/** Memory of a TLB but for the first level's 4 KiB array, which stands elsewhere. */
export function tlbBytes(): usize {
	return hugeBytes(l1HugeShape, l1Huge) + l2Shape.bytes + hugeBytes(l2HugeShape, l2Huge) + pscBytes;
}

/** Give a TLB its memory, which must be zero: epoch 1 makes every second-level set empty. */
export function makeTlb(tlb: Tlb, l1: usize, rest: usize): void {
	tlb.l1 = l1;
	tlb.l1Huge = l1Huge == HugeEntries.own ? rest : l1Huge == HugeEntries.shared ? l1 : 0;
	tlb.l2 = rest + hugeBytes(l1HugeShape, l1Huge);
	tlb.l2Huge = l2Huge == HugeEntries.own ? tlb.l2 + l2Shape.bytes : l2Huge == HugeEntries.shared ? tlb.l2 : 0;
	tlb.psc = pscBytes == 0 ? 0 : tlb.l2 + l2Shape.bytes + hugeBytes(l2HugeShape, l2Huge);
	tlb.epoch = 1;
}

// @ts-ignore: decorator
@inline
function l1HugeOf(): Shape {
	return l1Huge == HugeEntries.own ? l1HugeShape : l1Shape;
}

// @ts-ignore: decorator
@inline
function l2HugeOf(): Shape {
	return l2Huge == HugeEntries.own ? l2HugeShape : l2Shape;
}

// @ts-ignore: decorator
@inline
function hugeTag(shape: Shape, mode: u32, block: u64): u64 {
	return mode == HugeEntries.shared ? tagIn(shape, block) | hugeBit(shape) : tagIn(shape, block);
}

// @ts-ignore: decorator
@inline
function hugeBit(shape: Shape): u64 {
	return shape.wide ? WIDE_HUGE_TAG : HUGE_TAG;
}

/** A set of the second level, emptied first if its entries are of an earlier epoch. */
// @ts-ignore: decorator
@inline
export function l2Set(shape: Shape, base: usize, page: u64, epoch: u32): usize {
	const at = setOf(shape, base, page);
	renew(shape, at, epoch);
	return at;
}

/** An entry of a tag with enough rights, which it is a use of: its address; 0 where there is none. */
// @ts-ignore: decorator
@inline
function find(shape: Shape, at: usize, tag: u64, need: u32): usize {
	const way = wayOf(shape, at, tag);
	if (way == NO_WAY) return 0;
	const place = entryOf(shape, at, way);
	if ((load<u32>(place) & need) != need) return 0;
	use(shape, at, way);
	return place;
}

/** A 2 MiB entry as one of its page, whose SPTE is at `spte` (0: frames are of no account). */
// @ts-ignore: decorator
@inline
function pieceOf(entry: u32, spte: usize): u32 {
	return (entry & ~FRAME_MASK) | (load<u32>(spte) & FRAME_MASK);
}

/** The entry that translates an access, 0 where none has the right. A hit in the second level refills the first. Sets hitLevel. */
export function lookup(tlb: Tlb, page: u64, write: u32, spte: usize): u32 {
	const need: u32 = Bit.present | (write << 1);
	const block = page >> LEVEL_BITS;
	hitLevel = 1;
	placedHuge = false;
	placed = find(l1Shape, setOf(l1Shape, tlb.l1, page), tagIn(l1Shape, page), need);
	if (placed != 0) return load<u32>(placed);
	if (tlb.filledHuge && tlb.l1Huge != 0) {
		const shape = l1HugeOf();
		placed = find(shape, setOf(shape, tlb.l1Huge, block), hugeTag(shape, l1Huge, block), need);
		placedHuge = true;
		if (placed != 0) return pieceOf(load<u32>(placed), spte);
	}
	hitLevel = 2;
	const place = find(l2Shape, l2Set(l2Shape, tlb.l2, page, tlb.epoch), tagIn(l2Shape, page), need);
	if (place != 0) {
		const entry = load<u32>(place);
		fillL1(tlb, page, entry, false);
		return entry;
	}
	if (tlb.filledHuge && tlb.l2Huge != 0) {
		const shape = l2HugeOf();
		const huge = find(shape, l2Set(shape, tlb.l2Huge, block, tlb.epoch), hugeTag(shape, l2Huge, block), need);
		if (huge != 0) {
			const entry = pieceOf(load<u32>(huge), spte);
			fillL1(tlb, page, entry, true);
			return entry;
		}
	}
	hitLevel = 0;
	return 0;
}

/** `entry` has the frame of the page; C counts for what is filled only where it is of 4 KiB. */
function fillL1(tlb: Tlb, page: u64, entry: u32, huge: bool): void {
	placedHuge = huge && tlb.l1Huge != 0;
	if (placedHuge) {
		const shape = l1HugeOf();
		const block = page >> LEVEL_BITS;
		placed = fillWay(shape, setOf(shape, tlb.l1Huge, block), hugeTag(shape, l1Huge, block), entry & ~FRAME_MASK);
	} else if (huge && l1Huge == HugeEntries.none) {
		placed = 0;
		return;
	} else placed = fillWay(l1Shape, setOf(l1Shape, tlb.l1, page), tagIn(l1Shape, page), entry);
	if (tookFree) tlb.live++;
}

function fillL2(tlb: Tlb, page: u64, entry: u32, huge: bool): void {
	if (huge && tlb.l2Huge != 0) {
		const shape = l2HugeOf();
		const block = page >> LEVEL_BITS;
		fillWay(shape, l2Set(shape, tlb.l2Huge, block, tlb.epoch), hugeTag(shape, l2Huge, block), entry & ~FRAME_MASK);
	} else if (huge && l2Huge == HugeEntries.none) return;
	else fillWay(l2Shape, l2Set(l2Shape, tlb.l2, page, tlb.epoch), tagIn(l2Shape, page), entry);
	if (tookFree) tlb.live++;
}

/** `huge`: the entry translates the 2 MiB around the page. */
export function fill(tlb: Tlb, page: u64, entry: u32, huge: bool): void {
	tlb.filled = true;
	if (huge) {
		tlb.filledHuge = true;
		anyHuge = true;
	}
	fillL1(tlb, page, entry, huge);
	fillL2(tlb, page, entry, huge);
}

/** Note in the entry that the last look-up or fill placed in the first level that its content is known to be its own. */
// @ts-ignore: decorator
@inline
export function noteOwn(): void {
	if (placed != 0) store<u32>(placed, load<u32>(placed) | TlbBit.ownContent);
}

/** Whether that entry is one of 2 MiB. */
// @ts-ignore: decorator
@inline
export function isPlacedHuge(): bool {
	return placedHuge && placed != 0;
}

/** Whether an entry lets a page be written; the order of use stays. */
export function holdsWritable(tlb: Tlb, page: u64): bool {
	const block = page >> LEVEL_BITS;
	let rights = peek(l1Shape, setOf(l1Shape, tlb.l1, page), tagIn(l1Shape, page));
	rights |= peek(l2Shape, l2Set(l2Shape, tlb.l2, page, tlb.epoch), tagIn(l2Shape, page));
	if (tlb.filledHuge && tlb.l1Huge != 0) {
		const shape = l1HugeOf();
		rights |= peek(shape, setOf(shape, tlb.l1Huge, block), hugeTag(shape, l1Huge, block));
	}
	if (tlb.filledHuge && tlb.l2Huge != 0) {
		const shape = l2HugeOf();
		rights |= peek(shape, l2Set(shape, tlb.l2Huge, block, tlb.epoch), hugeTag(shape, l2Huge, block));
	}
	return (rights & Bit.writable) != 0;
}

function peek(shape: Shape, at: usize, tag: u64): u32 {
	const way = wayOf(shape, at, tag);
	return way == NO_WAY ? 0 : load<u32>(entryOf(shape, at, way));
}

/** The event loop's second look: no 4 KiB entry has the page, and a 2 MiB one translates the access with nothing to note. */
export function hitsHuge(tlb: Tlb, page: u64, need: u32): bool {
	if (!tlb.filledHuge || tlb.l1Huge == 0 || wayOf(l1Shape, setOf(l1Shape, tlb.l1, page), tagIn(l1Shape, page)) != NO_WAY) return false;
	const shape = l1HugeOf();
	const block = page >> LEVEL_BITS;
	return find(shape, setOf(shape, tlb.l1Huge, block), hugeTag(shape, l1Huge, block), need) != 0;
}

/** The event loop's look at a set of the first level. */
export function hitsSmall(at: usize, page: u64, need: u32): bool {
	return find(l1Shape, at, tagIn(l1Shape, page), need) != 0;
}

/** INVLPG, or what an access that faulted does to its own entries. How many there were. */
export function flushPage(tlb: Tlb, page: u64): u32 {
	if (!tlb.filled) return 0;
	const before = tlb.live;
	const block = page >> LEVEL_BITS;
	const epoch = tlb.epoch;
	if (dropTag(l1Shape, setOf(l1Shape, tlb.l1, page), tagIn(l1Shape, page))) tlb.live--;
	if (dropTag(l2Shape, l2Set(l2Shape, tlb.l2, page, epoch), tagIn(l2Shape, page))) tlb.live--;
	if (tlb.filledHuge && tlb.l1Huge != 0) {
		const shape = l1HugeOf();
		if (dropTag(shape, setOf(shape, tlb.l1Huge, block), hugeTag(shape, l1Huge, block))) tlb.live--;
	}
	if (tlb.filledHuge && tlb.l2Huge != 0) {
		const shape = l2HugeOf();
		if (dropTag(shape, l2Set(shape, tlb.l2Huge, block, epoch), hugeTag(shape, l2Huge, block))) tlb.live--;
	}
	return before - tlb.live;
}

/** Entries that translate a page of [page, end) go. How many there were. */
export function flushRange(tlb: Tlb, page: u64, end: u64): u32 {
	if (!tlb.filled || page >= end) return 0;
	if (end - page == 1) return flushPage(tlb, page);
	const before = tlb.live;
	dropRange(tlb, l1Shape, tlb.l1, l1Huge, page, end, 0);
	dropRange(tlb, l2Shape, tlb.l2, l2Huge, page, end, tlb.epoch);
	if (l1Huge == HugeEntries.own) dropRange(tlb, l1HugeShape, tlb.l1Huge, l1Huge, page, end, 0);
	if (l2Huge == HugeEntries.own) dropRange(tlb, l2HugeShape, tlb.l2Huge, l2Huge, page, end, tlb.epoch);
	return before - tlb.live;
}

/** `epoch`: 0 in the first level, whose sets have none. */
function dropRange(tlb: Tlb, shape: Shape, base: usize, mode: u32, page: u64, end: u64, epoch: u32): void {
	const ownHuge = shape == l1HugeShape || shape == l2HugeShape;
	for (let set: u64 = 0; set < shape.sets; set++) {
		const at = base + <usize>set * shape.setBytes;
		if (epoch != 0) renew(shape, at, epoch);
		for (let way: u32 = 0; way < shape.ways; way++) {
			if (load<u32>(entryOf(shape, at, way)) == 0) continue;
			const tag = tagOfWay(shape, at, way);
			const marked = mode == HugeEntries.shared && (tag & hugeBit(shape)) != 0;
			const huge = ownHuge || marked;
			const number = (marked ? tag & ~hugeBit(shape) : tag) * shape.sets + set;
			const first = huge ? number << LEVEL_BITS : number;
			const pages: u64 = huge ? 1 << LEVEL_BITS : 1;
			if (first >= end || first + pages <= page) continue;
			store<u32>(entryOf(shape, at, way), 0);
			tlb.live--;
		}
	}
}

/** How many entries there were. */
export function flush(tlb: Tlb): u32 {
	if (tlb.psc != 0) forgetAll(tlb.psc);
	if (!tlb.filled) return 0;
	const dropped = tlb.live;
	tlb.live = 0;
	tlb.filled = false;
	emptyArray(l1Shape, tlb.l1);
	if (tlb.filledHuge && l1Huge == HugeEntries.own) emptyArray(l1HugeShape, tlb.l1Huge);
	tlb.filledHuge = false;
	tlb.epoch++;
	if (tlb.epoch == 0) {
		// After 2^32 flushes an old epoch would come back.
		tlb.epoch = 1;
		memory.fill(tlb.l2, 0, l2Shape.bytes);
		if (l2Huge == HugeEntries.own) memory.fill(tlb.l2Huge, 0, l2HugeShape.bytes);
	}
	return dropped;
}

/** Take a bit from every entry of both levels. */
export function stripBit(tlb: Tlb, bit: u32): void {
	if (!tlb.filled) return;
	stripArray(l1Shape, tlb.l1, bit);
	stripArray(l2Shape, tlb.l2, bit);
	if (l1Huge == HugeEntries.own) stripArray(l1HugeShape, tlb.l1Huge, bit);
	if (l2Huge == HugeEntries.own) stripArray(l2HugeShape, tlb.l2Huge, bit);
}

function stripArray(shape: Shape, base: usize, bit: u32): void {
	for (let set: u64 = 0; set < shape.sets; set++) {
		const entries = base + <usize>set * shape.setBytes + ((<usize>shape.slots) << 2);
		for (let way: usize = 0; way < shape.ways; way++) store<u32>(entries + (way << 2), load<u32>(entries + (way << 2)) & ~bit);
	}
}

/** The entry of a walk that ended at a 2 MiB leaf: whether it is one of 2 MiB too, which the guest's own pages decide. */
// @ts-ignore: decorator
@inline
export function keepsHuge(): bool {
	return guestPages != GuestPages.small;
}
