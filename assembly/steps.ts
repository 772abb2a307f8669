// The step programs (src/strategies/steps.ts): what KVM does at each step of an operation, under each strategy's own list (kernel.md 1.3 to
// 1.14, 3.2, 3.4, 10.1). An operation is open from its begin to its end; a list is cut at the page-table lock: up to range-start is the
// begin, lock to unlock the commit, range-end and later the end. The primary page table changes once, for all strategies.
import { apply, decide, NO_FRAME, newFrame, newMapping, newWritable, oldPage } from "./change";
import { count, countAll, countBy, siteCounter } from "./counters";
import { Device, firstDevice, isBracketed, mirrorEnd, mirrorStart, tellDeviceTlbs, tellMissing } from "./devices";
import { noteZap } from "./exits";
import { hold, release, settleFreed } from "./frames";
import {
	Cause,
	Counter,
	Kind,
	OPERATION_KINDS,
	OpFlag,
	Rule,
	SiteCounter,
	STEP_LIST_BYTES,
	StepCode,
	StepParam,
} from "./generated/constants";
import { enlarge, give, reserve, take } from "./heap";
import { flushThreads } from "./host";
import { legacyMmu } from "./kvmhost";
import { Bit, FRAME_SHIFT, PROGRAM_BYTES, SpteBit } from "./layout";
import { logging, logZap } from "./log";
import { canReuseFrames, compareCollected, comparePages, settleOperation, suspectOne } from "./oracle";
import { findRecord, leafOf, makeRecord } from "./pagetable";
import { pteOf } from "./primary";
import { forget } from "./psc";
import { Extent, finishSite } from "./sites";
import { collect, Hit, hitAt, hitCount, isReadOnly, logsDirty, runAt } from "./slots";
import { countPresent, handOver, hasLeafTable, isHugeLeaf, makeSpte, reachEnd, reachStart, zap, zapRun } from "./spte";
import { flush, flushRange, rangedFlush } from "./tlb";
import { violateSpte } from "./violations";
import { closeWindow, noteOpen } from "./windows";
import { exists, Mm, mmOf, rootOf, strategies, tlbOf, Vcpu, Vm, vcpuState, vmState } from "./world";

/** An operation from its begin to its end. Behind it, for each strategy, how often its list has begun a KVM bracket (u32). */
@unmanaged
export class Operation {
	page: u64;
	pages: u64;
	/** A Kind; also the site of its counters. */
	kind: u32;
	/** OpFlag */
	flags: u32;
	mm: Mm;
	kpage: u32;
	/** fork: the id of the child's mm. */
	child: u32;
	/** mremap: the hva page that the range moves to. */
	to: u64;
	/** Its points are records of their own. */
	isOpen: bool;
	/** The last commit changed something, and what reference it took on the old page: frame + 1, 0 if none. */
	committed: bool;
	old: u32;
	/** Addresses of the VMs whose memslots the bracket's start hit: their end must pair. */
	hits: usize;
	hitBytes: usize;
	hitCount: u32;
	/** Addresses of the mirrors whose interval it met, likewise. */
	mirrors: usize;
	mirrorBytes: usize;
	mirrorCount: u32;
	/** Strategies (bits) that keep the new PTE write-protected until the end (litmus c), and in which a host thread's store waits for it. */
	protects: u32;
	deferredStores: u32;
	/** Strategies that make the PTE writable then. */
	makesWritable: u32;
	/** cow: the vCPU whose fault makes the copy, and which of its faults; address 0: none. */
	own: Vcpu;
	ownFlight: u32;
	/** In the list of windows.ts. */
	nextOpen: Operation;
	isListed: bool;
	/** The last commit changed PTEs that were mapped, and did not put them back. */
	changed: bool;
	/** It put them back: write_protect_page gave up for a reference. */
	refused: bool;
	/** The commit has been cut behind its set-pte. What the rest of it goes by: its Extent (none: there is no rest), the new PTE, what `protect` said. */
	cut: bool;
	rest: u32;
	restFrame: u32;
	restWritable: bool;
	restKept: u32;
	/** Whether the PTE was read-only before the commit at hand (I-8). */
	wasReadOnly: bool;
}

