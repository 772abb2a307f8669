// The COW break as an operation that an access makes: by a guest's fault or by a host thread (kernel.md 1.2, 1.3).
import { Hint } from "../trace/kinds.js";
import { faultIn } from "./entries.js";
import { populateFresh } from "./fault.js";
import { isSharedPage } from "./files.js";
import { type Frame, isFile } from "./frames.js";
import { splitFirst } from "./huge.js";
import { hugetlbCow, isHugetlbPage } from "./hugetlb.js";
import { HUGE_PAGES, type Mm, type Pte } from "./mm.js";
import { openOperation, type PrimaryChange } from "./operation.js";
import { runWhole } from "./sites.js";
import type { World } from "./world.js";

/** Pinned while it was exclusive: nobody replaces it (kernel.md 1.4, 4). */
export const isPinned = (frame: Frame | undefined): boolean => frame !== undefined && frame.pins > 0 && frame.exclusive;

/** KSM pages, zero pages and pages of files are nobody's own: a private mapping never reuses them (1.2, 1.3). */
export const isAlwaysCopied = (frame: Frame): boolean => frame.zero || frame.kpage !== 0 || isFile(frame);

/** do_wp_page's choice (1.2): what is nobody's own is always copied; otherwise what the trace records, and what the references say. */
function mustCopy(world: World, pte: Pte, hint: number): boolean {
	const { frame } = pte;
	// AnonExclusive and maybe pinned: never replaced (kernel.md 4).
	if (isPinned(frame)) return false;
	if (isAlwaysCopied(frame) || hint === Hint.copy) return true;
	if (hint === Hint.reuse || frame.exclusive) return world.locked === frame.id && hint !== Hint.reuse;
	if (world.locked === frame.id) return true;
	return !world.options.copiesRecorded && frame.mapcount + frame.holds > 1;
}

/** wp_page_reuse, of a shared mapping too (finish_mkwrite_fault), or the whole PMD where it is a huge one: no notifier of any kind (1.2, 1.15, I-16). */
function reuse(world: World, mm: Mm, page: number): void {
	world.count("cowReuses");
	const pages = mm.isHuge(page) ? HUGE_PAGES : 1;
	const first = pages === 1 ? page : page - (page % HUGE_PAGES);
	for (let at = first; at < first + pages; at++) {
		const pte = mm.get(at);
		if (pte === undefined) continue;
		pte.writable = true;
		pte.dirty = true;
		if (!isFile(pte.frame)) pte.frame.exclusive = true;
	}
}

/** wp_page_copy as an operation: what becomes of the PTE. */
export function cowChange(world: World, mm: Mm, page: number, unshare: boolean): PrimaryChange {
	faultIn(world, mm, page, false);
	const old = mm.get(page);
	const source = old?.frame;
	const fresh = world.frames.allocate(source);
	if (unshare) world.count("cowCopies.unshare");
	else if (source?.zero === true) world.count("cowCopies.zero");
	else if (source !== undefined && source.kpage !== 0) {
		world.count("cowCopies.ksm");
		world.count("cowBreaks");
	} else world.count(source !== undefined && isFile(source) ? "cowCopies.file" : "cowCopies.shared");
	const writable = !unshare && mm.writingAllowed(page);
	return { changes: true, frame: fresh, writable, old: source, apply: () => void mm.set(page, fresh, writable) };
}

/** A write fault on a read-only PTE, by whoever: copy in one piece, or reuse. Says whether it copied. */
export function breakOrReuse(world: World, mm: Mm, page: number, pte: Pte, hint: number): boolean {
	if (isSharedPage(mm, page, pte) || !mustCopy(world, pte, hint)) {
		reuse(world, mm, page);
		return false;
	}
	if (mm.isHuge(page) && isHugetlbPage(mm, page)) {
		runWhole(world, hugetlbCow(world, mm, page));
		return true;
	}
	splitFirst(world, mm, page);
	if (mm.get(page) === undefined) {
		// The split of a file's huge mapping has left nothing: do_cow_fault.
		populateFresh(world, mm, page, true);
		return false;
	}
	const operation = openOperation("cow", mm, page, 1, () => cowChange(world, mm, page, false));
	runWhole(world, operation);
	return true;
}
