// Accesses by a guest that leave the TLB: the EPT-violation cycle with its sequence and retry rule (kernel.md 3.3, 3.6; model.md section 3).
// The host's side of a fault happens once, in `primaryEffect` and its like; KVM's side once for each strategy.
import { count, countAll, siteCounter } from "./counters";
import { breakOrReuse } from "./cow";
import { faultIn } from "./entries";
import { beginAttempt, countExitAt, countRefault, countRetry } from "./exits";
import { fixFast } from "./fast";
import { Access, Cause, Counter, SiteCounter } from "./generated/constants";
import { emptyTlb } from "./guestflush";
import { setLeaf } from "./huge";
import { legacyMmu } from "./kvmhost";
import { Bit, NO_PAGE, PteEntry } from "./layout";
import { logExit, logging } from "./log";
import { suspect } from "./oracle";
import { makeRecord } from "./pagetable";
import { prefetch } from "./prefetch";
import { entryOf, presentAfterFault, pteOf, writingAllowed } from "./primary";
import { ownCowAware } from "./programs";
import { hvaOf, isReadOnly } from "./slots";
import { absent, causeOf, isUsable, permits, siteOf } from "./spte";
import { translate } from "./walk";
import { openWindows } from "./windows";
import { allStrategies, exists, firstVcpu, Mm, Vcpu, Vm, vcpuState, vmState } from "./world";

/** Accesses left pending under all strategies: most brackets end without any. */
let pendingAccesses: u32 = 0;
/** How often an access was left pending or waiting, or resolved. */
export let pendingChanges: u64 = 0;
/** vCPUs that wait for a migration. */
let waitingAccesses: u32 = 0;

export function resetFaults(): void {
	pendingAccesses = 0;
	waitingAccesses = 0;
}

/** Accesses that write, as bits. */
// @ts-ignore: decorator
@inline
export const WRITES: u32 = (1 << Access.guestWrite) | (1 << Access.hostWrite) | (1 << Access.deviceWrite);

// @ts-ignore: decorator
@inline
export function isWrite(access: u32): bool {
	return ((WRITES >> access) & 1) != 0;
}

/** Offset of an access among the counters of a cause: read, write, fetch. */
// @ts-ignore: decorator
@inline
function accessOffset(access: u32): i32 {
	return access == Access.guestWrite ? 1 : access == Access.guestFetch ? 2 : 0;
}

/**
 * Count one kvm_page_fault and say why it happened: by the SPTE of address space 0, since kvm_page_fault does not tell the address space. A fault
 * taken in SMM on a page that is mapped in address space 0 is `other`. `spte`: of the address space that faulted; `spte0`: of address space 0.
 */
export function countExit(vcpu: Vcpu, strategy: u32, spte: u32, spte0: u32, gfn: u64, access: u32): void {
	const state = vcpuState(vcpu, strategy);
	if (state.flushRequested) emptyTlb(vcpu, strategy);
	state.flushRequested = false;
	beginAttempt(state, gfn);
	const write = isWrite(access);
	const present0 = (spte0 & Bit.present) != 0;
	let cause: u32 = Cause.other;
	if (!present0) cause = causeOf(spte0);
	else if (!isUsable(spte0)) cause = Cause.accessTrack;
	else if (write && (spte0 & Bit.writable) == 0) cause = Cause.readOnlySpte;
	count(strategy, Counter.vmexits);
	count(strategy, write ? Counter.vmexitsWrite : Counter.vmexitsRead);
	count(strategy, isUsable(spte) ? Counter.vmexitsProtection : Counter.vmexitsNotPresent);
	count(strategy, Counter.vmexitsByCause_firstTouch_read + 3 * <i32>cause + accessOffset(access));
	if (!present0 && siteOf(spte0) != 0) count(strategy, siteCounter(siteOf(spte0) - 1, SiteCounter.exitsCaused));
	countExitAt(vcpu.vm.id, strategy, gfn);
	if (!present0) countRefault(vcpu.vm.root0, gfn, strategy);
	if (logging) logExit(vcpu, strategy, gfn, present0 ? 0 : spte0, 3 * cause + accessOffset(access));
}

/** A page of the range in progress: the part of mmu_invalidate_retry_hva that a bracket decides. */
// @ts-ignore: decorator
@inline
function inHull(vm: Vm, strategy: u32, page: u64): bool {
	const state = vmState(vm, strategy);
	return state.inProgress > 0 && page >= state.hullStart && page < state.hullEnd;
}

