// ksmd's part of a capture: try_to_merge_one_page from entry to return, the KSM pages by their struct page, and what enters the stable tree
// (kernel.md 1.4, 1.5; model.md section 3, rule 6).
import { OpFlag } from "../trace/kinds.js";
import type { Evidence } from "./evidence.js";
import type { CapturedVm, OpenMerge, Task } from "./host.js";
import type { BracketItem, InstantItem, Item } from "./items.js";

export class KsmGrammar {
	readonly #evidence: Evidence;
	readonly #items: Item[];
	readonly #kpages = new Map<number, number>();
	/** Replaces outside try_to_merge_with_ksm_page before it is known whether that is probed. */
	#bareReplaces: BracketItem[] = [];
	/** Merges that have not entered the stable tree yet, by page and in order. */
	readonly #merged = new Map<number, (BracketItem | InstantItem)[]>();
	#waiting: (BracketItem | InstantItem)[] = [];
	/** stable_tree_append is probed; null: not known yet. */
	#appendProbe: boolean | null = null;
	#kpageIds = 0;

	/** Promotions are added to `items`. */
	constructor(evidence: Evidence, items: Item[]) {
		this.#evidence = evidence;
		this.#items = items;
	}

	/** Nothing but its return tells that a merge happened. */
	get byReturn(): boolean {
		return this.#appendProbe === false;
	}

	isKsmPage(struct: number): boolean {
		return this.#kpages.has(struct);
	}

	/** Both are struct pages; 0: none. */
	begins(task: Task, page: number, kpage: number): void {
		if (task.merge !== null) settle(task.merge);
		task.merge = {
			page,
			kpage,
			bare: kpage !== 0 && !task.withKsmPage,
			writeProtect: null,
			replace: null,
		};
	}

	/** A merge happened iff try_to_merge_one_page returned 0 (model.md rule 6). */
	ends(task: Task, result: number, at: number): void {
		const { merge } = task;
		task.merge = null;
		task.withKsmPage = false;
		if (merge === null) return;
		settle(merge);
		if (merge.writeProtect === null) return;
		const { writeProtect, replace } = merge;
		if (writeProtect.commit >= 0) writeProtect.flags |= OpFlag.changed;
		const last = replace ?? writeProtect;
		if (result === 0 && replace !== null) {
			replace.kpage = this.#kpage(merge.kpage);
			this.#awaitAppend(replace);
			if (merge.bare) this.#bare(replace);
		}
		if (result === 0 && replace === null && merge.kpage === 0) {
			const kpage = ++this.#kpageIds;
			this.#kpages.set(merge.page, kpage);
			const { vm, page } = writeProtect;
			const promote: InstantItem = { kind: "instant", name: "ksmPromote", vm, page, args: [kpage, 0], begin: at, pending: 0 };
			this.#items.push(promote);
			this.#awaitAppend(promote);
		} else if (result !== 0 || replace === null) {
			if (replace === null) writeProtect.flags |= OpFlag.unlocks;
			if (!this.#evidence.changePte || last.commit < 0) last.flags |= OpFlag.failed;
		}
		if (this.#evidence.changePte && writeProtect.commit < 0) writeProtect.flags |= OpFlag.failed;
	}

	#bare(replace: BracketItem): void {
		if (this.#evidence.mergeProbe) intoZeroPage(replace);
		else if (this.#bareReplaces.length < SOON) {
			replace.pending++;
			this.#bareReplaces.push(replace);
		} else this.#giveUpBare();
	}

	#giveUpBare(): void {
		for (const replace of this.#bareReplaces) replace.pending--;
		this.#bareReplaces = [];
	}

	/** try_to_merge_with_ksm_page is probed, so a merge outside it is one into the zero page. */
	probed(): void {
		if (this.#evidence.mergeProbe) return;
		this.#evidence.mergeProbe = true;
		for (const replace of this.#bareReplaces) intoZeroPage(replace);
		this.#giveUpBare();
	}

	#awaitAppend(item: BracketItem | InstantItem): void {
		if (this.#appendProbe === false) return;
		item.pending++;
		this.#waiting.push(item);
		if (this.#waiting.length > SOON) this.#giveUp();
		const waiting = this.#merged.get(item.page);
		if (waiting === undefined) this.#merged.set(item.page, [item]);
		else waiting.push(item);
	}

	/** Half of those that wait have waited for long: they were undone, or nothing probes it. */
	#giveUp(): void {
		const late = this.#waiting.splice(0, this.#appendProbe === null ? this.#waiting.length : SOON / 2);
		if (this.#appendProbe === null) this.#appendProbe = false;
		for (const item of late) {
			item.pending--;
			if (this.#appendProbe && item.appended !== true) undone(item);
			const others = (this.#merged.get(item.page) ?? []).filter((other) => other !== item);
			if (others.length > 0) this.#merged.set(item.page, others);
			else this.#merged.delete(item.page);
		}
	}

	/**
	 * stable_tree_append: of the merges at this address, in this mm where the event has it, the last one has entered the stable tree. Gives its VM.
	 */
	appended(page: number, mm: number): CapturedVm | null {
		this.#appendProbe = true;
		const waiting = this.#merged.get(page) ?? [];
		const item = waiting.findLast((candidate) => candidate.appended !== true && (Number.isNaN(mm) || candidate.vm?.mmPointer === mm));
		if (item !== undefined) {
			item.appended = true;
			item.pending--;
			this.#waiting.splice(this.#waiting.indexOf(item), 1);
		}
		const left = waiting.filter((candidate) => candidate.appended !== true);
		if (left.length === 0) this.#merged.delete(page);
		else this.#merged.set(page, left);
		return item?.vm ?? null;
	}

	/** End of the capture. */
	finish(): void {
		this.#appendProbe ??= false;
		if (this.#appendProbe) for (const item of this.#waiting) undone(item);
	}

	/** The id of a KSM page by its struct page; one that the capture did not see promoted gets its id here. */
	#kpage(struct: number): number {
		const known = this.#kpages.get(struct);
		if (known !== undefined) return known;
		const made = ++this.#kpageIds;
		this.#kpages.set(struct, made);
		return made;
	}
}

/** Merges that are waited for at once, in bounded memory; stable_tree_append comes right behind its merge, or behind that of a pair. */
const SOON = 64;

function settle({ writeProtect, replace }: OpenMerge): void {
	if (writeProtect !== null) writeProtect.pending--;
	if (replace !== null) replace.pending--;
}

function intoZeroPage(replace: BracketItem): void {
	replace.flags |= OpFlag.zeroPage;
	replace.kpage = 0;
}

function undone(item: BracketItem | InstantItem): void {
	if (item.kind === "bracket") item.flags |= OpFlag.undone;
	else item.args[1] = OpFlag.undone;
}
