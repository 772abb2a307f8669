// A two-level set-associative TLB with pages of 4 KiB and 2 MiB, plain: the reference for assembly/tlb.ts. docs/machines.md tells what it does.
import type { Replacement } from "../machine/machine.js";
import { HUGE_PAGES } from "./mm.js";
import { makeOrder, type Order } from "./ways.js";

interface TlbShape {
	readonly sets: number;
	readonly ways: number;
	readonly replacement?: Replacement;
}

interface TlbLevel extends TlbShape {
	/** Where 2 MiB pages go; `pieces` where it is left out (src/machine/machine.ts). */
	readonly huge?: TlbShape | "shared" | "pieces" | "none";
}

/** Entries of a TLB in counts; sets need not be a power of two (1536 = 128 x 12 is 128 sets). */
export interface TlbGeometry {
	readonly l1: TlbLevel;
	readonly l2: TlbLevel;
}

/** A translation of one page, or of the 512 from `page` on. */
interface Entry {
	readonly space: number;
	readonly page: number;
	/** One frame a page. */
	readonly frames: readonly number[];
	readonly writable: boolean;
}

function frameIn(entry: Entry, page: number): number {
	return entry.frames[page - entry.page] ?? 0;
}

class WaySet {
	readonly entries: (Entry | null)[];
	order: Order;
	readonly #shape: TlbShape;

	constructor(shape: TlbShape) {
		this.#shape = shape;
		this.entries = Array.from({ length: shape.ways }, () => null);
		this.order = makeOrder(shape.replacement ?? "lru", shape.ways);
	}

	/** Way of an entry; -1 where it is not there. */
	wayOf(space: number, page: number, pages: number): number {
		return this.entries.findIndex((entry) => entry?.space === space && entry.page === page && entry.frames.length === pages);
	}

	clear(): void {
		this.entries.fill(null);
		this.order = makeOrder(this.#shape.replacement ?? "lru", this.#shape.ways);
	}
}

/** Sets of entries; those of 2 MiB pages are told from the others by their size where they share them. */
class TlbArray {
	readonly #sets: WaySet[];
	/** Sets that were filled since the last flush. */
	readonly #filled = new Set<WaySet>();

	constructor(shape: TlbShape) {
		this.#sets = Array.from({ length: shape.sets }, () => new WaySet(shape));
	}

	#set(page: number, pages: number): WaySet {
		const set = this.#sets[Math.floor(page / pages) % this.#sets.length];
		if (set === undefined) throw new RangeError(`page ${page}`);
		return set;
	}

	/** An entry with enough rights, which it is a use of. */
	find(space: number, page: number, pages: number, write: boolean): Entry | undefined {
		const set = this.#set(page, pages);
		const way = set.wayOf(space, page - (page % pages), pages);
		const entry = set.entries[way];
		if (entry === undefined || entry === null || (write && !entry.writable)) return undefined;
		set.order.use(way);
		return entry;
	}

	/** In the place of an older entry of the page, in a free way (the first), or in the victim's. */
	fill(entry: Entry): void {
		const set = this.#set(entry.page, entry.frames.length);
		let way = set.wayOf(entry.space, entry.page, entry.frames.length);
		if (way < 0) way = set.entries.indexOf(null);
		if (way < 0) way = set.order.victim();
		set.entries[way] = entry;
		set.order.use(way);
		this.#filled.add(set);
	}

	/** Without using it. */
	holdsWritable(space: number, page: number, pages: number): boolean {
		const set = this.#set(page, pages);
		return set.entries[set.wayOf(space, page - (page % pages), pages)]?.writable === true;
	}