/** Of a commit's steps those up to its set-pte, and those behind it (bits). */
const enum Part {
	first = 1,
	rest = 2,
}

let programs: usize = 0;
let whole: usize = 0;
/** Kinds (bits) whose lists flush the primary TLB, and whose lists set the PTE: the same in all strategies, the host sees to that. */
let flushing: u32 = 0;
let setting: u32 = 0;
/** Strategies (bits) in which a fault is not stale for its own copy (10.2). */
export let ownCowAware: u32 = 0;
/** Strategies (bits) by kind: whose lists have notify-secondary-tlb, and set-pte-write-protected, there with reuse allowed or not. */
const telling = memory.data(<i32>(OPERATION_KINDS * 4));
const keeping = memory.data(<i32>(OPERATION_KINDS * 4));
const reusing = memory.data(<i32>(OPERATION_KINDS * 4));

/** Room for the strategies' programs; `startSteps` once they are there. */
export function reservePrograms(): usize {
	programs = reserve(PROGRAM_BYTES * strategies);
	return programs;
}

export function startSteps(): void {
	whole = reserve(operationBytes());
	flushing = 0;
	setting = 0;
	ownCowAware = 0;
	for (let kind: u32 = 0; kind < <u32>OPERATION_KINDS; kind++) {
		const place = (<usize>kind) << 2;
		store<u32>(telling + place, 0);
		store<u32>(keeping + place, 0);
		store<u32>(reusing + place, 0);
		for (let strategy: u32 = 0; strategy < strategies; strategy++) noteList(strategy, kind);
		for (let step = program(0, kind); load<u8>(step) != 0; step += 2) {
			if (load<u8>(step) == StepCode.clearFlush) flushing |= 1 << kind;
			if (load<u8>(step) == StepCode.setPte) setting |= 1 << kind;
		}
	}
}

function noteList(strategy: u32, kind: u32): void {
	const bit: u32 = 1 << strategy;
	const place = (<usize>kind) << 2;
	for (let step = program(strategy, kind); load<u8>(step) != 0; step += 2) {
		const code = load<u8>(step);
		if (code == StepCode.allocCopy && kind == <u32>Kind.cow && (load<u8>(step, 1) & StepParam.retryUnlessOwn) != 0) ownCowAware |= bit;
		if (code == StepCode.notifySecondaryTlb) store<u32>(telling + place, load<u32>(telling + place) | bit);
		if (code != StepCode.setPteWriteProtected) continue;
		store<u32>(keeping + place, load<u32>(keeping + place) | bit);
		if ((load<u8>(step, 1) & StepParam.reuseAllowed) != 0) store<u32>(reusing + place, load<u32>(reusing + place) | bit);
	}
}

/** The strategies of one of these lists for the kind of an operation. */
// @ts-ignore: decorator
@inline
function having(lists: usize, op: Operation): u32 {
	return load<u32>(lists + ((<usize>op.kind) << 2));
}

// @ts-ignore: decorator
@inline
function program(strategy: u32, kind: u32): usize {
	return programs + <usize>strategy * PROGRAM_BYTES + <usize>kind * STEP_LIST_BYTES;
}

function operationBytes(): usize {
	return offsetof<Operation>() + 4 * <usize>strategies;
}

// @ts-ignore: decorator
@inline
function brackets(op: Operation, strategy: u32): usize {
	return changetype<usize>(op) + offsetof<Operation>() + ((<usize>strategy) << 2);
}

