// PTEs of an mm by hva page (kernel.md 1). What happens here follows from the causes alone, so that one table serves all strategies.

import { faultIn } from "./entries";
import { mapFilePage } from "./files";
import {
	allocate,
	FrameBit,
	frameAt,
	isAlwaysCopied,
	isFile,
	isPinned,
	locked,
	map,
	mapcountOf,
	noteSharedWritable,
	referencesOf,
	setBit,
	unmap,
	wordOf,
	ZERO_PAGE,
} from "./frames";
import { Hint } from "./generated/constants";
import { isHugetlbNone, isHugetlbPage, mapHugetlbPage } from "./hugetlb";
import { Bit, ENTRY_MASK, FRAME_SHIFT, PteBit, PteEntry } from "./layout";
import { findRecord, makeRecord, vmaReadOnly } from "./pagetable";
import { dropSwapEntry } from "./swap";
import { vmaAt } from "./vmas";
import { copiesRecorded, exists, Mm } from "./world";

/** The PTE of a page; without the present bit where there is none. */
// @ts-ignore: decorator
@inline
export function pteOf(mm: Mm, page: u64): u32 {
	const at = findRecord(mm.ptes, page);
	return at == 0 ? 0 : load<u32>(at);
}

// @ts-ignore: decorator
@inline
export function frameOf(pte: u32): u32 {
	return pte >> FRAME_SHIFT;
}

/** Whether a PTE lets an access through. */
// @ts-ignore: decorator
@inline
export function pteAllows(pte: u32, write: bool): bool {
	const need: u32 = write ? Bit.present | Bit.writable : Bit.present;
	return (pte & need) == need;
}

/** What a page's PTE is if neither present nor none: a PteEntry; 0 otherwise. */
export function entryOf(mm: Mm, page: u64): u32 {
	return pteOf(mm, page) & ENTRY_MASK;
}

/** Whether a PTE is not none. */
// @ts-ignore: decorator
@inline
export function isSomething(pte: u32): bool {
	return (pte & (Bit.present | ENTRY_MASK)) != 0;
}

/** What a PTE led to loses this reference. */
export function dropWord(pte: u32): void {
	if (!isSomething(pte)) return;
	if ((pte & ENTRY_MASK) == PteEntry.swap) dropSwapEntry(frameOf(pte));
	else unmap(frameOf(pte));
}

/** set_pte: the old page or entry, if any, goes. */
export function setPte(mm: Mm, page: u64, frame: u32, writable: bool): void {
	const at = makeRecord(mm.ptes, page);
	const old = load<u32>(at);
	map(frame);
	const rights: u32 = writable ? Bit.present | Bit.writable | PteBit.dirty : Bit.present;
	store<u32>(at, (frame << FRAME_SHIFT) | rights | (old & PteBit.readOnlyVma));
	if (exists(mm.firstVma) && frame != ZERO_PAGE && !isFile(frame)) noteOwn(mm, page);
	dropWord(old);
}

/** A VMA has a page that is not its file's. */
function noteOwn(mm: Mm, page: u64): void {
	const vma = vmaAt(mm, page);
	if (exists(vma)) vma.hasAnon = true;
}

/** Change bits of a PTE that is there. */
// @ts-ignore: decorator
@inline
export function changePte(mm: Mm, page: u64, clear: u32, set: u32): void {
	const at = findRecord(mm.ptes, page);
	store<u32>(at, (load<u32>(at) & ~clear) | set);
}

/** The PTE at an address goes. */
export function clearPteAt(at: usize): void {
	const old = load<u32>(at);
	if (!isSomething(old)) return;
	store<u32>(at, old & PteBit.readOnlyVma);
	dropWord(old);
}

// @ts-ignore: decorator
@inline
export function writingAllowed(mm: Mm, page: u64): bool {
	return !vmaReadOnly(mm.ptes, page);
}

/** A page of which there is nothing: a write gets a private page, a read the zero page; where a file is mapped: files.ts. */
export function populateFresh(mm: Mm, page: u64, write: bool): void {
	const vma = vmaAt(mm, page);
	if (exists(vma) && isHugetlbNone(mm, page)) mapHugetlbPage(mm, vma, page, write);
	else if (exists(vma)) mapFilePage(mm, vma, page, write);
	else if (write) setPte(mm, page, allocate(), writingAllowed(mm, page));
	else setPte(mm, page, ZERO_PAGE, false);
}

/** handle_mm_fault on a page that is not present: an entry resolves; else it is a first touch, or finds what the VMM had put there (1.10). */
export function populateNone(mm: Mm, page: u64, write: bool, filled: bool): void {
	if (entryOf(mm, page) != 0) faultIn(mm, page, write);
	else populateFresh(mm, page, write || filled);
}

/** The PTE after a fault on an entry, or of hugetlb; 0 where there was nothing: it is populated then, and no more is to be done. */
export function presentAfterFault(mm: Mm, page: u64, write: bool): u32 {
	const wasNone = entryOf(mm, page) == 0;
	populateNone(mm, page, write, false);
	return wasNone && !isHugetlbPage(mm, page) ? 0 : pteOf(mm, page);
}

/** do_wp_page's choice (1.2): what is nobody's own is always copied; otherwise what the trace records, and what the references say. */
export function mustCopy(frame: u32, hint: u32): bool {
	// AnonExclusive and maybe pinned: never replaced (kernel.md 4).
	if (isPinned(frame)) return false;
	if (isAlwaysCopied(frame) || hint == Hint.copy) return true;
	if (hint == Hint.reuse) return false;
	if (locked == frame) return true;
	if ((wordOf(frame) & FrameBit.exclusive) != 0) return false;
	return !copiesRecorded && referencesOf(frame) > 1;
}

/** A private page that is written again where it is. */
export function reusePage(mm: Mm, page: u64): void {
	const frame = frameOf(pteOf(mm, page));
	changePte(mm, page, 0, Bit.writable | PteBit.dirty);
	if (!isFile(frame)) setBit(frame, FrameBit.exclusive);
	// References that a trace does not show can make the kernel reuse a page that others map.
	if (mapcountOf(frame) > 1) noteSharedWritable();
}

/** write_protect_page acts only if the PTE is writable, dirty, or its page exclusive (1.4). */
export function canProtect(pte: u32): bool {
	if ((pte & Bit.present) == 0) return false;
	return (pte & (Bit.writable | PteBit.dirty)) != 0 || (load<u32>(frameAt(frameOf(pte))) & FrameBit.exclusive) != 0;
}
