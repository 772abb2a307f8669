// KVM's side of one VM: memslots, the TDP page table of each address space, and the sequence that makes racing faults retry (kernel.md 3.1 to 3.4).

import type { Site } from "../counters.js";
import type { ZapCause } from "../trace/kinds.js";
import type { Frame } from "./frames.js";
import { HUGE_PAGES, type Mm } from "./mm.js";

export interface Memslot {
	readonly slot: number;
	/** Address space: 0 normal, 1 SMM. */
	readonly as: number;
	readonly gfn: number;
	/** First hva page number. */
	readonly page: number;
	readonly pages: number;
	/** KVM_MEM_READONLY: no writable SPTE; a guest's write is emulated. */
	readonly readOnly: boolean;
	/** KVM_MEM_LOG_DIRTY_PAGES: no SPTE over 4 KiB, and each first store is noticed. */
	readonly logDirty: boolean;
}

/** Why the last attempt on a gfn did not install: the retry causes of kinds.ts. */
export type RetryCause = "retryAfterCow" | "retryInProgress" | "retryOther";

/** One leaf, kept after a zap for what it says of the next fault. */
export interface Spte {
	/** null: not present. */
	frame: Frame | null;
	writable: boolean;
	/** The host's PTE was writable when this was made (shadow_host_writable_mask). */
	hostWritable: boolean;
	/** KVM may give W back without asking the host (shadow_mmu_writable_mask). */
	mmuWritable: boolean;
	accessed: boolean;
	/** The D bit. */
	dirty: boolean;
	/** A guest's store went through it, and its page has not been told of it yet (I-15). */
	stored: boolean;
	/** Made by change_pte and not touched since. */
	established: boolean;
	/** Part of a 2 MiB leaf: its 512 entries come and go together. */
	huge: boolean;
	/** What made it absent. */
	absent: "firstTouch" | ZapCause | RetryCause;
	/** The call site whose zap made it absent. */
	site: Site | null;
	/** Guest accesses when it was zapped, until an exit misses it; null: none did, or one has. */
	zappedAt: number | null;
	/** When that was, in ns; undefined where the trace has no times. */
	zappedNs: number | undefined;
}

function absentSpte(): Spte {
	return {
		frame: null,
		writable: false,
		hostWritable: false,
		mmuWritable: false,
		accessed: false,
		dirty: false,
		stored: false,
		established: false,
		huge: false,
		absent: "firstTouch",
		site: null,
		zappedAt: null,
		zappedNs: undefined,
	};
}

/** Leaf tables cover 512 gfns. */
const LEAF_TABLE_SHIFT = 9;

/** The page table of one address space of a VM. */
export class TdpRoot {
	readonly #sptes = new Map<number, Spte>();
	readonly #leafTables = new Set<number>();

	/** The entry of a gfn, made absent-since-ever where there is none. */
	entry(gfn: number): Spte {
		const known = this.#sptes.get(gfn);
		if (known !== undefined) return known;
		const made = absentSpte();
		this.#sptes.set(gfn, made);
		return made;
	}

	peek(gfn: number): Spte | undefined {
		return this.#sptes.get(gfn);
	}

	/** The entries of the leaf that maps a gfn: one, or the 512 of a 2 MiB leaf. */
	leaf(gfn: number): Spte[] {
		const own = this.entry(gfn);
		if (!own.huge) return [own];
		const first = gfn - (gfn % HUGE_PAGES);
		return Array.from({ length: HUGE_PAGES }, (_, at) => this.entry(first + at));
	}

	/** Present leaves of [gfn, end), each by the first of its gfns in the range. */
	leaves(gfn: number, end: number): number[] {
		const found: number[] = [];
		for (let at = gfn; at < end; ) {
			const spte = this.peek(at);
			if (spte !== undefined && spte.frame !== null) found.push(at);
			at = spte?.huge === true ? at - (at % HUGE_PAGES) + HUGE_PAGES : at + 1;
		}
		return found;
	}

	hasLeafTable(gfn: number): boolean {
		return this.#leafTables.has(Math.floor(gfn / 2 ** LEAF_TABLE_SHIFT));
	}

	addLeafTable(gfn: number): void {
		this.#leafTables.add(Math.floor(gfn / 2 ** LEAF_TABLE_SHIFT));
	}

	/** A 2 MiB leaf takes the place of the table. */
	removeLeafTable(gfn: number): void {
		this.#leafTables.delete(Math.floor(gfn / 2 ** LEAF_TABLE_SHIFT));
	}

	dropTables(): void {
		this.#leafTables.clear();
	}

