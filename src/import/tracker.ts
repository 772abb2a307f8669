// The grammar of a KVM/KSM capture: what each task's events mean together (formats.md section 7, model.md section 3). Fed events in order, it
// leaves items (causes with begin, commit and end) and observations. One method an event.
import { NotifyEvent, OpFlag, SpteBit, type VmexitCause, ZAP_CAUSES, type ZapCause } from "../trace/kinds.js";
import { Evidence } from "./evidence.js";
import type { CapturedHost, CapturedVm, OpenBracket, Task } from "./host.js";
import {
	type BracketItem,
	type ChildCopy,
	type FaultItem,
	type HostFault,
	type Item,
	isEligible,
	type ObservedItem,
	ZAP_OF,
} from "./items.js";
import { KsmGrammar } from "./ksm.js";
import { SILENT_EVENTS } from "./silent.js";
import { leafBits } from "./spte.js";
import { field, hex, pageOf, type TracefsEvent, word } from "./tracefs.js";

/** 4 KiB pages of a 2 MiB one. */
const HUGE_PAGES = 512;
/** Longer ranges than this are set-up, not work on pages that the capture is about. */
const MAX_SETTLED = 1 << 20;
/** FAULT_FLAG_USER, _REMOTE, _INTERRUPTIBLE, _UNSHARE (include/linux/mm_types.h). */
const FaultFlags = { remote: 0x80, interruptible: 0x200, unshare: 0x400 } as const;
/** PFERR_* of kvm_page_fault's error_code. */
const ErrorCode = { present: 1, write: 2, reserved: 8, fetch: 16 } as const;

/** Threads that work on everybody's mm. */
const KERNEL_THREAD = /^(ksmd|khugepaged|kswapd|kcompactd|kworker|migration)/;

export class Tracker {
	readonly host: CapturedHost;
	readonly items: Item[] = [];
	readonly observed: ObservedItem[] = [];
	readonly evidence = new Evidence();
	/** Names of events with no meaning here, with their counts. */
	readonly unknown = new Map<string, number>();
	readonly problems: string[] = [];
	/** Copies outside every bracket, by tasks of no known VM. */
	readonly childCopies: ChildCopy[] = [];
	/** User faults of host threads on guest memory, with their exact addresses. */
	readonly hostFaults: HostFault[] = [];
	copiesRecorded = false;
	/** Number of the event being read. */
	at = 0;
	readonly #ksm: KsmGrammar;

	constructor(host: CapturedHost) {
		this.host = host;
		this.#ksm = new KsmGrammar(this.evidence, this.items);
	}

	feed(event: TracefsEvent): void {
		const task = this.host.task(event.pid, event.tgid, event.comm);
		const { text } = event;
		const inside = task.brackets.at(-1);
		if (inside?.unmapped === true && inside.item !== null) inside.item.counted = true;
		const meaning = MEANINGS[event.name];
		if (meaning !== undefined) meaning(this, task, text);
		else if (!SILENT_EVENTS.has(event.name)) this.unknown.set(event.name, (this.unknown.get(event.name) ?? 0) + 1);
	}

	/** End of the capture: what is still open ends here. */
	finish(): void {
		this.#ksm.finish();
		for (const task of this.host.tasks()) {
			this.closeFault(task, this.at);
			for (const { item } of task.brackets) if (item !== null && item.end < 0) item.end = this.at;
		}
	}

	observe(name: ObservedItem["name"], vm: CapturedVm | null, vcpu: number, page: number, args: number[]): void {
		this.observed.push({ at: this.at, name, vm, vcpu, page, args });
	}

	vmOfTask(task: Task): CapturedVm | null {
		return task.brackets.at(-1)?.item?.vm ?? task.vm;
	}

	pageFault(task: Task, text: string): void {
		const vcpu = Number(word(text, "vcpu") ?? 0);
		const gpa = hex(word(text, "address"));
		const rip = word(text, "rip") ?? "";
		const errorCode = Number(BigInt(word(text, "error_code") ?? "0") & 0xffffn);
		const previous = task.fault;
		this.closeFault(task, this.at);
		const { vm } = task;
		if (vm === null || Number.isNaN(gpa)) {
			this.problems.push("a kvm_page_fault by a task that belongs to no known VM");
			return;
		}
		vm.vcpus.add(vcpu);
		const gfn = pageOf(gpa);
		const write = (errorCode & ErrorCode.write) !== 0;
		const mmio = vm.hvaPage(0, gfn) < 0;
		const fault: FaultItem = {
			kind: "fault",
			vm,
			vcpu,
			gpa,
			rip,
			errorCode,
			begin: this.at,
			end: -1,
			installed: false,
			as: -1,
			next: null,
			filled: false,
			huge: false,
			mmio,
			cause: mmio ? 0 : vm.faultClass(gfn, write),
			ownCow: false,
		};
		if (previous !== null && !previous.installed && pageOf(previous.gpa) === gfn && previous.vm === vm) previous.next = fault;
		task.fault = fault;
		this.items.push(fault);
	}

