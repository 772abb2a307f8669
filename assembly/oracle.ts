// Coherence (kernel.md section 6): is what a translation leads to the page that the host maps there, or one with its content?
//
// Asking at every access would cost a walk for every TLB hit. Instead the engine watches the one thing that can make a translation stale:
// a change of a PTE. As long as after each of them every SPTE of a strategy still agrees with the PTEs (same frame, no right more), every
// TLB entry does too, since whatever takes or changes an SPTE flushes, and no access can go wrong. A strategy that breaks the agreement once
// is `suspect` from then on: each of its accesses is held against the primary table as the reference model does it. To be suspected wrongly
// costs time and changes no result.
import { sameContent, writeContent } from "./contents";
import { FrameBit, isShared, wordOf } from "./frames";
import { Rule } from "./generated/constants";
import { Bit, FRAME_SHIFT, NO_PAGE, PAGE_LIMIT, SpteBit, TARGET_MASK } from "./layout";
import { findRecord, leafEnd, leafOf, nextPresent, recordIn } from "./pagetable";
import { pteOf } from "./primary";
import { collect, Hit, hitAt, hitCount, hvaOf, Run, runAt } from "./slots";
import { holdsWritable } from "./tlb";
import { resetViolations, violateAccess, violateSpte } from "./violations";
import { allStrategies, exists, Mm, rootOf, strategies, tlbOf, Vcpu, Vm, VmState, vmState } from "./world";

/** Strategies whose translations may be stale. */
export let suspect: u32 = 0;
/** vCPUs whose fault in flight has a frame from gup. */
let held: u32 = 0;
export let checking: bool = true;

export function resetOracle(check: bool): void {
	suspect = 0;
	held = 0;
	checking = check;
	resetViolations(check);
}

/** Whether frames that are freed may be used again: no strategy may still translate to them, and no fault in flight install them. */
export function canReuseFrames(): bool {
	return suspect == 0 && held == 0;
}

/** The PTE that a fault in flight has from gup; 0: none. */
export function holdGup(vcpu: Vcpu, pte: u32): void {
	if (vcpu.gup != 0) held--;
	if (pte != 0) held++;
	vcpu.gup = pte;
}

export function suspectAll(): void {
	suspect = allStrategies;
}

/** A strategy leaves TLB entries behind that its SPTEs no longer have. */
export function suspectOne(strategy: u32): void {
	suspect |= 1 << strategy;
}

/** More rights than the PTE has: of a KSM page or the zero page it is never more than reading (I-5). */
export function tooPermissive(frame: u32): Rule {
	return isShared(frame) ? Rule.I_5 : Rule.I_3;
}

/** A fault gives a present leaf another page: the TDP MMU stops there (__handle_changed_spte, I-7). */
export function noteChangedPage(vcpu: Vcpu, strategy: u32, gfn: u64): void {
	violateAccess(strategy, Rule.I_7, vcpu, gfn);
}

/** One access of a suspect strategy through a translation to `frame` (I-1, I-2, I-3). */
export function observe(vcpu: Vcpu, strategy: u32, addressSpace: u32, gfn: u64, frame: u32, write: bool): void {
	if (!checking) return;
	const page = hvaOf(vcpu.vm, addressSpace, gfn);
	const pte = page == NO_PAGE ? 0 : pteOf(vcpu.vm.mm, page);
	const mapped = pte >> FRAME_SHIFT;
	if ((wordOf(frame) & FrameBit.freed) != 0) violateAccess(strategy, Rule.I_1, vcpu, gfn);
	else if ((pte & Bit.present) == 0) violateAccess(strategy, Rule.I_2, vcpu, gfn);
	else if (mapped != frame && (write || !sameContent(mapped, frame, strategy))) violateAccess(strategy, Rule.I_2, vcpu, gfn);
	else if (write && (pte & Bit.writable) == 0) violateAccess(strategy, tooPermissive(frame), vcpu, gfn);
	if (write) writeContent(frame, strategy);
}

/** Hold the SPTEs of a record against the PTE of its page. */
// @ts-ignore: decorator
@inline
function compare(record: usize, pte: u32): void {
	for (let strategy: u32 = 0; strategy < strategies; strategy++) {
		const spte = load<u32>(record + ((<usize>strategy) << 2));
		if ((spte & Bit.present) == 0) continue;
		// MMU-writable is W that may come back without a question (fast.ts), and W is never without it.
		const exceeds = (spte & SpteBit.mmuWritable) != 0 && (pte & Bit.writable) == 0;
		if (((spte ^ pte) & TARGET_MASK) != 0 || exceeds) suspect |= 1 << strategy;
	}
}

function compareRun(vm: Vm, run: Run): void {
	const root = rootOf(vm, run.addressSpace);
	const end = run.gfn + run.pages;
	const stride = (<usize>root.words) << 2;
	for (let at = nextPresent(root, run.gfn, end); at < end; at = nextPresent(root, at, end)) {
		const next = leafEnd(at, end);
		let record = recordIn(root, leafOf(root, at), at);
		for (; at < next; at++) {
			if (anyPresent(record)) compare(record, pteOf(vm.mm, run.page + (at - run.gfn)));
			record += stride;
		}
	}
}

