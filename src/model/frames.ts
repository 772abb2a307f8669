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
	/** PageAnonExclusive: a write fault may reuse it. */
	exclusive: boolean;
	/** KVM has said that it was written (kvm_set_pfn_dirty). */
	dirty: boolean;
	freed: boolean;
	/** Identity of its content: a write makes a new one, a copy takes its source's, a merge gives the old page the KSM page's. */
	content: number;
}

/** All frames of a host. The zero page is frame 0. */
export class Frames {
	readonly #frames: Frame[] = [];
	/** KSM page id -> its frame. */
	readonly #kpages = new Map<number, Frame>();
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
		const frame = {
			id: this.#frames.length,
			kpage: 0,
			zero,
			mapcount: 0,
			holds: 0,
			pins: 0,
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
		if (frame.mapcount <= 0 && frame.holds === 0 && !frame.zero) frame.freed = true;
	}
}
