// Places in swap, or in a file (files.ts), and the swap cache or page cache (kernel.md 1.10, 1.11). A place is a record like a frame's that no PTE maps: its mapcount counts the swap entries
// that lead to it, bit KSM says that its page was a KSM page, its second word is the page in the swap cache + 1, its classes are the content.
import { hasClass, shareContent } from "./contents";
import {
	allocate,
	clearBit,
	FrameBit,
	frameAt,
	hold,
	isFile,
	map,
	mapcountOf,
	referencesOf,
	release,
	setBit,
	unmap,
	wordOf,
} from "./frames";
import { get, remove, resetTable, set, TABLE_BYTES, Table } from "./table";

/** Frame in the swap cache -> its place + 1. */
const places = changetype<Table>(memory.data(<i32>TABLE_BYTES));

export function resetSwap(): void {
	resetTable(places);
}

// @ts-ignore: decorator
@inline
function cachedOf(slot: u32): u32 {
	return load<u32>(frameAt(slot), 4);
}

export function isCached(slot: u32): bool {
	return cachedOf(slot) != 0;
}

function setCached(slot: u32, frame: u32): void {
	store<u32>(frameAt(slot), frame + 1, 4);
	set(places, frame, slot + 1);
	if (isFile(slot)) setBit(frame, FrameBit.file);
	hold(frame);
}

/** The place of a frame + 1; 0 if it is not in the swap cache. */
export function placeOf(frame: u32): u32 {
	return get(places, frame);
}

/** One more swap entry for a page, whose mapping goes: its place. */
export function swapOut(frame: u32): u32 {
	let slot = get(places, frame) - 1;
	if (slot == 0xffff_ffff) {
		slot = allocate();
		clearBit(slot, FrameBit.exclusive);
		if ((wordOf(frame) & FrameBit.ksm) != 0) setBit(slot, FrameBit.ksm);
		setCached(slot, frame);
	}
	shareContent(slot, frame);
	map(slot);
	return slot;
}

export function addSwapEntry(slot: u32): void {
	map(slot);
}

/** The last entry frees the place. */
export function dropSwapEntry(slot: u32): void {
	if (mapcountOf(slot) == 1) {
		uncache(slot);
		// No KSM page has it.
		clearBit(slot, FrameBit.ksm);
		store<u32>(frameAt(slot), 0, 4);
	}
	unmap(slot);
}

/** The page of a place: from the swap cache, or read into it. */
export function swapPage(slot: u32): u32 {
	if (cachedOf(slot) != 0) return cachedOf(slot) - 1;
	const frame = allocate();
	clearBit(frame, FrameBit.exclusive);
	// A page of a file that was never read has content of its own.
	if (!isFile(slot) || hasClass(slot)) shareContent(frame, slot);
	setCached(slot, frame);
	return frame;
}

/** The page in the swap cache of a place whose page was a KSM page, and that is none; 0xffffffff: there is no such page. */
export function cachedCopy(slot: u32): u32 {
	const cached = cachedOf(slot);
	if (cached == 0 || (wordOf(slot) & FrameBit.ksm) == 0 || (wordOf(cached - 1) & FrameBit.ksm) != 0) return 0xffff_ffff;
	return cached - 1;
}

/** Reclaim is done with a page that only the cache holds: it is freed. */
export function dropUnusedCache(slot: u32): void {
	const cached = cachedOf(slot);
	if (cached != 0 && mapcountOf(cached - 1) == 0 && referencesOf(cached - 1) == 1) uncache(slot);
}

function uncache(slot: u32): void {
	const cached = cachedOf(slot);
	if (cached == 0) return;
	if (isFile(slot)) {
		shareContent(slot, cached - 1);
		clearBit(cached - 1, FrameBit.file);
	}
	store<u32>(frameAt(slot), 0, 4);
	remove(places, cached - 1);
	release(cached - 1);
}

/** A page that migrates takes its place in swap with it. */
export function movePlace(from: u32, to: u32): void {
	const slot = get(places, from) - 1;
	uncache(slot);
	setCached(slot, to);
}
