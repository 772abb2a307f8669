// PTEs that are not present and not none: swap entries, migration entries, and those that NUMA hinting made inaccessible (kernel.md 1.10, 1.11, 1.13).
import { rangeEnd } from "./change";
import { shareContent } from "./contents";
import {
	allocate,
	becomeKsm,
	clearBit,
	FrameBit,
	isFile,
	kpageOf,
	map,
	mapcountOf,
	migrationTarget,
	noteSharedWritable,
	referencesOf,
	setBit,
	setMigrationTarget,
	wordOf,
	ZERO_PAGE,
} from "./frames";
import { Kind } from "./generated/constants";
import { isHuge, isHugeZero, splitFirst, splitRange } from "./huge";
import { isHugetlbPage } from "./hugetlb";
import { Bit, ENTRY_MASK, FRAME_SHIFT, NODE_ENTRIES, PteBit, PteEntry } from "./layout";
import { Operation, rememberedPlace, rememberPlace } from "./operation";
import { findRecord, leafEnd, leafOf, makeRecord, nextPresent, recordIn } from "./pagetable";
import { dropWord, entryOf, frameOf, pteOf, setPte, writingAllowed } from "./primary";
import { addSwapEntry, cachedCopy, dropUnusedCache, movePlace, placeOf, swapOut, swapPage } from "./swap";
import { inHugetlbVma, inSharedVma } from "./vmas";
import { Mm } from "./world";

// @ts-ignore: decorator
@inline
function blockOf(page: u64): u64 {
	return page & ~(<u64>NODE_ENTRIES - 1);
}

/** A fault on an entry makes it present again; on one of a huge PMD, all of it. A migration that is in progress is over by then. */
export function faultIn(mm: Mm, page: u64, write: bool): void {
	if (!isHuge(mm, page)) {
		resolve(mm, page, write);
		return;
	}
	const first = blockOf(page);
	for (let at = first; at < first + NODE_ENTRIES; at++) resolve(mm, at, write && at == page);
}

/** Every entry of a range. */
export function faultInRange(mm: Mm, page: u64, last: u64): void {
	for (let at = nextPresent(mm.ptes, page, last); at < last; at = nextPresent(mm.ptes, at, last)) {
		const next = leafEnd(at, last);
		for (; at < next; at++) if (entryOf(mm, at) != 0) faultIn(mm, at, false);
	}
}

function resolve(mm: Mm, page: u64, write: bool): void {
	const pte = pteOf(mm, page);
	const entry = pte & ENTRY_MASK;
	if (entry == PteEntry.swap) swapIn(mm, page, pte, write);
	else if (entry == PteEntry.migration) restore(mm, page, pte, migrated(frameOf(pte)));
	else if (entry == PteEntry.protnone) restore(mm, page, pte, frameOf(pte));
}

/**
 * do_swap_page (1.10): the page from the swap cache, or a new one that goes there. Exclusive, and written: writable at once; otherwise read-only, and
 * a write goes on into do_wp_page. What was a KSM page is a new page for every mapping but the first (ksm_might_need_to_copy).
 */
function swapIn(mm: Mm, page: u64, pte: u32, write: bool): void {
	const slot = frameOf(pte);
	const source = cachedCopy(slot);
	const isCopy = source != 0xffff_ffff;
	let frame: u32 = 0;
	if (isCopy) {
		frame = allocate();
		shareContent(frame, source);
	} else frame = swapPage(slot);
	const exclusive = (pte & Bit.writable) != 0;
	setPte(mm, page, frame, false);
	const isKsm = (wordOf(frame) & FrameBit.ksm) != 0;
	const isOwn = !isKsm && (isCopy || exclusive || (write && referencesOf(frame) == 1));
	if (isOwn) setBit(frame, FrameBit.exclusive);
	else clearBit(frame, FrameBit.exclusive);
	if (!isOwn || !write || !writingAllowed(mm, page)) return;
	const at = findRecord(mm.ptes, page);
	store<u32>(at, load<u32>(at) | Bit.writable | PteBit.dirty);
	if (mapcountOf(frame) > 1) noteSharedWritable();
}

/** The PTE with its recorded rights, of this frame. */
function restore(mm: Mm, page: u64, pte: u32, frame: u32): void {
	setPte(mm, page, frame, (pte & Bit.writable) != 0);
	const at = findRecord(mm.ptes, page);
	store<u32>(at, (load<u32>(at) & ~(<u32>PteBit.dirty)) | (pte & PteBit.dirty));
}

/** do_numa_page at the address of a page's PTE: it is accessible again; of a huge PMD, all of it. */
export function unhide(mm: Mm, page: u64, at: usize): void {
	if (!isHuge(mm, page)) {
		unhideAt(at);
		return;
	}
	let word = recordIn(mm.ptes, leafOf(mm.ptes, page), blockOf(page));
	for (let index: u32 = 0; index < NODE_ENTRIES; index++) {
		if ((load<u32>(word) & ENTRY_MASK) == PteEntry.protnone) unhideAt(word);
		word += 4;
	}
}

