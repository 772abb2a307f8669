// The primary MMU of one mm: its PTEs by hva page number (kernel.md 1).
import { type Frame, type Frames, isFile, type SwapSlot } from "./frames.js";
import { Vmas } from "./vmas.js";

/** 4 KiB pages of a huge PMD. */
export const HUGE_PAGES = 512;

export interface Pte {
	frame: Frame;
	writable: boolean;
	dirty: boolean;
}

/** A PTE that is neither present nor none: what do_swap_page, migration_entry_wait and do_numa_page meet. */
export type Entry =
	| { readonly kind: "swap"; readonly slot: SwapSlot; exclusive: boolean }
	| { readonly kind: "migration" | "protnone"; readonly pte: Pte };

/** Whether mremap of [first, first + pages) to `to` moves the PMD at `page` whole, to an aligned place. */
export function isMovable(page: number, first: number, pages: number, to: number): boolean {
	return page >= first && page + HUGE_PAGES <= first + pages && (to - first) % HUGE_PAGES === 0;
}

export class Mm {
	readonly id: number;
	readonly vmas = new Vmas();
	readonly #ptes = new Map<number, Pte>();
	readonly #entries = new Map<number, Entry>();
	readonly #frames: Frames;
	/** 2 MiB ranges (page number / 512) that one PMD maps. */
	readonly #huge = new Set<number>();
	/** Page runs whose VMA forbids writing (mprotect). */
	readonly #readOnly = new Set<number>();

	constructor(id: number, frames: Frames) {
		this.id = id;
		this.#frames = frames;
	}

	get(page: number): Pte | undefined {
		return this.#ptes.get(page);
	}

	/** Every page that has a PTE of any kind, in order. */
	pages(): number[] {
		return this.mapped(0, Number.MAX_SAFE_INTEGER);
	}

	/** Pages of [first, first + pages) that have a present PTE. */
	present(first: number, pages: number): number[] {
		return within(this.#ptes, first, pages);
	}

	/** Pages of [first, first + pages) that have an entry. */
	entriesIn(first: number, pages: number): number[] {
		return within(this.#entries, first, pages);
	}

	/** Both. */
	mapped(first: number, pages: number): number[] {
		return [...this.present(first, pages), ...this.entriesIn(first, pages)].sort((a, b) => a - b);
	}

	/** What is neither present nor none. */
	entry(page: number): Entry | undefined {
		return this.#entries.get(page);
	}

	/** An entry in the place of whatever was there; of a swap entry the caller has counted the use of the slot. */
	put(page: number, entry: Entry): void {
		if (entry.kind !== "swap") this.#frames.map(entry.pte.frame);
		this.#drop(page);
		this.#entries.set(page, entry);
	}

	/** set_pte: the old page or entry, if any, goes. */
	set(page: number, frame: Frame, writable: boolean): Pte {
		this.#frames.map(frame);
		this.#drop(page);
		const vma = this.vmas.at(page);
		if (vma !== undefined && !frame.zero && !isFile(frame)) vma.hasAnon = true;
		const pte = { frame, writable, dirty: writable };
		this.#ptes.set(page, pte);
		return pte;
	}

	#drop(page: number): void {
		const pte = this.#ptes.get(page);
		const entry = this.#entries.get(page);
		this.#ptes.delete(page);
		this.#entries.delete(page);
		if (pte !== undefined) this.#frames.unmap(pte.frame);
		if (entry?.kind === "swap") this.#frames.dropSwapEntry(entry.slot);
		else if (entry !== undefined) this.#frames.unmap(entry.pte.frame);
	}

	/** Whether a huge PMD maps the page: host_pfn_mapping_level. */
	isHuge(page: number): boolean {
		return this.#huge.has(Math.floor(page / HUGE_PAGES));
	}

	/** The 512 pages around `page` are mapped by one PMD from now on. */
	makeHuge(page: number): void {
		this.#huge.add(Math.floor(page / HUGE_PAGES));
	}

	/** PMDs that meet [first, first + pages) become tables of PTEs. */
	split(first: number, pages: number): void {
		if (pages === 0) return;
		for (const pmd of this.#huge) if (pmd * HUGE_PAGES < first + pages && (pmd + 1) * HUGE_PAGES > first) this.#huge.delete(pmd);
	}

	/** First pages of the PMDs that are huge and meet [first, first + pages), in order. */
	hugeIn(first: number, pages: number): number[] {
		const met = [...this.#huge].map((pmd) => pmd * HUGE_PAGES).filter((at) => pages > 0 && at < first + pages && at + HUGE_PAGES > first);
		return met.sort((a, b) => a - b);
	}

	/** mremap: PTEs, huge mappings that may move whole, and the VMAs. Nothing is mapped at the new place. */
	move(first: number, pages: number, to: number): void {
		const allowed = this.writingAllowed(first);
		for (const page of this.present(first, pages)) {
			const pte = this.#ptes.get(page);
			if (pte !== undefined) this.#ptes.set(page - first + to, pte);
			this.#ptes.delete(page);
		}
		for (const page of this.entriesIn(first, pages)) {
			const entry = this.#entries.get(page);
			if (entry !== undefined) this.#entries.set(page - first + to, entry);
			this.#entries.delete(page);
		}
		for (const page of this.hugeIn(first, pages)) {
			this.#huge.delete(page / HUGE_PAGES);
			if (isMovable(page, first, pages, to)) this.makeHuge(page - first + to);
		}
		const moved = this.vmas.within(first, pages);
		this.vmas.remove(first, pages);
		this.vmas.remove(to, pages);
		for (const vma of moved) this.vmas.add({ ...vma, first: vma.first - first + to, end: vma.end - first + to });
		this.allowWriting(to, pages, allowed);
		this.allowWriting(first, pages, true);
	}

	clear(page: number): void {
		if (!this.#ptes.has(page) && !this.#entries.has(page)) return;
		this.split(page, 1);
		this.#drop(page);
	}

	/** mprotect: whether the VMA of these pages allows writing from now on. */
	allowWriting(first: number, pages: number, allowed: boolean): void {
		for (let page = first; page < first + pages; page++) {
			if (allowed) this.#readOnly.delete(page);
			else this.#readOnly.add(page);
		}
	}

	writingAllowed(page: number): boolean {
		return !this.#readOnly.has(page);
	}
}

/** Keys of a page table in [first, first + pages), in order. */
function within(table: ReadonlyMap<number, unknown>, first: number, pages: number): number[] {
	const found: number[] = [];
	if (pages > table.size) {
		for (const page of table.keys()) if (page >= first && page < first + pages) found.push(page);
		return found.sort((a, b) => a - b);
	}
	for (let page = first; page < first + pages; page++) if (table.has(page)) found.push(page);
	return found;
}