	/** Every known entry, in gfn order. */
	*entries(): Generator<[number, Spte]> {
		for (const gfn of [...this.#sptes.keys()].sort((a, b) => a - b)) {
			const spte = this.#sptes.get(gfn);
			if (spte !== undefined) yield [gfn, spte];
		}
	}
}

export class Vm {
	readonly id: number;
	readonly mm: Mm;
	readonly roots: readonly TdpRoot[] = [new TdpRoot(), new TdpRoot()];
	#slots: Memslot[] = [];
	/** mmu_invalidate_seq. */
	seq = 0;
	/** mmu_invalidate_in_progress. */
	inProgress = 0;
	/** Union of the ranges in progress, hva pages [start, end); never shrinks until inProgress is 0. */
	hullStart = 0;
	hullEnd = 0;
	/** hva pages of operations that ended while a bracket was in progress: their SPTEs are yet to be inspected (oracle.ts). */
	doubt: { readonly page: number; readonly pages: number } | null = null;

	constructor(id: number, mm: Mm) {
		this.id = id;
		this.mm = mm;
	}

	root(as: number): TdpRoot {
		const root = this.roots[as];
		if (root === undefined) throw new RangeError(`no address space ${as}`);
		return root;
	}

	/** A slot by its number; undefined where there is none. */
	numbered(slot: number, as: number): Memslot | undefined {
		return this.#slots.find((other) => other.slot === slot && other.as === as);
	}

	addSlot(slot: Memslot): void {
		this.#slots.push(slot);
	}

	/** A slot of the same number and place with other flags. */
	changeSlot(slot: Memslot): void {
		this.#slots = this.#slots.map((other) => (other.slot === slot.slot && other.as === slot.as ? slot : other));
	}

	/** Delete a slot; false if there was none. */
	deleteSlot(slot: number, as: number): boolean {
		const before = this.#slots.length;
		this.#slots = this.#slots.filter((other) => other.slot !== slot || other.as !== as);
		return this.#slots.length < before;
	}

	/**
	 * First gfn of the 2 MiB leaf that could map `gfn`: its memslot covers it all, with hva and gpa congruent, and does not log dirty pages; undefined if
	 * it cannot (3.6, step 7).
	 */
	hugeStart(as: number, gfn: number): number | undefined {
		const slot = this.slot(as, gfn);
		const first = gfn - (gfn % HUGE_PAGES);
		if (slot === undefined || slot.logDirty || (slot.page - slot.gfn) % HUGE_PAGES !== 0) return undefined;
		return first >= slot.gfn && first + HUGE_PAGES <= slot.gfn + slot.pages ? first : undefined;
	}

	slot(as: number, gfn: number): Memslot | undefined {
		return this.#slots.find((s) => s.as === as && gfn >= s.gfn && gfn < s.gfn + s.pages);
	}

	/** hva page of a gfn; undefined outside every slot. */
	hva(as: number, gfn: number): number | undefined {
		const slot = this.slot(as, gfn);
		return slot === undefined ? undefined : slot.page + (gfn - slot.gfn);
	}

	readOnly(as: number, gfn: number): boolean {
		return this.slot(as, gfn)?.readOnly === true;
	}

	logsDirty(as: number, gfn: number): boolean {
		return this.slot(as, gfn)?.logDirty === true;
	}

	hits(page: number, pages: number): boolean {
		return this.#slots.some((slot) => page < slot.page + slot.pages && page + pages > slot.page);
	}

	/** The gfns that an hva range backs, aliases and both address spaces included, clipped to the slots: runs [gfn, gfn + pages). */
	runs(page: number, pages: number): { as: number; gfn: number; page: number; pages: number }[] {
		const found = [];
		for (const slot of this.#slots) {
			const first = Math.max(page, slot.page);
			const end = Math.min(page + pages, slot.page + slot.pages);
			if (first < end) found.push({ as: slot.as, gfn: slot.gfn + (first - slot.page), page: first, pages: end - first });
		}
		return found;
	}

	/** kvm_mmu_invalidate_begin. */
	invalidateBegin(page: number, pages: number): void {
		this.inProgress++;
		if (this.inProgress === 1) {
			this.hullStart = page;
			this.hullEnd = page + pages;
		} else {
			this.hullStart = Math.min(this.hullStart, page);
			this.hullEnd = Math.max(this.hullEnd, page + pages);
		}
	}

	/** kvm_mmu_invalidate_end. */
	invalidateEnd(): void {
		this.seq++;
		this.inProgress--;
	}

	/** The part of mmu_invalidate_retry_hva that a bracket in progress decides. */
	inHull(page: number): boolean {
		return this.inProgress > 0 && page >= this.hullStart && page < this.hullEnd;
	}
}
