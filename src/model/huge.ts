// Huge mappings (kernel.md 1.15, 3.4, 3.6): a PMD that maps 512 pages, and the 2 MiB leaf that KVM makes of it.

import { faultIn } from "./entries.js";
import { populateFresh } from "./fault.js";
import { type Frame, isFile } from "./frames.js";
import { HUGE_PAGES, type Mm, type Pte } from "./mm.js";
import { type Operation, openOperation, type PrimaryChange } from "./operation.js";
import { makeSpte } from "./spte.js";
import { beginOperation, commitOperation, endOperation } from "./steps.js";
import type { Spte, Vm } from "./vm.js";
import type { Vcpu, World } from "./world.js";

const firstOf = (page: number): number => page - (page % HUGE_PAGES);

/** __split_huge_pmd as an operation: the PTEs keep their pages; those of a file go, for a fault to find them again (1.15). */
export function splitOperation(mm: Mm, page: number, pages: number): Operation {
	const apply = (): void => {
		const dropped = mm.hugeIn(page, pages).flatMap((first) => filePages(mm, first));
		mm.split(page, pages);
		for (const at of dropped) mm.clear(at);
	};
	return openOperation("thp-split", mm, page, pages, () => ({ changes: true, frame: null, writable: false, apply }));
}

function filePages(mm: Mm, first: number): number[] {
	return mm.present(first, HUGE_PAGES).filter((at) => {
		const pte = mm.get(at);
		return pte !== undefined && isFile(pte.frame);
	});
}

/** The huge zero page, which no rmap walk finds (1.15). */
export const isHugeZero = (mm: Mm, page: number): boolean => mm.isHuge(page) && mm.get(firstOf(page))?.frame.zero === true;

/** What works on one page of a huge mapping splits it first, in a bracket of its own; nothing to do where the trace has the split. */
export function splitFirst(world: World, mm: Mm, page: number): void {
	if (!mm.isHuge(page)) return;
	const operation = splitOperation(mm, firstOf(page), HUGE_PAGES);
	beginOperation(world, operation);
	commitOperation(world, operation);
	endOperation(world, operation);
}

/** zap_pmd_range: a PMD that a range covers in part is split first, in a bracket of 2 MiB, within that of the range. */
export function splitEdges(world: World, mm: Mm, page: number, pages: number): void {
	if (pages === 0) return;
	if (page % HUGE_PAGES !== 0) splitFirst(world, mm, page);
	if ((page + pages) % HUGE_PAGES !== 0) splitFirst(world, mm, page + pages - 1);
}

/** The 512 pages around `page` are there, and one PMD maps them. */
export function populateHuge(world: World, mm: Mm, page: number): void {
	faultIn(world, mm, page, false);
	if (mm.isHuge(page)) return;
	const first = firstOf(page);
	for (const at of mm.entriesIn(first, HUGE_PAGES)) faultIn(world, mm, at, false);
	for (let at = first; at < first + HUGE_PAGES; at++) if (mm.get(at) === undefined) populateFresh(world, mm, at, true);
	mm.makeHuge(page);
}

/** Entries of a leaf at the host's mapping level: one, or the 512 of a 2 MiB leaf. True for the latter. */
export function setLeaf(world: World, vcpu: Vcpu, as: number, gfn: number, page: number, pte: Pick<Pte, "frame" | "writable">): boolean {
	const { vm } = vcpu;
	const root = vm.root(as);
	// One leaf, one memslot.
	const writable = !vm.readOnly(as, gfn);
	const first = vm.mm.isHuge(page) ? vm.hugeStart(as, gfn) : undefined;
	if (first === undefined) {
		dropHugeLeaf(world, vm, as, gfn);
		replaceLeaf(world, vcpu, gfn, [root.entry(gfn)], root.entry(gfn), pte.frame);
		setSpte(world, root.entry(gfn), pte, writable, false);
		root.addLeafTable(gfn);
		return false;
	}
	const entries = Array.from({ length: HUGE_PAGES }, (_, at) => root.entry(first + at));
	replaceLeaf(world, vcpu, gfn, entries, root.entry(gfn), pte.frame);
	// A leaf in the place of a table: what the table mapped may still be in TLBs (tdp_mmu_map_handle_target_level, mmu_set_spte).
	if (root.hasLeafTable(first)) world.flushGuest(vm, null, [{ as, gfn: first, pages: HUGE_PAGES }]);
	root.removeLeafTable(first);
	let moved = false;
	for (let at = 0; at < HUGE_PAGES; at++) {
		const other = vm.mm.get(page - gfn + first + at);
		if (other === undefined) continue;
		const entry = root.entry(first + at);
		if (entry.huge && entry.frame !== other.frame) moved = true;
		setSpte(world, entry, other, writable, true);
	}
	// Other pages under a leaf that stands: no kernel does that, a trace that populates over pages does.
	if (moved) for (const holder of world.vcpusOf(vm)) world.emptyTlb(holder);
	return true;
}

