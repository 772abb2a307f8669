// hugetlb (kernel.md 1.16): pages of 2 MiB that are faulted in and copied as a whole, and ranges that are wider where page tables may be shared.
import { hasFilePage, mapFilePage } from "./files";
import { allocate } from "./frames";
import { Kind, VmaKind } from "./generated/constants";
import { isHuge, makeHuge } from "./huge";
import { Bit, NODE_ENTRIES } from "./layout";
import { Operation, wholeOperation } from "./operation";
import { findRecord } from "./pagetable";
import { isSomething, pteOf, setPte, writingAllowed } from "./primary";
import { begin, commit, end } from "./steps";
import { isHugetlb, isSharedKind, Vma, vmaAt } from "./vmas";
import { exists, Mm } from "./world";

/** Pages that one PUD covers. */
// @ts-ignore: decorator
@inline
export const PUD_PAGES: u64 = 1 << 18;

// @ts-ignore: decorator
@inline
export function blockOf(page: u64): u64 {
	return page & ~(<u64>NODE_ENTRIES - 1);
}

/** Whether a page is in a 2 MiB page of hugetlb as it should be: all of it in one VMA. */
export function isHugetlbPage(mm: Mm, page: u64): bool {
	const vma = vmaAt(mm, page);
	return exists(vma) && isHugetlb(vma.kind) && vma.first <= blockOf(page) && blockOf(page) + NODE_ENTRIES <= vma.end;
}

/** Likewise, and nothing of it is there. */
export function isHugetlbNone(mm: Mm, page: u64): bool {
	if (!isHugetlbPage(mm, page)) return false;
	const first = findRecord(mm.ptes, blockOf(page));
	if (first == 0) return true;
	for (let index: usize = 0; index < NODE_ENTRIES; index++) if (isSomething(load<u32>(first + (index << 2)))) return false;
	return true;
}

/**
 * hugetlb_no_page, where nothing of the 2 MiB is there. A shared mapping has the file's page, writable at once; a private one has the file's, read-only,
 * where somebody has it in the page cache, and one of its own otherwise.
 */
export function mapHugetlbPage(mm: Mm, vma: Vma, page: u64, write: bool): void {
	const first = blockOf(page);
	const writable = write && writingAllowed(mm, page);
	const isOwn = !isSharedKind(vma.kind) && !hasFilePage(vma.file, vma.offset + (first - vma.first));
	for (let at = first; at < first + NODE_ENTRIES; at++) {
		if (isOwn) setPte(mm, at, allocate(), writable);
		else mapFilePage(mm, vma, at, false);
	}
	makeHuge(mm, first);
}

/** Whether hugetlb_wp copies: a read-only page of a private mapping. */
export function copiesHugetlb(mm: Mm, page: u64): bool {
	const vma = vmaAt(mm, page);
	if (!exists(vma) || vma.kind != VmaKind.privateHugetlb || !isHugetlbPage(mm, page) || !isHuge(mm, page)) return false;
	const first = pteOf(mm, blockOf(page));
	return (first & Bit.present) != 0 && (first & Bit.writable) == 0;
}

/** hugetlb_wp: 512 new pages, one PMD, in a bracket of its own. */
export function copyHugetlb(mm: Mm, page: u64): void {
	const operation = wholeOperation(Kind.hugetlbCow, mm, blockOf(page), NODE_ENTRIES);
	begin(operation);
	commit(operation);
	end(operation);
}

/** adjust_range_if_pmd_sharing_possible: the bracket has whole PUDs of a shared mapping, as far as the VMA has them; the PTEs are those of the range. */
export function widen(op: Operation): void {
	const vma = vmaAt(op.mm, op.page);
	if (!exists(vma) || vma.kind != VmaKind.sharedHugetlb || op.pages == 0) return;
	const low = (vma.first + PUD_PAGES - 1) & ~(PUD_PAGES - 1);
	const high = vma.end & ~(PUD_PAGES - 1);
	const last = op.page + op.pages;
	if (high <= low || last <= low || op.page >= high) return;
	const from = op.page > low ? op.page & ~(PUD_PAGES - 1) : op.page;
	const to = last < high ? (last + PUD_PAGES - 1) & ~(PUD_PAGES - 1) : last;
	op.page = from;
	op.pages = to - from;
}