	/** The vCPU went on: an open fault that installed nothing was retried, and this is why. */
	closeFault(task: Task, at: number): void {
		const { fault } = task;
		task.fault = null;
		if (fault === null || fault.installed) return;
		fault.end = at;
		if (fault.mmio) return;
		const gfn = pageOf(fault.gpa);
		const reason: VmexitCause = fault.vm.inHull(fault.vm.hvaPage(0, gfn))
			? "retryInProgress"
			: fault.ownCow
				? "retryAfterCow"
				: "retryOther";
		const spte = fault.vm.spte(0, gfn);
		if ((spte.bits & SpteBit.present) === 0) spte.absent = reason;
	}

	spteChanged(task: Task, text: string): void {
		const level = Number(word(text, "level") ?? 1);
		const before = BigInt(`0x${word(text, "old_spte") ?? "0"}`);
		const after = BigInt(`0x${word(text, "new_spte") ?? "0"}`);
		const vm = this.vmOfTask(task);
		if (vm === null) return;
		const as = Number(word(text, "as id") ?? word(text, "id") ?? 0);
		const gfn = hex(word(text, "gfn"));
		const [was, is] = [leafBits(before, level), leafBits(after, level)];
		if (was === is && before === after) return;
		if (was === 0 && is === 0) return;
		const bracket = task.brackets.at(-1) ?? null;
		const zapped = is === 0;
		const cause: ZapCause = !zapped ? "other" : bracket?.item != null ? ZAP_OF[bracket.item.name] : "kvmZap";
		this.observe("spteChanged", vm, 0, gfn, [as, level, was, is, zapped ? ZAP_CAUSES.indexOf(cause) : 0]);
		const pages = level === 2 ? HUGE_PAGES : 1;
		for (let at = gfn; at < gfn + pages; at++) {
			const spte = vm.spte(as, at);
			spte.bits = is;
			if (zapped) spte.absent = cause;
		}
		if (zapped) return;
		if (bracket === null) this.#installed(task.fault, as, gfn, level, is);
		else if (was === 0 && bracket.unmapped && bracket.changedPte)
			this.evidence.establishes(
				(is & SpteBit.writable) !== 0,
				[...vm.open].some((other) => other !== bracket.item && other.counted),
			);
	}

