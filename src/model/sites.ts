// The call sites beside KSM, COW and the plain range operations: what each does to the PTEs at its commit (kernel.md 1.7, 1.8, 1.12, 1.13, 1.15, 1.17).
import type { OperationArgs } from "../trace/arguments.js";
import { OpFlag } from "../trace/kinds.js";
import { faultIn, mappedPte, migrate, numaHint, reclaim } from "./entries.js";
import { remapFilePages } from "./files.js";
import { collapseChange, copyHuge, splitEdges, splitFirst } from "./huge.js";
import { hugetlbCow } from "./hugetlb.js";
import { isMovable, type Mm, type Pte } from "./mm.js";
import { type Operation, openOperation, type PrimaryChange } from "./operation.js";
import { beginOperation, commitOperation, endOperation } from "./steps.js";
import type { World } from "./world.js";

export const UNCHANGED: PrimaryChange = { changes: false, frame: null, writable: false, apply: () => undefined };

/** A range operation: `apply` to every PTE that is not none; nothing is mapped by it. */
export function rangeChange(mm: Mm, page: number, pages: number, change: (page: number) => void): PrimaryChange {
	return { changes: true, frame: null, writable: false, apply: () => mm.mapped(page, pages).forEach(change) };
}

/** munmap (`unmaps`: the VMA goes too), MADV_DONTNEED, truncate (1.14). */
export function zapOperation(world: World, mm: Mm, page: number, pages: number, unmaps = true): Operation {
	return openOperation("zap", mm, page, pages, () => {
		splitEdges(world, mm, page, pages);
		const change = rangeChange(mm, page, pages, (at) => mm.clear(at));
		const apply = (): void => {
			change.apply();
			if (unmaps) mm.vmas.remove(page, pages);
		};
		return { ...change, apply };
	});
}

/** An operation with a step table, in one piece. */
export function runWhole(world: World, operation: Operation): void {
	beginOperation(world, operation);
	commitOperation(world, operation);
	endOperation(world, operation);
}

/** __replace_page: the breakpoint is in a copy of its own, so the content differs; the mapping is private and stays read-only (1.7). */
function replaceForUprobe(world: World, mm: Mm, page: number): PrimaryChange {
	faultIn(world, mm, page, false);
	const fresh = world.frames.allocate();
	return { changes: true, frame: fresh, writable: false, old: mm.get(page)?.frame, apply: () => void mm.set(page, fresh, false) };
}

/** migrate_vma_insert_page: only where there is nothing, or the zero page, in anonymous memory; nothing is flushed where there was nothing (1.8). */
function insertMigrated(world: World, mm: Mm, page: number): PrimaryChange {
	const old = mm.get(page)?.frame;
	if (mm.vmas.at(page) !== undefined || mm.entry(page) !== undefined || (old !== undefined && !old.zero)) return UNCHANGED;
	const fresh = world.frames.allocate(old);
	const writable = mm.writingAllowed(page);
	const extent = old === undefined ? "appeared" : "all";
	return { changes: true, frame: fresh, writable, extent, apply: () => void mm.set(page, fresh, writable) };
}

/** page_mkclean_one: PTEs that are writable or dirty lose both, and only then there is a flush (1.12). */
function mkclean(mm: Mm, page: number, pages: number): PrimaryChange {
	const marked = mm.mapped(page, pages).filter((at) => mappedPte(mm, at)?.writable === true || mappedPte(mm, at)?.dirty === true);
	if (marked.length === 0) return UNCHANGED;
	return changeEach(mm, marked, (pte) => {
		writeProtect(pte);
		pte.dirty = false;
	});
}

function writeProtect(pte: Pte): void {
	pte.writable = false;
}

function changeEach(mm: Mm, pages: readonly number[], change: (pte: Pte) => void): PrimaryChange {
	const apply = (): void => {
		for (const at of pages) {
			const pte = mappedPte(mm, at);
			if (pte !== undefined) change(pte);
		}
	};
	return { changes: true, frame: null, writable: false, apply };
}

/**
 * move_page_tables: none -> present at the new place, without a notifier (1.17). A huge mapping moves as such where both places are aligned, and is
 * split first otherwise; what was mapped at the new place was unmapped before (MREMAP_FIXED).
 */
function moveTables(world: World, mm: Mm, page: number, pages: number, to: number): Operation {
	const isApart = to >= page + pages || page >= to + pages;
	if (isApart) {
		if (mm.mapped(to, pages).length > 0) runWhole(world, zapOperation(world, mm, to, pages));
		for (const at of mm.hugeIn(page, pages)) if (!isMovable(at, page, pages, to)) splitFirst(world, mm, at);
	}
	return openOperation("mremap", mm, page, pages, () => {
		if (!isApart || pages === 0 || mm.mapped(to, pages).length > 0) return UNCHANGED;
		return { changes: true, frame: null, writable: false, apply: () => mm.move(page, pages, to) };
	});
}

/** The operation that a record of one of these sites begins. */
export function siteOperation(world: World, name: string, mm: Mm, page: number, args: OperationArgs): Operation {
	const pages = args.get("pages");
	switch (name) {
		case "uprobeReplace": {
			const failed = (args.get("flags") & OpFlag.failed) !== 0;
			return openOperation("uprobe-replace", mm, page, 1, () => (failed ? UNCHANGED : replaceForUprobe(world, mm, page)));
		}
		case "migrateVma":
			return openOperation("migrate-vma", mm, page, pages, () => (pages === 0 ? UNCHANGED : insertMigrated(world, mm, page)));
		case "mkclean":
			return openOperation("mkclean", mm, page, pages, () => mkclean(mm, page, pages));
		case "softDirty":
			return openOperation("soft-dirty", mm, page, pages, () => changeEach(mm, mm.mapped(page, pages), writeProtect));
		case "hugeCow":
			return openOperation("huge-cow", mm, page, pages, () => copyHuge(world, mm, page));
		case "mremap":
			return moveTables(world, mm, page, pages, args.get("to"));
		case "reclaim":
			return reclaim(world, mm, page, pages);
		case "migrate":
			return migrate(world, mm, page, pages);
		case "numaHint":
			return numaHint(world, mm, page, pages);
		case "hugetlbCow":
			return hugetlbCow(world, mm, page);
		case "remapFilePages":
			return openOperation("remap-file-pages", mm, page, pages, () => remapFilePages(world, mm, page, pages, args.get("offset")));
		case "thpCollapse":
			return openOperation("thp-collapse", mm, page, pages, () => UNCHANGED);
		case "thpCollapsed":
			return openOperation("thp-collapse", mm, page, pages, () => collapseChange(world, mm, page, pages));
		default:
			return openOperation("invalidate", mm, page, pages, () => UNCHANGED);
	}
}
