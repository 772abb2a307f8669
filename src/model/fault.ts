// One access by a guest: translation, and where it fails the EPT-violation cycle (kernel.md 3.3, 3.6; model.md section 3).
import { Access, type VmexitCause } from "../trace/kinds.js";
import { breakOrReuse } from "./cow.js";
import { faultIn } from "./entries.js";
import { fixFast } from "./fast.js";
import { mapFilePage } from "./files.js";
import { setLeaf } from "./huge.js";
import { isHugetlbNone, isHugetlbPage, mapHugetlbPage } from "./hugetlb.js";
import { HUGE_PAGES, type Mm, type Pte } from "./mm.js";
import { prefetch } from "./prefetch.js";
import { isUsable, permits } from "./spte.js";
import type { RetryCause, Spte, Vm } from "./vm.js";
import { translate } from "./walk.js";
import { windowOpen } from "./windows.js";
import type { Vcpu, Waiting, World } from "./world.js";

export const isWrite = (access: Access): boolean =>
	access === Access.guestWrite || access === Access.hostWrite || access === Access.deviceWrite;

const accessName = (access: Access): "read" | "write" | "fetch" =>
	access === Access.guestWrite ? "write" : access === Access.guestFetch ? "fetch" : "read";

/**
 * Count one kvm_page_fault and say why it happened: by the SPTE of address space 0, since kvm_page_fault does not tell the address space. A fault
 * taken in SMM on a page that is mapped in address space 0 is `other`.
 */
export function countExit(world: World, vcpu: Vcpu, as: number, gfn: number, access: Access): void {
	const { vm } = vcpu;
	if (vcpu.flushRequested) world.emptyTlb(vcpu);
	vcpu.flushRequested = false;
	world.beginAttempt(vcpu, gfn);
	const spte = vm.root(0).entry(gfn);
	const cause = causeOf(world, spte, isWrite(access));
	world.count("vmexits");
	world.count(isWrite(access) ? "vmexitsWrite" : "vmexitsRead");
	world.count(isUsable(world.host, vm.root(as).entry(gfn)) ? "vmexitsProtection" : "vmexitsNotPresent");
	world.count(`vmexitsByCause.${cause}.${accessName(access)}`);
	if (spte.frame === null && spte.site !== null) world.countSite(spte.site, "exitsCaused");
	if (spte.frame === null && spte.zappedAt !== null) {
		world.countRefault(spte.zappedAt, spte.zappedNs);
		spte.zappedAt = null;
	}
	const range = `${vm.id}.${Math.floor(gfn / HUGE_PAGES)}`;
	world.exits.set(range, (world.exits.get(range) ?? 0) + 1);
}

function causeOf(world: World, spte: Spte, write: boolean): VmexitCause {
	if (spte.frame === null) return spte.absent;
	if (!isUsable(world.host, spte)) return "accessTrack";
	return write && !spte.writable ? "readOnlySpte" : "other";
}

/** A fault is not stale for its own copy (10.2). */
export const isOwnCowAware = (world: World): boolean =>
	world.options.strategy.operations.cow.some((step) => step.step === "alloc-copy" && step.retry === "unless-own");

/** Whether and why the fault is stale (mmu_invalidate_retry_hva). */
export function staleBecause(vm: Vm, page: number, snapshot: number, ownCow: boolean): RetryCause | null {
	if (vm.inHull(page)) return "retryInProgress";
	if (vm.seq === snapshot) return null;
	return ownCow ? "retryAfterCow" : "retryOther";
}

/** Step 7 of the cycle: the SPTE gets the PTE's page, writable if the PTE is, at the host's mapping level. */
export function install(world: World, vcpu: Vcpu, as: number, gfn: number, page: number, pte: Pick<Pte, "frame" | "writable">): void {
	world.count("vmexitsFixed");
	vcpu.loop = -1;
	// What is kept write-protected for a notifier is read-only to KVM too (litmus c).
	const isWhole = setLeaf(world, vcpu, as, gfn, page, windowOpen(world, vcpu.vm.mm, page) ? { ...pte, writable: false } : pte);
	if (!isWhole) prefetch(world, vcpu.vm, as, gfn);
}

