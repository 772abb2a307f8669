// What an operation does to the primary PTEs, decided once at its commit, whatever the strategies make of it (kernel.md 1.3 to 1.14).
import { shareContent } from "./contents";
import { countAll } from "./counters";
import { faultIn, forkEntry, unhide } from "./entries";
import {
	allocate,
	becomeKsm,
	clearBit,
	FrameBit,
	isFile,
	isPinned,
	ksmFrame,
	lock,
	sharedWritable,
	UNLOCKED,
	wordOf,
	ZERO_PAGE,
} from "./frames";
import { Counter, Kind, OpFlag } from "./generated/constants";
import { emptyThreads } from "./host";
import { isHuge, makeHuge, splitEdges, splitRange } from "./huge";
import { Bit, ENTRY_MASK, NODE_ENTRIES, PAGE_LIMIT, PteBit, PteEntry, TlbBit } from "./layout";
import { Operation } from "./operation";
import { comparePages } from "./oracle";
import { leafEnd, leafOf, nextPresent, recordIn, setVmaReadOnly } from "./pagetable";
import { canProtect, changePte, clearPteAt, frameOf, isSomething, pteOf, setPte, writingAllowed } from "./primary";
import { applySite, decideSite, Extent, stripPtes } from "./sites";
import { stripBit } from "./tlb";
import { inHugetlbVma, inheritVmas, isLeftOut, isSharedKind, isWrittenUnnoticed, removeVmas, vmaAt } from "./vmas";
import { exists, firstVcpu, Mm, mmOf, strategies, tlbOf } from "./world";

/** The one new PTE of an eligible operation, for change_pte; NO_FRAME if it maps none. */
export let newFrame: u32 = 0;
export let newWritable: bool = false;
// @ts-ignore: decorator
@inline
export const NO_FRAME: u32 = 0xffff_ffff;

/** End of a range that a record gives, clipped to what a page table can hold. */
// @ts-ignore: decorator
@inline
export function rangeEnd(page: u64, pages: u64): u64 {
	return min<u64>(page + pages, PAGE_LIMIT);
}

export function newMapping(frame: u32, writable: bool): void {
	newFrame = frame;
	newWritable = writable;
}

/** None: the PTEs are not what the operation expected (recheck, pte_same), or there is nothing to change. */
export function decide(op: Operation): Extent {
	newFrame = NO_FRAME;
	newWritable = false;
	const kind = op.kind;
	if (kind >= <u32>Kind.thpCollapse) return decideSite(op);
	if (kind == Kind.protect) setVmaReadOnly(op.mm.ptes, op.first, op.last, (op.flags & OpFlag.writable) == 0);
	if (kind == Kind.zap) splitEdges(op.mm, op.page, rangeEnd(op.page, op.pages));
	if (kind == Kind.zap || kind == Kind.protect || kind == Kind.fork || kind == Kind.thpSplit) return Extent.all;
	if (kind == Kind.invalidate || (op.flags & OpFlag.failed) != 0) return Extent.none;
	if (kind == Kind.cow || kind == Kind.unshare) decideCopy(op.mm, op.page, kind == Kind.unshare);
	else if (kind == Kind.ksmReplace) decideReplace(op);
	else {
		// write_protect_page (1.4)
		const pte = anonymous(op.mm, op.page);
		if ((op.flags & OpFlag.changed) == 0 || isPinned(frameOf(pte))) {
			if (!canProtect(pte)) return Extent.none;
			// page_mapcount + 1 + swapped != page_count: -EFAULT.
			if ((wordOf(frameOf(pte)) & FrameBit.held) != 0) return Extent.restored;
		}
		newFrame = frameOf(pte);
	}
	return Extent.all;
}

/** The page on which the fault, ksmd or uprobes keep a reference of their own until after the range end (1.3, 1.5, 1.7); NO_FRAME if none. */
export function oldPage(op: Operation): u32 {
	const kind = op.kind;
	if (kind != Kind.cow && kind != Kind.unshare && kind != Kind.ksmReplace && kind != Kind.uprobeReplace) return NO_FRAME;
	const pte = pteOf(op.mm, op.page);
	return (pte & Bit.present) != 0 ? frameOf(pte) : NO_FRAME;
}

