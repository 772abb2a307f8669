// The set of states seen: fixed-width records in one arena, found again by an open-addressing table of their numbers.
import { LimitError } from "../errors.js";

const FIRST_STATES = 1 << 9;

export class StateStore {
	/** Words of a state. */
	readonly words: number;
	readonly #limit: number;
	#arena: Uint32Array;
	/** Pairs: a state's number + 1 (0: free) and its hash, side by side so that a look costs one cache line. */
	#table: Int32Array;
	#capacity = FIRST_STATES;
	size = 0;

	/** `limit`: states, at most. */
	constructor(words: number, limit: number) {
		this.words = words;
		this.#limit = limit;
		this.#arena = new Uint32Array(FIRST_STATES * words);
		this.#table = new Int32Array(FIRST_STATES * 4);
	}

	/** Copy state number `index` to `into`. */
	load(index: number, into: Uint32Array): void {
		const { words } = this;
		const arena = this.#arena;
		for (let word = 0, at = index * words; word < words; word++, at++) into[word] = arena[at];
	}

	/** The number of a state; ~number where it is new. @throws LimitError */
	intern(state: Uint32Array): number {
		const { words } = this;
		const arena = this.#arena;
		const table = this.#table;
		const mask = table.length - 2;
		let hash = 0;
		for (let word = 0; word < words; word++) {
			hash = Math.imul(hash ^ state[word], 0x9e3779b1);
			hash ^= hash >>> 15;
		}
		for (let at = (hash << 1) & mask; ; at = (at + 2) & mask) {
			const found = table[at] - 1;
			if (found < 0) {
				table[at] = this.size + 1;
				table[at + 1] = hash;
				return ~this.#append(state);
			}
			if (table[at + 1] !== hash) continue;
			let word = 0;
			for (let from = found * words; word < words && arena[from] === state[word]; word++) from++;
			if (word === words) return found;
		}
	}

	#append(state: Uint32Array): number {
		const { words } = this;
		const number = this.size++;
		const arena = this.#arena;
		for (let word = 0, at = number * words; word < words; word++, at++) arena[at] = state[word];
		if (this.size === this.#capacity) this.#grow();
		return number;
	}

	#grow(): void {
		if (this.size >= this.#limit) {
			throw new LimitError(`more than ${this.#limit} states`, { hint: "use fewer threads, or shorter ones" });
		}
		this.#capacity *= 2;
		const arena = new Uint32Array(this.#capacity * this.words);
		arena.set(this.#arena);
		this.#arena = arena;
		const old = this.#table;
		const table = new Int32Array(this.#capacity * 4);
		const mask = table.length - 2;
		for (let from = 0; from < old.length; from += 2) {
			if (old[from] === 0) continue;
			let at = (old[from + 1] << 1) & mask;
			while (table[at] !== 0) at = (at + 2) & mask;
			table[at] = old[from];
			table[at + 1] = old[from + 1];
		}
		this.#table = table;
	}
}

/** An array of numbers that grows. */
export class Numbers {
	#values = new Int32Array(FIRST_STATES);
	length = 0;

	push(value: number): void {
		if (this.length === this.#values.length) {
			const grown = new Int32Array(this.length * 2);
			grown.set(this.#values);
			this.#values = grown;
		}
		this.#values[this.length++] = value;
	}

	at(index: number): number {
		return this.#values[index];
	}
}
