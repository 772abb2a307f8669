// PTEs that are not present and not none: swap entries, migration entries, and those that NUMA hinting made inaccessible (kernel.md 1.10, 1.11, 1.13).
import { type Frame, isFile, type SwapSlot } from "./frames.js";
import { isHugeZero, splitFirst } from "./huge.js";
import { isHugetlbPage, widened } from "./hugetlb.js";
import { type Entry, HUGE_PAGES, type Mm, type Pte } from "./mm.js";
import { type Operation, openOperation, type PrimaryChange } from "./operation.js";
import { isHugetlb } from "./vmas.js";
import type { World } from "./world.js";

/** A fault on an entry makes it present again; on one of a huge PMD, all of it. A migration that is in progress is over by then. */
export function faultIn(world: World, mm: Mm, page: number, write: boolean): void {
	if (!mm.isHuge(page)) {
		resolve(world, mm, page, write);
		return;
	}
	const first = page - (page % HUGE_PAGES);
	for (let at = first; at < first + HUGE_PAGES; at++) resolve(world, mm, at, write && at === page);
}

function resolve(world: World, mm: Mm, page: number, write: boolean): void {
	const entry = mm.entry(page);
	if (entry === undefined) return;
	if (entry.kind === "swap") swapIn(world, mm, page, entry, write);
	else if (entry.kind === "migration") restore(world, mm, page, entry.pte, false);
	else setAgain(mm, page, entry.pte, entry.pte.frame);
}

/** The PTE with its recorded rights, of this frame. */
function setAgain(mm: Mm, page: number, { writable, dirty }: Pte, frame: Frame): void {
	mm.set(page, frame, writable).dirty = dirty;
}

/** do_numa_page: the page is accessible again; of a huge PMD, all of it. */
export function unhide(mm: Mm, page: number): void {
	const [first, count] = mm.isHuge(page) ? [page - (page % HUGE_PAGES), HUGE_PAGES] : [page, 1];
	for (let at = first; at < first + count; at++) {
		const entry = mm.entry(at);
		if (entry?.kind === "protnone") setAgain(mm, at, entry.pte, entry.pte.frame);
	}
}

/**
 * do_swap_page (1.10): the page from the swap cache, or a new one that goes there. Exclusive, and written: writable at once; otherwise read-only, and
 * a write goes on into do_wp_page. What was a KSM page is a new page for every mapping but the first (ksm_might_need_to_copy).
 */
function swapIn(world: World, mm: Mm, page: number, entry: Extract<Entry, { kind: "swap" }>, write: boolean): void {
	const { frames } = world;
	const { slot } = entry;
	const isCopy = slot.cached !== null && slot.ksm && slot.cached.kpage === 0;
	const frame = isCopy && slot.cached !== null ? frames.allocate(slot.cached) : frames.swapPage(slot);
	const { exclusive } = entry;
	const pte = mm.set(page, frame, false);
	const isOwn = frame.kpage === 0 && (isCopy || exclusive || (write && frame.mapcount + frame.holds === 1));
	frame.exclusive = isOwn;
	pte.writable = isOwn && write && mm.writingAllowed(page);
	pte.dirty = pte.writable;
}

/** remove_migration_pte (1.11): the new page with the recorded rights; the same page where the migration failed. */
function restore(world: World, mm: Mm, page: number, pte: Pte, failed: boolean): void {
	setAgain(mm, page, pte, failed ? pte.frame : world.frames.migrated(pte.frame));
}

/** remove_migration_ptes over a range; a huge PMD comes back as a whole. */
export function restoreMigrated(world: World, mm: Mm, page: number, pages: number, failed: boolean): void {
	for (const at of mm.entriesIn(page, pages)) {
		const [first, count] = mm.isHuge(at) ? [at - (at % HUGE_PAGES), HUGE_PAGES] : [at, 1];
		for (let one = first; one < first + count; one++) {
			const entry = mm.entry(one);
			if (entry?.kind === "migration") restore(world, mm, one, entry.pte, failed);
		}
	}
}

/** A page that is one's own and pinned is neither reclaimed nor migrated: page_try_share_anon_rmap fails, and the PTE is put back. */
const isPinnedOwn = (pte: Pte): boolean => pte.frame.exclusive && pte.frame.pins > 0;

/** The PTE of a mapping that the rmap walk finds: NUMA hinting does not hide it. */
export function mappedPte(mm: Mm, page: number): Pte | undefined {
	const entry = mm.entry(page);
	return entry?.kind === "protnone" ? entry.pte : mm.get(page);
}

function movable(mm: Mm, page: number): Pte | undefined {
	const pte = mappedPte(mm, page);
	return pte === undefined || pte.frame.zero || isPinnedOwn(pte) ? undefined : pte;
}

const unlessNone = (pages: readonly number[], apply: () => void, finish?: () => void): PrimaryChange => ({
	changes: pages.length > 0,
	frame: null,
	writable: false,
	apply,
	...(finish === undefined ? {} : { finish }),
});

type Walk = "reclaim" | "migrate" | "numa-hint";

