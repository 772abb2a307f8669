// hugetlb (kernel.md 1.16): pages of 2 MiB that are faulted in and copied as a whole, and ranges that are wider where page tables may be shared.
import { VmaKind } from "../trace/kinds.js";
import { mapFilePage } from "./files.js";
import { isFile } from "./frames.js";
import { copyPages } from "./huge.js";
import { HUGE_PAGES, type Mm } from "./mm.js";
import { type Operation, openOperation } from "./operation.js";
import { isHugetlb, isSharedKind, PAGE_LIMIT, type Vma } from "./vmas.js";
import type { World } from "./world.js";

/** Pages that one PUD covers. */
export const PUD_PAGES = 2 ** 18;

const firstOf = (page: number): number => page - (page % HUGE_PAGES);

/** The 2 MiB pages that lie in [page, end) whole. */
export const wholeBlocks = (page: number, end: number): [first: number, end: number] => [
	Math.ceil(page / HUGE_PAGES) * HUGE_PAGES,
	firstOf(Math.min(end, PAGE_LIMIT)),
];

/** Whether a page is in a 2 MiB page of hugetlb as it should be: all of it in one VMA. */
export function isHugetlbPage(mm: Mm, page: number): boolean {
	const vma = mm.vmas.at(page);
	return vma !== undefined && isHugetlb(vma.kind) && vma.first <= firstOf(page) && firstOf(page) + HUGE_PAGES <= vma.end;
}

/** Likewise, and nothing of it is there. */
export const isHugetlbNone = (mm: Mm, page: number): boolean =>
	isHugetlbPage(mm, page) && mm.mapped(firstOf(page), HUGE_PAGES).length === 0;

/**
 * hugetlb_no_page, where nothing of the 2 MiB is there. A shared mapping has the file's page, writable at once; a private one has the file's, read-only,
 * where somebody has it in the page cache, and one of its own otherwise.
 */
export function mapHugetlbPage(world: World, mm: Mm, vma: Vma, page: number, write: boolean): void {
	const first = firstOf(page);
	const { frames } = world;
	const allowed = mm.writingAllowed(page);
	const isOwn = !isSharedKind(vma.kind) && !frames.hasFilePage(vma.file, vma.offset + (first - vma.first));
	for (let at = first; at < first + HUGE_PAGES; at++) {
		if (isOwn) mm.set(at, frames.allocate(), write && allowed);
		else mapFilePage(world, mm, vma, at, false);
	}
	mm.makeHuge(first);
}

/** hugetlb_wp: 512 new pages, one PMD, in a bracket of its own. */
export function hugetlbCow(world: World, mm: Mm, page: number): Operation {
	const first = firstOf(page);
	return openOperation("hugetlb-cow", mm, first, HUGE_PAGES, () => {
		const frame = mm.get(first)?.frame;
		const isPrivate = mm.vmas.at(page)?.kind === VmaKind.privateHugetlb && isHugetlbPage(mm, page);
		const copies = isPrivate && mm.isHuge(page) && frame !== undefined && mm.get(first)?.writable !== true;
		if (copies) world.count(isFile(frame) ? "cowCopies.file" : "cowCopies.shared");
		return { changes: copies, frame: null, writable: false, apply: () => copyPages(world, mm, first) };
	});
}

/** adjust_range_if_pmd_sharing_possible: whole PUDs of a shared mapping, as far as the VMA has them. */
export function widened(mm: Mm, page: number, pages: number): [page: number, pages: number] {
	const vma = mm.vmas.at(page);
	if (vma?.kind !== VmaKind.sharedHugetlb || pages === 0) return [page, pages];
	const low = Math.ceil(vma.first / PUD_PAGES) * PUD_PAGES;
	const high = Math.floor(vma.end / PUD_PAGES) * PUD_PAGES;
	const end = page + pages;
	if (high <= low || end <= low || page >= high) return [page, pages];
	const from = page > low ? Math.floor(page / PUD_PAGES) * PUD_PAGES : page;
	const to = end < high ? Math.ceil(end / PUD_PAGES) * PUD_PAGES : end;
	return [from, to - from];
}
