// Mappings of files (kernel.md 1.2, 1.3, 1.10): what a fault finds where nothing is present, and the page cache. A page of a file is a place like one in
// swap (swap.ts), of which the file itself is the user that never goes; the page cache has a reference of its own on the frame.
import { rangeEnd, shareWith } from "./change";
import { countAll } from "./counters";
import { allocate, clearBit, FrameBit, isFile, map, noteSharedWritable, setBit } from "./frames";
import { Counter, VmaKind } from "./generated/constants";
import { flushThreads } from "./host";
import { splitRange } from "./huge";
import { Bit, NODE_ENTRIES, PteBit } from "./layout";
import { findRecord, leafEnd, makeRecord, nextPresent } from "./pagetable";
import { clearPteAt, frameOf, pteOf, setPte, writingAllowed } from "./primary";
import { unmapRange } from "./sites";
import { isCached, swapPage } from "./swap";
import { get, resetTable, set, TABLE_BYTES, Table } from "./table";
import { addVma, inSharedVma, isHugetlb, isSharedKind, isWrittenUnnoticed, nextVma, removeVmas, Vma } from "./vmas";
import { exists, Mm } from "./world";

/** Places by file << 40 | page. */
const pages = changetype<Table>(memory.data(<i32>TABLE_BYTES));

export function resetFiles(): void {
	resetTable(pages);
}

/** A page of a file: from the page cache, or read into it (filemap_fault). */
function filePage(file: u32, page: u64): u32 {
	const key = ((<u64>file) << 40) | page;
	let place = get(pages, key);
	if (place == 0) {
		place = allocate();
		clearBit(place, FrameBit.exclusive);
		setBit(place, FrameBit.file);
		map(place);
		set(pages, key, place);
	}
	return swapPage(place);
}

/** Whether the page cache has a page of a file. */
export function hasFilePage(file: u32, page: u64): bool {
	const place = get(pages, ((<u64>file) << 40) | page);
	return place != 0 && isCached(place);
}

/** mmap with MAP_FIXED: what was mapped there is unmapped first. */
export function mapFile(mm: Mm, page: u64, count: u64, kind: u32, file: u32, offset: u64): void {
	// mmap(2): EINVAL
	if (count == 0) return;
	const end = rangeEnd(page, count);
	unmapRange(mm, page, count);
	removeVmas(mm, page, end);
	if (kind == VmaKind.anonymous) return;
	if (isHugetlb(kind)) {
		// Pages of 2 MiB, whole ones only.
		const first = (page + NODE_ENTRIES - 1) & ~(<u64>NODE_ENTRIES - 1);
		const last = end & ~(<u64>NODE_ENTRIES - 1);
		addVma(mm, first, last, kind, file, offset + (first - page));
	} else addVma(mm, page, end, kind, file, offset);
	// One can write to its pages while others have copies of them.
	if (isSharedKind(kind)) noteSharedWritable();
}

/**
 * do_read_fault maps the file's page, read-only but where nobody is told of writes; do_shared_fault maps it writable; do_cow_fault, a write to a
 * private mapping, maps a copy of it, which is none -> present and so nobody's business.
 */
export function mapFilePage(mm: Mm, vma: Vma, page: u64, write: bool): void {
	const source = filePage(vma.file, vma.offset + (page - vma.first));
	const allowed = writingAllowed(mm, page);
	if (isSharedKind(vma.kind)) {
		setPte(mm, page, source, allowed && (write || isWrittenUnnoticed(vma.kind)));
		const at = makeRecord(mm.ptes, page);
		if (!write) store<u32>(at, load<u32>(at) & ~(<u32>PteBit.dirty));
	} else if (write && allowed) {
		const copy = allocate();
		shareWith(copy, source);
		setPte(mm, page, copy, true);
	} else setPte(mm, page, source, false);
}

/**
 * populate_range: zap_pte flushes each page that is there, and leaves a PTE that says where in the file its page is now (1.18). Only what is shared can be
 * mapped so.
 */
export function remapFilePages(mm: Mm, page: u64, end: u64, offset: u64): void {
	for (let vma = nextVma(mm, page); exists(vma) && vma.first < end; ) {
		const first = max<u64>(vma.first, page);
		const last = min<u64>(vma.end, end);
		if (isSharedKind(vma.kind)) {
			splitRange(mm, first, last);
			zapEach(mm, first, last);
			addVma(mm, first, last, vma.kind, vma.file, offset + (first - page));
		}
		vma = nextVma(mm, last);
	}
}

function zapEach(mm: Mm, page: u64, end: u64): void {
	for (let at = nextPresent(mm.ptes, page, end); at < end; at = nextPresent(mm.ptes, at, end)) {
		const next = leafEnd(at, end);
		for (; at < next; at++) {
			const word = findRecord(mm.ptes, at);
			if ((load<u32>(word) & Bit.present) != 0) {
				countAll(Counter.flush_primaryTlb);
				flushThreads(mm, at, 1);
			}
			clearPteAt(word);
		}
	}
}

/** Whether a write to a read-only PTE is a wp_page_shared: the page is the file's own, and stays (1.2). */
export function isSharedPage(mm: Mm, page: u64): bool {
	return isFile(frameOf(pteOf(mm, page))) && inSharedVma(mm, page);
}
