// The grammar of a KVM/KSM capture: what each task's events mean together (formats.md section 7, model.md section 3). Fed events in order, it
// leaves items (causes with begin, commit and end) and observations. One method an event.
import { NotifyEvent, OpFlag, SpteBit, VMEXIT_CAUSES, type VmexitCause, ZAP_CAUSES, type ZapCause } from "../trace/kinds.js";
import { accessOf, ErrorCode } from "./errorcode.js";
import { ChangePte, CODES, Code, Fault, FIRST, HostFault, type KernelEvent, Memslot, Merge, MmFault, Range, Spte } from "./event.js";
import { Evidence } from "./evidence.js";
import type { CapturedHost, CapturedVm, OpenBracket, Task } from "./host.js";
import {
	type BracketItem,
	type ChildCopy,
	type FaultItem,
	type HostFault as HostFaultSeen,
	type InstantItem,
	type Item,
	isEligible,
	type ObservedItem,
	ZAP_OF,
} from "./items.js";
import { NO_POINTER } from "./knownvm.js";
import { KsmGrammar } from "./ksm.js";
import type { Places } from "./places.js";
import { isVmMark } from "./samerun.js";
import { leafBits } from "./spte.js";
import { pageOf } from "./tracefs.js";

/** 4 KiB pages of a 2 MiB one. */
const HUGE_PAGES = 512;
/** Longer ranges than this are set-up, not work on pages that the capture is about. */
const MAX_SETTLED = 1 << 20;
/** FAULT_FLAG_USER, _REMOTE, _INTERRUPTIBLE, _UNSHARE (include/linux/mm_types.h). */
const FaultFlags = { remote: 0x80, interruptible: 0x200, unshare: 0x400 } as const;

const causeIndex = (cause: VmexitCause): number => VMEXIT_CAUSES.indexOf(cause);
const IN_PROGRESS = causeIndex("retryInProgress");
const AFTER_COW = causeIndex("retryAfterCow");
const RETRY = causeIndex("retryOther");

/** An address; 0 where the event has none. */
const pointer = (value: number): number => (Number.isNaN(value) ? NO_POINTER : value);

export class Tracker {
	readonly host: CapturedHost;
	readonly items: Item[] = [];
	readonly observed: ObservedItem[] = [];
	readonly evidence = new Evidence();
	/** Faults of tasks of no known VM. */
	strayFaults = 0;
	/** Phase marks. */
	readonly marks: InstantItem[] = [];
	/** Marks that tell of a VM. */
	readonly vmMarks: string[] = [];
	faults = 0;
	/** Something tells what KVM's entries were, and what happened in brackets. */
	sptes = false;
	brackets = false;
	/** Copies outside every bracket, by tasks of no known VM. */
	readonly childCopies: ChildCopy[] = [];
	/** User faults of host threads on guest memory, with their exact addresses. */
	readonly hostFaults: HostFaultSeen[] = [];
	copiesRecorded = false;
	/** Number of the event being read. */
	at = -1;
	readonly #ksm: KsmGrammar;

	readonly #places: Places;
	/** There are logs of the accesses, which want to know more of the beginning. */
	readonly #logged: boolean;
	/** Where change_pte last made an SPTE: VM, address space and gfn. */
	readonly #made = new Map<string, number>();

	constructor(host: CapturedHost, places: Places, logged: boolean) {
		this.host = host;
		this.#places = places;
		this.#logged = logged;
		this.#ksm = new KsmGrammar(this.evidence, this.items, !logged);
	}

	/** Nothing but its return tells that a merge happened. */
	get mergesByReturn(): boolean {
		return !this.#logged && this.#ksm.byReturn;
	}

	feed(event: KernelEvent): void {
		const task = this.host.task(event.pid, event.tgid, event.comm);
		const { brackets } = task;
		if (brackets.length > 0) {
			const inside = brackets[brackets.length - 1];
			if (inside.unmapped && inside.item !== null) inside.item.counted = true;
		}
		MEANINGS[event.code]?.(this, task, event);
	}

	/** End of the capture: what is still open ends here. */
	finish(): void {
		this.#ksm.finish();
		for (const task of this.host.tasks()) {
			this.closeFault(task, this.at);
			for (const { item } of task.brackets) if (item !== null && item.end < 0) this.#end(item);
		}
	}

	observe(name: ObservedItem["name"], vm: CapturedVm | null, vcpu: number, page: number, args: number[]): ObservedItem {
		const item = { at: this.at, name, vm, vcpu, page, args, dropped: false };
		this.observed.push(item);
		return item;
	}