// @ts-ignore: decorator
@inline
function anyPresent(record: usize): bool {
	let any: u32 = 0;
	for (let strategy: u32 = 0; strategy < strategies; strategy++) any |= load<u32>(record + ((<usize>strategy) << 2));
	return (any & Bit.present) != 0;
}

/** PTEs of the range that was collected last have changed. */
export function compareCollected(): void {
	for (let index: u32 = 0; index < hitCount && suspect != allStrategies; index++) {
		const hit: Hit = hitAt(index);
		for (let run: u32 = 0; run < hit.runs; run++) compareRun(hit.vm, runAt(hit.firstRun + run));
	}
}

/** PTEs of [page, page + pages) have changed without an operation of the notifiers. */
export function comparePages(mm: Mm, page: u64, pages: u64): void {
	if (!exists(mm.firstVm) || page >= PAGE_LIMIT) return;
	collect(mm, page, pages);
	compareCollected();
}

/**
 * An operation on [page, page + pages) has ended. Where no bracket of a VM is in progress any more, the SPTEs of what has ended since the last such
 * moment must agree with the PTEs (I-1, I-2, I-3, I-5 at quiescence). They do unless the strategy is suspect.
 */
export function settleOperation(mm: Mm, page: u64, pages: u64): void {
	if (!checking) return;
	for (let vm = mm.firstVm; exists(vm); vm = vm.nextOfMm) {
		for (let strategy: u32 = 0; strategy < strategies; strategy++) {
			const state = vmState(vm, strategy);
			if (state.inProgress == 0 && state.doubtEnd == 0 && ((suspect >> strategy) & 1) == 0) continue;
			widenDoubt(state, page, page + pages);
			if (state.inProgress != 0) continue;
			if (((suspect >> strategy) & 1) != 0) inspect(vm, strategy, state.doubtStart, state.doubtEnd);
			state.doubtEnd = 0;
		}
	}
}

function widenDoubt(state: VmState, start: u64, end: u64): void {
	state.doubtStart = state.doubtEnd == 0 ? start : min<u64>(state.doubtStart, start);
	state.doubtEnd = max<u64>(state.doubtEnd, end);
}

function inspect(vm: Vm, strategy: u32, start: u64, end: u64): void {
	collect(vm.mm, start, end - start);
	for (let index: u32 = 0; index < hitCount; index++) {
		const hit: Hit = hitAt(index);
		if (hit.vm != vm) continue;
		for (let run: u32 = 0; run < hit.runs; run++) inspectRun(vm, strategy, runAt(hit.firstRun + run));
	}
}

function inspectRun(vm: Vm, strategy: u32, run: Run): void {
	const root = rootOf(vm, run.addressSpace);
	const end = run.gfn + run.pages;
	const stride = (<usize>root.words) << 2;
	for (let at = nextPresent(root, run.gfn, end); at < end; at = nextPresent(root, at, end)) {
		const next = leafEnd(at, end);
		let word = recordIn(root, leafOf(root, at), at) + ((<usize>strategy) << 2);
		for (; at < next; at++) {
			const spte = load<u32>(word);
			word += stride;
			if ((spte & Bit.present) != 0) inspectSpte(vm, strategy, at, spte, pteOf(vm.mm, run.page + (at - run.gfn)));
		}
	}
}

function inspectSpte(vm: Vm, strategy: u32, gfn: u64, spte: u32, pte: u32): void {
	const frame = spte >> FRAME_SHIFT;
	if ((wordOf(frame) & FrameBit.freed) != 0) violateSpte(strategy, Rule.I_1, vm, gfn);
	else if (((spte ^ pte) & TARGET_MASK) != 0) violateSpte(strategy, Rule.I_2, vm, gfn);
	else if ((spte & ~pte & Bit.writable) != 0) violateSpte(strategy, tooPermissive(frame), vm, gfn);
}

/** The deciding memcmp of a merge: the PTE is read-only by now, so nobody may be able to write the page through an SPTE or a vCPU's TLB (I-9). */
export function checkWriters(mm: Mm, page: u64): void {
	const pte = pteOf(mm, page);
	if (suspect == 0 || (pte & Bit.present) == 0 || (pte & Bit.writable) != 0) return;
	collect(mm, page, 1);
	for (let rest = suspect; rest != 0; rest &= rest - 1) {
		const strategy = ctz(rest);
		for (let index: u32 = 0; index < hitCount; index++) {
			const hit: Hit = hitAt(index);
			for (let run: u32 = 0; run < hit.runs; run++) checkRunWriters(hit.vm, strategy, runAt(hit.firstRun + run));
		}
	}
}

function checkRunWriters(vm: Vm, strategy: u32, run: Run): void {
	const record = findRecord(rootOf(vm, run.addressSpace), run.gfn);
	const need: u32 = Bit.present | Bit.writable;
	let writer = record != 0 && (load<u32>(record + ((<usize>strategy) << 2)) & need) == need;
	for (let vcpu = vm.firstVcpu; exists(vcpu) && !writer && run.addressSpace == 0; vcpu = vcpu.nextOfVm)
		writer = holdsWritable(tlbOf(vcpu, strategy), run.gfn);
	if (writer) violateSpte(strategy, Rule.I_9, vm, run.gfn);
}