/** The PTE of a page that KSM works on: one that the trace has not shown as a present anonymous page was filled unseen. */
function anonymous(mm: Mm, page: u64): u32 {
	faultIn(mm, page, false);
	const pte = pteOf(mm, page);
	if ((pte & Bit.present) == 0 || frameOf(pte) == ZERO_PAGE || isFile(frameOf(pte))) setPte(mm, page, allocate(), true);
	return pteOf(mm, page);
}

/** wp_page_copy: a new page with the old one's content. */
function decideCopy(mm: Mm, page: u64, unshare: bool): void {
	faultIn(mm, page, false);
	const pte = pteOf(mm, page);
	const isMapped = (pte & Bit.present) != 0;
	const source = frameOf(pte);
	newFrame = allocate();
	if (isMapped) shareWith(newFrame, source);
	if (unshare) countAll(Counter.cowCopies_unshare);
	else if (isMapped && source == ZERO_PAGE) countAll(Counter.cowCopies_zero);
	else if (isMapped && (wordOf(source) & FrameBit.ksm) != 0) {
		countAll(Counter.cowCopies_ksm);
		countAll(Counter.cowBreaks);
	} else countAll(isMapped && isFile(source) ? Counter.cowCopies_file : Counter.cowCopies_shared);
	newWritable = !unshare && writingAllowed(mm, page);
}

/** replace_page: the mapping moves to the KSM page (or the zero page), which has the same content (1.5). */
function decideReplace(op: Operation): void {
	faultIn(op.mm, op.page, false);
	lock(UNLOCKED);
	const isZero = (op.flags & OpFlag.zeroPage) != 0;
	newFrame = isZero ? ZERO_PAGE : ksmFrame(op.kpage);
	if (isZero) countAll(Counter.ksmZeroMerges);
	else if ((op.flags & OpFlag.undone) == 0) countAll(Counter.ksmMerges);
}

/** Two frames have the same content from now on, so a store to either has something to note again. */
export function shareWith(frame: u32, source: u32): void {
	shareContent(frame, source);
	// Who could store to them without a fault has lost its TLB entry in this very operation, or is suspect; with one exception.
	if (!sharedWritable) return;
	for (let vcpu = firstVcpu; exists(vcpu); vcpu = vcpu.next) {
		for (let strategy: u32 = 0; strategy < strategies; strategy++) stripBit(tlbOf(vcpu, strategy), TlbBit.ownContent);
	}
}

/** set_pte, or what a range operation does to each of its PTEs. */
export function apply(op: Operation): void {
	const kind = op.kind;
	const mm = op.mm;
	const page = op.page;
	if (kind == Kind.cow || kind == Kind.unshare || kind == Kind.uprobeReplace || kind == Kind.migrateVma)
		setPte(mm, page, newFrame, newWritable);
	else if (kind == Kind.mkclean) stripPtes(op, Bit.writable | PteBit.dirty);
	else if (kind == Kind.softDirty) stripPtes(op, Bit.writable);
	else if (kind >= <u32>Kind.thpCollapse) applySite(op);
	else if (kind == Kind.ksmWriteProtect) {
		changePte(mm, page, Bit.writable | PteBit.dirty, 0);
		clearBit(newFrame, FrameBit.exclusive);
	} else if (kind == Kind.ksmReplace) {
		const pte = pteOf(mm, page);
		if ((pte & Bit.present) != 0) shareWith(frameOf(pte), newFrame);
		setPte(mm, page, newFrame, false);
	} else applyRange(op);
	// dup_mmap flushes the parent's mm once, after all of its VMAs: writable entries of the CPUs are gone before the fork returns (1.9).
	if (kind == Kind.fork) emptyThreads(mm);
}

