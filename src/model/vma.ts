// What becomes of a range's PTEs with its VMA: fork shares them, mprotect gives and takes rights (kernel.md 1.9, 1.13).
import { forkEntry, unhide } from "./entries.js";
import { HUGE_PAGES, type Mm } from "./mm.js";
import type { PrimaryChange } from "./operation.js";
import { rangeChange } from "./sites.js";
import type { World } from "./world.js";

/** copy_present_pte: both sides read-only and shared; the pages that `parent` has are counted once more (1.9). */
export function fork(world: World, parent: Mm, page: number, pages: number, child: Mm): PrimaryChange {
	// dup_mmap flushes the parent's mm once, after all of its VMAs: writable entries of the CPUs are gone before the fork returns.
	world.dropHostTlbs(parent.id);
	const change = rangeChange(parent, page, pages, (at) => {
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
		change.apply();
		// copy_huge_pmd
		for (const at of parent.hugeIn(page, pages)) if (at >= page && at + HUGE_PAGES <= page + pages) child.makeHuge(at);
	};
	return { ...change, apply };
}

/**
 * change_pte_range: taking the right away write-protects; giving it back leaves the PTE read-only unless its page is exclusive and dirty. What NUMA
 * hinting hid is there again, with the new rights.
 */
export function protect(mm: Mm, page: number, allowed: boolean): void {
	const entry = mm.entry(page);
	if (entry?.kind === "migration" && !allowed) entry.pte.writable = false;
	if (entry?.kind === "protnone") unhide(mm, page);
	const pte = mm.get(page);
	if (pte === undefined) return;
	if (!allowed) pte.writable = false;
	else if (pte.frame.exclusive && pte.dirty) pte.writable = true;
}
