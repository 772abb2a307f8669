// What becomes of a range's PTEs with its VMA: fork shares them, mprotect gives and takes rights (kernel.md 1.9, 1.13).
import { forkEntry, unhide } from "./entries.js";
import { isSharedPage } from "./files.js";
import { widened } from "./hugetlb.js";
import { HUGE_PAGES, type Mm, type Pte } from "./mm.js";
import { type Operation, openOperation, type PrimaryChange } from "./operation.js";
import { rangeChange } from "./sites.js";
import { isHugetlb, isWrittenUnnoticed, needsCopy, PAGE_LIMIT } from "./vmas.js";
import type { World } from "./world.js";

/** copy_present_pte: both sides read-only and shared; the pages that `parent` has are counted once more (1.9). */
export function fork(world: World, parent: Mm, page: number, pages: number, child: Mm): PrimaryChange {
	// dup_mmap flushes the parent's mm once, after all of its VMAs: writable entries of the CPUs are gone before the fork returns.
	world.dropHostTlbs(parent.id);
	const change = rangeChange(parent, page, pages, (at) => {
		if (isLeftOut(parent, at)) return;
		const pte = parent.get(at);
		if (pte === undefined) {
			forkEntry(world, parent, at, child);
			return;
		}
		if (pte.frame.pins > 0 && pte.frame.exclusive) {
			child.set(at, world.frames.allocate(pte.frame), child.writingAllowed(at));
			return;
		}
		pte.writable = false;
		if (!pte.frame.zero) pte.frame.exclusive = false;
		child.set(at, pte.frame, false);
	});
	if (child === parent) return change;
	const apply = (): void => {
		child.split(page, pages);
		inherit(parent, page, pages, child);
		change.apply();
		// copy_huge_pmd
		for (const at of parent.hugeIn(page, pages))
			if (at >= page && at + HUGE_PAGES <= page + pages && !isLeftOut(parent, at)) child.makeHuge(at);
	};
	return { ...change, apply };
}

/** A page in a VMA of which copy_page_range copies nothing. */
function isLeftOut(mm: Mm, page: number): boolean {
	const vma = mm.vmas.at(page);
	return vma !== undefined && !needsCopy(vma);
}

/** Whether a fork copies nothing of a range: then it has no bracket either, and the child merely has the VMAs. */
export function copiesNothing(parent: Mm, page: number, pages: number): boolean {
	const vmas = parent.vmas.within(page, pages);
	const covered = vmas.reduce((sum, { first, end }) => sum + end - first, 0);
	return covered > 0 && covered === Math.min(page + pages, PAGE_LIMIT) - page && !vmas.some(needsCopy);
}

export function inherit(parent: Mm, page: number, pages: number, child: Mm): void {
	if (child !== parent) for (const vma of parent.vmas.within(page, pages)) child.vmas.add(vma);
}

/**
 * change_pte_range: taking the right away write-protects; giving it back leaves the PTE read-only unless its page is exclusive and dirty, or a shared
 * mapping need tell nobody of a write. What NUMA hinting hid is there again, with the new rights.
 */
export function protectOperation(mm: Mm, page: number, pages: number, allowed: boolean): Operation {
	return openOperation("protect", mm, ...widened(mm, page, pages), () => {
		mm.allowWriting(page, pages, allowed);
		return rangeChange(mm, page, pages, (at) => protect(mm, at, allowed));
	});
}

function protect(mm: Mm, page: number, allowed: boolean): void {
	const entry = mm.entry(page);
	if (entry?.kind === "migration" && !allowed) entry.pte.writable = false;
	if (entry?.kind === "protnone") unhide(mm, page);
	const pte = mm.get(page);
	if (pte === undefined) return;
	if (!allowed) pte.writable = false;
	else if (mayWriteAgain(mm, page, pte)) pte.writable = true;
}

function mayWriteAgain(mm: Mm, page: number, pte: Pte): boolean {
	const vma = mm.vmas.at(page);
	if (vma !== undefined && isSharedPage(mm, page, pte)) return pte.dirty || isWrittenUnnoticed(vma.kind);
	return pte.frame.exclusive && pte.dirty && !(vma !== undefined && isHugetlb(vma.kind));
}

/**
 * The brackets of mprotect over a VMA (1.13): in each stretch of `stretch` pages one, from the first `step` pages that have anything to the end of the
 * stretch.
 */
export function protectedRanges(mm: Mm, page: number, pages: number, stretch: number, step: number): [page: number, pages: number][] {
	const ranges: [number, number][] = [];
	let end = 0;
	for (const at of mm.mapped(page, pages)) {
		if (at < end) continue;
		const first = Math.max(page, at - (at % step));
		end = Math.min((Math.floor(at / stretch) + 1) * stretch, page + pages);
		ranges.push([first, end - first]);
	}
	return ranges;
}