function start(op: Operation, kind: u32, mm: Mm, page: u64, pages: u64): Operation {
	op.kind = kind;
	op.flags = 0;
	op.mm = mm;
	op.page = page;
	op.pages = pages;
	op.hitCount = 0;
	op.isOpen = false;
	op.committed = false;
	op.old = 0;
	op.mirrorCount = 0;
	op.protects = 0;
	op.deferredStores = 0;
	op.makesWritable = 0;
	op.isListed = false;
	op.refused = false;
	op.cut = false;
	op.rest = Extent.none;
	op.own = changetype<Vcpu>(0);
	for (let strategy: u32 = 0; strategy < strategies; strategy++) store<u32>(brackets(op, strategy), 0);
	return op;
}

/** An operation that runs to its end at once; valid until the next one. */
export function wholeOperation(kind: u32, mm: Mm, page: u64, pages: u64): Operation {
	return start(changetype<Operation>(whole), kind, mm, page, pages);
}

/** An operation with its points apart; `closeOperation` gives it back. */
export function openOperation(kind: u32, mm: Mm, page: u64, pages: u64): Operation {
	const op = start(changetype<Operation>(take(operationBytes())), kind, mm, page, pages);
	op.isOpen = true;
	return op;
}

export function closeOperation(op: Operation): void {
	abandon(op);
	if (op.hits != 0) give(op.hits, op.hitBytes);
	if (op.mirrors != 0) give(op.mirrors, op.mirrorBytes);
	give(changetype<usize>(op), operationBytes());
}

// @ts-ignore: decorator
@inline
function hitOf(op: Operation, index: u32): Vm {
	return changetype<Vm>(<usize>load<u32>(op.hits + ((<usize>index) << 2)));
}

function rememberHits(op: Operation): void {
	const bytes = (<usize>hitCount) << 2;
	if (bytes > op.hitBytes) {
		const wanted = max<usize>(bytes, 64);
		op.hits = enlarge(op.hits, op.hitBytes, wanted);
		op.hitBytes = wanted;
	}
	op.hitCount = hitCount;
	for (let index: u32 = 0; index < hitCount; index++) store<u32>(op.hits + ((<usize>index) << 2), <u32>changetype<usize>(hitAt(index).vm));
}

function rememberMirrors(op: Operation): void {
	for (let device = firstDevice; exists(device); device = device.next) {
		if (!isBracketed(device, op.mm, op.page, op.pages)) continue;
		const used = (<usize>op.mirrorCount) << 2;
		if (used + 4 > op.mirrorBytes) {
			const wanted = max<usize>(op.mirrorBytes * 2, 64);
			op.mirrors = enlarge(op.mirrors, op.mirrorBytes, wanted);
			op.mirrorBytes = wanted;
		}
		store<u32>(op.mirrors + used, <u32>changetype<usize>(device));
		op.mirrorCount++;
	}
}

// @ts-ignore: decorator
@inline
function mirrorOf(op: Operation, index: u32): Device {
	return changetype<Device>(<usize>load<u32>(op.mirrors + ((<usize>index) << 2)));
}

/** An operation that ends, or that the trace forgets: whoever waited for its end waits no longer. */
function abandon(op: Operation): void {
	closeWindow(op);
	dropRest(op);
	letGo(op);
	settleFreed(canReuseFrames());
}

/** Everything up to and with range-start. */
export function begin(op: Operation): void {
	const site = op.kind;
	countAll(siteCounter(site, SiteCounter.count));
	collect(op.mm, op.page, op.pages);
	rememberHits(op);
	rememberMirrors(op);
	for (let index: u32 = 0; index < hitCount; index++) {
		const hit = hitAt(index);
		for (let run: u32 = 0; run < hit.runs; run++) countPresent(hit.vm, runAt(hit.firstRun + run), site);
	}
	for (let strategy: u32 = 0; strategy < strategies; strategy++) {
		for (let step = program(strategy, op.kind); load<u8>(step) != 0; step += 2) {
			if (load<u8>(step) != StepCode.rangeStart || !hasNotifiers(op)) continue;
			count(strategy, Counter.notifier_rangeStart);
			for (let at: u32 = 0; at < op.mirrorCount; at++) mirrorStart(mirrorOf(op, at), strategy, op.page, op.pages);
			if ((load<u8>(step, 1) & StepParam.skipKvm) == 0) invalidateStart(op, strategy);
		}
	}
}

