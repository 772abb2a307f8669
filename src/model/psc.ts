// Paging-structure caches: entries of the upper levels of page tables, so that a walk begins below them (Intel SDM 4.10.3 and 29.4; docs/machines.md).
import type { Psc, PscLevels } from "../machine/machine.js";

/** Of one dimension: keys of each level, most recently used first. */
class Dimension {
	readonly #sizes: readonly number[];
	readonly #levels: string[][] = [[], [], [], [], [], []];

	constructor({ level2, level3, level4, level5 }: PscLevels) {
		this.#sizes = [0, 0, level2, level3, level4, level5];
	}

	#keys(level: number): string[] {
		const keys = this.#levels[level];
		if (keys === undefined) throw new RangeError(`no level ${level}`);
		return keys;
	}

	/** Whether the entry is there; it is now the most recent of its level. */
	use(level: number, key: string): boolean {
		const keys = this.#keys(level);
		const at = keys.indexOf(key);
		if (at < 0) return false;
		keys.splice(at, 1);
		keys.unshift(key);
		return true;
	}

	put(level: number, key: string): void {
		if (this.use(level, key)) return;
		const keys = this.#keys(level);
		keys.unshift(key);
		keys.length = Math.min(keys.length, this.#sizes[level] ?? 0);
	}

	dropIf(goes: (level: number, key: string) => boolean): void {
		for (const [level, keys] of this.#levels.entries()) this.#levels[level] = keys.filter((key) => !goes(level, key));
	}
}

/** The number of the table entry of a level on the way to a page: those of level 2 lead to leaf tables, 512 pages each. */
const entryNumber = (page: number, level: number): number => Math.floor(page / 512 ** (level - 1));

/** Levels from the top to that of the leaf: 4 to 1 is a 4 KiB page under four levels, 4 to 2 one of 2 MiB. */
export interface WalkedLevels {
	readonly top: number;
	readonly leaf: number;
}

export interface WalkCost {
	readonly references: number;
	readonly pscHits: number;
}

/**
 * The page walker of one vCPU or host thread with its caches. A walk without them takes as many memory references as the closed formula says:
 * (g + 1)(h + 1) - 1 over g and h levels. Where the guest keeps its page tables no trace tells: those of level n are taken to lie one after another,
 * in a region of their own, as the pages that they map do.
 */
export class Walker {
	readonly #linear: Dimension | null;
	readonly #nested: Dimension | null;
	#hits = 0;

	constructor(psc: Psc | undefined) {
		const used = psc?.used === true;
		this.#linear = used ? new Dimension(psc.linear) : null;
		this.#nested = used ? new Dimension(psc.nested) : null;
	}

	/** Where a walk begins: the level below the lowest entry that is cached, and whether there was one. */
	#start(dimension: Dimension | null, { top, leaf }: WalkedLevels, page: number, kind: string): { level: number; cached: boolean } {
		for (let level = leaf + 1; level <= top; level++) {
			if (dimension?.use(level, `${kind}${entryNumber(page, level)}`) !== true) continue;
			this.#hits++;
			return { level: level - 1, cached: true };
		}
		return { level: top, cached: false };
	}

	#keep(dimension: Dimension | null, from: number, leaf: number, page: number, kind: string): void {
		for (let level = from; level > leaf; level--) dimension?.put(level, `${kind}${entryNumber(page, level)}`);
	}

	/** From guest-physical `page` (of a table of the guest, by its level in `kind`, or of the data) to the host's. */
	#translate(levels: WalkedLevels, page: number, kind: string, keep: boolean): number {
		const { level } = this.#start(this.#nested, levels, page, kind);
		if (keep) this.#keep(this.#nested, level, levels.leaf, page, kind);
		return level - levels.leaf + 1;
	}

	/** A guest's walk in two dimensions; in one where `guest.top` is 0. One that ends in an EPT violation leaves nothing of its page behind. */
	walk(page: number, guest: WalkedLevels, host: WalkedLevels, permitted: boolean): WalkCost {
		this.#hits = 0;
		let references = 0;
		if (guest.top > 0) {
			const { level: first, cached } = this.#start(this.#linear, guest, page, "");
			for (let level = first; level >= guest.leaf; level--) {
				// A cached entry holds the host-physical address of the table below it.
				if (!cached || level < first) references += this.#translate(host, entryNumber(page, level + 1), `t${level}.`, true);
				references++;
			}
			if (permitted) this.#keep(this.#linear, first, guest.leaf, page, "");
		}
		references += this.#translate(host, page, "", permitted);
		if (!permitted) this.forget(page, 1);
		return { references, pscHits: this.#hits };
	}

	/** A host thread's walk of its own mm's tables. */
	walkNative(page: number, levels: WalkedLevels): WalkCost {
		this.#hits = 0;
		const { level } = this.#start(this.#linear, levels, page, "");
		this.#keep(this.#linear, level, levels.leaf, page, "");
		return { references: level - levels.leaf + 1, pscHits: this.#hits };
	}

	/** Entries on the way to a page of [page, page + pages) go; those that lead to the guest's own tables stay. */
	forget(page: number, pages: number): void {
		const leads = (level: number, key: string): boolean => {
			const number = Number(key);
			return number >= entryNumber(page, level) && number <= entryNumber(page + pages - 1, level);
		};
		this.#linear?.dropIf(leads);
		this.#nested?.dropIf((level, key) => !key.startsWith("t") && leads(level, key));
	}

	forgetAll(): void {
		this.#linear?.dropIf(() => true);
		this.#nested?.dropIf(() => true);
	}
}