/** Step 7 is under mmu_lock: the TDP MMU takes it for reading, the legacy MMU for writing, and then finds out whether the fault is stale. */
export function lockForFault(world: World): void {
	if (world.host.mmu === "legacy") world.lockForWrite(null);
}

/** A page of which there is nothing: a write gets a private page, a read the zero page; where a file is mapped: files.ts. */
export function populateFresh(world: World, mm: Mm, page: number, write: boolean): void {
	const vma = mm.vmas.at(page);
	if (vma !== undefined && isHugetlbNone(mm, page)) mapHugetlbPage(world, mm, vma, page, write);
	else if (vma !== undefined) mapFilePage(world, mm, vma, page, write);
	else if (write) mm.set(page, world.frames.allocate(), mm.writingAllowed(page));
	else mm.set(page, world.frames.zeroPage, false);
}

/** handle_mm_fault on a page that is not present: an entry resolves; else it is a first touch, or finds what the VMM had put there (1.10). */
export function populateNone(world: World, mm: Mm, page: number, write: boolean, filled = false): void {
	if (mm.entry(page) !== undefined) faultIn(world, mm, page, write);
	else populateFresh(world, mm, page, write || filled);
}

/**
 * What an access does to the primary page table: populate, reuse or copy. It depends on the causes alone, never on a strategy's SPTEs, so that all
 * strategies reach the same primary state. Says whether it copied; null where the VMA forbids the write.
 */
export function primaryEffect(world: World, mm: Mm, page: number, write: boolean, hint: number): boolean | null {
	const pte = mm.get(page) ?? presentAfterFault(world, mm, page, write);
	if (pte === undefined || !write || pte.writable) return false;
	if (!mm.writingAllowed(page)) return null;
	return breakOrReuse(world, mm, page, pte, hint);
}

/** The PTE after a fault on an entry, or of hugetlb; undefined where there was nothing: it is populated then, and no more is to be done. */
export function presentAfterFault(world: World, mm: Mm, page: number, write: boolean): Pte | undefined {
	const wasNone = mm.entry(page) === undefined;
	populateNone(world, mm, page, write);
	return wasNone && !isHugetlbPage(mm, page) ? undefined : mm.get(page);
}

/** Whether the page behind a gfn is on its way elsewhere: gup waits (migration_entry_wait, 1.11). */
export function isMigrating({ vm }: Vcpu, gfn: number): boolean {
	const page = vm.hva(0, gfn);
	return page !== undefined && vm.mm.entry(page)?.kind === "migration";
}

/** An access of a complete log: it repeats until it goes through, or is left pending while somebody's bracket is in progress. */
export function guestAccess(world: World, vcpu: Vcpu, as: number, gfn: number, access: Access, hint: number): void {
	const { vm } = vcpu;
	const page = vm.hva(as, gfn);
	if (page === undefined) {
		world.count(isWrite(access) ? "mmio.write" : "mmio.read");
		return;
	}
	if (vcpu.waiting?.gfn === gfn) {
		// The vCPU has gone on, so the migration is over.
		if (isMigrating(vcpu, gfn)) faultIn(world, vm.mm, page, false);
		goOn(world, vcpu);
	}
	let missed = !translate(world, vcpu, as, gfn, isWrite(access));
	const snapshot = vm.seq;
	if (missed) {
		countExit(world, vcpu, as, gfn, access);
		if (fixFast(world, vcpu, as, gfn, isWrite(access))) missed = !translate(world, vcpu, as, gfn, isWrite(access));
	}
	const waiting = { as, gfn, access, hint, missed, snapshot };
	if (isMigrating(vcpu, gfn) && !(isWrite(access) && vm.readOnly(as, gfn))) vcpu.waiting = waiting;
	else complete(world, vcpu, page, waiting);
}