	/** Entries that translate a page of [page, page + pages) go. How many there were. */
	drop(space: number, page: number, pages: number): number {
		let dropped = 0;
		const sets = pages === 1 ? [this.#set(page, 1), this.#set(page, HUGE_PAGES)] : this.#filled;
		for (const { entries } of sets) {
			for (const [way, entry] of entries.entries()) {
				if (entry === null || entry.space !== space) continue;
				if (entry.page >= page + pages || entry.page + entry.frames.length <= page) continue;
				entries[way] = null;
				dropped++;
			}
		}
		return dropped;
	}

	isEmpty(): boolean {
		return [...this.#filled].every(({ entries }) => entries.every((entry) => entry === null));
	}

	clear(): number {
		let dropped = 0;
		for (const set of this.#filled) {
			dropped += set.entries.filter((entry) => entry !== null).length;
			set.clear();
		}
		this.#filled.clear();
		return dropped;
	}
}

class Level {
	readonly #small: TlbArray;
	/** null: 2 MiB pages come in pieces, or not at all. */
	readonly #huge: TlbArray | null;
	readonly #pieces: boolean;

	constructor({ huge = "pieces", ...small }: TlbLevel) {
		this.#small = new TlbArray(small);
		this.#pieces = huge === "pieces";
		if (typeof huge === "object") this.#huge = new TlbArray(huge);
		else this.#huge = huge === "shared" ? this.#small : null;
	}

	/** The 4 KiB entry of a page first. */
	find(space: number, page: number, write: boolean): Entry | undefined {
		return this.#small.find(space, page, 1, write) ?? this.#huge?.find(space, page, HUGE_PAGES, write);
	}

	holdsWritable(space: number, page: number): boolean {
		return this.#small.holdsWritable(space, page, 1) || this.#huge?.holdsWritable(space, page, HUGE_PAGES) === true;
	}

	/** `page`: the one that was touched. */
	fill(entry: Entry, page: number): void {
		if (entry.frames.length === 1) this.#small.fill(entry);
		else if (this.#pieces) this.#small.fill({ ...entry, page, frames: [frameIn(entry, page)] });
		else this.#huge?.fill(entry);
	}

	#arrays(): TlbArray[] {
		return this.#huge === null || this.#huge === this.#small ? [this.#small] : [this.#small, this.#huge];
	}

	drop(space: number, page: number, pages: number): number {
		return this.#arrays().reduce((sum, array) => sum + array.drop(space, page, pages), 0);
	}

	isEmpty(): boolean {
		return this.#arrays().every((array) => array.isEmpty());
	}

	clear(): number {
		return this.#arrays().reduce((sum, array) => sum + array.clear(), 0);
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

	/** A hit in the second level refills the first, by an entry of its size. An entry without the right to write is a miss for a write. */
	lookup(space: number, page: number, write: boolean): TlbResult {
		const first = this.#l1.find(space, page, write);
		if (first !== undefined) return { level: 1, frame: frameIn(first, page) };
		const second = this.#l2.find(space, page, write);
		if (second === undefined) return { level: 0, frame: 0 };
		this.#l1.fill(second, page);
		return { level: 2, frame: frameIn(second, page) };
	}

	fill(space: number, page: number, frame: number, writable: boolean): void {
		this.#fill({ space, page, frames: [frame], writable }, page);
	}

	/** The 2 MiB page around `page`. */
	fillHuge(space: number, page: number, frames: readonly number[], writable: boolean): void {
		this.#fill({ space, page: page - (page % HUGE_PAGES), frames, writable }, page);
	}

	/** Whether an entry lets a page be written; the order of use stays. */
	holdsWritable(space: number, page: number): boolean {
		return this.#l1.holdsWritable(space, page) || this.#l2.holdsWritable(space, page);
	}

	#fill(entry: Entry, page: number): void {
		this.#l1.fill(entry, page);
		this.#l2.fill(entry, page);
	}

	/** INVLPG, or what an access that faulted does to its own entries. */
	flushPage(space: number, page: number): number {
		return this.flushRange(space, page, 1);
	}

	/** How many entries of both levels went. */
	flushRange(space: number, page: number, pages: number): number {
		return this.#l1.drop(space, page, pages) + this.#l2.drop(space, page, pages);
	}

	isEmpty(): boolean {
		return this.#l1.isEmpty() && this.#l2.isEmpty();
	}

	flush(): number {
		return this.#l1.clear() + this.#l2.clear();
	}
}
