// The VMAs of an mm that are not private anonymous memory (kernel.md 1.2, 1.3, 1.9, 1.10): what of which file they map. In a list by page; none overlap.
import { VmaKind } from "./generated/constants";
import { give, take } from "./heap";
import { exists, Mm } from "./world";

@unmanaged
export class Vma {
	first: u64;
	end: u64;
	/** Page of the file at `first`. */
	offset: u64;
	file: u32;
	/** A VmaKind. */
	kind: u32;
	/** It has had a page of its own (anon_vma): a fork copies its PTEs. */
	hasAnon: bool;
	next: Vma;
}

/** VM_SHARED: no COW mapping (is_cow_mapping). */
// @ts-ignore: decorator
@inline
export function isSharedKind(kind: u32): bool {
	return kind == VmaKind.sharedFile || isWrittenUnnoticed(kind);
}

// @ts-ignore: decorator
@inline
export function isHugetlb(kind: u32): bool {
	return kind == VmaKind.privateHugetlb || kind == VmaKind.sharedHugetlb;
}

/** Nobody is told of the first write: a PTE that allows writing may be made at once. */
// @ts-ignore: decorator
@inline
export function isWrittenUnnoticed(kind: u32): bool {
	return kind == VmaKind.sharedMemory || kind == VmaKind.sharedHugetlb;
}

/** copy_page_range leaves out what a fault fills as well: VMAs without a page of their own, all shared ones among them (vma_needs_copy). */
function needsCopy(vma: Vma): bool {
	return vma.hasAnon && !isSharedKind(vma.kind);
}

/** The VMA of a page; address 0: private anonymous memory. */
export function vmaAt(mm: Mm, page: u64): Vma {
	const found = mm.foundVma;
	if (exists(found) && page >= found.first && page < found.end) return found;
	for (let vma = mm.firstVma; exists(vma) && vma.first <= page; vma = vma.next) {
		if (page >= vma.end) continue;
		mm.foundVma = vma;
		return vma;
	}
	return changetype<Vma>(0);
}

export function inHugetlbVma(mm: Mm, page: u64): bool {
	const vma = vmaAt(mm, page);
	return exists(vma) && isHugetlb(vma.kind);
}

/** Whether a page is in a shared mapping. */
export function inSharedVma(mm: Mm, page: u64): bool {
	const vma = vmaAt(mm, page);
	return exists(vma) && isSharedKind(vma.kind);
}

/** Whether a fork leaves a page out. */
export function isLeftOut(mm: Mm, page: u64): bool {
	const vma = vmaAt(mm, page);
	return exists(vma) && !needsCopy(vma);
}

export function anyVmaIn(mm: Mm, page: u64, end: u64): bool {
	for (let vma = mm.firstVma; exists(vma) && vma.first < end; vma = vma.next) if (vma.end > page) return true;
	return false;
}

export function anySharedVmaIn(mm: Mm, page: u64, end: u64): bool {
	for (let vma = mm.firstVma; exists(vma) && vma.first < end; vma = vma.next)
		if (vma.end > page && page < end && isSharedKind(vma.kind)) return true;
	return false;
}

/** The first VMA with a page at or after `page`; address 0: there is none. */
export function nextVma(mm: Mm, page: u64): Vma {
	let vma = mm.firstVma;
	while (exists(vma) && vma.end <= page) vma = vma.next;
	return vma;
}

/** Whether a fork copies nothing of a range: then it has no bracket either, and the child merely has the VMAs. */
export function copiesNothing(mm: Mm, page: u64, end: u64): bool {
	let at = page;
	for (let vma = mm.firstVma; exists(vma) && vma.first <= at && at < end; vma = vma.next) {
		if (vma.end <= at) continue;
		if (needsCopy(vma)) return false;
		at = vma.end;
	}
	return at > page && at >= end;
}

function makeVma(first: u64, end: u64, kind: u32, file: u32, offset: u64, hasAnon: bool): Vma {
	const vma = changetype<Vma>(take(offsetof<Vma>()));
	vma.first = first;
	vma.end = end;
	vma.kind = kind;
	vma.file = file;
	vma.offset = offset;
	vma.hasAnon = hasAnon;
	return vma;
}

/** What of a VMA lies in [page, end), `shift` pages further on. */
function partOf(vma: Vma, page: u64, end: u64, shift: u64): Vma {
	const first = max<u64>(vma.first, page);
	return makeVma(first + shift, min<u64>(vma.end, end) + shift, vma.kind, vma.file, vma.offset + (first - vma.first), vma.hasAnon);
}

function insert(mm: Mm, vma: Vma): void {
	let before = changetype<Vma>(0);
	for (let at = mm.firstVma; exists(at) && at.first < vma.first; at = at.next) before = at;
	if (exists(before)) {
		vma.next = before.next;
		before.next = vma;
	} else {
		vma.next = mm.firstVma;
		mm.firstVma = vma;
	}
}

/** In the place of whatever was mapped in [page, end). */
export function addVma(mm: Mm, page: u64, end: u64, kind: u32, file: u32, offset: u64): void {
	if (page < end) removeVmas(mm, page, end);
	if (page < end) insert(mm, makeVma(page, end, kind, file, offset, false));
}

export function removeVmas(mm: Mm, page: u64, end: u64): void {
	mm.foundVma = changetype<Vma>(0);
	let before = changetype<Vma>(0);
	let vma = mm.firstVma;
	while (exists(vma) && vma.first < end) {
		const next = vma.next;
		if (vma.end > page && page < end) {
			const tail = vma.end > end ? partOf(vma, end, vma.end, 0) : changetype<Vma>(0);
			if (vma.first < page) {
				vma.end = page;
				before = vma;
			} else {
				if (exists(before)) before.next = next;
				else mm.firstVma = next;
				give(changetype<usize>(vma), offsetof<Vma>());
			}
			if (exists(tail)) insert(mm, tail);
		} else before = vma;
		vma = next;
	}
}

/** The child's VMAs of [page, end) are those of its parent. */
export function inheritVmas(mm: Mm, page: u64, end: u64, child: Mm): void {
	if (child != mm) copyVmas(mm, page, end, child, 0);
}

/** mremap: they move to `to`. */
export function moveVmas(mm: Mm, page: u64, end: u64, to: u64): void {
	if (!exists(mm.firstVma)) return;
	let moved = changetype<Vma>(0);
	for (let vma = mm.firstVma; exists(vma) && vma.first < end; vma = vma.next) {
		if (vma.end <= page || page >= end) continue;
		const part = partOf(vma, page, end, to - page);
		part.next = moved;
		moved = part;
	}
	removeVmas(mm, page, end);
	removeVmas(mm, to, to + (end - page));
	while (exists(moved)) {
		const next = moved.next;
		insert(mm, moved);
		moved = next;
	}
}

function copyVmas(mm: Mm, page: u64, end: u64, child: Mm, shift: u64): void {
	for (let vma = mm.firstVma; exists(vma) && vma.first < end; vma = vma.next) {
		if (vma.end <= page || page >= end) continue;
		const part = partOf(vma, page, end, shift);
		removeVmas(child, part.first, part.end);
		insert(child, part);
	}
}