/** Whether and why a fault is stale (mmu_invalidate_retry_hva): a retry cause, or firstTouch, which is none. */
export function staleBecause(vm: Vm, strategy: u32, page: u64, snapshot: u32, ownCow: bool): u32 {
	if (inHull(vm, strategy, page)) return Cause.retryInProgress;
	if (vmState(vm, strategy).seq == snapshot) return Cause.firstTouch;
	return ownCow ? Cause.retryAfterCow : Cause.retryOther;
}

/** `at`: the SPTE of address space 0, off which the class of the fault that follows is read (see countExit). */
export function retried(vcpu: Vcpu, strategy: u32, at: usize, gfn: u64, cause: u32): void {
	count(strategy, Counter.vmexitsRetried);
	if ((load<u32>(at) & Bit.present) == 0) store<u32>(at, absent(cause, 0));
	const state = vcpuState(vcpu, strategy);
	countRetry(state, strategy);
	if (cause == Cause.retryInProgress) {
		if (state.loop != gfn) count(strategy, Counter.inProgressLoops);
		state.loop = gfn;
	} else state.loop = NO_PAGE;
}

/** Step 7 of the cycle: the SPTE gets the PTE's page, writable if the PTE is, at the host's mapping level. */
export function install(vcpu: Vcpu, strategy: u32, addressSpace: u32, record: usize, gfn: u64, page: u64, pte: u32): void {
	count(strategy, Counter.vmexitsFixed);
	vcpuState(vcpu, strategy).loop = NO_PAGE;
	// What is kept write-protected for a notifier is read-only to KVM too (litmus c).
	const rights: u32 = keptReadOnly(vcpu.vm.mm, strategy, page) ? ~(<u32>Bit.writable) : 0xffff_ffff;
	const isWhole = setLeaf(vcpu, strategy, addressSpace, record, gfn, page, pte & rights);
	if (!isWhole) prefetch(vcpu.vm, strategy, addressSpace, record, gfn);
}

// @ts-ignore: decorator
@inline
export function keptReadOnly(mm: Mm, strategy: u32, page: u64): bool {
	return ((openWindows(mm, page) >> strategy) & 1) != 0;
}

/** Step 7 is under mmu_lock: the TDP MMU takes it for reading, the legacy MMU for writing, and then finds out whether the fault is stale. */
// @ts-ignore: decorator
@inline
export function lockForFault(strategy: u32): void {
	if (legacyMmu) count(strategy, Counter.mmuLockWrite);
}

/** What an access did to the primary page table. */
export const enum Effect {
	none = 0,
	copied = 1,
	/** The VMA forbids the write. */
	forbidden = 2,
}

/** Populate, reuse or copy: it depends on the causes alone, so that all strategies reach the same primary state. */
export function primaryEffect(mm: Mm, page: u64, write: bool, hint: u32): Effect {
	let pte = pteOf(mm, page);
	if ((pte & Bit.present) == 0) pte = presentAfterFault(mm, page, write);
	if (pte == 0 || !write || (pte & Bit.writable) != 0) return Effect.none;
	if (!writingAllowed(mm, page)) return Effect.forbidden;
	return breakOrReuse(mm, page, hint) ? Effect.copied : Effect.none;
}

/**
 * An access of a complete log, under the strategies of `mask`: it repeats until it goes through, or is left pending while somebody's bracket
 * is in progress. Under the others it hit the TLB, and then the host's side of it has nothing to do.
 */
export function guestAccess(vcpu: Vcpu, gfn: u64, access: u32, hint: u32, mask: u32): void {
	const vm = vcpu.vm;
	const write = isWrite(access);
	for (let rest = vcpu.pending & mask; rest != 0; rest &= rest - 1) resolvePending(vcpu, ctz(rest));
	const page = hvaOf(vm, 0, gfn);
	if (page == NO_PAGE) {
		countAll(write ? Counter.mmio_write : Counter.mmio_read);
		return;
	}
	if (vcpu.isWaiting && vcpu.waitingFor == gfn) {
		// The vCPU has gone on, so the migration is over.
		if (isMigrating(vm, gfn)) faultIn(vm.mm, page, false);
		goOn(vcpu);
	}
	const record = makeRecord(vm.root0, gfn);
	let missed: u32 = 0;
	for (let rest = mask; rest != 0; rest &= rest - 1) {
		const strategy = ctz(rest);
		if (translate(vcpu, strategy, record, gfn, write)) continue;
		const spte = load<u32>(record + ((<usize>strategy) << 2));
		countExit(vcpu, strategy, spte, spte, gfn, access);
		if (fixFast(vcpu, strategy, 0, record, gfn, write) && translate(vcpu, strategy, record, gfn, write)) continue;
		missed |= 1 << strategy;
		vcpuState(vcpu, strategy).retrySnapshot = vmState(vm, strategy).seq;
	}
	// What a translation lets through that agrees with the PTE (oracle.ts) leaves the host nothing to do, and its table need not be looked at.
	if (missed == 0 && suspect != allStrategies) return;
	if (isMigrating(vm, gfn) && !(write && isReadOnly(vm, 0, gfn))) wait(vcpu, gfn, access, hint, missed);
	else complete(vcpu, gfn, page, access, hint, missed);
}