/** lock to unlock: the primary change, and what change_pte does under the lock. Of a commit that was cut behind its set-pte: the rest. */
export function commit(op: Operation): void {
	if (op.cut) {
		finishCommit(op);
		return;
	}
	const extent = decide(op);
	if (extent == Extent.none) return;
	runCommit(op, extent, beginCommit(op, extent), Part.first | Part.rest);
}

/** lock to set-pte. The new page does not go before the rest of the steps has been told of it. */
export function cutCommit(op: Operation): void {
	if (op.cut) return;
	op.cut = true;
	const extent = decide(op);
	op.rest = extent;
	if (extent == Extent.none) return;
	const kept = beginCommit(op, extent);
	op.restFrame = newFrame;
	op.restWritable = newWritable;
	op.restKept = kept;
	if (newFrame != NO_FRAME) hold(newFrame);
	runCommit(op, extent, kept, Part.first);
}

function finishCommit(op: Operation): void {
	if (op.rest != Extent.none) {
		newMapping(op.restFrame, op.restWritable);
		runCommit(op, op.rest, op.restKept, Part.rest);
	}
	dropRest(op);
}

function dropRest(op: Operation): void {
	if (op.cut && op.rest != Extent.none && op.restFrame != NO_FRAME) release(op.restFrame);
	op.cut = false;
	op.rest = Extent.none;
}

/** What the operation notes under the lock. Returns what `protect` does. */
function beginCommit(op: Operation, extent: Extent): u32 {
	holdOld(op, extent);
	op.wasReadOnly = (pteOf(op.mm, op.page) & Bit.writable) == 0;
	return protect(op, extent);
}

/** The steps of a commit up to its set-pte, or those behind it. The flush and the change of the PTE, which are those of all strategies, are of the first. */
function runCommit(op: Operation, extent: Extent, kept: u32, parts: u32): void {
	const isFirst = (parts & Part.first) != 0;
	// change_pte speaks of one page, however long the bracket is (1.8).
	collect(op.mm, op.page, newFrame == NO_FRAME ? op.pages : 1);
	for (let strategy: u32 = 0; strategy < strategies; strategy++) {
		let unlocked = false;
		let part: u32 = Part.first;
		for (let step = program(strategy, op.kind); load<u8>(step) != 0; step += 2) {
			const code = load<u8>(step);
			if (code == StepCode.unlock) unlocked = true;
			if (code == StepCode.clearFlush && isFirst && extent != Extent.appeared) count(strategy, Counter.flush_primaryTlb);
			const runs = (parts & part) != 0;
			if (code == StepCode.setPte) part = Part.rest;
			if (!runs) continue;
			if (code == StepCode.notifySecondaryTlb && extent != Extent.appeared) tellDeviceTlbs(op.mm, strategy, op.page, op.pages);
			if (extent != Extent.all) continue;
			if (code == StepCode.changePte) changePteStep(op, strategy, load<u8>(step, 1), newWritable && ((kept >> strategy) & 1) == 0);
			else if (code == StepCode.bumpSeq) bumpSeq(op, strategy);
			else if (code == StepCode.invalidateMissing && !unlocked) invalidateMissing(op, strategy);
			// Before the unlock it is invalidate_page (1.0).
			else if (code == StepCode.invalidateRange && !unlocked) invalidateRange(op, strategy);
			else if (code == StepCode.setPte && newFrame != NO_FRAME && newWritable && ((kept >> strategy) & 1) == 0) checkVisible(strategy);
		}
	}
	if (isFirst && ((flushing >> op.kind) & 1) != 0 && extent != Extent.appeared) flushThreads(op.mm, op.page, op.pages);
	if (isFirst && ((setting >> op.kind) & 1) != 0 && extent != Extent.restored) apply(op);
	if (op.kind == Kind.mremap) collect(op.mm, op.page, op.pages);
	compareCollected();
	if (op.kind == Kind.fork) comparePages(mmOf(op.child), op.page, op.pages);
	settleFreed(canReuseFrames());
}

