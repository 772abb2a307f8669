// The VMAs of an mm that are not private anonymous memory (struct vm_area_struct; kernel.md 1.2, 1.3, 1.9, 1.10): what of which file they map.
import { VmaKind } from "../trace/kinds.js";

/** Page numbers have 36 bits. */
export const PAGE_LIMIT = 2 ** 36;

export interface Vma {
	readonly first: number;
	readonly end: number;
	readonly kind: VmaKind;
	readonly file: number;
	/** Page of the file at `first`. */
	readonly offset: number;
	/** It has had a page of its own (anon_vma): a fork copies its PTEs. */
	hasAnon: boolean;
}

/** VM_SHARED: no COW mapping (is_cow_mapping). */
export const isSharedKind = (kind: VmaKind): boolean =>
	kind === VmaKind.sharedFile || kind === VmaKind.sharedMemory || kind === VmaKind.sharedHugetlb;

export const isHugetlb = (kind: VmaKind): boolean => kind === VmaKind.privateHugetlb || kind === VmaKind.sharedHugetlb;

/** Nobody is told of the first write: a PTE that allows writing may be made at once. */
export const isWrittenUnnoticed = (kind: VmaKind): boolean => kind === VmaKind.sharedMemory || kind === VmaKind.sharedHugetlb;

/** copy_page_range leaves out what a fault fills as well: VMAs without a page of their own, all shared ones among them (vma_needs_copy). */
export const needsCopy = (vma: Vma): boolean => vma.hasAnon && !isSharedKind(vma.kind);

export class Vmas {
	/** By page; none overlap. */
	#list: Vma[] = [];

	at(page: number): Vma | undefined {
		return this.#list.find(({ first, end }) => page >= first && page < end);
	}

	isShared(page: number): boolean {
		const vma = this.at(page);
		return vma !== undefined && isSharedKind(vma.kind);
	}

	/** What of them lies in [first, first + pages), in order. */
	within(first: number, pages: number): Vma[] {
		const end = Math.min(first + pages, PAGE_LIMIT);
		return this.#list.map((vma) => part(vma, first, end)).filter((piece) => piece.first < piece.end);
	}

	/** In the place of whatever was mapped there. */
	add(vma: Vma): void {
		const end = Math.min(vma.end, PAGE_LIMIT);
		this.remove(vma.first, end - vma.first);
		if (end > vma.first) this.#list.push({ ...vma, end });
		this.#list.sort((a, b) => a.first - b.first);
	}

	remove(first: number, pages: number): void {
		if (pages <= 0) return;
		const end = first + pages;
		this.#list = this.#list.flatMap((vma) => {
			if (vma.end <= first || vma.first >= end) return [vma];
			return [part(vma, vma.first, first), part(vma, end, vma.end)].filter((one) => one.first < one.end);
		});
	}
}

function part(vma: Vma, first: number, end: number): Vma {
	const from = Math.max(vma.first, first);
	return { ...vma, first: from, end: Math.min(vma.end, end), offset: vma.offset + (from - vma.first) };
}
