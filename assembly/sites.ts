// The call sites beside KSM, COW and the plain range operations: what each does to the PTEs at its commit (kernel.md 1.7, 1.8, 1.12, 1.13, 1.15, 1.17).
import { newMapping, rangeEnd, shareWith } from "./change";
import { countAll } from "./counters";
import { applyEntries, decideEntries, faultIn, faultInRange, finishReclaim, isMapped } from "./entries";
import { remapFilePages } from "./files";
import { allocate, isFile, ZERO_PAGE } from "./frames";
import { Counter, Kind, OpFlag } from "./generated/constants";
import { isHuge, makeHuge, splitEdges, splitFirst } from "./huge";
import { copiesHugetlb } from "./hugetlb";
import { Bit, NODE_ENTRIES, PAGE_LIMIT, PteBit } from "./layout";
import { Operation, wholeOperation } from "./operation";
import { comparePages } from "./oracle";
import { leafEnd, leafOf, makeRecord, nextPresent, recordIn, setVmaReadOnly } from "./pagetable";
import { frameOf, isSomething, pteOf, setPte, writingAllowed } from "./primary";
import { begin, commit, end } from "./steps";
import { anySharedVmaIn, anyVmaIn, moveVmas, vmaAt } from "./vmas";
import { exists, Mm } from "./world";

/** Which steps under the lock run: those of a change, the flush of one that is put back, or set-pte alone where nothing was mapped. */
export const enum Extent {
	none = 0,
	all = 1,
	/** The PTE is cleared, flushed and put back as it was (write_protect_page on a pinned page, 1.4). */
	restored = 2,
	/** none -> present: nothing to flush, no notifier (1.8). */
	appeared = 3,
}

/** Whether one of these sites changes anything, and which steps run. */
export function decideSite(op: Operation): Extent {
	const mm = op.mm;
	switch (op.kind) {
		case Kind.uprobeReplace:
			if ((op.flags & OpFlag.failed) != 0) return Extent.none;
			// The breakpoint is in a copy of its own, so the content differs; the mapping is private and stays read-only (1.7).
			faultIn(mm, op.page, false);
			newMapping(allocate(), false);
			return Extent.all;
		case Kind.migrateVma:
			return op.pages == 0 ? Extent.none : insertMigrated(mm, op.page);
		case Kind.mkclean:
			// Only where a PTE loses something there is a flush (1.12).
			return withBits(op, Bit.writable | PteBit.dirty, false) ? Extent.all : Extent.none;
		case Kind.hugeCow:
			return copiesHuge(mm, op.page) ? Extent.all : Extent.none;
		case Kind.mremap:
			return op.pages != 0 && isApart(op.page, op.pages, op.to) && !anyIn(mm, op.to, op.to + op.pages) ? Extent.all : Extent.none;
		case Kind.hugetlbCow:
			if (!copiesHugetlb(mm, op.page)) return Extent.none;
			countAll(isFile(frameOf(pteOf(mm, op.page))) ? Counter.cowCopies_file : Counter.cowCopies_shared);
			return Extent.all;
		case Kind.remapFilePages:
			splitEdges(mm, op.page, rangeEnd(op.page, op.pages));
			return anySharedVmaIn(mm, op.page, rangeEnd(op.page, op.pages)) ? Extent.all : Extent.none;
		case Kind.thpCollapse:
			return collapses(op) ? Extent.all : Extent.none;
		case Kind.reclaim:
		case Kind.migrate:
		case Kind.numaHint:
			return decideEntries(op) ? Extent.all : Extent.none;
		default:
			return Extent.all;
	}
}

/** migrate_vma_insert_page: only where there is nothing, or the zero page, in anonymous memory; nothing is flushed where there was nothing (1.8). */
function insertMigrated(mm: Mm, page: u64): Extent {
	const pte = pteOf(mm, page);
	const present = (pte & Bit.present) != 0;
	if (exists(vmaAt(mm, page)) || (isSomething(pte) && !(present && frameOf(pte) == ZERO_PAGE))) return Extent.none;
	const fresh = allocate();
	if (present) shareWith(fresh, ZERO_PAGE);
	newMapping(fresh, writingAllowed(mm, page));
	return present ? Extent.all : Extent.appeared;
}

/** Whether any PTE of the range that is there has one of some bits; to `strip` them, each that has any loses them. */
function withBits(op: Operation, bits: u32, strip: bool): bool {
	const table = op.mm.ptes;
	const last = rangeEnd(op.page, op.pages);
	let any = false;
	for (let at = nextPresent(table, op.page, last); at < last; at = nextPresent(table, at, last)) {
		const next = leafEnd(at, last);
		let word = recordIn(table, leafOf(table, at), at);
		for (; at < next; at++) {
			const pte = load<u32>(word);
			if (isMapped(pte) && (pte & bits) != 0) {
				if (!strip) return true;
				store<u32>(word, pte & ~bits);
				any = true;
			}
			word += 4;
		}
	}
	return any;
}

/** Every PTE of a range that is there loses some bits. */
export function stripPtes(op: Operation, bits: u32): void {
	withBits(op, bits, true);
}

/** do_huge_pmd_wp_page until 5.7: a read-only huge page is copied as a whole, but not the huge zero page (1.15). */
function copiesHuge(mm: Mm, page: u64): bool {
	const pte = pteOf(mm, blockOf(page));
	if (!isHuge(mm, page) || (pte & Bit.present) == 0 || (pte & Bit.writable) != 0 || frameOf(pte) == ZERO_PAGE) return false;
	if (exists(vmaAt(mm, blockOf(page)))) return false;
	countAll(Counter.cowCopies_shared);
	return true;
}

