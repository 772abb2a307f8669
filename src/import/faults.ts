// KVM's side of a capture: nested page faults, what each installed or why it was taken again, and every change of an SPTE (kernel.md 3.3, 3.6;
// model.md section 3).
import { SpteBit, VMEXIT_CAUSES, type VmexitCause, ZAP_CAUSES, type ZapCause } from "../trace/kinds.js";
import { accessOf, ErrorCode } from "./errorcode.js";
import { Fault, type KernelEvent, Spte } from "./event.js";
import type { Evidence } from "./evidence.js";
import type { CapturedVm, OpenBracket, Task } from "./host.js";
import { type BracketItem, type FaultItem, HUGE_PAGES, ZAP_OF } from "./items.js";
import { leafBits } from "./spte.js";
import type { Timeline } from "./timeline.js";
import { pageOf } from "./tracefs.js";

const causeIndex = (cause: VmexitCause): number => VMEXIT_CAUSES.indexOf(cause);
const IN_PROGRESS = causeIndex("retryInProgress");
const AFTER_COW = causeIndex("retryAfterCow");
const RETRY = causeIndex("retryOther");

export class FaultGrammar {
	faults = 0;
	/** Faults of tasks of no known VM. */
	strays = 0;
	/** SPTE changes are recorded. */
	sptes = false;
	readonly #timeline: Timeline;
	readonly #evidence: Evidence;
	/** Where change_pte last made an SPTE: VM, address space and gfn. */
	readonly #made = new Map<string, number>();

	constructor(timeline: Timeline, evidence: Evidence) {
		this.#timeline = timeline;
		this.#evidence = evidence;
	}

	begins(task: Task, { v }: KernelEvent): FaultItem | null {
		const timeline = this.#timeline;
		const vcpu = v[Fault.vcpu];
		const gpa = v[Fault.address];
		const rip = v[Fault.rip];
		const errorCode = v[Fault.errorCode] & 0xffff;
		const previous = task.fault;
		this.close(task, timeline.at);
		const { vm } = task;
		if (vm === null || Number.isNaN(gpa)) {
			this.strays++;
			return null;
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
			begin: timeline.at,
			end: -1,
			installed: false,
			as: -1,
			next: null,
			filled: false,
			huge: false,
			mmio,
			cause: mmio ? 0 : vm.faultClass(gfn, write),
			ownCow: false,
			logged: false,
			observed: null,
		};
		fault.observed = timeline.observe(
			mmio ? "mmioFault" : "vmexit",
			vm,
			vcpu,
			gfn,
			mmio
				? [accessOf(errorCode), (errorCode & ErrorCode.reserved) >> 3]
				: [accessOf(errorCode), errorCode & ErrorCode.present, fault.cause],
		);
		this.faults++;
		timeline.works(vm);
		if (previous !== null && !previous.installed && pageOf(previous.gpa) === gfn && previous.vm === vm) previous.next = fault;
		task.fault = fault;
		timeline.items.push(fault);
		return fault;
	}

	/** The vCPU went on: an open fault that installed nothing was retried, and this is why. */
	close(task: Task, at: number): void {
		const { fault } = task;
		task.fault = null;
		if (fault === null || fault.installed) return;
		fault.end = at;
		this.#timeline.works(fault.vm);
		if (fault.mmio) return;
		const gfn = pageOf(fault.gpa);
		const sptes = fault.vm.sptes(0);
		const bits = sptes.bits(gfn);
		if ((bits & SpteBit.present) !== 0) return;
		sptes.set(gfn, bits, fault.vm.inHull(fault.vm.hvaPage(0, gfn)) ? IN_PROGRESS : fault.ownCow ? AFTER_COW : RETRY);
	}

	/** Gives the hva page and level of a leaf that a fault has installed; null where it is none. */
	spteChanged(task: Task, vm: CapturedVm, { v }: KernelEvent): { readonly page: number; readonly level: number } | null {
		const timeline = this.#timeline;
		const level = v[Spte.level];
		const as = v[Spte.as];
		const gfn = v[Spte.gfn];
		const was = leafBits(v[Spte.oldLow], level);
		const is = leafBits(v[Spte.newLow], level);
		if (was === is && v[Spte.oldLow] === v[Spte.newLow] && v[Spte.oldHigh] === v[Spte.newHigh]) return null;
		if (was === 0 && is === 0) return null;
		const bracket = task.brackets.at(-1) ?? null;
		const zapped = is === 0;
		const cause: ZapCause = !zapped ? "other" : bracket?.item != null ? ZAP_OF[bracket.item.name] : "kvmZap";
		const observed = timeline.observe("spteChanged", vm, 0, gfn, [as, level, was, is, zapped ? ZAP_CAUSES.indexOf(cause) : 0]);
		if (cause === "kvmZap") timeline.tentative(observed);
		this.sptes = true;
		if (is !== 0) this.#evidence.leaf(v[Spte.newHigh]);
		const pages = level === 2 ? HUGE_PAGES : 1;
		const sptes = vm.sptes(as);
		if (timeline.logged && bracket?.item != null) this.#placeInRange(bracket, bracket.item, `${vm.id} ${as} ${gfn}`, zapped);
		for (let at = gfn; at < gfn + pages; at++) sptes.set(at, is, zapped ? causeIndex(cause) : sptes.absent(at));
		if (zapped) return null;
		if (bracket === null) {
			this.#installed(task.fault, as, gfn, level, is);
			return was === 0 ? { page: vm.hvaPage(as, gfn), level } : null;
		}
		if (was === 0 && bracket.unmapped && bracket.changedPte)
			this.#evidence.establishes(
				(is & SpteBit.writable) !== 0,
				[...vm.open].some((other) => other !== bracket.item && other.counted),
			);
		return null;
	}

	/**
	 * Where the access log gives order to what ran at the same time, a range begins when KVM works on it, and change_pte is where it made its SPTE:
	 * both wait for mmu_lock, and what ran meanwhile came first. A zap that yields the lock goes on behind an SPTE made meanwhile, and takes it.
	 */
	#placeInRange(bracket: OpenBracket, item: BracketItem, spte: string, zapped: boolean): void {
		const { at } = this.#timeline;
		if (bracket.changedPte) {
			item.commit = at;
			if (!zapped) this.#made.set(spte, at);
		} else if (zapped && bracket.unmapped && (item.locked < 0 || (this.#made.get(spte) ?? -1) > item.locked)) item.locked = at;
	}

	#installed(fault: FaultItem | null, as: number, gfn: number, level: number, bits: number): void {
		if (fault === null || fault.installed) return;
		const faulted = pageOf(fault.gpa);
		if (faulted < gfn || faulted >= gfn + (level === 2 ? HUGE_PAGES : 1)) return;
		fault.huge = level === 2;
		fault.installed = true;
		fault.as = as;
		fault.end = this.#timeline.at;
		this.#timeline.works(fault.vm);
		// In a read-only memslot (a ROM) no SPTE is writable; the VMM has filled it.
		fault.filled = (bits & SpteBit.writable) !== 0 || fault.vm.readOnly(as, gfn);
		if (!this.#timeline.logged) return;
		const page = fault.vm.hvaPage(as, gfn);
		if (level === 2) {
			if (!fault.vm.settled.has(page)) fault.vm.hugeAtStart.add(page);
			for (let at = page; at < page + HUGE_PAGES; at++) fault.vm.settled.add(at);
			return;
		}
		fault.vm.settle(page, !fault.filled);
	}
}