	/** KVM's own work, which may turn out to be the end of the VM. */
	#tentative(item: ObservedItem): void {
		if (this.#logged || item.vm === null) return;
		if (item.vm.ended) item.dropped = true;
		else item.vm.tentative.push(item);
	}

	#end(item: BracketItem): void {
		item.end = this.at;
		if (!item.hit) return;
		this.#places.edge();
		item.vm.tentative.length = 0;
	}

	flush(task: Task): void {
		this.#tentative(this.observe("flush", this.vmOfTask(task), 0, 0, []));
	}

	vmOfTask(task: Task): CapturedVm | null {
		return task.brackets.at(-1)?.item?.vm ?? task.vm;
	}

	pageFault(task: Task, { v }: KernelEvent): void {
		const vcpu = v[Fault.vcpu];
		const gpa = v[Fault.address];
		const rip = v[Fault.rip];
		const errorCode = v[Fault.errorCode] & 0xffff;
		const previous = task.fault;
		this.closeFault(task, this.at);
		const { vm } = task;
		if (vm === null || Number.isNaN(gpa)) {
			this.strayFaults++;
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
			observed: null,
		};
		fault.observed = this.observe(
			mmio ? "mmioFault" : "vmexit",
			vm,
			vcpu,
			gfn,
			mmio
				? [accessOf(errorCode), (errorCode & ErrorCode.reserved) >> 3]
				: [accessOf(errorCode), errorCode & ErrorCode.present, fault.cause],
		);
		this.faults++;
		vm.tentative.length = 0;
		this.#places.edge();
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
		this.#places.edge();
		fault.vm.tentative.length = 0;
		if (fault.mmio) return;
		const gfn = pageOf(fault.gpa);
		const sptes = fault.vm.sptes(0);
		const bits = sptes.bits(gfn);
		if ((bits & SpteBit.present) !== 0) return;
		sptes.set(gfn, bits, fault.vm.inHull(fault.vm.hvaPage(0, gfn)) ? IN_PROGRESS : fault.ownCow ? AFTER_COW : RETRY);
	}

	spteChanged(task: Task, { v }: KernelEvent): void {
		const level = v[Spte.level];
		const vm = this.vmOfTask(task);
		if (vm === null) return;
		const as = v[Spte.as];
		const gfn = v[Spte.gfn];
		const was = leafBits(v[Spte.oldLow], level);
		const is = leafBits(v[Spte.newLow], level);
		if (was === is && v[Spte.oldLow] === v[Spte.newLow] && v[Spte.oldHigh] === v[Spte.newHigh]) return;
		if (was === 0 && is === 0) return;
		const bracket = task.brackets.at(-1) ?? null;
		const zapped = is === 0;
		const cause: ZapCause = !zapped ? "other" : bracket?.item != null ? ZAP_OF[bracket.item.name] : "kvmZap";
		const observed = this.observe("spteChanged", vm, 0, gfn, [as, level, was, is, zapped ? ZAP_CAUSES.indexOf(cause) : 0]);
		if (cause === "kvmZap") this.#tentative(observed);
		this.sptes = true;
		if (is !== 0) this.evidence.leaf(v[Spte.newHigh]);
		const pages = level === 2 ? HUGE_PAGES : 1;
		const sptes = vm.sptes(as);
		if (this.#logged && bracket?.item != null) this.#placeInRange(bracket, bracket.item, `${vm.id} ${as} ${gfn}`, zapped);
		for (let at = gfn; at < gfn + pages; at++) sptes.set(at, is, zapped ? causeIndex(cause) : sptes.absent(at));
		if (zapped) return;
		if (bracket === null) this.#installed(task.fault, as, gfn, level, is);
		else if (was === 0 && bracket.unmapped && bracket.changedPte)
			this.evidence.establishes(
				(is & SpteBit.writable) !== 0,
				[...vm.open].some((other) => other !== bracket.item && other.counted),
			);
	}

	/**
	 * Where the access log gives order to what ran at the same time, a range begins when KVM works on it, and change_pte is where it made its SPTE:
	 * both wait for mmu_lock, and what ran meanwhile came first. A zap that yields the lock goes on behind an SPTE made meanwhile, and takes it.
	 */
	#placeInRange(bracket: OpenBracket, item: BracketItem, spte: string, zapped: boolean): void {
		if (bracket.changedPte) {
			item.commit = this.at;
			if (!zapped) this.#made.set(spte, this.at);
		} else if (zapped && bracket.unmapped && (item.locked < 0 || (this.#made.get(spte) ?? -1) > item.locked)) item.locked = this.at;
	}

	#installed(fault: FaultItem | null, as: number, gfn: number, level: number, bits: number): void {
		if (fault === null || fault.installed) return;
		const faulted = pageOf(fault.gpa);
		if (faulted < gfn || faulted >= gfn + (level === 2 ? HUGE_PAGES : 1)) return;
		fault.huge = level === 2;
		fault.installed = true;
		fault.as = as;
		fault.end = this.at;
		this.#places.edge();
		fault.vm.tentative.length = 0;
		// In a read-only memslot (a ROM) no SPTE is writable; the VMM has filled it.
		fault.filled = (bits & SpteBit.writable) !== 0 || fault.vm.readOnly(as, gfn);
		if (!this.#logged) return;
		const page = fault.vm.hvaPage(as, gfn);
		if (level === 2) {
			if (!fault.vm.settled.has(page)) fault.vm.hugeAtStart.add(page);
			for (let at = page; at < page + HUGE_PAGES; at++) fault.vm.settled.add(at);
			return;
		}
		fault.vm.settle(page, !fault.filled);
	}

	rangeStart(task: Task, { v }: KernelEvent): void {
		const start = v[Range.start];
		const end = v[Range.end];
		const mm = pointer(v[Range.mm]);
		this.evidence.range(start, end);
		const page = pageOf(start);
		const pages = pageOf(end) - page;
		const vm = pages > 0 ? this.host.vmOfMm(mm, task, page, pages) : null;
		const event = Number.isNaN(v[Range.event]) ? NotifyEvent.clear : v[Range.event];
		if (vm !== null && task.vm === null && task.merge === null && !task.kernel) task.vm = vm;
		const hit = vm?.hits(page, pages) ?? false;
		if (task.copy !== null) task.copy.bracketed = true;
		const item = vm !== null ? this.#classify(task, vm, page, pages, event, hit) : null;
		task.brackets.push({ start, end, item, unmapped: false, changedPte: false });
		if (item === null) return;
		this.brackets = true;
		if (hit) {
			this.#places.edge();
			item.vm.tentative.length = 0;
		} else if (page === 0 && event === NotifyEvent.unmap) endsVm(item.vm);
		if (this.#logged && pages <= MAX_SETTLED) for (let at = page; at < page + pages; at++) item.vm.settled.add(at);
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
			locked: -1,
			commit: -1,
			end: -1,
			flags,
			kpage: 0,
			child: 0,
			appended: false,
			pid: task.pid,
			vcpu: fault?.vcpu ?? -1,
			source: "other",
			pending: 0,
		});
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

	changePte(task: Task, { v }: KernelEvent): void {
		const page = pageOf(v[ChangePte.addr]);
		const bracket = task.brackets.at(-1);
		if (bracket === undefined || pageOf(bracket.start) !== page) return;
		bracket.changedPte = true;
		this.evidence.changePte = true;
		const { item } = bracket;
		if (item === null) return;
		item.commit = this.at;
		this.observe("changePte", item.vm, 0, page, [(v[ChangePte.pteLow] >>> 1) & 1]);
	}

	rangeEnd(task: Task, { v }: KernelEvent): void {
		const start = v[Range.start];
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
		this.#end(item);
		item.vm.open.delete(item);
	}

	hostFault(task: Task, { v }: KernelEvent): void {
		const hva = v[HostFault.address];
		const errorCode = v[HostFault.errorCode];
		const write = (errorCode & ErrorCode.write) !== 0;
		const page = pageOf(hva);
		const met = task.vm !== null ? [task.vm] : this.host.vms;
		const vm = met.find((candidate) => candidate.hits(page, 1));
		if (vm === undefined) return;
		this.observe("hostFault", vm, 0, page, [write ? 1 : 0]);
		if (!this.#logged) return;
		if ((errorCode & ErrorCode.present) === 0) vm.settle(page, true);
		this.hostFaults.push({ at: this.at, vm, hva, write });
	}

	memslot(task: Task, { v }: KernelEvent): void {
		this.closeFault(task, this.at);
		const vm = this.host.vmOfKvm(pointer(v[Memslot.kvm]), task);
		const id = v[Memslot.slot];
		const slot = {
			slot: id % 65536,
			as: Math.floor(id / 65536),
			gfn: pageOf(v[Memslot.gpa]),
			page: pageOf(v[Memslot.hva]),
			pages: pageOf(v[Memslot.size]),
			flags: v[Memslot.flags],
		};
		vm.setSlot(slot);
		const args = [slot.slot, slot.as, slot.gfn, slot.pages, slot.flags];
		this.items.push({ kind: "instant", name: "memslot", vm, page: slot.page, args, begin: this.at, pending: 0 });
		this.#places.edge();
	}

	copyBegins(task: Task, { v }: KernelEvent): void {
		this.copiesRecorded = true;
		task.copy = { page: pageOf(v[MmFault.addr]), flags: v[MmFault.flags], struct: v[MmFault.page], bracketed: false };
	}

	copyEnds(task: Task): void {
		if (this.#logged && task.copy !== null && !task.copy.bracketed && task.vm === null)
			this.childCopies.push({ at: this.at, ksm: this.#ksm.isKsmPage(task.copy.struct), pid: task.pid, page: task.copy.page });
		task.copy = null;
	}

	/** try_to_merge_with_ksm_page is probed. */
	merges(): void {
		this.#ksm.probed();
	}

	mergeBegins(task: Task, { v }: KernelEvent): void {
		this.#ksm.begins(task, pointer(v[Merge.page]), pointer(v[Merge.kpage]));
	}

	mergeEnds(task: Task, { v }: KernelEvent): void {
		const before = this.items.length;
		this.#ksm.ends(task, pointer(v[FIRST]), this.at);
		if (this.items.length > before) this.#places.edge();
	}

	stableTreeAppend({ v }: KernelEvent): void {
		const page = pageOf(v[Merge.addr]);
		if (this.mergesByReturn) return;
		this.observe("ksmMerge", this.#ksm.appended(page, v[Merge.mm]), 0, page, []);
	}

	mark(text: string): void {
		const mark: InstantItem = { kind: "instant", name: "mark", vm: null, page: 0, args: [], text, begin: this.at, pending: 0 };
		this.items.push(mark);
		this.#places.edge();
		if (text.startsWith("PHASE ")) this.marks.push(mark);
		else if (isVmMark(text)) this.vmMarks.push(text);
	}
}

/** What KVM did since the last fault and range of a VM whose mm goes was no work. */
function endsVm(vm: CapturedVm): void {
	vm.ended = true;
	for (const item of vm.tentative) item.dropped = true;
	vm.tentative.length = 0;
}

type Meaning = (tracker: Tracker, task: Task, event: KernelEvent) => void;

const closesFault: Meaning = (tracker, task) => tracker.closeFault(task, tracker.at);

/** What each event of the recipe means, by its code. */
const MEANINGS: (Meaning | undefined)[] = Array.from({ length: CODES });
MEANINGS[Code.pageFault] = (tracker, task, event) => tracker.pageFault(task, event);
MEANINGS[Code.spteChanged] = (tracker, task, event) => tracker.spteChanged(task, event);
MEANINGS[Code.rangeStart] = (tracker, task, event) => tracker.rangeStart(task, event);
MEANINGS[Code.unmapHvaRange] = (tracker, task) => tracker.unmapHvaRange(task);
MEANINGS[Code.changePte] = (tracker, task, event) => tracker.changePte(task, event);
MEANINGS[Code.rangeEnd] = (tracker, task, event) => tracker.rangeEnd(task, event);
MEANINGS[Code.copy] = (tracker, task, event) => tracker.copyBegins(task, event);
MEANINGS[Code.copyReturn] = (tracker, task) => tracker.copyEnds(task);
MEANINGS[Code.mergeWithKsmPage] = (tracker, task) => {
	task.withKsmPage = true;
	tracker.merges();
};
MEANINGS[Code.mergeOnePage] = (tracker, task, event) => tracker.mergeBegins(task, event);
MEANINGS[Code.mergeOnePageReturn] = (tracker, task, event) => tracker.mergeEnds(task, event);
MEANINGS[Code.stableTreeAppend] = (tracker, _task, event) => tracker.stableTreeAppend(event);
MEANINGS[Code.breakKsm] = (_tracker, task, { v }) => {
	task.breakKsm = pageOf(v[Merge.addr]);
};
MEANINGS[Code.flush] = (tracker, task) => tracker.flush(task);
MEANINGS[Code.hostFault] = (tracker, task, event) => tracker.hostFault(task, event);
MEANINGS[Code.establishReturn] = (tracker, _task, { v }) => tracker.evidence.establishReturned(pointer(v[FIRST]));
MEANINGS[Code.memslot] = (tracker, task, event) => tracker.memslot(task, event);
MEANINGS[Code.register] = (tracker, task, { v }) => tracker.host.register(task, pointer(v[FIRST]));
MEANINGS[Code.exit] = closesFault;
MEANINGS[Code.pio] = closesFault;
MEANINGS[Code.entry] = closesFault;