function applyRange(op: Operation): void {
	const table = op.mm.ptes;
	const end = op.last;
	if (op.kind == Kind.thpSplit && exists(op.mm.firstVma)) dropFilePages(op.mm, op.page, end);
	if (op.kind == Kind.thpSplit || op.kind == Kind.zap) splitRange(op.mm, op.page, end);
	if (op.kind == Kind.thpSplit) return;
	if (op.kind == Kind.zap && op.unmaps) removeVmas(op.mm, op.page, end);
	const child = op.kind == Kind.fork ? mmOf(op.child) : op.mm;
	if (op.kind == Kind.fork && child != op.mm) splitRange(child, op.page, end);
	if (op.kind == Kind.fork) inheritVmas(op.mm, op.page, end, child);
	const mayLeaveOut = op.kind == Kind.fork && exists(op.mm.firstVma);
	for (let at = nextPresent(table, op.first, end); at < end; at = nextPresent(table, at, end)) {
		const first = at;
		const next = leafEnd(at, end);
		let word = recordIn(table, leafOf(table, at), at);
		for (; at < next; at++) {
			const pte = load<u32>(word);
			if (isSomething(pte) && !(mayLeaveOut && isLeftOut(op.mm, at))) {
				if (op.kind == Kind.zap) clearPteAt(word);
				else if (op.kind == Kind.protect) protectPte(op.mm, at, word, (op.flags & OpFlag.writable) != 0);
				else if ((pte & Bit.present) != 0) forkPte(word, pte, at, child);
				else forkEntry(word, pte, at, child);
			}
			word += 4;
		}
		// copy_huge_pmd
		if (op.kind == Kind.fork && child != op.mm && isHuge(op.mm, at - 1) && next - first == NODE_ENTRIES && !isLeftOut(op.mm, first))
			makeHuge(child, first);
	}
}

/** __split_huge_pmd of a file's pages: they go, for a fault to find them again (1.15). */
function dropFilePages(mm: Mm, page: u64, last: u64): void {
	for (let at = nextPresent(mm.ptes, page, last); at < last; at = nextPresent(mm.ptes, leafEnd(at, last), last)) {
		if (!isHuge(mm, at)) continue;
		let word = recordIn(mm.ptes, leafOf(mm.ptes, at), at & ~(<u64>NODE_ENTRIES - 1));
		for (let index: u32 = 0; index < NODE_ENTRIES; index++) {
			if ((load<u32>(word) & Bit.present) != 0 && isFile(frameOf(load<u32>(word)))) clearPteAt(word);
			word += 4;
		}
	}
}

/**
 * change_pte_range: taking the right away write-protects; giving it back leaves the PTE read-only unless its page is exclusive and dirty, or a shared
 * mapping need tell nobody of a write. What NUMA hinting hid is there again, with the new rights.
 */
function protectPte(mm: Mm, page: u64, at: usize, allowed: bool): void {
	const entry = load<u32>(at) & ENTRY_MASK;
	if (entry == PteEntry.protnone) unhide(mm, page, at);
	const pte = load<u32>(at);
	if (entry == PteEntry.swap) return;
	if (!allowed) store<u32>(at, pte & ~(<u32>Bit.writable));
	else if (entry == PteEntry.migration) return;
	else if (isFile(frameOf(pte))) {
		const vma = vmaAt(mm, page);
		if (!exists(vma) || !isSharedKind(vma.kind)) return;
		if ((pte & PteBit.dirty) != 0 || isWrittenUnnoticed(vma.kind)) store<u32>(at, pte | Bit.writable);
	} else if (inHugetlbVma(mm, page)) return;
	else if ((pte & PteBit.dirty) != 0 && (wordOf(frameOf(pte)) & FrameBit.exclusive) != 0) store<u32>(at, pte | Bit.writable);
}

/** copy_present_pte: both sides read-only and shared (1.9). */
function forkPte(at: usize, pte: u32, page: u64, child: Mm): void {
	const frame = frameOf(pte);
	const pinnedOwn: u32 = FrameBit.pinned | FrameBit.exclusive;
	if ((wordOf(frame) & pinnedOwn) == pinnedOwn) {
		// Copied at once: the parent's stays as it is.
		const copy = allocate();
		shareWith(copy, frame);
		setPte(child, page, copy, writingAllowed(child, page));
		return;
	}
	store<u32>(at, pte & ~(<u32>Bit.writable));
	if (frame != ZERO_PAGE) clearBit(frame, FrameBit.exclusive);
	setPte(child, page, frame, false);
}

/** The write-protected page itself becomes KSM page `kpage` (try_to_merge_one_page returned 0 without one). */
export function promote(mm: Mm, page: u64, kpage: u32, undone: bool): void {
	lock(UNLOCKED);
	const before = pteOf(mm, page);
	if ((before & Bit.present) != 0 && isPinned(frameOf(before))) return;
	if (!undone) countAll(Counter.ksmMerges);
	splitRange(mm, page, page + 1);
	const pte = anonymous(mm, page);
	changePte(mm, page, Bit.writable, 0);
	becomeKsm(frameOf(pte), kpage);
	comparePages(mm, page, 1);
}