/**
 * Where a notifier lacks change_pte, set-pte-write-protected keeps the new PTE read-only until that one is told, unless a write fault may reuse the
 * page meanwhile. Returns the strategies in which change_pte is given the read-only one.
 */
function protect(op: Operation, extent: Extent): u32 {
	op.refused = extent == Extent.restored;
	if (op.refused) countAll(Counter.ksmRefused);
	else if (op.isOpen) noteOpen(op);
	const kept: u32 = extent == Extent.all && newFrame != NO_FRAME && op.mm.notifiers > 0 ? having(keeping, op) : 0;
	op.protects = kept & ~having(reusing, op);
	op.makesWritable = newWritable ? kept : 0;
	op.changed = extent == Extent.all;
	return kept;
}

function invalidateMissing(op: Operation, strategy: u32): void {
	if (op.mm.notifiers == 0) return;
	count(strategy, Counter.notifier_invalidateMissing);
	tellMissing(op.mm, strategy, op.page, op.pages);
}

/** flush_tlb_page once more, after the PTE was made writable (10.1). */
function makeWritable(op: Operation, strategy: u32): void {
	if (((op.makesWritable >> strategy) & 1) != 0 && (pteOf(op.mm, op.page) & Bit.writable) != 0) count(strategy, Counter.flush_primaryTlb);
}

/** The old page is not freed before the end. In an operation of one piece nobody could tell. */
function holdOld(op: Operation, extent: Extent): void {
	const old = op.isOpen && extent != Extent.restored ? oldPage(op) : NO_FRAME;
	if (old != NO_FRAME) hold(old);
	letGo(op);
	op.old = old + 1;
	op.committed = true;
}

function letGo(op: Operation): void {
	if (op.old != 0) release(op.old - 1);
	op.old = 0;
	op.committed = false;
}

/** range-end and what follows it. */
export function end(op: Operation): void {
	if (op.cut) finishCommit(op);
	for (let strategy: u32 = 0; strategy < strategies; strategy++) {
		let unlocked = false;
		for (let step = program(strategy, op.kind); load<u8>(step) != 0; step += 2) {
			const code = load<u8>(step);
			if (code == StepCode.unlock) unlocked = true;
			else if (code == StepCode.rangeEnd && hasNotifiers(op)) {
				count(strategy, Counter.notifier_rangeEnd);
				for (let at: u32 = 0; at < op.mirrorCount; at++) mirrorEnd(mirrorOf(op, at), strategy);
				// To 6.5 the end tells the device TLBs, unless they were told under the lock (_only_end); later nobody else would have been told either.
				if (((having(telling, op) >> strategy) & 1) == 0) tellDeviceTlbs(op.mm, strategy, op.page, op.pages);
				invalidateEnd(op, strategy);
			} else if (code == StepCode.invalidateRange && unlocked) {
				collect(op.mm, op.page, op.pages);
				invalidateRange(op, strategy);
			} else if (!op.committed || !op.changed) continue;
			else if (code == StepCode.invalidateMissing && unlocked) invalidateMissing(op, strategy);
			else if (code == StepCode.makeWritable) makeWritable(op, strategy);
		}
	}
	if (op.committed) finishSite(op);
	abandon(op);
	settleOperation(op.mm, op.page, op.pages);
}

/** The one callback that zaps, but counts nothing in progress and raises no sequence (2.1); counted as a start. */
function invalidateRange(op: Operation, strategy: u32): void {
	if (!hasNotifiers(op)) return;
	count(strategy, Counter.notifier_rangeStart);
	tellMissing(op.mm, strategy, op.page, op.pages);
	for (let index: u32 = 0; index < hitCount; index++) {
		countLock(strategy, op.kind);
		zapHit(op, strategy, hitAt(index));
	}
}

