// Physical frames as the primary MMU counts them (kernel.md 1.2 to 1.6, I-18). Record of a frame: drawn in layout.ts.
//
//	word: mapcount, file, moved, pinned, held, kpages, KSM, freed, exclusive | KSM page, or the next free frame
//
// A frame without a mapping is used again, unless a strategy may still translate to it (oracle.ts): the number of a frame means nothing.
import { forgetContent, resetContents } from "./contents";
import { giveUp } from "./failure";
import { Failure } from "./generated/constants";
import { reserve } from "./heap";
import { MAX_FRAMES } from "./layout";
import { renamesKsmPage } from "./shard";
import { get, remove, resetTable, set, TABLE_BYTES, Table } from "./table";

/** Bits of a frame's word. */
export const enum FrameBit {
	/** PageAnonExclusive: a write fault may reuse it. */
	exclusive = 1,
	freed = 2,
	ksm = 4,
	/** It was more than one KSM page of the capture: its number is not used again. */
	kpages = 8,
	/** It has references beside its mappings: `holds` says how many. */
	held = 16,
	/** Some of them are pins (1.4, 1.9). */
	pinned = 32,
	/** It migrates: another frame takes its place. */
	moved = 64,
	/** A page of the page cache, or (swap.ts) the place in a file. */
	file = 128,
}
// @ts-ignore: decorator
@inline
const MAPCOUNT_SHIFT: u32 = 8;
// @ts-ignore: decorator
@inline
const MAX_MAPCOUNT: u32 = (1 << (32 - MAPCOUNT_SHIFT)) - 1;

// @ts-ignore: decorator
@inline
const CHUNK_SHIFT: u32 = 12;
// @ts-ignore: decorator
@inline
const FRAME_BYTES: usize = 8;
/** Addresses of chunks of 4096 frames. */
let chunks: usize = 0;
let made: u32 = 0;
/** Free frames, and frames that lost their last mapping in the operation at hand; linked, 0 ends a list (the zero page is never free). */
let freeList: u32 = 0;
let limbo: u32 = 0;
/** Frame that ksmd holds locked between write_protect_page and the end of the merge; a write fault on it copies (1.2). */
export let locked: u32 = 0xffff_ffff;
/** A frame has had a writable PTE beside another mapping, so that storing to it is possible after its content was shared. */
export let sharedWritable: bool = false;

/** Frames are not used again: a device may have a translation that no PTE shows. */
let kept: bool = false;

/** KSM page -> frame + 1. */
const kpages = changetype<Table>(memory.data(<i32>TABLE_BYTES));
/** Of frames that have any: references that are no mappings, and the pins among them. */
const holds = changetype<Table>(memory.data(<i32>TABLE_BYTES));
const pins = changetype<Table>(memory.data(<i32>TABLE_BYTES));
/** Frame that migrates -> the one that takes its place + 1, held until the first is freed. */
const targets = changetype<Table>(memory.data(<i32>TABLE_BYTES));

// @ts-ignore: decorator
@inline
export const ZERO_PAGE: u32 = 0;
// @ts-ignore: decorator
@inline
export const UNLOCKED: u32 = 0xffff_ffff;

export function resetFrames(): void {
	chunks = reserve(<usize>(MAX_FRAMES >> CHUNK_SHIFT) * 4);
	made = 0;
	freeList = 0;
	limbo = 0;
	resetContents();
	locked = UNLOCKED;
	sharedWritable = false;
	kept = false;
	resetTable(kpages);
	resetTable(holds);
	resetTable(pins);
	resetTable(targets);
	store<u32>(newFrame(), 0);
}

// @ts-ignore: decorator
@inline
export function frameAt(frame: u32): usize {
	const chunk = <usize>load<u32>(chunks + ((<usize>(frame >> CHUNK_SHIFT)) << 2));
	return chunk + <usize>(frame & ((1 << CHUNK_SHIFT) - 1)) * FRAME_BYTES;
}

function newFrame(): usize {
	if (made >= MAX_FRAMES) giveUp(Failure.frames, made);
	if ((made & ((1 << CHUNK_SHIFT) - 1)) == 0) {
		store<u32>(chunks + ((<usize>(made >> CHUNK_SHIFT)) << 2), <u32>reserve(FRAME_BYTES << CHUNK_SHIFT));
	}
	return frameAt(made++);
}

/** A new private anonymous page, exclusive, with content of its own. */
export function allocate(): u32 {
	if (freeList == 0) {
		store<u32>(newFrame(), FrameBit.exclusive);
		return made - 1;
	}
	const frame = freeList;
	const at = frameAt(frame);
	freeList = load<u32>(at, 4);
	forgetContent(frame);
	store<u32>(at, FrameBit.exclusive);
	store<u32>(at, 0, 4);
	return frame;
}

// @ts-ignore: decorator
@inline
export function wordOf(frame: u32): u32 {
	return load<u32>(frameAt(frame));
}

// @ts-ignore: decorator
@inline
export function setBit(frame: u32, bit: u32): void {
	const at = frameAt(frame);
	store<u32>(at, load<u32>(at) | bit);
}

// @ts-ignore: decorator
@inline
export function clearBit(frame: u32, bit: u32): void {
	const at = frameAt(frame);
	store<u32>(at, load<u32>(at) & ~bit);
}

// @ts-ignore: decorator
@inline
export function mapcountOf(frame: u32): u32 {
	return wordOf(frame) >> MAPCOUNT_SHIFT;
}

/** A page of the page cache. */
// @ts-ignore: decorator
@inline
export function isFile(frame: u32): bool {
	return (wordOf(frame) & FrameBit.file) != 0;
}

/** KSM pages, zero pages and pages of files are nobody's own: a private mapping never reuses them (1.2, 1.3). */
export function isAlwaysCopied(frame: u32): bool {
	return isShared(frame) || isFile(frame);
}

