// A two-level set-associative TLB with true LRU, plain: the reference for assembly/tlb.ts.

interface TlbLevel {
	readonly sets: number;
	readonly ways: number;
}

/** Entries of a TLB in counts; sets need not be a power of two (1536 = 128 x 12 is 128 sets). */
export interface TlbGeometry {
	readonly l1: TlbLevel;
	readonly l2: TlbLevel;
}

interface Entry {
	readonly page: number;
	readonly space: number;
	frame: number;
	writable: boolean;
}

/** Most recently used first. */
class Level {
	readonly #sets: Entry[][];
	readonly #ways: number;

	constructor(level: TlbLevel) {
		this.#sets = Array.from({ length: level.sets }, () => []);
		this.#ways = level.ways;
	}

	#set(page: number): Entry[] {
		const set = this.#sets[page % this.#sets.length];
		if (set === undefined) throw new RangeError(`page ${page}`);
		return set;
	}

	find(space: number, page: number): Entry | undefined {
		const set = this.#set(page);
		const at = set.findIndex((entry) => entry.page === page && entry.space === space);
		if (at < 0) return undefined;
		const [entry] = set.splice(at, 1);
		if (entry !== undefined) set.unshift(entry);
		return entry;
	}

	/** Without using it. */
	peek(space: number, page: number): Entry | undefined {
		return this.#set(page).find((entry) => entry.page === page && entry.space === space);
	}

	fill(entry: Entry): void {
		const set = this.#set(entry.page);
		const at = set.findIndex((other) => other.page === entry.page && other.space === entry.space);
		if (at >= 0) set.splice(at, 1);
		set.unshift({ ...entry });
		if (set.length > this.#ways) set.pop();
	}

	drop(space: number, page: number): void {
		const set = this.#set(page);
		const at = set.findIndex((entry) => entry.page === page && entry.space === space);
		if (at >= 0) set.splice(at, 1);
	}

	clear(): void {
		for (const set of this.#sets) set.length = 0;
	}
}

/** What a look-up found: which level had an entry with enough rights, and its frame; 0 = neither. */
export interface TlbResult {
	readonly level: 0 | 1 | 2;
	readonly frame: number;
}

export class Tlb {
	readonly #l1: Level;
	readonly #l2: Level;

	constructor(geometry: TlbGeometry) {
		this.#l1 = new Level(geometry.l1);
		this.#l2 = new Level(geometry.l2);
	}

	/** A hit in the second level refills the first. An entry without the right to write is a miss for a write. */
	lookup(space: number, page: number, write: boolean): TlbResult {
		const first = this.#l1.find(space, page);
		if (first !== undefined && (!write || first.writable)) return { level: 1, frame: first.frame };
		const second = this.#l2.find(space, page);
		if (second !== undefined && (!write || second.writable)) {
			this.#l1.fill(second);
			return { level: 2, frame: second.frame };
		}
		return { level: 0, frame: 0 };
	}

	fill(space: number, page: number, frame: number, writable: boolean): void {
		this.#l1.fill({ space, page, frame, writable });
		this.#l2.fill({ space, page, frame, writable });
	}

	/** Whether an entry lets a page be written; the order of use stays. */
	holdsWritable(space: number, page: number): boolean {
		return [this.#l1, this.#l2].some((level) => level.peek(space, page)?.writable === true);
	}

	/** INVLPG, or what an access that faulted does to its own entry. */
	flushPage(space: number, page: number): void {
		this.#l1.drop(space, page);
		this.#l2.drop(space, page);
	}

	flush(): void {
		this.#l1.clear();
		this.#l2.clear();
	}
}
