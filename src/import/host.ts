// The host as a capture shows it: VMs with their memslots as they stand at the event being read, tasks, mms, and the SPTEs that the kernel recorded.
import { SpteBit, VMEXIT_CAUSES } from "../trace/kinds.js";
import type { AccessLog } from "./accesslog.js";
import type { BracketItem, FaultItem, InstantItem, ObservedItem } from "./items.js";
import { type KnownSlot, type KnownVm, NO_POINTER } from "./knownvm.js";
import { SpteTable } from "./spte.js";

const READ_ONLY = VMEXIT_CAUSES.indexOf("readOnlySpte");
const OTHER = VMEXIT_CAUSES.indexOf("other");

export class CapturedVm {
	readonly id: number;
	/** Its mm's id in the trace; the same number. */
	readonly mm: number;
	pid: number;
	kvm = NO_POINTER;
	mmPointer = NO_POINTER;
	slots: KnownSlot[] = [];
	readonly vcpus = new Set<number>();
	/** Brackets in progress whose range hit a memslot, and the hull of model.md rule 1. */
	readonly open = new Set<BracketItem>();
	hullStart = 0;
	hullEnd = 0;
	readonly #sptes = [new SpteTable(), new SpteTable()] as const;
	/** Pages whose state at the start of the capture can no longer be read off an SPTE: already mapped once, or in some bracket. */
	readonly settled = new Set<number>();
	/** Pages that had no PTE when the capture began: their first SPTE, made by a read, is the zero page's. */
	readonly holes = new Set<number>();
	/** First pages of 2 MiB ranges that a huge PMD mapped when the capture began: their first SPTE is a 2 MiB one. */
	readonly hugeAtStart = new Set<number>();
	/** Ranges (first page, pages) that the access log says were dropped by MADV_DONTNEED. */
	readonly dropped = new Set<string>();
	/** Zaps and flushes by KVM since its last fault and range: the VM's end, if that is what comes next. */
	readonly tentative: ObservedItem[] = [];
	/** Its mm is gone. */
	ended = false;
	/** Largest total of address space 0's slots, in bytes. */
	memoryBytes = 0;

	constructor(id: number, pid: number) {
		this.id = id;
		this.mm = id;
		this.pid = pid;
	}

	/** What is heard of a page: the first that is heard tells whether it had no PTE when the capture began. */
	settle(page: number, hole: boolean): void {
		if (hole && !this.settled.has(page)) this.holes.add(page);
		this.settled.add(page);
	}

	setSlot(slot: KnownSlot): void {
		this.slots = this.slots.filter((other) => other.slot !== slot.slot || other.as !== slot.as);
		if (slot.pages > 0) this.slots.push(slot);
		const total = this.slots.filter((s) => s.as === 0).reduce((sum, s) => sum + s.pages * 4096, 0);
		this.memoryBytes = Math.max(this.memoryBytes, total);
	}

	hits(page: number, pages: number): boolean {
		return this.slots.some((slot) => page < slot.page + slot.pages && page + pages > slot.page);
	}

	/** The range from its first memslot to the end of its last, in host pages. */
	span(): { page: number; pages: number } {
		const page = Math.min(...this.slots.map((slot) => slot.page));
		const end = Math.max(...this.slots.map((slot) => slot.page + slot.pages));
		return this.slots.length === 0 ? { page: 0, pages: 1 } : { page, pages: end - page };
	}