function unhideAt(at: usize): void {
	store<u32>(at, (load<u32>(at) & ~ENTRY_MASK) | Bit.present);
}

/** The page that takes a migrated one's place; the same where further references make the migration fail (1.11). */
function migrated(frame: u32): u32 {
	if (frame == ZERO_PAGE) return frame;
	const place = placeOf(frame);
	if (referencesOf(frame) - mapcountOf(frame) > (place == 0 ? <u32>0 : 1)) return frame;
	const known = migrationTarget(frame);
	if (known != 0) return known - 1;
	const fresh = allocate();
	if (mapcountOf(frame) > 1) noteSharedWritable();
	shareContent(fresh, frame);
	if ((wordOf(frame) & FrameBit.exclusive) == 0) clearBit(fresh, FrameBit.exclusive);
	if ((wordOf(frame) & FrameBit.ksm) != 0) becomeKsm(fresh, kpageOf(frame));
	setMigrationTarget(frame, fresh);
	if (place != 0) movePlace(frame, fresh);
	return fresh;
}

/** remove_migration_ptes over a range; a huge PMD comes back as a whole. */
export function restoreMigrated(mm: Mm, page: u64, last: u64, failed: bool): void {
	for (let at = nextPresent(mm.ptes, page, last); at < last; at = nextPresent(mm.ptes, at, last)) {
		const next = leafEnd(at, last);
		if (isHuge(mm, at)) {
			if (anyEntry(mm, at, next)) restoreEach(mm, blockOf(at), blockOf(at) + NODE_ENTRIES, failed);
		} else restoreEach(mm, at, next, failed);
		at = next;
	}
}

function anyEntry(mm: Mm, page: u64, last: u64): bool {
	for (let at = page; at < last; at++) if (entryOf(mm, at) != 0) return true;
	return false;
}

function restoreEach(mm: Mm, page: u64, last: u64, failed: bool): void {
	for (let at = page; at < last; at++) {
		const pte = pteOf(mm, at);
		if ((pte & ENTRY_MASK) != PteEntry.migration) continue;
		restore(mm, at, pte, failed ? frameOf(pte) : migrated(frameOf(pte)));
	}
}

/** Whether an rmap walk finds a page there: NUMA hinting does not hide it. */
// @ts-ignore: decorator
@inline
export function isMapped(pte: u32): bool {
	return (pte & Bit.present) != 0 || (pte & ENTRY_MASK) == PteEntry.protnone;
}

/** A page that is one's own and pinned is neither reclaimed nor migrated: page_try_share_anon_rmap fails, and the PTE is put back. */
function isMovablePte(pte: u32): bool {
	if (!isMapped(pte) || frameOf(pte) == ZERO_PAGE) return false;
	const pinnedOwn: u32 = FrameBit.pinned | FrameBit.exclusive;
	return (wordOf(frameOf(pte)) & pinnedOwn) != pinnedOwn;
}

/** A huge mapping that the operation does not work on: the huge zero page; hugetlb has neither reclaim nor NUMA hinting. */
function isLeft(mm: Mm, page: u64, kind: u32): bool {
	return isHugeZero(mm, page) || (kind != Kind.migrate && isHuge(mm, page) && isHugetlbPage(mm, page));
}

/** Huge mappings that a range does not cover whole, or that the operation cannot take whole, are split before its bracket. */
export function splitPartial(mm: Mm, page: u64, pages: u64, kind: u32): void {
	const last = rangeEnd(page, pages);
	for (let at = nextPresent(mm.ptes, page, last); at < last; at = nextPresent(mm.ptes, leafEnd(at, last), last)) {
		if (isLeft(mm, at, kind)) continue;
		if (kind == Kind.reclaim || blockOf(at) < page || blockOf(at) + NODE_ENTRIES > last) splitFirst(mm, at);
	}
}

/** Whether the operation takes the page of a PTE; `huge`: of one PMD, as its first one goes. */
function takes(op: Operation, page: u64, pte: u32, huge: bool, first: u32): bool {
	const kind = op.kind;
	if (kind == Kind.reclaim) return !isLeft(op.mm, page, kind) && isMovablePte(pte);
	if (kind == Kind.migrate) return huge && !isHugeZero(op.mm, page) ? isMapped(pte) : isMovablePte(pte);
	if ((pte & Bit.present) == 0 || inHugetlbVma(op.mm, page)) return false;
	if (huge && (first & Bit.present) != 0 && isFile(frameOf(first))) return inSharedVma(op.mm, page);
	if (huge) return (first & Bit.present) != 0 && frameOf(first) != ZERO_PAGE;
	const frame = frameOf(pte);
	if (isFile(frame)) return inSharedVma(op.mm, page);
	return frame != ZERO_PAGE && (wordOf(frame) & FrameBit.ksm) == 0 && mapcountOf(frame) == 1;
}

