// Physical frames as the primary MMU counts them (kernel.md 1.2 to 1.6, I-18). Ids are dense and never reused: pfns of a capture do not matter.

export interface Frame {
	readonly id: number;
	/** The capture's KSM page that this frame is; 0 if it is none. */
	kpage: number;
	readonly zero: boolean;
	/** PTEs that map it. */
	mapcount: number;
	/** References beside them: pins, the one that a copying fault or ksmd keeps until after the range end (1.3, 1.5). */
	holds: number;
	/** Those of `holds` that are pins (1.4, 1.9). */
	pins: number;
	/** Its place in swap or in a file, while it is in the swap cache or the page cache, which holds it. */
	slot: SwapSlot | null;
	/** The page that it migrates to, held until this one is freed. */
	movedTo: Frame | null;
	/** PageAnonExclusive: a write fault may reuse it. */
	exclusive: boolean;
	/** KVM has said that it was written (kvm_set_pfn_dirty). */
	dirty: boolean;
	freed: boolean;
	/** Identity of its content: a write makes a new one, a copy takes its source's, a merge gives the old page the KSM page's. */
	content: number;
}

/** Content in swap (kernel.md 1.10, 1.11), or in a file. */
export interface SwapSlot {
	/** A page of a file: it stays, whoever maps it. */
	readonly file: boolean;
	/** Swap entries that lead here. */
	entries: number;
	/** The page in the swap cache or the page cache, if any. */
	cached: Frame | null;
	/** It was a KSM page. */
	readonly ksm: boolean;
	content: number;
}

/** A page of the page cache. */
export const isFile = (frame: Frame): boolean => frame.slot?.file === true;

/** All frames of a host. The zero page is frame 0. */
export class Frames {
	readonly #frames: Frame[] = [];
	/** KSM page id -> its frame. */
	readonly #kpages = new Map<number, Frame>();
	/** Pages of files, by file and page. */
	readonly #files = new Map<string, SwapSlot>();
	#contents = 0;

	constructor() {
		this.#make(true);
	}

	get zeroPage(): Frame {
		return this.get(0);
	}

	get(id: number): Frame {
		const frame = this.#frames[id];
		if (frame === undefined) throw new RangeError(`no frame ${id}`);
		return frame;
	}

	#make(zero: boolean): Frame {
		const frame: Frame = {
			id: this.#frames.length,
			kpage: 0,
			zero,
			mapcount: 0,
			holds: 0,
			pins: 0,
			slot: null,
			movedTo: null,
			exclusive: !zero,
			dirty: false,
			freed: false,
			content: this.#contents++,
		};
		this.#frames.push(frame);
		return frame;
	}

	/** A new private anonymous page, exclusive, with content of its own, or with that of the page it is a copy of. */
	allocate(source?: Frame): Frame {
		const frame = this.#make(false);
		if (source !== undefined) frame.content = source.content;
		return frame;
	}

	write(frame: Frame): void {
		frame.content = this.#contents++;
	}

	/** The frame of KSM page `kpage`; one that entered the stable tree before the capture began is made here. */
	kpage(kpage: number): Frame {
		const known = this.#kpages.get(kpage);
		if (known !== undefined && !known.freed) return known;
		const frame = this.#make(false);
		this.becomeKsm(frame, kpage);
		return frame;
	}

	becomeKsm(frame: Frame, kpage: number): void {
		frame.kpage = kpage;
		frame.exclusive = false;
		this.#kpages.set(kpage, frame);
	}

	map(frame: Frame): void {
		frame.mapcount++;
	}

	/** A PTE lets go. */
	unmap(frame: Frame): void {
		frame.mapcount--;
		this.#freeUnused(frame);
	}

	/** A reference that is no mapping. */
	hold(frame: Frame): void {
		frame.holds++;
	}

	release(frame: Frame): void {
		frame.holds--;
		this.#freeUnused(frame);
	}

	pin(frame: Frame): void {
		frame.pins++;
		this.hold(frame);
	}

	unpin(frame: Frame): void {
		frame.pins--;
		this.release(frame);
	}

	/** The last reference frees the page (I-18). */
	#freeUnused(frame: Frame): void {
		if (frame.mapcount > 0 || frame.holds !== 0 || frame.zero) return;
		frame.freed = true;
		const { movedTo } = frame;
		frame.movedTo = null;
		if (movedTo !== null) this.release(movedTo);
	}

	/** One more swap entry for a page, whose mapping goes. */
	swapOut(frame: Frame): SwapSlot {
		const slot = frame.slot ?? { file: false, entries: 0, cached: frame, ksm: frame.kpage !== 0, content: 0 };
		if (frame.slot === null) {
			frame.slot = slot;
			this.hold(frame);
		}
		slot.content = frame.content;
		return this.addSwapEntry(slot);
	}

	addSwapEntry(slot: SwapSlot): SwapSlot {
		slot.entries++;
		return slot;
	}

	/** The last entry frees the place in swap. */
	dropSwapEntry(slot: SwapSlot): void {
		slot.entries--;
		if (slot.entries === 0) this.#uncache(slot);
	}

	/** Whether the page cache has a page of a file. */
	hasFilePage(file: number, page: number): boolean {
		return (this.#files.get(`${file}.${page}`)?.cached ?? null) !== null;
	}

	/** A page of a file: from the page cache, or read into it (filemap_fault). */
	filePage(file: number, page: number): Frame {
		const key = `${file}.${page}`;
		const known = this.#files.get(key);
		const slot = known ?? { file: true, entries: 1, cached: null, ksm: false, content: this.#contents++ };
		if (known === undefined) this.#files.set(key, slot);
		return this.swapPage(slot);
	}

	/** The page of a place: from the cache, or read into it. */
	swapPage(slot: SwapSlot): Frame {
		if (slot.cached !== null) return slot.cached;
		const frame = this.allocate();
		frame.content = slot.content;
		frame.exclusive = false;
		frame.slot = slot;
		slot.cached = frame;
		this.hold(frame);
		return frame;
	}

	/** Reclaim is done with a page that only the swap cache or the page cache holds: it is freed. */
	dropUnusedCache(slot: SwapSlot): void {
		if (slot.cached?.mapcount === 0 && slot.cached.holds === 1) this.#uncache(slot);
	}

	#uncache(slot: SwapSlot): void {
		const frame = slot.cached;
		slot.cached = null;
		if (frame === null) return;
		if (slot.file) slot.content = frame.content;
		frame.slot = null;
		this.release(frame);
	}

	/** The page that takes a migrated one's place; the same where further references make the migration fail. */
	migrated(frame: Frame): Frame {
		const { slot } = frame;
		if (frame.zero || frame.holds > (slot === null ? 0 : 1)) return frame;
		if (frame.movedTo !== null) return frame.movedTo;
		const fresh = this.allocate(frame);
		fresh.exclusive = frame.exclusive;
		if (frame.kpage !== 0) this.becomeKsm(fresh, frame.kpage);
		frame.movedTo = fresh;
		this.hold(fresh);
		if (slot !== null) {
			this.#uncache(slot);
			slot.cached = fresh;
			fresh.slot = slot;
			this.hold(fresh);
		}
		return fresh;
	}
}
