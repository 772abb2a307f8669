// The primary MMU of one mm: its PTEs by hva page number (kernel.md 1).
import type { Frame, Frames } from "./frames.js";

/** 4 KiB pages of a huge PMD. */
export const HUGE_PAGES = 512;

export interface Pte {
	frame: Frame;
	writable: boolean;
	dirty: boolean;
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
