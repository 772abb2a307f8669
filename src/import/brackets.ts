// Notifier brackets of a capture: which operation each belongs to, by what its task is doing (kernel.md 1.1; model.md section 3).
import { NotifyEvent, OpFlag } from "../trace/kinds.js";
import type { CallSites } from "./callsites.js";
import { ChangePte, type KernelEvent, Range } from "./event.js";
import type { Evidence } from "./evidence.js";
import type { CapturedHost, CapturedVm, OpenBracket, Task } from "./host.js";
import { type BracketItem, type FaultItem, isEligible, isHugeRange } from "./items.js";
import { NO_POINTER } from "./knownvm.js";
import type { KsmGrammar } from "./ksm.js";
import type { Timeline } from "./timeline.js";
import { pageOf } from "./tracefs.js";

/** Longer ranges than this are set-up, not work on pages that the capture is about. */
const MAX_SETTLED = 1 << 20;
/** Places for which an end that was announced may wait for mmu_lock. */
export const LONGEST_WAIT = 1 << 11;
/** FAULT_FLAG_USER, _REMOTE, _INTERRUPTIBLE, _UNSHARE (include/linux/mm_types.h). */
const FaultFlags = { remote: 0x80, interruptible: 0x200, unshare: 0x400 } as const;

export class BracketGrammar {
	/** Something tells what happened in brackets. */
	any = false;
	/** Copies are recorded: a bracket without one is none. */
	copiesRecorded = false;
	readonly #host: CapturedHost;
	readonly #timeline: Timeline;
	readonly #evidence: Evidence;
	readonly #ksm: KsmGrammar;
	readonly #sites: CallSites;
	/** The bracket of each VM that announced its end last. */
	readonly #lastEnded = new Map<CapturedVm, BracketItem>();

	constructor(host: CapturedHost, timeline: Timeline, evidence: Evidence, ksm: KsmGrammar, sites: CallSites) {
		this.#host = host;
		this.#timeline = timeline;
		this.#evidence = evidence;
		this.#ksm = ksm;
		this.#sites = sites;
	}

	starts(task: Task, { v }: KernelEvent): void {
		const timeline = this.#timeline;
		const start = v[Range.start];
		const event = Number.isNaN(v[Range.event]) ? NotifyEvent.clear : v[Range.event];
		const mm = Number.isNaN(v[Range.mm]) ? NO_POINTER : v[Range.mm];
		// clear_refs: [0, ULONG_MAX].
		const whole = event === NotifyEvent.softDirty && start === 0 && v[Range.end] < 0;
		const sound = whole || this.#evidence.range(start, v[Range.end]);
		let page = pageOf(start);
		let pages = whole ? Number.MAX_SAFE_INTEGER : pageOf(v[Range.end]) - page;
		const vm = sound && pages > 0 ? this.#host.vmOfMm(mm, task, page, pages) : null;
		if (whole) ({ page, pages } = vm?.span() ?? { page: 0, pages: 1 });
		if (vm !== null && task.vm === null && task.merge === null && !task.kernel) task.vm = vm;
		const hit = vm?.hits(page, pages) ?? false;
		if (task.copy !== null) task.copy.bracketed = true;
		const item = vm !== null ? this.#classify(task, vm, page, pages, event, hit) : null;
		task.brackets.push({ start, end: v[Range.end], item, unmapped: false, changedPte: false });
		if (item === null) return;
		this.any = true;
		if (hit) timeline.works(item.vm);
		else if (page === 0 && event === NotifyEvent.unmap) endsVm(item.vm);
		if (timeline.logged && pages <= MAX_SETTLED) for (let at = page; at < page + pages; at++) item.vm.settled.add(at);
		timeline.items.push(item);
		timeline.observe("rangeStart", vm, 0, page, [pages, event]);
	}

