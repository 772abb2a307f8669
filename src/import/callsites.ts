// Functions of mm that say what the brackets inside them are for, and migration from its entries to their end (kernel.md 1.7, 1.8, 1.11 to 1.13, 1.15,
// 1.17). A site closes at its function's return, or with whatever else its task comes to.
import { NotifyEvent, OpFlag } from "../trace/kinds.js";
import type { CapturedVm, OpenSite, Task } from "./host.js";
import { type BracketItem, HUGE_PAGES, type InstantItem, isHugeRange } from "./items.js";
import type { Timeline } from "./timeline.js";

/** enum ttu_flags: a huge PMD is split first; until 5.13 try_to_unmap_one migrates as well. */
const Ttu = { migration: 1, splitHugePmd: 4 } as const;
/** What waits for a sign at once. */
const SOON = 64;
/** Ranges with migration entries that are remembered. */
const MANY = 1024;

/** A range whose PTEs are migration entries. */
interface Migrating {
	readonly item: BracketItem;
	readonly pid: number;
	/** Pages that have not come back. */
	left: number;
}

export class CallSites {
	readonly #timeline: Timeline;
	/** Collapses of which it is not known whether they succeeded. */
	#collapses: BracketItem[] = [];
	/** mm_collapse_huge_page is recorded. */
	#collapseTold = false;
	#migrating: Migrating[] = [];
	/** mm_migrate_pages is recorded: restores wait for it, by task. */
	#migrationTold = false;
	#restored: { readonly item: InstantItem; readonly pid: number }[] = [];

	constructor(timeline: Timeline) {
		this.#timeline = timeline;
	}

	enter(task: Task, name: OpenSite["name"], page = -1, flags = 0, to = 0): void {
		this.leave(task, Number.NaN);
		task.site = { name, page, to, flags, copied: false, item: null };
	}

	/** The function has returned `result` (NaN: not recorded), or its task is elsewhere. */
	leave(task: Task, result: number): void {
		const { site } = task;
		task.site = null;
		const item = site?.item ?? null;
		if (item === null) return;
		if (item.name === "uprobeReplace") {
			item.pending--;
			if (result < 0) item.flags |= OpFlag.failed;
		} else if (item.name === "reclaim") {
			item.pending--;
			// false: it is mapped still.
			if (result === 0 && item.end >= 0) item.name = "invalidate";
		}
	}

	/** Which operation a bracket of `task` is, where its function or its event says so. */
	operationOf(task: Task, page: number, pages: number, event: number): OpenSite["name"] | null {
		const { site } = task;
		if (event === NotifyEvent.softDirty) return "softDirty";
		if (site !== null && fits(site, page, pages, event)) {
			if (site.name !== "reclaim" && site.name !== "migrate") return site.name;
			if (site.page >= 0 && site.page !== page) return null;
			if ((site.flags & Ttu.splitHugePmd) !== 0 && isHugeRange(page, pages)) {
				// Its split comes first; what split_huge_page then finds are migration entries.
				if (site.name === "migrate" || !site.copied) {
					site.copied = true;
					return null;
				}
			}
			return (site.flags & Ttu.migration) !== 0 ? "migrate" : site.name;
		}
		if (event !== NotifyEvent.clear) return null;
		if (task.comm === "khugepaged") return pages === 1 ? null : "thpCollapse";
		if (pages !== 1 || task.merge !== null || task.copy !== null || task.fault !== null) return null;
		if (task.comm.startsWith("kcompactd")) return "migrate";
		return task.reclaims || task.comm.startsWith("kswapd") ? "reclaim" : null;
	}

	/** `operationOf` gave the name of it. */
	brackets(task: Task, item: BracketItem): void {
		const { site } = task;
		if (site !== null && site.name === item.name) {
			this.#settleLast(site);
			site.item = item;
			item.to = site.to;
			if (item.name === "uprobeReplace" || item.name === "reclaim") item.pending++;
		}
		if (item.name === "thpCollapse" && isHugeRange(item.page, item.pages)) this.#awaitCollapse(task, item);
	}

