// The grammar of a KVM/KSM capture: what each task's events mean together (formats.md section 7, model.md section 3). Fed events in order, it
// leaves items (causes with begin, commit and end) and observations. One method an event.
import { NotifyEvent, OpFlag, SpteBit, type VmexitCause, ZAP_CAUSES, type ZapCause } from "../trace/kinds.js";
import { Evidence } from "./evidence.js";
import type { CapturedHost, CapturedVm, OpenBracket, Task } from "./host.js";
import type { BracketItem, ChildCopy, FaultItem, InstantItem, Item, ObservedItem } from "./items.js";
import { field, type TracefsEvent, word } from "./tracefs.js";

const PAGE = 4096;
/** Longer ranges than this are set-up, not work on pages that the capture is about. */
const MAX_SETTLED = 1 << 20;
/** SPTE_MMU_PRESENT_MASK: hardware bits alone also mark MMIO entries and those of a removed table. */
const MMU_PRESENT = 1n << 11n;
const LARGE_PAGE = 1n << 7n;
/** FAULT_FLAG_USER, _REMOTE, _INTERRUPTIBLE, _UNSHARE (include/linux/mm_types.h). */
const FaultFlags = { remote: 0x80, interruptible: 0x200, unshare: 0x400 } as const;
/** PFERR_* of kvm_page_fault's error_code. */
const ErrorCode = { write: 2, reserved: 8, fetch: 16 } as const;

const hex = (text: string | undefined): number => (text === undefined ? Number.NaN : Number(text.startsWith("0x") ? text : `0x${text}`));
const pageOf = (address: number): number => Math.floor(address / PAGE);

/** Bits of a leaf; 0 for what is absent, and for what points to a lower table. */
function leafBits(value: bigint, level: number): number {
	if ((value & MMU_PRESENT) === 0n || (level > 1 && (value & LARGE_PAGE) === 0n)) return 0;
	const bit = (at: bigint, flag: number): number => (((value >> at) & 1n) === 1n ? flag : 0);
	return SpteBit.present | bit(1n, SpteBit.writable) | bit(5n, SpteBit.accessed) | bit(6n, SpteBit.dirty);
}

const ZAP_OF: Readonly<Record<BracketItem["name"], ZapCause>> = {
	ksmWriteProtect: "ksm",
	ksmReplace: "ksm",
	cow: "cow",
	unshare: "cow",
	zap: "notifier",
	protect: "notifier",
	invalidate: "notifier",
	fork: "notifier",
};

/** Threads that work on everybody's mm. */
const KERNEL_THREAD = /^(ksmd|khugepaged|kswapd|kcompactd|kworker|migration)/;

