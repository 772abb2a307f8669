// KVM's side of range-start, range-end and the callbacks that zap without them (kernel.md 1.0, 2.1, 3.1, 3.2).
import { count, siteCounter } from "./counters";
import { tellMissing } from "./devices";
import { Cause, Counter, Kind, SiteCounter } from "./generated/constants";
import { dropFromVcpus, flushGuestRange } from "./guestflush";
import { brackets, hitOf, Operation } from "./operation";
import { ownCowAware } from "./programs";
import { Hit, hitAt, hitCount, runAt } from "./slots";
import { reachEnd, reachStart, zapRun } from "./spte";
import { rangedFlush } from "./tlb";
import { exists, Vm, vcpuState, vmState } from "./world";

/** The one callback that zaps, but counts nothing in progress and raises no sequence (2.1); counted as a start. */
export function invalidateRange(op: Operation, strategy: u32): void {
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
export function hasNotifiers(op: Operation): bool {
	return exists(op.mm.firstVm) || op.mm.notifiers > 0;
}

/** The end of the KVM brackets that the operation has begun (kvm_mmu_invalidate_end). */
export function invalidateEnd(op: Operation, strategy: u32): void {
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
export function invalidateStart(op: Operation, strategy: u32): void {
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
	let dropped: u64 = 0;
	for (let index: u32 = 0; index < hit.runs; index++) {
		const run = runAt(hit.firstRun + index);
		const some = zapRun(hit.vm, run, strategy, cause, op.kind);
		zapped += some;
		if (some != 0 && rangedFlush) dropped += dropFromVcpus(hit.vm, strategy, run.addressSpace, reachStart, reachEnd);
	}
	if (zapped != 0) flushGuestRange(hit.vm, strategy, op.kind, dropped);
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
export function causeOfKind(kind: u32): u32 {
	if (kind == Kind.cow || kind == Kind.unshare || kind == Kind.hugeCow || kind == Kind.hugetlbCow) return Cause.cow;
	if (kind == Kind.thpSplit) return Cause.hugeSplit;
	return kind == Kind.ksmWriteProtect || kind == Kind.ksmReplace ? Cause.ksm : Cause.notifier;
}

/** The sequence of a VM is raised; for the fault that makes the copy nothing has changed (10.2). */
function noteRaised(op: Operation, vm: Vm, strategy: u32): void {
	const own = op.own;
	if (!exists(own) || own.vm != vm || own.flights != op.ownFlight || ((ownCowAware >> strategy) & 1) == 0) return;
	vcpuState(own, strategy).snapshot++;
}

export function bumpSeq(op: Operation, strategy: u32): void {
	for (let index: u32 = 0; index < hitCount; index++) {
		vmState(hitAt(index).vm, strategy).seq++;
		noteRaised(op, hitAt(index).vm, strategy);
	}
}
