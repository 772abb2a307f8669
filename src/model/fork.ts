// What becomes of a range's PTEs with its VMA: fork shares them, mprotect gives and takes rights (kernel.md 1.9, 1.13).
import { VmaKind } from "../trace/kinds.js";
import { forkEntry, unhide } from "./entries.js";
import { isSharedPage } from "./files.js";
import { HUGE_PAGES, type Mm } from "./mm.js";
import type { PrimaryChange } from "./operation.js";
import { rangeChange } from "./sites.js";
import { needsCopy, PAGE_LIMIT } from "./vmas.js";
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
export function protect(mm: Mm, page: number, allowed: boolean): void {
	const entry = mm.entry(page);
	if (entry?.kind === "migration" && !allowed) entry.pte.writable = false;
	if (entry?.kind === "protnone") unhide(mm, page);
	const pte = mm.get(page);
	if (pte === undefined) return;
	if (!allowed) pte.writable = false;
	else if (isSharedPage(mm, page, pte) ? pte.dirty || mm.vmas.at(page)?.kind === VmaKind.sharedMemory : pte.frame.exclusive && pte.dirty)
		pte.writable = true;
}