/** A zero page or a KSM page. */
// @ts-ignore: decorator
@inline
export function isShared(frame: u32): bool {
	return frame == ZERO_PAGE || (wordOf(frame) & FrameBit.ksm) != 0;
}

export function lock(frame: u32): void {
	locked = frame;
}

export function noteSharedWritable(): void {
	sharedWritable = true;
}

/** A PTE takes hold. Mappings of the zero page are not counted: nothing asks. */
export function map(frame: u32): void {
	if (frame == ZERO_PAGE) return;
	const at = frameAt(frame);
	const word = load<u32>(at);
	if (word >> MAPCOUNT_SHIFT == MAX_MAPCOUNT) giveUp(Failure.frames, frame);
	store<u32>(at, word + (1 << MAPCOUNT_SHIFT));
}

/** A PTE lets go. */
export function unmap(frame: u32): void {
	if (frame == ZERO_PAGE) return;
	const at = frameAt(frame);
	const word = load<u32>(at) - (1 << MAPCOUNT_SHIFT);
	store<u32>(at, word);
	if (word >> MAPCOUNT_SHIFT == 0 && (word & FrameBit.held) == 0) free(frame, at, word);
}

/** The last reference frees the page (I-18). */
function free(frame: u32, at: usize, word: u32): void {
	store<u32>(at, word | FrameBit.freed);
	if ((word & FrameBit.moved) != 0) {
		const target = get(targets, frame) - 1;
		remove(targets, frame);
		release(target);
	}
	if ((word & FrameBit.kpages) != 0) return;
	const kpage = load<u32>(at, 4);
	if ((word & FrameBit.ksm) != 0 && get(kpages, kpage) == frame + 1) remove(kpages, kpage);
	store<u32>(at, limbo, 4);
	limbo = frame;
}

/** The frame that takes a migrating one's place + 1; 0 where there is none yet. */
export function migrationTarget(frame: u32): u32 {
	return (wordOf(frame) & FrameBit.moved) != 0 ? get(targets, frame) : 0;
}

export function setMigrationTarget(frame: u32, target: u32): void {
	set(targets, frame, target + 1);
	setBit(frame, FrameBit.moved);
	hold(target);
}

/** The KSM page that a frame is. */
export function kpageOf(frame: u32): u32 {
	return load<u32>(frameAt(frame), 4);
}

/** A reference that is no mapping: a pin, or what a copying fault or ksmd keeps until after the range end (1.3, 1.5). */
export function hold(frame: u32): void {
	if (frame == ZERO_PAGE) return;
	set(holds, frame, get(holds, frame) + 1);
	setBit(frame, FrameBit.held);
}

export function release(frame: u32): void {
	if (frame == ZERO_PAGE) return;
	const left = get(holds, frame) - 1;
	if (left != 0) {
		set(holds, frame, left);
		return;
	}
	remove(holds, frame);
	const at = frameAt(frame);
	const word = load<u32>(at) & ~(<u32>FrameBit.held);
	store<u32>(at, word);
	if (word >> MAPCOUNT_SHIFT == 0) free(frame, at, word);
}

export function pin(frame: u32): void {
	hold(frame);
	set(pins, frame, get(pins, frame) + 1);
	setBit(frame, FrameBit.pinned);
}

export function unpin(frame: u32): void {
	const left = get(pins, frame) - 1;
	if (left != 0) set(pins, frame, left);
	else {
		remove(pins, frame);
		clearBit(frame, FrameBit.pinned);
	}
	release(frame);
}

/** Mappings and other references together. */
export function referencesOf(frame: u32): u32 {
	return mapcountOf(frame) + ((wordOf(frame) & FrameBit.held) != 0 ? get(holds, frame) : 0);
}

/** Pinned while it was exclusive: nobody replaces it (kernel.md 1.4, 4). */
export function isPinned(frame: u32): bool {
	const pinnedOwn: u32 = FrameBit.pinned | FrameBit.exclusive;
	return (wordOf(frame) & pinnedOwn) == pinnedOwn;
}

export function keepFreed(): void {
	kept = true;
}

/** After an operation: what it freed may be used again unless somebody may still translate to it, or ksmd holds it locked. */
export function settleFreed(reusable: bool): void {
	while (limbo != 0) {
		const frame = limbo;
		const at = frameAt(frame);
		limbo = load<u32>(at, 4);
		if (!reusable || kept || frame == locked) continue;
		store<u32>(at, freeList, 4);
		freeList = frame;
	}
}

/** The frame of a KSM page; one that entered the stable tree before the capture began is made here. */
export function ksmFrame(kpage: u32): u32 {
	const known = get(kpages, kpage);
	if (known != 0 && (wordOf(known - 1) & FrameBit.freed) == 0) return known - 1;
	const frame = allocate();
	becomeKsm(frame, kpage);
	return frame;
}

/** Page 0 is none: the frame is then merely no longer exclusive. */
export function becomeKsm(frame: u32, kpage: u32): void {
	const at = frameAt(frame);
	const before = load<u32>(at, 4);
	if (kpage == 0 || (load<u32>(at) & FrameBit.ksm) != 0) renamesKsmPage();
	let word = load<u32>(at) & ~(<u32>FrameBit.exclusive | FrameBit.ksm);
	if (kpage == 0 || (before != kpage && get(kpages, before) == frame + 1)) word |= FrameBit.kpages;
	store<u32>(at, kpage == 0 ? word : word | FrameBit.ksm);
	store<u32>(at, kpage, 4);
	set(kpages, kpage, frame + 1);
}

/** The frames that are KSM pages as table.ts has them: by number of the page, frame + 1 each. */
export function ksmPages(): Table {
	return kpages;
}