	#settleLast({ item }: OpenSite): void {
		if (item?.name === "uprobeReplace" || item?.name === "reclaim") item.pending--;
	}

	bracketEnded(task: Task, item: BracketItem): void {
		if (item.name !== "migrate") return;
		this.#migrating.push({ item, pid: task.pid, left: item.pages });
		if (this.#migrating.length > MANY) this.#migrating.shift();
	}

	#awaitCollapse(task: Task, item: BracketItem): void {
		const open = this.#collapses.filter((other) => other.pid === task.pid);
		// It is at the next one, and would have said so.
		if (this.#collapseTold) for (const other of open) this.#collapse(other, false);
		item.pending++;
		this.#collapses.push(item);
		if (this.#collapses.length > SOON) this.#collapse(this.#collapses[0], false);
	}

	#collapse(item: BracketItem | undefined, succeeded: boolean): void {
		if (item === undefined) return;
		this.#collapses = this.#collapses.filter((other) => other !== item);
		item.pending--;
		if (succeeded) item.name = "thpCollapsed";
	}

	/** mm_collapse_huge_page. */
	collapsed(task: Task, succeeded: boolean): void {
		this.#collapseTold = true;
		this.#collapse(
			this.#collapses.findLast((item) => item.pid === task.pid && item.end >= 0),
			succeeded,
		);
	}

	/** A fault has found the page mapped, by a leaf of `level`: what it found tells how a collapse ended, and that a migration has. */
	installed(vm: CapturedVm, page: number, level: number): void {
		if (this.#collapses.length > 0) {
			const item = this.#collapses.findLast((one) => one.vm === vm && one.end >= 0 && page >= one.page && page < one.page + one.pages);
			this.#collapse(item, level === 2);
		}
		if (this.#migrating.length > 0) this.#restore(page, level === 2 ? HUGE_PAGES : 1, vm, -1);
	}

	/** set_migration_pte: the bracket around it migrates. */
	migrationEntry(task: Task, page: number, pages: number): void {
		const item = task.brackets.at(-1)?.item ?? null;
		if (item === null || page < item.page || page + pages > item.page + item.pages) return;
		if (item.name !== "zap" && item.name !== "reclaim" && item.name !== "cow") return;
		if (task.site?.item === item) this.#settleLast(task.site);
		if (task.site?.item === item) task.site.item = null;
		item.name = "migrate";
	}

	/** remove_migration_pte: page by page, in the order in which they went. */
	restored(task: Task, page: number, pages: number): void {
		this.#restore(page, pages, null, task.merge === null ? task.pid : -1, task.merge !== null);
	}

	#restore(page: number, pages: number, vm: CapturedVm | null, pid: number, failed = false): void {
		const at = this.#migrating.findIndex(
			({ item }) => (vm === null || item.vm === vm) && page < item.page + item.pages && page + pages > item.page,
		);
		const found = this.#migrating[at];
		if (found === undefined) return;
		const first = Math.max(page, found.item.page);
		const count = Math.min(page + pages, found.item.page + found.item.pages) - first;
		found.left -= count;
		if (found.left <= 0) this.#migrating.splice(at, 1);
		this.#comesBack(found.item.vm, first, count, pid, failed);
	}

	#comesBack(vm: CapturedVm, page: number, pages: number, pid: number, failed: boolean): void {
		const item = this.#timeline.instant("migrateRestore", vm, page, [pages, failed ? OpFlag.failed : 0]);
		if (!this.#migrationTold || pid < 0) return;
		item.pending++;
		this.#restored.push({ item, pid });
		if (this.#restored.length > SOON) for (const { item: late } of this.#restored.splice(0, 1)) late.pending--;
	}

	/** mm_migrate_pages: what its task had taken away is back, and is the old pages where none succeeded. */
	migrated(task: Task, succeeded: number): void {
		this.#migrationTold = true;
		const own = this.#restored.filter(({ pid }) => pid === task.pid);
		this.#restored = this.#restored.filter(({ pid }) => pid !== task.pid);
		for (const { item } of own) {
			item.pending--;
			if (succeeded === 0) item.args[1] = OpFlag.failed;
		}
		this.finalized(task, succeeded === 0);
	}

	/** Whatever the task had taken away comes back. */
	finalized(task: Task, failed: boolean): void {
		const back = this.#migrating.filter(({ pid }) => pid === task.pid);
		this.#migrating = this.#migrating.filter(({ pid }) => pid !== task.pid);
		for (const { item } of back) this.#comesBack(item.vm, item.page, item.pages, -1, failed);
	}
}

/** Whether a bracket can be that of the function. */
function fits({ name, page: at, copied }: OpenSite, page: number, pages: number, event: number): boolean {
	switch (name) {
		case "uprobeReplace":
			return event === NotifyEvent.clear && pages === 1 && page === at;
		case "mremap":
			return event === NotifyEvent.unmap && page === at;
		case "mkclean":
			return event === NotifyEvent.protectionPage;
		case "numaHint":
		case "softDirty":
		case "protect":
			return event === NotifyEvent.protectionVma;
		case "hugeCow":
			return event === NotifyEvent.clear && copied && isHugeRange(page, pages);
		case "thpCollapse":
		case "thpCollapsed":
			return event === NotifyEvent.clear && isHugeRange(page, pages);
		case "reclaim":
			return event === NotifyEvent.clear;
		case "migrate":
			// migrate_vma_collect has an event of its own, and no address.
			return event === (at < 0 ? NotifyEvent.migrate : NotifyEvent.clear);
		case "migrateVma":
			return event === NotifyEvent.migrate;
	}
}
