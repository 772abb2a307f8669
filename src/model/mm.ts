// The primary MMU of one mm: its PTEs by hva page number (kernel.md 1).
import type { Frame, Frames } from "./frames.js";

/** 4 KiB pages of a huge PMD. */
export const HUGE_PAGES = 512;

export interface Pte {
	frame: Frame;
	writable: boolean;
	dirty: boolean;
}

/** Whether mremap of [first, first + pages) to `to` moves the PMD at `page` whole, to an aligned place. */
export function isMovable(page: number, first: number, pages: number, to: number): boolean {
	return page >= first && page + HUGE_PAGES <= first + pages && (to - first) % HUGE_PAGES === 0;
}

export class Mm {
	readonly id: number;
	readonly #ptes = new Map<number, Pte>();
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

	/** Every present PTE in page order. */
	*entries(): Generator<[number, Pte]> {
		for (const page of [...this.#ptes.keys()].sort((a, b) => a - b)) {
			const pte = this.#ptes.get(page);
			if (pte !== undefined) yield [page, pte];
		}
	}

	/** Pages of [first, first + pages) that have a PTE. */
	present(first: number, pages: number): number[] {
		const found: number[] = [];
		if (pages > this.#ptes.size) {
			for (const page of this.#ptes.keys()) if (page >= first && page < first + pages) found.push(page);
			return found.sort((a, b) => a - b);
		}
		for (let page = first; page < first + pages; page++) if (this.#ptes.has(page)) found.push(page);
		return found;
	}

	/** set_pte: the old page, if any, loses this mapping. */
	set(page: number, frame: Frame, writable: boolean): Pte {
		const old = this.#ptes.get(page);
		this.#frames.map(frame);
		if (old !== undefined) this.#frames.unmap(old.frame);
		const pte = { frame, writable, dirty: writable };
		this.#ptes.set(page, pte);
		return pte;
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

	/** mremap: PTEs, huge mappings that may move whole, and whether the VMA allows writing. Nothing is mapped at the new place. */
	move(first: number, pages: number, to: number): void {
		const allowed = this.writingAllowed(first);
		for (const page of this.present(first, pages)) {
			const pte = this.#ptes.get(page);
			if (pte !== undefined) this.#ptes.set(page - first + to, pte);
			this.#ptes.delete(page);
		}
		for (const page of this.hugeIn(first, pages)) {
			this.#huge.delete(page / HUGE_PAGES);
			if (isMovable(page, first, pages, to)) this.makeHuge(page - first + to);
		}
		this.allowWriting(to, pages, allowed);
		this.allowWriting(first, pages, true);
	}

	clear(page: number): void {
		const old = this.#ptes.get(page);
		if (old === undefined) return;
		this.#ptes.delete(page);
		this.split(page, 1);
		this.#frames.unmap(old.frame);
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