/** Whether reclaim, migration or NUMA hinting finds anything in its range; what became huge since the bracket began is split. */
export function decideEntries(op: Operation): bool {
	const mm = op.mm;
	const last = op.last;
	let found = false;
	for (let at = nextPresent(mm.ptes, op.first, last); at < last; at = nextPresent(mm.ptes, at, last)) {
		const next = leafEnd(at, last);
		if (
			op.kind != Kind.reclaim &&
			isHuge(mm, at) &&
			!isLeft(mm, at, op.kind) &&
			(blockOf(at) < op.first || blockOf(at) + NODE_ENTRIES > last)
		)
			splitRange(mm, at, next);
		const huge = isHuge(mm, at);
		const first = pteOf(mm, blockOf(at));
		for (; at < next; at++) if (takes(op, at, pteOf(mm, at), huge, first)) found = true;
	}
	return found;
}

function splitAll(mm: Mm, page: u64, last: u64): void {
	for (let at = nextPresent(mm.ptes, page, last); at < last; at = nextPresent(mm.ptes, leafEnd(at, last), last)) {
		if (!isLeft(mm, at, Kind.reclaim)) splitRange(mm, at, at + 1);
	}
}

/** PTEs become entries. */
export function applyEntries(op: Operation): void {
	const mm = op.mm;
	const last = op.last;
	if (op.kind == Kind.reclaim) splitAll(mm, op.first, last);
	op.placeCount = 0;
	for (let at = nextPresent(mm.ptes, op.first, last); at < last; at = nextPresent(mm.ptes, at, last)) {
		const next = leafEnd(at, last);
		const huge = isHuge(mm, at);
		const first = pteOf(mm, blockOf(at));
		let word = recordIn(mm.ptes, leafOf(mm.ptes, at), at);
		for (; at < next; at++) {
			const pte = load<u32>(word);
			if (takes(op, at, pte, huge, first)) takePte(op, word, pte);
			word += 4;
		}
	}
}

function takePte(op: Operation, word: usize, pte: u32): void {
	const kind = op.kind;
	const frame = frameOf(pte);
	const vma = pte & PteBit.readOnlyVma;
	if (kind != Kind.reclaim) {
		const entry: u32 = kind == Kind.migrate ? PteEntry.migration : PteEntry.protnone;
		store<u32>(word, (pte & ~(ENTRY_MASK | Bit.present)) | entry);
		return;
	}
	if (isFile(frame)) {
		rememberPlace(op, placeOf(frame) - 1);
		store<u32>(word, vma);
		dropWord(pte);
		return;
	}
	const exclusive = (wordOf(frame) & FrameBit.exclusive) != 0;
	if (mapcountOf(frame) > 1) noteSharedWritable();
	const slot = swapOut(frame);
	store<u32>(word, vma | PteEntry.swap | (slot << FRAME_SHIFT) | (exclusive ? <u32>Bit.writable : 0));
	dropWord(pte);
	clearBit(frame, FrameBit.exclusive);
}

/** What nobody maps any more is freed after the range end. */
export function finishReclaim(op: Operation): void {
	const mm = op.mm;
	const last = op.last;
	for (let at = nextPresent(mm.ptes, op.first, last); at < last; at = nextPresent(mm.ptes, at, last)) {
		const next = leafEnd(at, last);
		for (; at < next; at++) {
			const pte = pteOf(mm, at);
			if ((pte & ENTRY_MASK) == PteEntry.swap) dropUnusedCache(frameOf(pte));
		}
	}
	for (let index: u32 = 0; index < op.placeCount; index++) dropUnusedCache(rememberedPlace(op, index));
}

/** copy_nonpresent_pte, and copy_present_pte on what NUMA hinting hides: nothing of it is exclusive or writable after a fork (1.9). */
export function forkEntry(at: usize, pte: u32, page: u64, child: Mm): void {
	const frame = frameOf(pte);
	const kept = pte & ~(<u32>Bit.writable);
	if ((pte & ENTRY_MASK) == PteEntry.swap) addSwapEntry(frame);
	else {
		const pinnedOwn: u32 = FrameBit.pinned | FrameBit.exclusive;
		if ((pte & ENTRY_MASK) == PteEntry.protnone && (wordOf(frame) & pinnedOwn) == pinnedOwn) {
			const copy = allocate();
			shareContent(copy, frame);
			setPte(child, page, copy, writingAllowed(child, page));
			return;
		}
		if (frame != ZERO_PAGE) clearBit(frame, FrameBit.exclusive);
		map(frame);
	}
	store<u32>(at, kept);
	const target = makeRecord(child.ptes, page);
	const old = load<u32>(target);
	store<u32>(target, (kept & ~(<u32>PteBit.readOnlyVma)) | (old & PteBit.readOnlyVma));
	dropWord(old);
}