/** collapse_huge_page: the PTEs of one aligned PMD go before the range end; they are copied to a huge page after it (1.15). */
function collapses(op: Operation): bool {
	if ((op.flags & OpFlag.changed) == 0 || op.pages != NODE_ENTRIES || (op.page & (NODE_ENTRIES - 1)) != 0) return false;
	if (anyVmaIn(op.mm, op.page, op.page + NODE_ENTRIES)) return false;
	return !isHuge(op.mm, op.page) && anyIn(op.mm, op.page, op.page + NODE_ENTRIES);
}

/** set_pte of these sites. */
export function applySite(op: Operation): void {
	if (op.kind == Kind.hugeCow || op.kind == Kind.hugetlbCow) copyPages(op.mm, blockOf(op.page));
	else if (op.kind == Kind.mremap) moveRange(op.mm, op.page, rangeEnd(op.page, op.pages), op.to);
	else if (op.kind == Kind.remapFilePages) remapFilePages(op.mm, op.page, rangeEnd(op.page, op.pages), op.to);
	else if (op.kind == Kind.reclaim || op.kind == Kind.migrate || op.kind == Kind.numaHint) applyEntries(op);
}

/** What follows the range end. */
export function finishSite(op: Operation): void {
	if (op.kind == Kind.reclaim) finishReclaim(op);
	if (op.kind != Kind.thpCollapse || isHuge(op.mm, op.page)) return;
	copyPages(op.mm, op.page);
	makeHuge(op.mm, op.page);
	comparePages(op.mm, op.page, NODE_ENTRIES);
}

/** 512 new pages with the content of those that are there. */
function copyPages(mm: Mm, first: u64): void {
	faultInRange(mm, first, first + NODE_ENTRIES);
	const writable = writingAllowed(mm, first);
	for (let at = first; at < first + NODE_ENTRIES; at++) {
		const fresh = allocate();
		shareWith(fresh, frameOf(pteOf(mm, at)));
		setPte(mm, at, fresh, writable);
	}
}

// @ts-ignore: decorator
@inline
function blockOf(page: u64): u64 {
	return page & ~(<u64>NODE_ENTRIES - 1);
}

/** A huge mapping moves as such where it moves whole, to an aligned place. */
function isMovable(block: u64, page: u64, last: u64, to: u64): bool {
	return block >= page && block + NODE_ENTRIES <= last && ((to - page) & (NODE_ENTRIES - 1)) == 0;
}

function isApart(page: u64, pages: u64, to: u64): bool {
	return to >= page + pages || page >= to + pages;
}

/**
 * Before mremap's own bracket: a huge mapping moves as such where both places are aligned, and is split first otherwise; what was mapped at the new
 * place was unmapped before (MREMAP_FIXED).
 */
export function prepareMove(mm: Mm, page: u64, pages: u64, to: u64): void {
	if (!isApart(page, pages, to)) return;
	const table = mm.ptes;
	unmapRange(mm, to, pages);
	const last = rangeEnd(page, pages);
	for (let at = nextPresent(table, page, last); at < last; at = nextPresent(table, leafEnd(at, last), last)) {
		if (!isMovable(blockOf(at), page, last, to)) splitFirst(mm, at);
	}
}

/** munmap of what a new mapping takes the place of; its bracket runs where anything is mapped. */
export function unmapRange(mm: Mm, page: u64, pages: u64): void {
	if (!anyIn(mm, page, rangeEnd(page, pages))) return;
	const zap = wholeOperation(Kind.zap, mm, page, pages);
	begin(zap);
	commit(zap);
	end(zap);
}

/** Whether any PTE of a range is not none. */
function anyIn(mm: Mm, page: u64, last: u64): bool {
	for (let at = nextPresent(mm.ptes, page, last); at < last; at = nextPresent(mm.ptes, at, last)) {
		const next = leafEnd(at, last);
		for (; at < next; at++) if (isSomething(pteOf(mm, at))) return true;
	}
	return false;
}

/** move_page_tables: none -> present at the new place, without a notifier; whether the VMA allows writing moves too (1.17). */
function moveRange(mm: Mm, page: u64, last: u64, to: u64): void {
	const table = mm.ptes;
	const allowed = writingAllowed(mm, page);
	for (let at = nextPresent(table, page, last); at < last; at = nextPresent(table, at, last)) {
		const next = leafEnd(at, last);
		const leaf = leafOf(table, at);
		const huge = isHuge(mm, at);
		const block = blockOf(at);
		let word = recordIn(table, leaf, at);
		for (; at < next; at++) {
			const pte = load<u32>(word);
			if (isSomething(pte)) {
				store<u32>(word, pte & PteBit.readOnlyVma);
				const target = makeRecord(table, at - page + to);
				store<u32>(target, (load<u32>(target) & PteBit.readOnlyVma) | (pte & ~(<u32>PteBit.readOnlyVma)));
			}
			word += 4;
		}
		if (!huge) continue;
		store<u32>(leaf, 0);
		if (isMovable(block, page, last, to)) makeHuge(mm, block - page + to);
	}
	moveVmas(mm, page, last, to);
	setVmaReadOnly(table, to, to + (last - page), !allowed);
	setVmaReadOnly(table, page, last, false);
	comparePages(mm, to, last - page);
}

/** A target beyond what a page table can hold. */
export function isBeyond(to: u64, pages: u64): bool {
	return to >= PAGE_LIMIT || pages > PAGE_LIMIT - to;
}