	#classify(task: Task, vm: CapturedVm, page: number, pages: number, event: number, hit: boolean): BracketItem {
		const { merge, copy, fault } = task;
		const make = (name: BracketItem["name"], flags = 0): BracketItem => ({
			kind: "bracket",
			name,
			vm,
			page,
			pages,
			event,
			hit,
			begin: this.#timeline.at,
			counted: false,
			locked: -1,
			commit: -1,
			end: -1,
			flags,
			kpage: 0,
			child: 0,
			to: 0,
			appended: false,
			pid: task.pid,
			vcpu: fault?.vcpu ?? -1,
			source: "other",
			pending: 0,
		});
		const site = this.#sites.operationOf(task, page, pages, event);
		if (site !== null) {
			const item = make(site);
			this.#sites.brackets(task, item);
			return item;
		}
		if (merge !== null && pages === 1) {
			if (merge.writeProtect === null) {
				merge.writeProtect = make("ksmWriteProtect", merge.kpage === 0 ? 0 : OpFlag.kpageGiven);
				merge.writeProtect.pending = 1;
				return merge.writeProtect;
			}
			if (merge.replace !== null) merge.replace.pending--;
			merge.replace = make("ksmReplace");
			merge.replace.pending = 1;
			return merge.replace;
		}
		if (pages === 1 && copy !== null && copy.page === page) {
			const item = make((copy.flags & FaultFlags.unshare) !== 0 ? "unshare" : "cow");
			item.source = copy.struct === 0 ? "zero" : this.#ksm.isKsmPage(copy.struct) ? "ksm" : "other";
			if ((copy.flags & FaultFlags.remote) !== 0 && item.name === "cow") item.flags |= OpFlag.breakKsm;
			else if (fault !== null && (copy.flags & FaultFlags.interruptible) === 0 && onPage(fault, page)) own(item, fault);
			this.#timeline.observe("cowCopy", vm, 0, page, [item.source === "ksm" ? 1 : 0]);
			return item;
		}
		if (pages === 1 && event === NotifyEvent.clear) {
			if (task.breakKsm === page) return make("unshare");
			const item = make("cow");
			if (fault !== null && onPage(fault, page)) {
				own(item, fault);
				return item;
			}
			if (!this.copiesRecorded && task.vm === vm) return item;
		}
		if (event === NotifyEvent.unmap) return make("zap");
		if (event === NotifyEvent.clear) {
			if (vm.dropped.has(`${page} ${pages}`)) return make("zap");
			if (isHugeRange(page, pages)) return make("thpSplit");
			return merge !== null ? make("invalidate") : make("zap");
		}
		return make("invalidate");
	}

	unmapped(task: Task): void {
		const bracket = task.brackets.at(-1);
		if (bracket === undefined) return;
		bracket.unmapped = true;
		if (bracket.item?.hit === true) bracket.item.vm.openBracket(bracket.item);
	}

	/** KVM has mmu_lock and has counted the range: with an access log that is its begin. */
	counted(task: Task): void {
		const item = task.brackets.at(-1)?.item;
		if (this.#timeline.logged && item != null && item.locked < 0) item.locked = this.#timeline.at;
	}

	/** KVM has mmu_lock for change_pte. */
	changesSpte(task: Task): void {
		const bracket = task.brackets.at(-1);
		if (this.#timeline.logged && bracket?.item != null && bracket.changedPte) bracket.item.commit = this.#timeline.at;
	}

	/**
	 * The return of an establish. One that met another bracket in progress (-2) where all others have announced their end: the last of them waits for
	 * mmu_lock with it still, so its end is behind this.
	 */
	establishReturned(task: Task, value: number): void {
		this.#evidence.establishReturned(value);
		const item = task.brackets.at(-1)?.item;
		if (!this.#timeline.logged || value !== -2 || item == null) return;
		for (const other of item.vm.open) if (other !== item && other.locked >= 0) return;
		const waiting = this.#lastEnded.get(item.vm);
		const { at } = this.#timeline;
		if (waiting !== undefined && waiting.pid !== task.pid && at - waiting.end <= LONGEST_WAIT) waiting.end = at;
	}

	changePte(task: Task, { v }: KernelEvent): void {
		const page = pageOf(v[ChangePte.addr]);
		const bracket = task.brackets.at(-1);
		if (bracket === undefined || pageOf(bracket.start) !== page) return;
		bracket.changedPte = true;
		this.#evidence.changePte = true;
		const { item } = bracket;
		if (item === null) return;
		item.commit = this.#timeline.at;
		this.#timeline.observe("changePte", item.vm, 0, page, [(v[ChangePte.pteLow] >>> 1) & 1]);
	}

	ends(task: Task, { v }: KernelEvent): void {
		const start = v[Range.start];
		let bracket: OpenBracket | undefined;
		while (bracket === undefined && task.brackets.length > 0) {
			const top = task.brackets.pop();
			if (top === undefined) return;
			if (top.start === start) bracket = top;
			else this.#end(task, top);
		}
		if (bracket === undefined || bracket.item === null) return;
		const { item } = bracket;
		this.#evidence.bracket(bracket.unmapped, bracket.changedPte, item.hit && isEligible(item.name));
		this.#timeline.observe("rangeEnd", item.vm, 0, item.page, [item.pages, item.event]);
		this.#end(task, bracket);
	}

	#end(task: Task, { item }: OpenBracket): void {
		if (item === null) return;
		this.#timeline.end(item);
		item.vm.open.delete(item);
		if (this.#timeline.logged && item.hit) this.#lastEnded.set(item.vm, item);
		this.#sites.bracketEnded(task, item);
	}

	/** End of the capture. */
	finish(task: Task): void {
		for (const { item } of task.brackets) if (item !== null && item.end < 0) this.#timeline.end(item);
	}
}

function onPage(fault: FaultItem, page: number): boolean {
	const gfn = pageOf(fault.gpa);
	return fault.vm.hvaPage(0, gfn) === page || fault.vm.hvaPage(1, gfn) === page;
}

function own(item: BracketItem, fault: FaultItem): void {
	item.flags |= OpFlag.ownFault;
	fault.ownCow = true;
}

/** What KVM did since the last fault and range of a VM whose mm goes was no work. */
function endsVm(vm: CapturedVm): void {
	vm.ended = true;
	for (const item of vm.tentative) item.dropped = true;
	vm.tentative.length = 0;
}
