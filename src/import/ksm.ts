// ksmd's part of a capture: try_to_merge_one_page from entry to return, the KSM pages by their struct page, and what enters the stable tree
// (kernel.md 1.4, 1.5; model.md section 3, rule 6).
import { OpFlag } from "../trace/kinds.js";
import type { Evidence } from "./evidence.js";
import type { CapturedVm, Task } from "./host.js";
import type { BracketItem, InstantItem, Item } from "./items.js";
import { field } from "./tracefs.js";

export class KsmGrammar {
	readonly #evidence: Evidence;
	readonly #items: Item[];
	readonly #kpages = new Map<string, number>();
	readonly #bareReplaces: BracketItem[] = [];
	/** Merges that have not entered the stable tree yet, by page. */
	readonly #merged = new Map<number, (BracketItem | InstantItem)[]>();
	#appendProbe = false;
	#kpageIds = 0;

	/** Promotions are added to `items`. */
	constructor(evidence: Evidence, items: Item[]) {
		this.#evidence = evidence;
		this.#items = items;
	}

	isKsmPage(struct: string): boolean {
		return this.#kpages.has(struct);
	}

	begins(task: Task, text: string): void {
		const kpage = field(text, "kpage") ?? "0x0";
		task.merge = {
			page: field(text, "page") ?? "",
			kpage,
			bare: kpage !== "0x0" && !task.withKsmPage,
			writeProtect: null,
			replace: null,
		};
	}

	/** A merge happened iff try_to_merge_one_page returned 0 (model.md rule 6). */
	ends(task: Task, result: number, at: number): void {
		const { merge } = task;
		task.merge = null;
		task.withKsmPage = false;
		if (merge === null || merge.writeProtect === null) return;
		const { writeProtect, replace } = merge;
		if (writeProtect.commit >= 0) writeProtect.flags |= OpFlag.changed;
		const last = replace ?? writeProtect;
		if (result === 0 && replace !== null) {
			replace.kpage = this.#kpage(merge.kpage);
			this.#awaitAppend(replace);
			if (merge.bare) this.#bareReplaces.push(replace);
		}
		if (result === 0 && replace === null && merge.kpage === "0x0") {
			const kpage = ++this.#kpageIds;
			this.#kpages.set(merge.page, kpage);
			const { vm, page } = writeProtect;
			const promote: InstantItem = { kind: "instant", name: "ksmPromote", vm, page, args: [kpage, 0], begin: at };
			this.#items.push(promote);
			this.#awaitAppend(promote);
		} else if (result !== 0 || replace === null) {
			if (replace === null) writeProtect.flags |= OpFlag.unlocks;
			if (!this.#evidence.changePte || last.commit < 0) last.flags |= OpFlag.failed;
		}
		if (this.#evidence.changePte && writeProtect.commit < 0) writeProtect.flags |= OpFlag.failed;
	}

	#awaitAppend(item: BracketItem | InstantItem): void {
		const waiting = this.#merged.get(item.page);
		if (waiting === undefined) this.#merged.set(item.page, [item]);
		else waiting.push(item);
	}

	/**
	 * stable_tree_append: of the merges at this address, in this mm where the event has it, the last one has entered the stable tree. Gives its VM.
	 */
	appended(page: number, mm: string | undefined): CapturedVm | null {
		this.#appendProbe = true;
		const waiting = this.#merged.get(page) ?? [];
		const item = waiting.findLast((candidate) => candidate.appended !== true && (mm === undefined || candidate.vm?.mmPointer === mm));
		if (item !== undefined) item.appended = true;
		this.#merged.set(
			page,
			waiting.filter((candidate) => candidate.appended !== true),
		);
		return item?.vm ?? null;
	}

	/** End of the capture. A merge outside try_to_merge_with_ksm_page, where that is probed, was one into the zero page. */
	finish(): void {
		if (this.#evidence.mergeProbe)
			for (const replace of this.#bareReplaces) {
				replace.flags |= OpFlag.zeroPage;
				replace.kpage = 0;
			}
		if (!this.#appendProbe) return;
		for (const item of [...this.#merged.values()].flat()) {
			if (item.kind === "bracket") item.flags |= OpFlag.undone;
			else item.args[1] = OpFlag.undone;
		}
	}

	/** The id of a KSM page by its struct page; one that the capture did not see promoted gets its id here. */
	#kpage(struct: string): number {
		const known = this.#kpages.get(struct);
		if (known !== undefined) return known;
		const made = ++this.#kpageIds;
		this.#kpages.set(struct, made);
		return made;
	}
}