/** Whether the page behind a gfn is on its way elsewhere: gup waits (migration_entry_wait, 1.11). */
function isMigrating(vm: Vm, gfn: u64): bool {
	const page = hvaOf(vm, 0, gfn);
	return page != NO_PAGE && entryOf(vm.mm, page) == PteEntry.migration;
}

function wait(vcpu: Vcpu, gfn: u64, access: u32, hint: u32, missed: u32): void {
	if (!vcpu.isWaiting) waitingAccesses++;
	pendingChanges++;
	vcpu.isWaiting = true;
	vcpu.waitingFor = gfn;
	vcpu.waitingAccess = access;
	vcpu.waitingHint = hint;
	vcpu.waitingExits = missed;
	for (let rest = missed; rest != 0; rest &= rest - 1) {
		const state = vcpuState(vcpu, ctz(rest));
		state.waitSnapshot = state.retrySnapshot;
	}
}

/** What an access waited for is there. */
function goOn(vcpu: Vcpu): void {
	const gfn = vcpu.waitingFor;
	vcpu.isWaiting = false;
	waitingAccesses--;
	pendingChanges++;
	const page = hvaOf(vcpu.vm, 0, gfn);
	if (page == NO_PAGE) return;
	for (let rest = vcpu.waitingExits; rest != 0; rest &= rest - 1) {
		const state = vcpuState(vcpu, ctz(rest));
		state.retrySnapshot = state.waitSnapshot;
	}
	complete(vcpu, gfn, page, vcpu.waitingAccess, vcpu.waitingHint, vcpu.waitingExits);
}

/** Accesses that waited for a migration go on where it is over. */
export function releaseWaiting(): void {
	if (waitingAccesses == 0) return;
	for (let vcpu = firstVcpu; exists(vcpu); vcpu = vcpu.next) if (vcpu.isWaiting && !isMigrating(vcpu.vm, vcpu.waitingFor)) goOn(vcpu);
}

/** The host's side of an access, and KVM's under the strategies in which it has exited. */
function complete(vcpu: Vcpu, gfn: u64, page: u64, access: u32, hint: u32, missed: u32): void {
	const vm = vcpu.vm;
	const write = isWrite(access);
	const record = makeRecord(vm.root0, gfn);
	// A store to a read-only memslot reaches no host page: KVM emulates it.
	const effect = write && isReadOnly(vm, 0, gfn) ? Effect.forbidden : primaryEffect(vm.mm, page, write, hint);
	for (let rest = missed; rest != 0; rest &= rest - 1) {
		const strategy = ctz(rest);
		if (effect == Effect.forbidden) count(strategy, Counter.vmexitsEmulated);
		else repeat(vcpu, strategy, record, gfn, page, access, effect == Effect.copied);
	}
}

/** KVM's side of a fault, and the access again, until it goes through. */
function repeat(vcpu: Vcpu, strategy: u32, record: usize, gfn: u64, page: u64, access: u32, copied: bool): void {
	const vm = vcpu.vm;
	const at = record + ((<usize>strategy) << 2);
	let snapshot = vcpuState(vcpu, strategy).retrySnapshot;
	if (isWrite(access) && keptReadOnly(vm.mm, strategy, page)) {
		leavePending(vcpu, strategy, gfn, access, true);
		return;
	}
	// What has raised the sequence since is the fault's own doing.
	if (copied && ((ownCowAware >> strategy) & 1) != 0) snapshot = vmState(vm, strategy).seq;
	let ownCow = copied;
	for (;;) {
		lockForFault(strategy);
		const stale = staleBecause(vm, strategy, page, snapshot, ownCow);
		if (stale == Cause.firstTouch) installNow(vcpu, strategy, 0, record, gfn, page);
		else {
			retried(vcpu, strategy, at, gfn, stale);
			if (stale == Cause.retryInProgress) {
				leavePending(vcpu, strategy, gfn, access, false);
				return;
			}
		}
		if (translate(vcpu, strategy, record, gfn, isWrite(access)) || stale == Cause.firstTouch) return;
		ownCow = false;
		snapshot = vmState(vm, strategy).seq;
		countExit(vcpu, strategy, load<u32>(at), load<u32>(at), gfn, access);
		if (fixFast(vcpu, strategy, 0, record, gfn, isWrite(access)) && translate(vcpu, strategy, record, gfn, isWrite(access))) return;
	}
}

