// An LRU that shares nothing with the model or the engine: a Map keeps its keys in the order of insertion, so the first is the least recently used.

export class Lru {
	readonly #sets: Map<number, true>[];
	readonly #ways: number;

	constructor({ entries, ways }: { readonly entries: number; readonly ways: number }) {
		this.#sets = Array.from({ length: entries / ways }, () => new Map());
		this.#ways = ways;
	}

	/** Whether the page was there; it is now the most recent. */
	use(page: number): boolean {
		const set = this.#sets[page % this.#sets.length] ?? new Map();
		const had = set.delete(page);
		if (had) set.set(page, true);
		return had;
	}

	put(page: number): void {
		const set = this.#sets[page % this.#sets.length] ?? new Map();
		set.delete(page);
		set.set(page, true);
		if (set.size > this.#ways) for (const oldest of set.keys()) return void set.delete(oldest);
	}
}

/** Misses of two levels, the second of which refills the first. */
export function misses(l1: ConstructorParameters<typeof Lru>[0], l2: ConstructorParameters<typeof Lru>[0], pages: Iterable<number>) {
	const first = new Lru(l1);
	const second = new Lru(l2);
	const found = { l1: 0, l2: 0 };
	for (const page of pages) {
		if (first.use(page)) continue;
		found.l1++;
		if (!second.use(page)) {
			found.l2++;
			second.put(page);
		}
		first.put(page);
	}
	return found;
}