/** The notifier core is entered only for an mm that has a notifier (kernel.md 7). */
// @ts-ignore: decorator
@inline
function hasNotifiers(op: Operation): bool {
	return exists(op.mm.firstVm) || op.mm.notifiers > 0;
}

/** The end of the KVM brackets that the operation has begun (kvm_mmu_invalidate_end). */
function invalidateEnd(op: Operation, strategy: u32): void {
	for (let times = load<u32>(brackets(op, strategy)); times > 0; times--) {
		for (let index: u32 = 0; index < op.hitCount; index++) {
			countLock(strategy, op.kind);
			const state = vmState(hitOf(op, index), strategy);
			state.seq++;
			noteRaised(op, hitOf(op, index), strategy);
			state.inProgress--;
		}
	}
}

// @ts-ignore: decorator
@inline
export function countLock(strategy: u32, site: u32): void {
	count(strategy, Counter.mmuLockWrite);
	count(strategy, siteCounter(site, SiteCounter.mmuLockWrite));
}

/** kvm_mmu_notifier_invalidate_range_start: no memslot hit, no lock, no count, no sequence (3.1, 3.2). */
function invalidateStart(op: Operation, strategy: u32): void {
	const times = brackets(op, strategy);
	store<u32>(times, load<u32>(times) + 1);
	for (let index: u32 = 0; index < hitCount; index++) {
		const hit = hitAt(index);
		countLock(strategy, op.kind);
		invalidateBegin(hit.vm, strategy, op.page, op.page + op.pages);
		zapHit(op, strategy, hit);
	}
}

/** Zap what a VM has of the operation's range, and flush if there was anything. */
function zapHit(op: Operation, strategy: u32, hit: Hit): void {
	const cause = causeOfKind(op.kind);
	let zapped: u64 = 0;
	for (let index: u32 = 0; index < hit.runs; index++) {
		const run = runAt(hit.firstRun + index);
		const some = zapRun(hit.vm, run, strategy, cause, op.kind);
		zapped += some;
		if (some != 0 && rangedFlush) dropFromVcpus(hit.vm, strategy, run.addressSpace, reachStart, reachEnd);
	}
	if (zapped != 0) flushGuestRange(hit.vm, strategy, op.kind);
}

/** kvm_mmu_invalidate_begin. */
function invalidateBegin(vm: Vm, strategy: u32, start: u64, end: u64): void {
	const state = vmState(vm, strategy);
	state.inProgress++;
	if (state.inProgress == 1) {
		state.hullStart = start;
		state.hullEnd = end;
	} else {
		state.hullStart = min<u64>(state.hullStart, start);
		state.hullEnd = max<u64>(state.hullEnd, end);
	}
}

/** As the cause of a vmexit, what an operation's zap is. */
function causeOfKind(kind: u32): u32 {
	if (kind == Kind.cow || kind == Kind.unshare || kind == Kind.hugeCow) return Cause.cow;
	if (kind == Kind.thpSplit) return Cause.hugeSplit;
	return kind == Kind.ksmWriteProtect || kind == Kind.ksmReplace ? Cause.ksm : Cause.notifier;
}

/** kvm_flush_remote_tlbs (3.8): the whole VM. */
export function flushGuest(vm: Vm, strategy: u32, site: u32): void {
	count(strategy, Counter.flush_guestTlb);
	count(strategy, siteCounter(site, SiteCounter.flushes));
	flushVcpus(vm, strategy);
}

/** The same for a range: where the host flushes by range, what it is for has been dropped already. */
function flushGuestRange(vm: Vm, strategy: u32, site: u32): void {
	if (!rangedFlush) flushGuest(vm, strategy, site);
	else {
		count(strategy, Counter.flush_guestTlb);
		count(strategy, siteCounter(site, SiteCounter.flushes));
	}
}

