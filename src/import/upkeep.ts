// What is done to guest memory without a notifier bracket: ageing (kernel.md 3.5), KVM's dirty log and its zap of everything, pins (1.4, litmus m).
import { MemslotFlag, Young } from "../trace/kinds.js";
import { Age, Code, DirtyLog, type KernelEvent, KvmAge, Pin, Unpin } from "./event.js";
import type { CapturedHost, CapturedVm, Task } from "./host.js";
import type { InstantItem } from "./items.js";
import type { Timeline } from "./timeline.js";
import { pageOf } from "./tracefs.js";

/** FOLL_WRITE; who only reads pins nothing that KSM minds. */
const FOLL_WRITE = 1;
/** Pages of a call that are numbered one by one: more are a device's, and told by --device. */
const MAX_PINNED = 4096;
/** Calls whose pins are remembered. */
const MAX_CALLS = 1024;
/** Pages of a word of the dirty log. */
const WORD = 64;

interface PinCall {
	readonly vm: CapturedVm;
	readonly page: number;
	readonly first: number;
	readonly pages: number;
}

export class Upkeep {
	/** Ageings of addresses that several VMs have, dirty words of nobody knows which memslot. */
	ambiguous = 0;
	/** Pins of more pages than are numbered. */
	largePins = 0;
	readonly #host: CapturedHost;
	readonly #timeline: Timeline;
	/** Pins by the array that their pages are in. */
	readonly #pins = new Map<number, PinCall>();
	#numbers = 0;

	constructor(host: CapturedHost, timeline: Timeline) {
		this.#host = host;
		this.#timeline = timeline;
	}

	/** The task is at its next event: what was open is settled, unless that goes on with it. */
	settle(task: Task, event: KernelEvent): void {
		const { upkeep } = task;
		if (upkeep === null) return;
		if (upkeep.kind === "dirtyLog" && event.code === Code.dirtyLog) return;
		// Accessed bits go one by one, and the flush comes behind them.
		if (upkeep.kind === "age" && event.code === Code.spteChanged) return;
		task.upkeep = null;
		if (upkeep.kind === "pin") {
			if (event.code !== Code.pinReturn) this.#pinned(task, upkeep, upkeep.pages);
			else this.#pinned(task, upkeep, Math.min(upkeep.pages, Math.max(0, event.v[0])));
			return;
		}
		upkeep.item.pending--;
		// Only clear_flush_young flushes, and only where something was young.
		if (upkeep.kind === "age") upkeep.item.args[1] = event.code === Code.flush ? Young.clearFlush : Young.clear;
	}

	/** A callback of the notifiers, with its mm. */
	ages(task: Task, { v }: KernelEvent, young: number): void {
		task.ages = true;
		const page = pageOf(v[Age.start]);
		const pages = pagesOf(v[Age.start], v[Age.end]);
		const vm = this.#host.vmOfMm(Number.isNaN(v[Age.mm]) ? 0 : v[Age.mm], task, page, pages);
		task.agedVm = vm;
		if (vm?.hits(page, pages) === true) this.#timeline.instant("age", vm, page, [pages, young]);
	}

	/** KVM's tracepoints, which know no mm: the VM that has the address. */
	kvmAges(task: Task, { v }: KernelEvent, test: boolean): void {
		const told = task.ages;
		task.ages = false;
		if (told) return;
		const page = pageOf(v[KvmAge.start]);
		const pages = pagesOf(v[KvmAge.start], v[KvmAge.end]);
		const met = task.vm?.hits(page, pages) === true ? [task.vm] : this.#host.vms.filter((vm) => vm.hits(page, pages));
		const [vm] = met;
		task.agedVm = met.length === 1 ? (vm ?? null) : null;
		if (vm === undefined) return;
		if (met.length > 1) {
			this.ambiguous++;
			return;
		}
		const item = this.#timeline.instant("age", vm, page, [pages, test ? Young.test : Young.clear]);
		if (test) return;
		item.pending++;
		task.upkeep = { kind: "age", item };
	}

