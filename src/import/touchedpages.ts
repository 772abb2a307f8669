// Pages of a stream numbered in the order of their first touch: open addressing over typed arrays, 12 to 24 bytes a page.
import { LimitError } from "../errors.js";

/** 64 GiB touched: about 400 MB of tables. */
const MAX_PAGES = 1 << 24;
const EMPTY = -1;

/** Pages whose bits stand together: those of a memslot of 64 MiB. */
const PART_SHIFT = 14;
const PART_PAGES = 1 << PART_SHIFT;
/** Parts at hand: a power of two. */
const AT_HAND = 16;

/** Pages that were met before: a bit each, in parts as they are touched. */
export class MetPages {
	readonly #parts = new Map<number, Uint8Array>();
	readonly #numbers = new Float64Array(AT_HAND).fill(-1);
	readonly #atHand: Uint8Array[] = Array.from({ length: AT_HAND }, () => new Uint8Array(0));

	/** Whether a page was met; from now on it is. */
	meets(page: number): boolean {
		const number = page < 2 ** 31 ? page >>> PART_SHIFT : Math.floor(page / PART_PAGES);
		const slot = number & (AT_HAND - 1);
		if (this.#numbers[slot] !== number) this.#fetch(number, slot);
		const part = this.#atHand[slot];
		const at = page & (PART_PAGES - 1);
		const bit = 1 << (at & 7);
		const bits = part[at >>> 3];
		if ((bits & bit) !== 0) return true;
		part[at >>> 3] = bits | bit;
		return false;
	}

	#fetch(number: number, slot: number): void {
		let part = this.#parts.get(number);
		if (part === undefined) {
			part = new Uint8Array(PART_PAGES / 8);
			this.#parts.set(number, part);
		}
		this.#numbers[slot] = number;
		this.#atHand[slot] = part;
	}
}

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