/** The same, but each vCPU does it at its next exit: until then its TLB holds what the SPTEs no longer do. */
function requestFlush(vm: Vm, strategy: u32, site: u32): void {
	count(strategy, Counter.flush_guestTlb);
	count(strategy, siteCounter(site, SiteCounter.flushes));
	suspectOne(strategy);
	for (let vcpu = vm.firstVcpu; exists(vcpu); vcpu = vcpu.nextOfVm) vcpuState(vcpu, strategy).flushRequested = true;
}

export function flushVcpus(vm: Vm, strategy: u32): void {
	for (let vcpu = vm.firstVcpu; exists(vcpu); vcpu = vcpu.nextOfVm) emptyTlb(vcpu, strategy);
}

/** A vCPU loses all that it holds of its VM. */
export function emptyTlb(vcpu: Vcpu, strategy: u32): void {
	countBy(strategy, Counter.tlb_flushed, flush(tlbOf(vcpu, strategy)));
}

/** A flush of gfns [gfn, end). vCPUs' accesses are those of address space 0, and so is what they hold. */
export function dropFromVcpus(vm: Vm, strategy: u32, addressSpace: u32, gfn: u64, end: u64): void {
	if (addressSpace != 0) return;
	for (let vcpu = vm.firstVcpu; exists(vcpu); vcpu = vcpu.nextOfVm) {
		const tlb = tlbOf(vcpu, strategy);
		countBy(strategy, Counter.tlb_flushed, flushRange(tlb, gfn, end));
		if (tlb.psc != 0) forget(tlb.psc, gfn, end);
	}
}

/** The sequence of a VM is raised; for the fault that makes the copy nothing has changed (10.2). */
function noteRaised(op: Operation, vm: Vm, strategy: u32): void {
	const own = op.own;
	if (!exists(own) || own.vm != vm || own.flights != op.ownFlight || ((ownCowAware >> strategy) & 1) == 0) return;
	vcpuState(own, strategy).snapshot++;
}

function bumpSeq(op: Operation, strategy: u32): void {
	for (let index: u32 = 0; index < hitCount; index++) {
		vmState(hitAt(index).vm, strategy).seq++;
		noteRaised(op, hitAt(index).vm, strategy);
	}
}

/** kvm_mmu_notifier_change_pte and kvm_set_spte_gfn: what each strategy makes of them (3.4, 10.4). */
function changePteStep(op: Operation, strategy: u32, param: u32, writable: bool): void {
	if ((param & StepParam.unlessReplaceFollows) != 0 && (op.flags & OpFlag.kpageGiven) != 0 && op.kind == Kind.ksmWriteProtect) return;
	if (newFrame == NO_FRAME || !hasNotifiers(op)) return;
	count(strategy, Counter.notifier_changePte);
	for (let index: u32 = 0; index < hitCount; index++) {
		const hit = hitAt(index);
		countLock(strategy, op.kind);
		let found = false;
		for (let at: u32 = 0; at < hit.runs; at++) {
			const run = runAt(hit.firstRun + at);
			if (!changeSpte(op, strategy, param, writable, hit.vm, run.addressSpace, run.gfn)) continue;
			found = true;
			if (rangedFlush && (param & StepParam.deferFlush) == 0)
				dropFromVcpus(hit.vm, strategy, run.addressSpace, run.gfn, run.gfn + run.pages);
		}
		if (!found) continue;
		if ((param & StepParam.deferFlush) == 0) flushGuestRange(hit.vm, strategy, op.kind);
		else requestFlush(hit.vm, strategy, op.kind);
	}
}