	/** kvm_mmu_zap_all_fast: its own, unless a memslot goes. */
	zapsAll(task: Task, vm: CapturedVm | null): void {
		const slot = task.deletesSlot;
		task.deletesSlot = false;
		if (!slot && vm !== null && !vm.ended) this.#timeline.instant("kvmZapAll", vm, 0, []);
	}

	/** kvm_arch_mmu_enable_log_dirty_pt_masked, once for each word with dirty pages; one range for the words of a call. */
	dirtyLog(task: Task, { v }: KernelEvent): void {
		const vm = this.#host.vms.find((one) => one.kvm !== 0 && one.kvm === v[DirtyLog.kvm]) ?? task.vm;
		const low = v[DirtyLog.maskLow];
		const high = v[DirtyLog.maskHigh];
		if (vm === null || (low === 0 && high === 0)) return;
		const logged = vm.slots.filter(({ flags, pages }) => (flags & MemslotFlag.logDirty) !== 0 && v[DirtyLog.offset] < pages);
		if (Number.isNaN(v[DirtyLog.slot]) && logged.length !== 1) {
			this.ambiguous++;
			return;
		}
		const slot = Number.isNaN(v[DirtyLog.slot]) ? (logged[0]?.slot ?? 0) : v[DirtyLog.slot];
		const as = Number.isNaN(v[DirtyLog.as]) ? (logged[0]?.as ?? 0) : v[DirtyLog.as];
		const first = v[DirtyLog.offset] + (low !== 0 ? lowest(low) : 32 + lowest(high));
		const end = v[DirtyLog.offset] + (high !== 0 ? WORD - Math.clz32(high) : 32 - Math.clz32(low));
		const { upkeep } = task;
		if (upkeep?.kind === "dirtyLog" && upkeep.slot === slot && upkeep.as === as && upkeep.item.vm === vm) {
			extend(upkeep.item, first, end);
			return;
		}
		if (upkeep?.kind === "dirtyLog") upkeep.item.pending--;
		const item = this.#timeline.instant("dirtyLog", vm, 0, [slot, as, first, end - first]);
		item.pending++;
		task.upkeep = { kind: "dirtyLog", item, slot, as };
	}

	pins(task: Task, { v }: KernelEvent): void {
		const pages = v[Pin.pages];
		if ((v[Pin.flags] & FOLL_WRITE) === 0 || task.vm === null) return;
		const page = pageOf(v[Pin.addr]);
		if (!task.vm.hits(page, pages)) return;
		if (pages > MAX_PINNED) this.largePins++;
		else task.upkeep = { kind: "pin", page, pages, array: v[Pin.array] };
	}

	#pinned(task: Task, { page, array }: { readonly page: number; readonly array: number }, pages: number): void {
		const { vm } = task;
		if (vm === null || pages === 0) return;
		const first = this.#numbers + 1;
		this.#numbers += pages;
		for (let at = 0; at < pages; at++) this.#timeline.instant("pin", vm, page + at, [first + at]);
		this.#pins.set(array, { vm, page, first, pages });
		const [oldest] = this.#pins.keys();
		if (this.#pins.size > MAX_CALLS && oldest !== undefined) this.#pins.delete(oldest);
	}

	unpins({ v }: KernelEvent): void {
		const call = this.#pins.get(v[Unpin.array]);
		if (call === undefined) return;
		this.#pins.delete(v[Unpin.array]);
		for (let at = 0; at < call.pages; at++) this.#timeline.instant("unpin", call.vm, call.page + at, [call.first + at]);
	}
}

const lowest = (word: number): number => 31 - Math.clz32(word & -word);

/** At least one page; a callback without an end is of one. */
const pagesOf = (start: number, end: number): number => (Number.isNaN(end) ? 1 : Math.max(1, pageOf(end + 4095) - pageOf(start)));

function extend({ args }: InstantItem, first: number, end: number): void {
	const from = Math.min(args[2] ?? first, first);
	const to = Math.max((args[2] ?? 0) + (args[3] ?? 0), end);
	args[2] = from;
	args[3] = to - from;
}