	#slotOf(as: number, gfn: number): KnownSlot | undefined {
		return this.slots.find((s) => s.as === as && gfn >= s.gfn && gfn < s.gfn + s.pages);
	}

	/** hva page of a gfn in an address space; -1 outside its slots. */
	hvaPage(as: number, gfn: number): number {
		const slot = this.#slotOf(as, gfn);
		return slot === undefined ? -1 : slot.page + (gfn - slot.gfn);
	}

	/** KVM_MEM_READONLY of the slot behind an hva page's gfn. */
	readOnly(as: number, gfn: number): boolean {
		return ((this.#slotOf(as, gfn)?.flags ?? 0) & 2) !== 0;
	}

	/** SPTEs of an address space as the capture's own tracepoints show them. */
	sptes(as: number): SpteTable {
		return this.#sptes[as === 1 ? 1 : 0];
	}

	openBracket(item: BracketItem): void {
		if (this.open.size === 0) {
			this.hullStart = item.page;
			this.hullEnd = item.page + item.pages;
		} else {
			this.hullStart = Math.min(this.hullStart, item.page);
			this.hullEnd = Math.max(this.hullEnd, item.page + item.pages);
		}
		this.open.add(item);
	}

	inHull(page: number): boolean {
		return this.open.size > 0 && page >= this.hullStart && page < this.hullEnd;
	}

	/** The class of a fault by the SPTE of address space 0: one taken in SMM on a page that is mapped there is `other`. */
	faultClass(gfn: number, write: boolean): number {
		const bits = this.#sptes[0].bits(gfn);
		if ((bits & SpteBit.present) === 0) return this.#sptes[0].absent(gfn);
		return write && (bits & SpteBit.writable) === 0 ? READ_ONLY : OTHER;
	}
}

/** try_to_merge_one_page, from entry to return. */
export interface OpenMerge {
	/** struct page, and that of the KSM page; 0: none. */
	readonly page: number;
	readonly kpage: number;
	/** A kpage is given, and no try_to_merge_with_ksm_page is open. */
	readonly bare: boolean;
	writeProtect: BracketItem | null;
	replace: BracketItem | null;
}

/** wp_page_copy, from entry to return. */
export interface OpenCopy {
	/** hva page. */
	readonly page: number;
	readonly flags: number;
	/** struct page of what is copied; NaN where the capture does not say, 0: the zero page. */
	readonly struct: number;
	/** A notifier bracket came inside it: the mm has notifiers. */
	bracketed: boolean;
}

/** A function that says what the brackets inside it are for. */
export interface OpenSite {
	readonly name: Exclude<
		BracketItem["name"],
		"ksmWriteProtect" | "ksmReplace" | "cow" | "unshare" | "zap" | "invalidate" | "fork" | "thpSplit"
	>;
	/** hva page that it is called for; -1 where it has none. */
	readonly page: number;
	/** mremap: the hva page that the range moves to. */
	readonly to: number;
	/** enum ttu_flags of try_to_unmap_one and try_to_migrate_one. */
	readonly flags: number;
	/** The huge page has been copied (do_huge_pmd_wp_page). */
	copied: boolean;
	/** Its last bracket. */
	item: BracketItem | null;
}

/** What is being done to a VM as a whole, or to its pages by number, of which the next event of the task tells the rest. */
export type OpenUpkeep =
	| { readonly kind: "age"; readonly item: InstantItem }
	| { readonly kind: "dirtyLog"; readonly item: InstantItem; readonly slot: number; readonly as: number }
	| { readonly kind: "pin"; readonly page: number; readonly pages: number; readonly array: number };

export interface OpenBracket {
	readonly start: number;
	readonly end: number;
	readonly item: BracketItem | null;
	unmapped: boolean;
	changedPte: boolean;
}

/** A task as far as the grammar of its events needs it. */
export class Task {
	readonly pid: number;
	tgid: number;
	comm: string;
	/** A thread of the kernel that works on everybody's mm. */
	kernel: boolean;
	/** How many VMs were known, and what its thread group was, when its VM was looked for. */
	looked = -1;
	lookedTgid = -1;
	vm: CapturedVm | null = null;
	readonly brackets: OpenBracket[] = [];
	merge: OpenMerge | null = null;
	withKsmPage = false;
	copy: OpenCopy | null = null;
	/** hva page that break_ksm is at; -1 if none. */
	breakKsm = -1;
	fault: FaultItem | null = null;
	/** The function that it is in, of those that say what its brackets are for. */
	site: OpenSite | null = null;
	/** Inside direct reclaim, or kswapd awake. */
	reclaims = false;
	/** Work on a VM that its next event settles. */
	upkeep: OpenUpkeep | null = null;
	/** __mmu_notifier_clear_flush_young and its kin: KVM's own tracepoint inside says it once more. */
	ages = false;
	/** Whose pages it has aged last: what it does to SPTEs outside every bracket is that. */
	agedVm: CapturedVm | null = null;
	/** A memslot goes: KVM's zap of everything belongs to that. */
	deletesSlot = false;

	constructor(pid: number, tgid: number, comm: string) {
		this.pid = pid;
		this.tgid = tgid;
		this.comm = comm;
		this.kernel = KERNEL_THREAD.test(comm);
	}
}

const KERNEL_THREAD = /^(ksmd|khugepaged|kswapd|kcompactd|kworker|migration)/;

export class CapturedHost {
	readonly vms: CapturedVm[] = [];
	readonly #tasks = new Map<number, Task>();
	readonly #mms = new Map<number, CapturedVm>();
	/** mm of a thread group from mn_register, before its first memslot makes a VM of it. */
	readonly #registered = new Map<number, number>();
	#last: Task | null = null;

	/** VMs of tasks, where they were known before the capture. */
	readonly #vmOfTask = new Map<number, CapturedVm>();

	/** VMs and memslots as access logs' headers give them, or as they are known otherwise. */
	constructor(logs: readonly AccessLog[], known: readonly KnownVm[] = []) {
		for (const log of logs) {
			const vm = new CapturedVm(log.vm, log.pid);
			for (const slot of log.slots)
				vm.setSlot({ slot: slot.slot, as: 0, gfn: slot.gpa / 4096, page: slot.hva / 4096, pages: Math.floor(slot.bytes / 4096), flags: 0 });
			for (const phase of log.phases.values())
				for (const { letter, hva, bytes } of phase.operations)
					if (letter === "D") vm.dropped.add(`${hva / 4096} ${Math.ceil(bytes / 4096)}`);
			this.vms.push(vm);
		}
		for (const { vm: id, pid, mm, tasks, slots } of known) {
			if (this.vms.some((vm) => vm.id === id)) continue;
			const vm = new CapturedVm(id, pid);
			for (const slot of slots) vm.setSlot(slot);
			this.vms.push(vm);
			for (const task of tasks) this.#vmOfTask.set(task, vm);
			if (mm !== NO_POINTER) this.#bind(mm, vm);
		}
	}

	task(pid: number, tgid: number, comm: string): Task {
		let task = this.#last?.pid === pid ? this.#last : this.#tasks.get(pid);
		if (task === undefined) {
			task = new Task(pid, tgid, comm);
			this.#tasks.set(pid, task);
		}
		this.#last = task;
		if (task.comm !== comm) {
			task.comm = comm;
			task.kernel = KERNEL_THREAD.test(comm);
		}
		if (task.vm === null && (task.looked !== this.vms.length || !Object.is(task.lookedTgid, tgid))) {
			task.vm = this.#vmOfTask.get(pid) ?? this.vms.find((vm) => vm.pid === pid || vm.pid === tgid) ?? null;
			task.looked = this.vms.length;
			task.lookedTgid = tgid;
		}
		return task;
	}

	/** A task, or a thread group, that some event was of. */
	hasTask(pid: number): boolean {
		if (this.#tasks.has(pid)) return true;
		for (const task of this.#tasks.values()) if (task.tgid === pid) return true;
		return false;
	}

	*tasks(): Generator<Task> {
		yield* this.#tasks.values();
	}

	register(task: Task, mm: number): void {
		this.#registered.set(task.tgid >= 0 ? task.tgid : task.pid, mm);
	}

	/** The VM of a struct kvm, made at its first memslot. */
	vmOfKvm(kvm: number, task: Task): CapturedVm {
		const known = this.vms.find((vm) => vm.kvm === kvm);
		if (known !== undefined) return known;
		const leader = task.tgid >= 0 ? task.tgid : task.pid;
		const vm = this.vms.find((other) => other.pid === leader && other.kvm === NO_POINTER) ?? new CapturedVm(this.vms.length, leader);
		vm.kvm = kvm;
		if (!this.vms.includes(vm)) this.vms.push(vm);
		const mm = this.#registered.get(leader);
		if (mm !== undefined) this.#bind(mm, vm);
		task.vm = vm;
		return vm;
	}

	#bind(mm: number, vm: CapturedVm): void {
		vm.mmPointer = mm;
		this.#mms.set(mm, vm);
	}

	/** The VM whose notifier is on an mm: as registered, by the task, or by the only VM without an mm whose memslots the range meets. */
	vmOfMm(mm: number, task: Task, page: number, pages: number): CapturedVm | null {
		const known = this.#mms.get(mm);
		if (known !== undefined) return known;
		if (task.vm !== null && task.vm.mmPointer === NO_POINTER && task.merge === null) {
			this.#bind(mm, task.vm);
			return task.vm;
		}
		const met = this.vms.filter((vm) => vm.mmPointer === NO_POINTER && vm.hits(page, pages));
		const [only] = met;
		if (met.length !== 1 || only === undefined) return null;
		this.#bind(mm, only);
		return only;
	}
}

/** The VM that each log is of. */
export function logsByVm(logs: readonly AccessLog[], host: CapturedHost): Map<CapturedVm, AccessLog> {
	const found = new Map<CapturedVm, AccessLog>();
	for (const log of logs) {
		const vm = host.vms.find((candidate) => candidate.id === log.vm);
		if (vm !== undefined) found.set(vm, log);
	}
	return found;
}