/** What an access waited for is there. */
export function goOn(world: World, vcpu: Vcpu): void {
	const { waiting, vm } = vcpu;
	vcpu.waiting = null;
	const page = waiting === null ? undefined : vm.hva(waiting.as, waiting.gfn);
	if (waiting !== null && page !== undefined) complete(world, vcpu, page, waiting);
}

/** The host's side of an access, and KVM's where it has exited. */
function complete(world: World, vcpu: Vcpu, page: number, { as, gfn, access, hint, missed, snapshot }: Waiting): void {
	const { vm } = vcpu;
	// A store to a read-only memslot reaches no host page: KVM emulates it.
	const copied = isWrite(access) && vm.readOnly(as, gfn) ? null : primaryEffect(world, vm.mm, page, isWrite(access), hint);
	if (!missed) return;
	if (copied === null) world.count("vmexitsEmulated");
	else if (isWrite(access) && windowOpen(world, vm.mm, page)) vcpu.pending = { as, gfn, access, waits: true };
	else repeat(world, vcpu, as, gfn, page, access, snapshot, copied);
}

/** The access again, until it goes through. */
function repeat(world: World, vcpu: Vcpu, as: number, gfn: number, page: number, access: Access, first: number, copied: boolean): void {
	const { vm } = vcpu;
	// What has raised the sequence since is the fault's own doing.
	let snapshot = copied && isOwnCowAware(world) ? vm.seq : first;
	let ownCow = copied;
	for (;;) {
		lockForFault(world);
		const stale = staleBecause(vm, page, snapshot, ownCow);
		if (stale === null) installNow(world, vcpu, as, gfn, page);
		else {
			world.retried(vcpu, gfn, stale);
			if (stale === "retryInProgress") {
				vcpu.pending = { as, gfn, access, waits: false };
				return;
			}
		}
		if (translate(world, vcpu, as, gfn, isWrite(access)) || stale === null) return;
		ownCow = false;
		snapshot = vm.seq;
		countExit(world, vcpu, as, gfn, access);
		if (fixFast(world, vcpu, as, gfn, isWrite(access)) && translate(world, vcpu, as, gfn, isWrite(access))) return;
	}
}

function installNow(world: World, vcpu: Vcpu, as: number, gfn: number, page: number): void {
	const pte = vcpu.vm.mm.get(page);
	if (pte !== undefined) install(world, vcpu, as, gfn, page, pte);
}

/**
 * An access that was left pending exits again; its effect on the primary page table was taken at its record, so what is installed has the PTE's
 * rights as they are now. One try: whatever comes of it, the access is over.
 */
export function resolvePending(world: World, vcpu: Vcpu): void {
	const { pending, vm } = vcpu;
	vcpu.pending = null;
	if (pending === null) return;
	const { as, gfn, access, waits } = pending;
	const page = vm.hva(as, gfn);
	const pte = page === undefined ? undefined : vm.mm.get(page);
	if (waits) {
		// gup goes on; the exit was counted when it began.
		lockForFault(world);
		if (page !== undefined && pte !== undefined && vm.inHull(page)) world.retried(vcpu, gfn, "retryInProgress");
		else if (page === undefined || pte?.writable !== true || windowOpen(world, vm.mm, page)) world.retried(vcpu, gfn, "retryOther");
		else installNow(world, vcpu, as, gfn, page);
		return;
	}
	if (page === undefined || pte === undefined) return;
	const spte = vm.root(as).entry(gfn);
	if (permits(world.host, spte, isWrite(access))) return;
	countExit(world, vcpu, as, gfn, access);
	if (fixFast(world, vcpu, as, gfn, isWrite(access))) return;
	lockForFault(world);
	if (vm.inHull(page)) world.retried(vcpu, gfn, "retryInProgress");
	else installNow(world, vcpu, as, gfn, page);
}
