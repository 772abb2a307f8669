// Pages of a stream numbered in the order of their first touch: open addressing over typed arrays, 12 to 24 bytes a page.
import { LimitError } from "../errors.js";

/** 64 GiB touched: about 400 MB of tables. */
const MAX_PAGES = 1 << 24;
const EMPTY = -1;

export class TouchedPages {
	/** Page by number. */
	#pages = new Float64Array(1 << 10);
	/** Number by slot. */
	#slots = new Int32Array(1 << 12).fill(EMPTY);
	#count = 0;

	get count(): number {
		return this.#count;
	}

	page(number: number): number {
		return this.#pages[number];
	}

	/** The number of a page; `count` before the call if it is new. @throws LimitError beyond 2^24 pages */
	numberOf(page: number): number {
		const slots = this.#slots;
		const mask = slots.length - 1;
		for (let slot = hash(page) & mask; ; slot = (slot + 1) & mask) {
			const number = slots[slot];
			if (number === EMPTY) return this.#add(page, slot);
			if (this.#pages[number] === page) return number;
		}
	}

	#add(page: number, slot: number): number {
		const number = this.#count;
		if (number === MAX_PAGES) throw new LimitError(`the stream touches more than ${MAX_PAGES} pages (${MAX_PAGES / 2 ** 18} GiB)`);
		if (number === this.#pages.length) {
			const pages = new Float64Array(number * 2);
			pages.set(this.#pages);
			this.#pages = pages;
		}
		this.#pages[number] = page;
		this.#slots[slot] = number;
		this.#count = number + 1;
		if (this.#count * 2 > this.#slots.length) this.#grow();
		return number;
	}

	#grow(): void {
		const slots = new Int32Array(this.#slots.length * 2).fill(EMPTY);
		const mask = slots.length - 1;
		for (let number = 0; number < this.#count; number++) {
			let slot = hash(this.#pages[number]) & mask;
			while (slots[slot] !== EMPTY) slot = (slot + 1) & mask;
			slots[slot] = number;
		}
		this.#slots = slots;
	}
}

/** Fibonacci hashing of a 36-bit page number. */
function hash(page: number): number {
	const high = page < 2 ** 32 ? 0 : Math.imul(Math.floor(page / 2 ** 32), 0x85eb_ca6b);
	const mixed = Math.imul(page ^ high, 0x9e37_79b1);
	return mixed ^ (mixed >>> 15);
}