export interface HostFault {
	readonly at: number;
	readonly vm: CapturedVm;
	readonly hva: number;
	readonly write: boolean;
}

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
	readonly #kpages = new Map<string, number>();
	readonly #bareReplaces: BracketItem[] = [];
	/** Merges that have not entered the stable tree yet, by page. */
	readonly #merged = new Map<number, (BracketItem | InstantItem)[]>();
	#appendProbe = false;
	#kpageIds = 0;

	constructor(host: CapturedHost) {
		this.host = host;
	}

	feed(event: TracefsEvent): void {
		const task = this.host.task(event.pid, event.tgid, event.comm);
		const { text } = event;
		const inside = task.brackets.at(-1);
		if (inside?.unmapped === true && inside.item !== null) inside.item.counted = true;
		switch (event.name) {
			case "kvm_page_fault":
				return this.#pageFault(task, text);
			case "kvm_tdp_mmu_spte_changed":
				return this.#spteChanged(task, text);
			case "mn_range_start":
				return this.#rangeStart(task, text);
			case "kvm_unmap_hva_range":
				return this.#unmapHvaRange(task);
			case "mn_change_pte":
				return this.#changePte(task, text);
			case "mn_range_end":
				return this.#rangeEnd(task, text);
			case "wp_page_copy":
				this.copiesRecorded = true;
				task.copy = {
					page: pageOf(hex(field(text, "addr"))),
					flags: hex(field(text, "flags")),
					struct: field(text, "page") ?? "",
					bracketed: false,
				};
				return;
			case "wp_page_copy_ret":
				if (task.copy !== null && !task.copy.bracketed && task.vm === null)
					this.childCopies.push({ at: this.at, pid: task.pid, page: task.copy.page });
				task.copy = null;
				return;
			case "ksm_try_to_merge_with_ksm_page":
				task.withKsmPage = true;
				this.evidence.mergeProbe = true;
				return;
			case "ksm_try_to_merge_one_page":
				return this.#mergeBegins(task, text);
			case "ksm_replace_page":
				if (task.merge !== null) task.merge.replaceSeen = true;
				return;
			case "ksm_try_to_merge_one_page_ret":
				return this.#mergeEnds(task, Number(field(text, "ret") ?? 0));
			case "ksm_stable_tree_append":
				return this.#appended(text);
			case "ksm_break_ksm":
				task.breakKsm = pageOf(hex(field(text, "addr")));
				return;
			case "kvm_flush_remote_tlbs":
				this.#observe("flush", this.#vmOfTask(task), 0, 0, []);
				return;
			case "page_fault_user":
				return this.#hostFault(task, hex(field(text, "address")), (hex(field(text, "error_code")) & ErrorCode.write) !== 0);
			case "kvm_establish_ret":
				this.evidence.establishReturned(Number(field(text, "ret") ?? 0));
				return;
			case "kvm_set_memory_region":
				return this.#memslot(task, text);
			case "mn_register":
				this.host.register(task, field(text, "mm") ?? "");
				return;
			case "kvm_exit":
			case "kvm_pio":
			case "kvm_entry":
				this.#closeFault(task, this.at);
				return;
			default:
				if (!KNOWN_WITHOUT_MEANING.has(event.name)) this.unknown.set(event.name, (this.unknown.get(event.name) ?? 0) + 1);
		}
	}

	/** End of the capture: what is still open ends here. A merge outside try_to_merge_with_ksm_page, where that is probed, was one into the zero page. */
	finish(): void {
		if (this.evidence.mergeProbe)
			for (const replace of this.#bareReplaces) {
				replace.flags |= OpFlag.zeroPage;
				replace.kpage = 0;
			}
		if (this.#appendProbe)
			for (const item of [...this.#merged.values()].flat()) {
				if (item.kind === "bracket") item.flags |= OpFlag.undone;
				else item.args[1] = OpFlag.undone;
			}
		for (const task of this.host.tasks()) {
			this.#closeFault(task, this.at);
			for (const { item } of task.brackets) if (item !== null && item.end < 0) item.end = this.at;
		}
	}

	#observe(name: ObservedItem["name"], vm: CapturedVm | null, vcpu: number, page: number, args: number[]): void {
		this.observed.push({ at: this.at, name, vm, vcpu, page, args });
	}

	#vmOfTask(task: Task): CapturedVm | null {
		return task.brackets.at(-1)?.item?.vm ?? task.vm;
	}

	#pageFault(task: Task, text: string): void {
		const vcpu = Number(word(text, "vcpu") ?? 0);
		const gpa = hex(word(text, "address"));
		const rip = word(text, "rip") ?? "";
		const errorCode = Number(BigInt(word(text, "error_code") ?? "0") & 0xffffn);
		const previous = task.fault;
		this.#closeFault(task, this.at);
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
			mmio,
			cause: mmio ? 0 : vm.faultClass(gfn, write),
			ownCow: false,
		};
		if (previous !== null && !previous.installed && pageOf(previous.gpa) === gfn && previous.vm === vm) previous.next = fault;
		task.fault = fault;
		this.items.push(fault);
	}

	/** The vCPU went on: an open fault that installed nothing was retried, and this is why. */
	#closeFault(task: Task, at: number): void {
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

	#spteChanged(task: Task, text: string): void {
		const level = Number(word(text, "level") ?? 1);
		const before = BigInt(`0x${word(text, "old_spte") ?? "0"}`);
		const after = BigInt(`0x${word(text, "new_spte") ?? "0"}`);
		const vm = this.#vmOfTask(task);
		if (vm === null) return;
		const as = Number(word(text, "as id") ?? word(text, "id") ?? 0);
		const gfn = hex(word(text, "gfn"));
		const [was, is] = [leafBits(before, level), leafBits(after, level)];
		if (was === is && before === after) return;
		if (was === 0 && is === 0) return;
		const bracket = task.brackets.at(-1) ?? null;
		const zapped = is === 0;
		const cause: ZapCause = !zapped ? "other" : bracket?.item != null ? ZAP_OF[bracket.item.name] : "kvmZap";
		this.#observe("spteChanged", vm, 0, gfn, [as, level, was, is, zapped ? ZAP_CAUSES.indexOf(cause) : 0]);
		const spte = vm.spte(as, gfn);
		spte.bits = is;
		if (zapped) spte.absent = cause;
		else if (bracket === null) this.#installed(task.fault, as, gfn, level, is);
		else if (was === 0 && bracket.unmapped && bracket.changedPte)
			this.evidence.establishes(
				(is & SpteBit.writable) !== 0,
				[...vm.open].some((other) => other !== bracket.item && other.counted),
			);
	}

	#installed(fault: FaultItem | null, as: number, gfn: number, level: number, bits: number): void {
		if (fault === null || fault.installed || (level === 1 && pageOf(fault.gpa) !== gfn)) return;
		fault.installed = true;
		fault.as = as;
		fault.end = this.at;
		// In a read-only memslot (a ROM) no SPTE is writable; the VMM has filled it.
		fault.filled = (bits & SpteBit.writable) !== 0 || fault.vm.readOnly(as, gfn);
		const page = fault.vm.hvaPage(as, gfn);
		if (!fault.filled && !fault.vm.settled.has(page)) fault.vm.holes.add(page);
		fault.vm.settled.add(page);
	}

	#rangeStart(task: Task, text: string): void {
		const start = hex(field(text, "start"));
		const end = hex(field(text, "end"));
		const mm = field(text, "mm") ?? "";
		this.evidence.range(start, end);
		const page = pageOf(start);
		const pages = pageOf(end) - page;
		const vm = pages > 0 ? this.host.vmOfMm(mm, task, page, pages) : null;
		const event = Number(field(text, "event") ?? NotifyEvent.clear);
		if (vm !== null && task.vm === null && task.merge === null && !KERNEL_THREAD.test(task.comm)) task.vm = vm;
		const hit = vm !== null && vm.hits(page, pages);
		if (task.copy !== null) task.copy.bracketed = true;
		const item = vm !== null ? this.#classify(task, vm, page, pages, event, hit) : null;
		task.brackets.push({ start, end, mm, item, unmapped: false, changedPte: false });
		if (item === null) return;
		if (pages <= MAX_SETTLED) for (let at = page; at < page + pages; at++) item.vm.settled.add(at);
		this.items.push(item);
		this.#observe("rangeStart", vm, 0, page, [pages, event]);
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
			item.source = copy.struct === "0x0" ? "zero" : this.#kpages.has(copy.struct) ? "ksm" : "other";
			if ((copy.flags & FaultFlags.remote) !== 0 && item.name === "cow") item.flags |= OpFlag.breakKsm;
			else if (fault !== null && (copy.flags & FaultFlags.interruptible) === 0 && this.#onPage(fault, page)) this.#own(item, fault);
			this.#observe("cowCopy", vm, 0, page, [item.source === "ksm" ? 1 : 0]);
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
		if (event === NotifyEvent.clear)
			return merge !== null || task.comm === "khugepaged" || pages === 512 ? make("invalidate") : make("zap");
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

	#unmapHvaRange(task: Task): void {
		const bracket = task.brackets.at(-1);
		if (bracket === undefined) return;
		bracket.unmapped = true;
		if (bracket.item?.hit === true) bracket.item.vm.openBracket(bracket.item);
	}

	#changePte(task: Task, text: string): void {
		const page = pageOf(hex(field(text, "addr")));
		const bracket = task.brackets.at(-1);
		if (bracket === undefined || pageOf(bracket.start) !== page) return;
		bracket.changedPte = true;
		this.evidence.changePte = true;
		const { item } = bracket;
		if (item === null) return;
		item.commit = this.at;
		this.#observe("changePte", item.vm, 0, page, [Number((BigInt(field(text, "pte") ?? "0") >> 1n) & 1n)]);
	}

	#rangeEnd(task: Task, text: string): void {
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
		this.#observe("rangeEnd", bracket.item.vm, 0, bracket.item.page, [bracket.item.pages, bracket.item.event]);
		this.#endItem(bracket);
	}

	#endItem(bracket: OpenBracket): void {
		const { item } = bracket;
		if (item === null) return;
		item.end = this.at;
		item.vm.open.delete(item);
	}

	#mergeBegins(task: Task, text: string): void {
		const kpage = field(text, "kpage") ?? "0x0";
		task.merge = {
			page: field(text, "page") ?? "",
			kpage,
			bare: kpage !== "0x0" && !task.withKsmPage,
			replaceSeen: false,
			writeProtect: null,
			replace: null,
		};
	}

	/** A merge happened iff try_to_merge_one_page returned 0 (model.md rule 6). */
	#mergeEnds(task: Task, result: number): void {
		const { merge } = task;
		task.merge = null;
		task.withKsmPage = false;
		if (merge === null || merge.writeProtect === null) return;
		const { writeProtect, replace } = merge;
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
			const promote: InstantItem = { kind: "instant", name: "ksmPromote", vm, page, args: [kpage, 0], begin: this.at };
			this.items.push(promote);
			this.#awaitAppend(promote);
		} else if (result !== 0 || replace === null) {
			if (replace === null) writeProtect.flags |= OpFlag.unlocks;
			if (!this.evidence.changePte || last.commit < 0) last.flags |= OpFlag.failed;
		}
		if (this.evidence.changePte && writeProtect.commit < 0) writeProtect.flags |= OpFlag.failed;
	}

	#awaitAppend(item: BracketItem | InstantItem): void {
		const waiting = this.#merged.get(item.page);
		if (waiting === undefined) this.#merged.set(item.page, [item]);
		else waiting.push(item);
	}

	/** stable_tree_append: of the merges at this address, in this mm where the event has it, the last one has entered the stable tree. */
	#appended(text: string): void {
		this.#appendProbe = true;
		const page = pageOf(hex(field(text, "addr")));
		const mm = field(text, "mm");
		const waiting = this.#merged.get(page) ?? [];
		const item = waiting.findLast((candidate) => candidate.appended !== true && (mm === undefined || candidate.vm?.mmPointer === mm));
		if (item !== undefined) item.appended = true;
		this.#merged.set(
			page,
			waiting.filter((candidate) => candidate.appended !== true),
		);
		this.#observe("ksmMerge", item?.vm ?? null, 0, page, []);
	}

	/** The id of a KSM page by its struct page; one that the capture did not see promoted gets its id here. */
	#kpage(struct: string): number {
		const known = this.#kpages.get(struct);
		if (known !== undefined) return known;
		const made = ++this.#kpageIds;
		this.#kpages.set(struct, made);
		return made;
	}

	#hostFault(task: Task, hva: number, write: boolean): void {
		const page = pageOf(hva);
		const met = task.vm !== null ? [task.vm] : this.host.vms;
		const vm = met.find((candidate) => candidate.hits(page, 1));
		if (vm === undefined) return;
		this.#observe("hostFault", vm, 0, page, [write ? 1 : 0]);
		this.hostFaults.push({ at: this.at, vm, hva, write });
	}

	#memslot(task: Task, text: string): void {
		this.#closeFault(task, this.at);
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

	mark(text: string): void {
		this.items.push({ kind: "instant", name: "mark", vm: null, page: 0, args: [], text, begin: this.at });
	}
}