/**
 * What the fault's leaf was before. A leaf that gets another page while it is present is one that no notifier took away: the TDP MMU stops there
 * (__handle_changed_spte, I-7), the legacy MMU drops it and flushes.
 */
function replaceLeaf(world: World, vcpu: Vcpu, gfn: number, entries: readonly Spte[], own: Spte, frame: Frame): void {
	world.count(own.frame === null ? "spteInstalled" : "spteChanged");
	const isLeaf = own.frame !== null && own.huge === entries.length > 1;
	const isOther = isLeaf && own.frame !== frame;
	if (isOther && world.host.mmu === "legacy") world.flushGuest(vcpu.vm, null);
	else if (isOther) world.violate("I-7", `vm${vcpu.vm.id} vcpu${vcpu.id}`, gfn);
	// A table that a leaf replaces goes entry by entry; the same leaf with more rights tells nobody.
	if (isOther) world.handOver(entries);
	else if (!isLeaf) for (const entry of entries) if (entry.frame !== null) world.handOver([entry]);
}

/** A 2 MiB leaf where a table is needed is zapped (kvm_tdp_mmu_map). */
function dropHugeLeaf(world: World, vm: Vm, as: number, gfn: number): void {
	const root = vm.root(as);
	if (root.entry(gfn).huge && world.zapSpte(root, gfn, "other", null))
		world.flushGuest(vm, null, [{ as, gfn: firstOf(gfn), pages: HUGE_PAGES }]);
}

function setSpte(world: World, spte: Spte, pte: Pick<Pte, "frame" | "writable">, writable: boolean, huge: boolean): void {
	makeSpte(world.host, spte, pte.frame, pte.writable && writable, false);
	spte.established = false;
	spte.huge = huge;
}

/** do_huge_pmd_wp_page until 5.7: a read-only huge page is copied as a whole, but not the huge zero page (1.15). */
export function copyHuge(world: World, mm: Mm, page: number): PrimaryChange {
	const first = firstOf(page);
	const pte = mm.get(first);
	const copies = mm.isHuge(page) && pte !== undefined && !pte.writable && !pte.frame.zero && mm.vmas.at(first) === undefined;
	if (copies) world.count("cowCopies.shared");
	return { changes: copies, frame: null, writable: false, apply: () => copyPages(world, mm, first) };
}

/** collapse_huge_page: the PTEs of one aligned PMD go before the range end; they are copied to a huge page after it (1.15). */
export function collapseChange(world: World, mm: Mm, page: number, pages: number): PrimaryChange {
	const isWhole = pages === HUGE_PAGES && page % HUGE_PAGES === 0 && mm.vmas.within(page, pages).length === 0;
	const collapses = isWhole && !mm.isHuge(page) && mm.mapped(page, pages).length > 0;
	const finish = (): void => {
		if (mm.isHuge(page)) return;
		copyPages(world, mm, page);
		mm.makeHuge(page);
	};
	return { changes: collapses, frame: null, writable: false, apply: () => undefined, finish };
}

/** 512 new pages with the content of those that are there. */
export function copyPages(world: World, mm: Mm, first: number): void {
	for (const at of mm.entriesIn(first, HUGE_PAGES)) faultIn(world, mm, at, false);
	const writable = mm.writingAllowed(first);
	for (let at = first; at < first + HUGE_PAGES; at++)
		mm.set(at, world.frames.allocate(mm.get(at)?.frame ?? world.frames.zeroPage), writable);
}