function installNow(vcpu: Vcpu, strategy: u32, addressSpace: u32, record: usize, gfn: u64, page: u64): void {
	const pte = pteOf(vcpu.vm.mm, page);
	if ((pte & Bit.present) != 0) install(vcpu, strategy, addressSpace, record, gfn, page, pte);
}

/** It exits again when the bracket ends, or at this vCPU's next record. `waits`: its fault goes on then, without a further exit. */
function leavePending(vcpu: Vcpu, strategy: u32, gfn: u64, access: u32, waits: bool): void {
	const state = vcpuState(vcpu, strategy);
	state.pendingGfn = gfn;
	state.pendingAccess = access;
	state.waits = waits;
	vcpu.pending |= 1 << strategy;
	pendingAccesses++;
	pendingChanges++;
}

/**
 * An access that was left pending exits again; its effect on the primary page table was taken at its record, so what is installed has the PTE's
 * rights as they are now. One try: whatever comes of it, the access is over.
 */
function resolvePending(vcpu: Vcpu, strategy: u32): void {
	const vm = vcpu.vm;
	const state = vcpuState(vcpu, strategy);
	const gfn = state.pendingGfn;
	const access = state.pendingAccess;
	vcpu.pending &= ~(1 << strategy);
	pendingAccesses--;
	pendingChanges++;
	const page = hvaOf(vm, 0, gfn);
	const record = makeRecord(vm.root0, gfn);
	const at = record + ((<usize>strategy) << 2);
	const found = page == NO_PAGE ? 0 : pteOf(vm.mm, page);
	const pte: u32 = (found & Bit.present) != 0 ? found : 0;
	if (state.waits) {
		// gup goes on; the exit was counted when it began.
		lockForFault(strategy);
		if ((pte & Bit.present) != 0 && inHull(vm, strategy, page)) retried(vcpu, strategy, at, gfn, Cause.retryInProgress);
		else if ((pte & Bit.writable) == 0 || keptReadOnly(vm.mm, strategy, page)) retried(vcpu, strategy, at, gfn, Cause.retryOther);
		else installNow(vcpu, strategy, 0, record, gfn, page);
		return;
	}
	if ((pte & Bit.present) == 0) return;
	const spte = load<u32>(at);
	if (permits(spte, isWrite(access))) return;
	countExit(vcpu, strategy, spte, spte, gfn, access);
	if (fixFast(vcpu, strategy, 0, record, gfn, isWrite(access))) return;
	lockForFault(strategy);
	if (inHull(vm, strategy, page)) retried(vcpu, strategy, at, gfn, Cause.retryInProgress);
	else installNow(vcpu, strategy, 0, record, gfn, page);
}

/** A bracket has ended: accesses that were stale because of it exit again. */
export function resolveAllPending(): void {
	if (pendingAccesses == 0) return;
	for (let vcpu = firstVcpu; exists(vcpu); vcpu = vcpu.next) {
		for (let rest = vcpu.pending; rest != 0; rest &= rest - 1) if (isResolvable(vcpu, ctz(rest))) resolvePending(vcpu, ctz(rest));
	}
}

/** What a pending access waited for is over. */
function isResolvable(vcpu: Vcpu, strategy: u32): bool {
	const page = hvaOf(vcpu.vm, 0, vcpuState(vcpu, strategy).pendingGfn);
	const waits = page != NO_PAGE && vcpuState(vcpu, strategy).waits && keptReadOnly(vcpu.vm.mm, strategy, page);
	const migrates = isMigrating(vcpu.vm, vcpuState(vcpu, strategy).pendingGfn);
	return page == NO_PAGE || !(inHull(vcpu.vm, strategy, page) || waits || migrates);
}

/** Whether `resolveAllPending` would do anything. */
export function hasResolvable(): bool {
	if (pendingAccesses == 0) return false;
	for (let vcpu = firstVcpu; exists(vcpu); vcpu = vcpu.next) {
		for (let rest = vcpu.pending; rest != 0; rest &= rest - 1) if (isResolvable(vcpu, ctz(rest))) return true;
	}
	return false;
}
