// Mappings of files (kernel.md 1.2, 1.3, 1.10): what a fault finds where nothing is present. The page cache has a reference of its own on each page.
import { VmaKind } from "../trace/kinds.js";
import { isFile } from "./frames.js";
import { splitEdges } from "./huge.js";
import { wholeBlocks } from "./hugetlb.js";
import type { Mm, Pte } from "./mm.js";
import type { PrimaryChange } from "./operation.js";
import { runWhole, zapOperation } from "./sites.js";
import { isHugetlb, isSharedKind, isWrittenUnnoticed, type Vma } from "./vmas.js";
import type { World } from "./world.js";

/** mmap with MAP_FIXED: what was mapped there is unmapped first. */
export function mmap(world: World, mm: Mm, page: number, pages: number, kind: VmaKind, file: number, offset: number): void {
	// mmap(2): EINVAL
	if (pages === 0) return;
	if (mm.mapped(page, pages).length > 0) runWhole(world, zapOperation(world, mm, page, pages));
	mm.vmas.remove(page, pages);
	if (kind === VmaKind.anonymous) return;
	const [first, end] = isHugetlb(kind) ? wholeBlocks(page, page + pages) : [page, page + pages];
	mm.vmas.add({ first, end, kind, file, offset: offset + (first - page), hasAnon: false });
}

/**
 * do_read_fault maps the file's page, read-only but where nobody is told of writes; do_shared_fault maps it writable; do_cow_fault, a write to a
 * private mapping, maps a copy of it, which is none -> present and so nobody's business.
 */
export function mapFilePage(world: World, mm: Mm, vma: Vma, page: number, write: boolean): void {
	const source = world.frames.filePage(vma.file, vma.offset + (page - vma.first));
	const allowed = mm.writingAllowed(page);
	if (isSharedKind(vma.kind)) {
		const pte = mm.set(page, source, allowed && (write || isWrittenUnnoticed(vma.kind)));
		pte.dirty = pte.writable && write;
	} else if (write && allowed) mm.set(page, world.frames.allocate(source), true);
	else mm.set(page, source, false);
}

/**
 * populate_range: zap_pte flushes each page that is there, and leaves a PTE that says where in the file its page is now (1.18). Only what is shared can be
 * mapped so.
 */
export function remapFilePages(world: World, mm: Mm, page: number, pages: number, offset: number): PrimaryChange {
	splitEdges(world, mm, page, pages);
	const apply = (): void => {
		for (const vma of mm.vmas.within(page, pages).filter(({ kind }) => isSharedKind(kind))) {
			for (const at of mm.mapped(vma.first, vma.end - vma.first)) {
				if (mm.get(at) !== undefined) world.flushPrimary(mm.id, at, 1);
				mm.clear(at);
			}
			mm.vmas.add({ ...vma, offset: offset + (vma.first - page) });
		}
	};
	return { changes: mm.vmas.within(page, pages).some(({ kind }) => isSharedKind(kind)), frame: null, writable: false, apply };
}

/** Whether a write to a read-only PTE is a wp_page_shared: the page is the file's own, and stays (1.2). */
export const isSharedPage = (mm: Mm, page: number, pte: Pte): boolean => isFile(pte.frame) && mm.vmas.isShared(page);