const isEligible = (name: BracketItem["name"]): boolean =>
	name === "cow" || name === "unshare" || name === "ksmWriteProtect" || name === "ksmReplace";

/** Class of a fault once its address space is known (its own, or that of the repeat). */
export function faultAddressSpace(fault: FaultItem): number {
	let at: FaultItem | null = fault;
	for (let hops = 0; at !== null && hops < 64; hops++, at = at.next) if (at.as >= 0) return at.as;
	return 0;
}

/** Events of the recipe that say nothing that the others do not. */
const KNOWN_WITHOUT_MEANING = new Set([
	"kvm_set_spte_hva",
	"kvm_age_hva",
	"kvm_test_age_hva",
	"kvm_mmu_set_spte",
	"kvm_mmu_spte_requested",
	"fast_page_fault",
	"mark_mmio_spte",
	"kvm_mmu_get_page",
	"kvm_mmu_prepare_zap_page",
	"tlb_flush",
	"ksm_write_protect_page",
	"ksm_break_cow",
	"mn_range",
	"kvm_set_spte_gfn",
	"kvm_set_spte_gfn_ret",
	"kvm_unmap_gfn_range",
	"kvm_unmap_gfn_range_ret",
	"ksm_start_scan",
	"ksm_stop_scan",
	"ksm_merge_with_ksm_page",
	"ksm_merge_one_page",
	"ksm_remove_rmap_item",
	"ksm_remove_ksm_page",
	"ksm_enter",
	"ksm_exit",
	"ksm_advisor",
	"page_fault_kernel",
]);