/** One gfn: true if there was an SPTE. */
function changeSpte(op: Operation, strategy: u32, param: u32, writable: bool, vm: Vm, addressSpace: u32, gfn: u64): bool {
	const root = rootOf(vm, addressSpace);
	const at = makeRecord(root, gfn) + ((<usize>strategy) << 2);
	// One page of a huge leaf cannot be expressed: level != 4K is skipped (3.4).
	if (isHugeLeaf(leafOf(root, gfn), strategy)) return false;
	const maps = (param & StepParam.mapWritable) != 0;
	// A new entry is writable only where KVM need not notice the store (10.4).
	const right: u32 = writable && !isReadOnly(vm, addressSpace, gfn) && !logsDirty(vm, addressSpace, gfn) ? Bit.writable : 0;
	const fresh = makeSpte((newFrame << FRAME_SHIFT) | right, true);
	const before = load<u32>(at);
	if ((before & Bit.present) != 0) {
		count(strategy, Counter.notifier_changePteEffective);
		// Whether the PTE itself was read-only is the trace's business.
		if (op.wasReadOnly && (before & Bit.writable) != 0 && before >> FRAME_SHIFT != newFrame) violateSpte(strategy, Rule.I_8, vm, gfn);
		if (writable && !maps) {
			zap(at, strategy, causeOfKind(op.kind), op.kind);
			noteZap(root, leafOf(root, gfn), gfn, strategy);
			if (logging) logZap(root, gfn, strategy, at);
		} else {
			// Cleared first, in both MMUs: its page hears of A and D, and no present leaf gets another page (I-7). A read-only new PTE leaves D as it was.
			handOver(strategy, before);
			store<u32>(at, fresh | (before & (writable ? <u32>SpteBit.established : SpteBit.established | SpteBit.dirty)));
			count(strategy, Counter.spteChanged);
			count(strategy, siteCounter(op.kind, SiteCounter.spteRebuilt));
		}
		return true;
	}
	if ((param & StepParam.establish) == 0) return false;
	let refused: i32 = 0;
	if ((param & StepParam.ownBracket) != 0 && vmState(vm, strategy).inProgress != 1) refused = Counter.establish_refusedOverlap;
	else if (writable && !maps) refused = Counter.establish_refusedWritable;
	// The legacy MMU comes from the gfn's rmap, which knows no absent entry to make.
	else if (legacyMmu || !hasLeafTable(leafOf(root, gfn), strategy)) refused = Counter.establish_refusedNoTable;
	if (refused != 0) {
		count(strategy, Counter.notifier_changePteFailed);
		count(strategy, refused);
		return false;
	}
	const state = vmState(vm, strategy);
	if (state.inProgress > ownBrackets(op, strategy, vm) && op.page >= state.hullStart && op.page < state.hullEnd)
		violateSpte(strategy, Rule.I_6, vm, gfn);
	store<u32>(at, fresh | SpteBit.established);
	count(strategy, Counter.notifier_changePteEstablished);
	count(strategy, Counter.spteInstalled);
	count(strategy, siteCounter(op.kind, SiteCounter.spteRebuilt));
	return false;
}

/** How many brackets of the operation are in progress in a VM. */
function ownBrackets(op: Operation, strategy: u32, vm: Vm): u32 {
	for (let index: u32 = 0; index < op.hitCount; index++) if (hitOf(op, index) == vm) return load<u32>(brackets(op, strategy));
	return 0;
}

/** The new PTE is about to be visible and writable: no SPTE may lead to the old page any more (I-10). */
function checkVisible(strategy: u32): void {
	for (let index: u32 = 0; index < hitCount; index++) {
		const hit = hitAt(index);
		for (let at: u32 = 0; at < hit.runs; at++) {
			const run = runAt(hit.firstRun + at);
			const record = findRecord(rootOf(hit.vm, run.addressSpace), run.gfn);
			if (record == 0) continue;
			const spte = load<u32>(record + ((<usize>strategy) << 2));
			if ((spte & Bit.present) != 0 && spte >> FRAME_SHIFT != newFrame) violateSpte(strategy, Rule.I_10, hit.vm, run.gfn);
		}
	}
}