	#installed(fault: FaultItem | null, as: number, gfn: number, level: number, bits: number): void {
		if (fault === null || fault.installed) return;
		const faulted = pageOf(fault.gpa);
		if (faulted < gfn || faulted >= gfn + (level === 2 ? HUGE_PAGES : 1)) return;
		fault.huge = level === 2;
		fault.installed = true;
		fault.as = as;
		fault.end = this.at;
		// In a read-only memslot (a ROM) no SPTE is writable; the VMM has filled it.
		fault.filled = (bits & SpteBit.writable) !== 0 || fault.vm.readOnly(as, gfn);
		const page = fault.vm.hvaPage(as, gfn);
		if (level === 2) {
			if (!fault.vm.settled.has(page)) fault.vm.hugeAtStart.add(page);
			for (let at = page; at < page + HUGE_PAGES; at++) fault.vm.settled.add(at);
			return;
		}
		fault.vm.settle(page, !fault.filled);
	}

	rangeStart(task: Task, text: string): void {
		const start = hex(field(text, "start"));
		const end = hex(field(text, "end"));
		const mm = field(text, "mm") ?? "";
		this.evidence.range(start, end);
		const page = pageOf(start);
		const pages = pageOf(end) - page;
		const vm = pages > 0 ? this.host.vmOfMm(mm, task, page, pages) : null;
		const event = Number(field(text, "event") ?? NotifyEvent.clear);
		if (vm !== null && task.vm === null && task.merge === null && !KERNEL_THREAD.test(task.comm)) task.vm = vm;
		const hit = vm?.hits(page, pages) ?? false;
		if (task.copy !== null) task.copy.bracketed = true;
		const item = vm !== null ? this.#classify(task, vm, page, pages, event, hit) : null;
		task.brackets.push({ start, end, mm, item, unmapped: false, changedPte: false });
		if (item === null) return;
		if (pages <= MAX_SETTLED) for (let at = page; at < page + pages; at++) item.vm.settled.add(at);
		this.items.push(item);
		this.observe("rangeStart", vm, 0, page, [pages, event]);
	}

	/** Which operation a bracket belongs to, by what its task is doing (kernel.md 1.1). */
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
			begin: this.at,
			counted: false,
			commit: -1,
			end: -1,
			flags,
			kpage: 0,
			child: 0,
			appended: false,
			pid: task.pid,
			vcpu: fault?.vcpu ?? -1,
			source: "other",
		});
		if (merge !== null && pages === 1) {
			if (merge.writeProtect === null) {
				merge.writeProtect = make("ksmWriteProtect", merge.kpage === "0x0" ? 0 : OpFlag.kpageGiven);
				return merge.writeProtect;
			}
			merge.replace = make("ksmReplace");
			return merge.replace;
		}
		if (pages === 1 && copy !== null && copy.page === page) {
			const item = make((copy.flags & FaultFlags.unshare) !== 0 ? "unshare" : "cow");
			item.source = copy.struct === "0x0" ? "zero" : this.#ksm.isKsmPage(copy.struct) ? "ksm" : "other";
			if ((copy.flags & FaultFlags.remote) !== 0 && item.name === "cow") item.flags |= OpFlag.breakKsm;
			else if (fault !== null && (copy.flags & FaultFlags.interruptible) === 0 && this.#onPage(fault, page)) this.#own(item, fault);
			this.observe("cowCopy", vm, 0, page, [item.source === "ksm" ? 1 : 0]);
			return item;
		}
		if (pages === 1 && event === NotifyEvent.clear) {
			if (task.breakKsm === page) return make("unshare");
			const item = make("cow");
			if (fault !== null && this.#onPage(fault, page)) {
				this.#own(item, fault);
				return item;
			}
			if (!this.copiesRecorded && task.vm === vm) return item;
		}
		if (event === NotifyEvent.unmap) return make("zap");
		if (event === NotifyEvent.clear) {
			if (task.comm === "khugepaged") return make("thpCollapse");
			if (vm.dropped.has(`${page} ${pages}`)) return make("zap");
			if (pages === HUGE_PAGES && page % HUGE_PAGES === 0) return make("thpSplit");
			return merge !== null ? make("invalidate") : make("zap");
		}
		return make("invalidate");
	}

	#onPage(fault: FaultItem, page: number): boolean {
		const gfn = pageOf(fault.gpa);
		return fault.vm.hvaPage(0, gfn) === page || fault.vm.hvaPage(1, gfn) === page;
	}

	#own(item: BracketItem, fault: FaultItem): void {
		item.flags |= OpFlag.ownFault;
		fault.ownCow = true;
	}

	unmapHvaRange(task: Task): void {
		const bracket = task.brackets.at(-1);
		if (bracket === undefined) return;
		bracket.unmapped = true;
		if (bracket.item?.hit === true) bracket.item.vm.openBracket(bracket.item);
	}

	changePte(task: Task, text: string): void {
		const page = pageOf(hex(field(text, "addr")));
		const bracket = task.brackets.at(-1);
		if (bracket === undefined || pageOf(bracket.start) !== page) return;
		bracket.changedPte = true;
		this.evidence.changePte = true;
		const { item } = bracket;
		if (item === null) return;
		item.commit = this.at;
		this.observe("changePte", item.vm, 0, page, [Number((BigInt(field(text, "pte") ?? "0") >> 1n) & 1n)]);
	}

	rangeEnd(task: Task, text: string): void {
		const start = hex(field(text, "start"));
		let bracket: OpenBracket | undefined;
		while (bracket === undefined && task.brackets.length > 0) {
			const top = task.brackets.pop();
			if (top === undefined) return;
			if (top.start === start) bracket = top;
			else if (top.item !== null) this.#endItem(top);
		}
		if (bracket === undefined || bracket.item === null) return;
		this.evidence.bracket(bracket.unmapped, bracket.changedPte, bracket.item.hit && isEligible(bracket.item.name));
		this.observe("rangeEnd", bracket.item.vm, 0, bracket.item.page, [bracket.item.pages, bracket.item.event]);
		this.#endItem(bracket);
	}

	#endItem(bracket: OpenBracket): void {
		const { item } = bracket;
		if (item === null) return;
		item.end = this.at;
		item.vm.open.delete(item);
	}

	hostFault(task: Task, text: string): void {
		const hva = hex(field(text, "address"));
		const errorCode = hex(field(text, "error_code"));
		const write = (errorCode & ErrorCode.write) !== 0;
		const page = pageOf(hva);
		const met = task.vm !== null ? [task.vm] : this.host.vms;
		const vm = met.find((candidate) => candidate.hits(page, 1));
		if (vm === undefined) return;
		if ((errorCode & ErrorCode.present) === 0) vm.settle(page, true);
		this.observe("hostFault", vm, 0, page, [write ? 1 : 0]);
		this.hostFaults.push({ at: this.at, vm, hva, write });
	}

	memslot(task: Task, text: string): void {
		this.closeFault(task, this.at);
		const vm = this.host.vmOfKvm(field(text, "kvm") ?? "", task);
		const id = hex(field(text, "slot"));
		const slot = {
			slot: id % 65536,
			as: Math.floor(id / 65536),
			gfn: pageOf(hex(field(text, "gpa"))),
			page: pageOf(hex(field(text, "hva"))),
			pages: pageOf(hex(field(text, "size"))),
			flags: hex(field(text, "flags")),
		};
		vm.setSlot(slot);
		const args = [slot.slot, slot.as, slot.gfn, slot.pages, slot.flags];
		this.items.push({ kind: "instant", name: "memslot", vm, page: slot.page, args, begin: this.at });
	}

	copyBegins(task: Task, text: string): void {
		this.copiesRecorded = true;
		const page = pageOf(hex(field(text, "addr")));
		task.copy = { page, flags: hex(field(text, "flags")), struct: field(text, "page") ?? "", bracketed: false };
	}

	copyEnds(task: Task): void {
		if (task.copy !== null && !task.copy.bracketed && task.vm === null)
			this.childCopies.push({ at: this.at, ksm: this.#ksm.isKsmPage(task.copy.struct), pid: task.pid, page: task.copy.page });
		task.copy = null;
	}

	mergeBegins(task: Task, text: string): void {
		this.#ksm.begins(task, text);
	}

	mergeEnds(task: Task, text: string): void {
		this.#ksm.ends(task, Number(field(text, "ret") ?? 0), this.at);
	}

	stableTreeAppend(text: string): void {
		const page = pageOf(hex(field(text, "addr")));
		this.observe("ksmMerge", this.#ksm.appended(page, field(text, "mm")), 0, page, []);
	}

	mark(text: string): void {
		this.items.push({ kind: "instant", name: "mark", vm: null, page: 0, args: [], text, begin: this.at });
	}
}

/** What each event of the recipe means. */
const MEANINGS: Readonly<Record<string, (tracker: Tracker, task: Task, text: string) => void>> = {
	kvm_page_fault: (tracker, task, text) => tracker.pageFault(task, text),
	kvm_tdp_mmu_spte_changed: (tracker, task, text) => tracker.spteChanged(task, text),
	mn_range_start: (tracker, task, text) => tracker.rangeStart(task, text),
	kvm_unmap_hva_range: (tracker, task) => tracker.unmapHvaRange(task),
	mn_change_pte: (tracker, task, text) => tracker.changePte(task, text),
	mn_range_end: (tracker, task, text) => tracker.rangeEnd(task, text),
	wp_page_copy: (tracker, task, text) => tracker.copyBegins(task, text),
	wp_page_copy_ret: (tracker, task) => tracker.copyEnds(task),
	ksm_try_to_merge_with_ksm_page: (tracker, task) => {
		task.withKsmPage = true;
		tracker.evidence.mergeProbe = true;
	},
	ksm_try_to_merge_one_page: (tracker, task, text) => tracker.mergeBegins(task, text),
	ksm_try_to_merge_one_page_ret: (tracker, task, text) => tracker.mergeEnds(task, text),
	ksm_stable_tree_append: (tracker, _task, text) => tracker.stableTreeAppend(text),
	ksm_break_ksm: (_tracker, task, text) => {
		task.breakKsm = pageOf(hex(field(text, "addr")));
	},
	kvm_flush_remote_tlbs: (tracker, task) => tracker.observe("flush", tracker.vmOfTask(task), 0, 0, []),
	page_fault_user: (tracker, task, text) => tracker.hostFault(task, text),
	kvm_establish_ret: (tracker, _task, text) => tracker.evidence.establishReturned(Number(field(text, "ret") ?? 0)),
	kvm_set_memory_region: (tracker, task, text) => tracker.memslot(task, text),
	mn_register: (tracker, task, text) => tracker.host.register(task, field(text, "mm") ?? ""),
	kvm_exit: (tracker, task) => tracker.closeFault(task, tracker.at),
	kvm_pio: (tracker, task) => tracker.closeFault(task, tracker.at),
	kvm_entry: (tracker, task) => tracker.closeFault(task, tracker.at),
};