/** A huge mapping that the operation does not work on: the huge zero page; hugetlb has neither reclaim nor NUMA hinting. */
const isLeft = (mm: Mm, page: number, kind: Walk): boolean =>
	isHugeZero(mm, page) || (kind !== "migrate" && mm.isHuge(page) && isHugetlbPage(mm, page));

/** Huge mappings that a range does not cover whole, or that the operation cannot take whole, are split before its bracket. */
function splitPartial(world: World, mm: Mm, page: number, pages: number, kind: Walk): void {
	for (const at of mm.hugeIn(page, pages))
		if (!isLeft(mm, at, kind) && (kind === "reclaim" || at < page || at + HUGE_PAGES > page + pages)) splitFirst(world, mm, at);
}

/** try_to_unmap (1.11): swap entries, or nothing where a file has the page; what nobody maps any more is freed after the range end. */
export function reclaim(world: World, mm: Mm, page: number, pages: number): Operation {
	splitPartial(world, mm, page, pages, "reclaim");
	return openOperation("reclaim", mm, page, pages, () => {
		const found = mm.mapped(page, pages).filter((at) => !isLeft(mm, at, "reclaim") && movable(mm, at) !== undefined);
		const unmapped = new Set<SwapSlot>();
		const apply = (): void => {
			for (const at of mm.hugeIn(page, pages)) if (!isLeft(mm, at, "reclaim")) mm.split(at, HUGE_PAGES);
			for (const at of found) {
				const pte = movable(mm, at);
				if (pte === undefined) continue;
				const { slot } = pte.frame;
				if (slot?.file === true) {
					mm.clear(at);
					unmapped.add(slot);
					continue;
				}
				const { exclusive } = pte.frame;
				mm.put(at, { kind: "swap", slot: world.frames.swapOut(pte.frame), exclusive });
				pte.frame.exclusive = false;
			}
		};
		const finish = (): void => {
			for (const at of mm.entriesIn(page, pages)) {
				const entry = mm.entry(at);
				if (entry?.kind === "swap") world.frames.dropUnusedCache(entry.slot);
			}
			for (const slot of unmapped) world.frames.dropUnusedCache(slot);
		};
		return unlessNone(found, apply, finish);
	});
}

/** try_to_migrate (1.11): migration entries that keep rights and dirty bit; a huge PMD becomes one as a whole. */
export function migrate(world: World, mm: Mm, page: number, pages: number): Operation {
	splitPartial(world, mm, page, pages, "migrate");
	return openOperation("migrate", mm, ...widened(mm, page, pages), () => {
		splitSilently(mm, page, pages, "migrate");
		const found = mm
			.mapped(page, pages)
			.filter((at) => (mm.isHuge(at) && !isHugeZero(mm, at) ? mappedPte(mm, at) : movable(mm, at)) !== undefined);
		return unlessNone(found, () => {
			for (const at of found) {
				const pte = mappedPte(mm, at);
				if (pte !== undefined) mm.put(at, { kind: "migration", pte });
			}
		});
	});
}

/** change_prot_numa (1.13): not KSM and zero pages, and not what a fork or a private mapping of a file shares, although the bracket has zapped them all. */
export function numaHint(world: World, mm: Mm, page: number, pages: number): Operation {
	splitPartial(world, mm, page, pages, "numa-hint");
	return openOperation("numa-hint", mm, page, pages, () => {
		splitSilently(mm, page, pages, "numa-hint");
		const found = mm.present(page, pages).filter((at) => {
			const { frame } = mm.get(mm.isHuge(at) ? at - (at % HUGE_PAGES) : at) ?? { frame: world.frames.zeroPage };
			const vma = mm.vmas.at(at);
			if (vma !== undefined && isHugetlb(vma.kind)) return false;
			if (isFile(frame)) return mm.vmas.isShared(at);
			return !frame.zero && (mm.isHuge(at) || (frame.kpage === 0 && frame.mapcount === 1));
		});
		return unlessNone(found, () => {
			for (const at of found) {
				const pte = mm.get(at);
				if (pte !== undefined) mm.put(at, { kind: "protnone", pte });
			}
		});
	});
}

/** What became huge since the bracket began and is not covered whole. */
function splitSilently(mm: Mm, page: number, pages: number, kind: Walk): void {
	for (const at of mm.hugeIn(page, pages))
		if (!isLeft(mm, at, kind) && (at < page || at + HUGE_PAGES > page + pages)) mm.split(at, HUGE_PAGES);
}

/** copy_nonpresent_pte, and copy_present_pte on what NUMA hinting hides: nothing of it is exclusive or writable after a fork (1.9). */
export function forkEntry(world: World, parent: Mm, page: number, child: Mm): void {
	const entry = parent.entry(page);
	if (entry === undefined) return;
	if (entry.kind === "swap") {
		entry.exclusive = false;
		child.put(page, { kind: "swap", slot: world.frames.addSwapEntry(entry.slot), exclusive: false });
		return;
	}
	const { pte, kind } = entry;
	if (kind === "protnone" && isPinnedOwn(pte)) {
		child.set(page, world.frames.allocate(pte.frame), child.writingAllowed(page));
		return;
	}
	pte.writable = false;
	if (!pte.frame.zero) pte.frame.exclusive = false;
	child.put(page, { kind, pte: { ...pte } });
}
