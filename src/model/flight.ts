// Recorded faults of captures without an access log: an attempt of a vCPU from its kvm_page_fault to its SPTE change (kernel.md 3.6; model.md section 3).
import { type Access, FaultFlag, Hint } from "../trace/kinds.js";
import { breakOrReuse, isAlwaysCopied } from "./cow.js";
import { fixFast } from "./fast.js";
import { countExit, install, isOwnCowAware, isWrite, lockForFault, populateNone, staleBecause } from "./fault.js";
import { isSharedPage } from "./files.js";
import { populateHuge } from "./huge.js";
import type { Pte } from "./mm.js";
import { observe } from "./oracle.js";
import { permits, touch } from "./spte.js";
import type { Vm } from "./vm.js";
import { windowOpen } from "./windows.js";
import type { Flight, Vcpu, World } from "./world.js";

/** kvm_page_fault of a capture without an access log: one attempt begins. */
export function faultBegin(world: World, vcpu: Vcpu, as: number, gfn: number, access: Access, flags: number): void {
	const { vm } = vcpu;
	const page = vm.hva(as, gfn);
	const write = isWrite(access);
	vcpu.flight = null;
	if (page === undefined) {
		world.count(write ? "mmio.write" : "mmio.read");
		return;
	}
	const spte = vm.root(as).entry(gfn);
	if (!permits(world.host, spte, write)) {
		countExit(world, vcpu, as, gfn, access);
		if (!fixFast(world, vcpu, as, gfn, write)) vcpu.flight = { as, gfn, access, snapshot: vm.seq, ownCow: false, gup: null };
	}
	if (vcpu.flight === null && spte.frame !== null) {
		touch(world.host, spte, write);
		observe(world, vcpu, as, gfn, spte.frame, write);
	}
	if (write && vm.readOnly(as, gfn)) return;
	if ((flags & FaultFlag.huge) !== 0) populateHuge(world, vm.mm, page);
	else if (vm.mm.get(page) === undefined && vm.mm.entry(page)?.kind !== "migration")
		populateNone(world, vm.mm, page, write, (flags & FaultFlag.filled) !== 0);
	const pte = vm.mm.get(page);
	if (vcpu.flight !== null && pte !== undefined && (!write || pte.writable)) vcpu.flight.gup = { frame: pte.frame, writable: pte.writable };
}

/**
 * What a fault installs that nobody has told to retry: the page as it is mapped now, or what gup found at its begin if that is another by now, or had
 * the right to write that is gone. Under a safe strategy `seq` or a bracket tells it (litmus e and i).
 */
function resultOfGup(vm: Vm, page: number, { gup, ownCow }: Flight, now: Pte | undefined): Pick<Pte, "frame" | "writable"> | undefined {
	if (gup === null || ownCow || vm.mm.isHuge(page)) return now;
	return gup.frame !== now?.frame || (gup.writable && !now.writable) ? gup : now;
}

/** The end of the attempt: stale, or installed. Copies have their own records unless the capture has none (`derive`). */
export function faultEnd(world: World, vcpu: Vcpu, as: number, gfn: number, access: Access, flags: number): void {
	const derive = (flags & FaultFlag.deriveCopy) !== 0;
	const { flight, vm } = vcpu;
	vcpu.flight = null;
	const page = vm.hva(as, gfn);
	if (page === undefined) return;
	const write = isWrite(access);
	if (write && vm.readOnly(as, gfn)) {
		if (flight !== null) world.count("vmexitsEmulated");
		return;
	}
	if ((flags & FaultFlag.huge) !== 0) populateHuge(world, vm.mm, page);
	else if (vm.mm.get(page) === undefined) populateNone(world, vm.mm, page, write);
	const pte = vm.mm.get(page);
	const breaks = write && pte !== undefined && !pte.writable && (derive || !isAlwaysCopied(pte.frame) || isSharedPage(vm.mm, page, pte));
	const before = vm.seq;
	const copied = breaks && breakOrReuse(world, vm.mm, page, pte, derive ? Hint.derive : Hint.reuse);
	if (flight === null) return;
	if (copied && isOwnCowAware(world)) flight.snapshot += vm.seq - before;
	lockForFault(world);
	const late = (flags & FaultFlag.lateSnapshot) !== 0;
	const stale = staleBecause(vm, page, late ? vm.seq : flight.snapshot, flight.ownCow || copied);
	if (stale !== null) {
		world.retried(vcpu, gfn, stale);
		return;
	}
	const now = breaks || late ? vm.mm.get(page) : resultOfGup(vm, page, flight, vm.mm.get(page));
	if (now === undefined || (write && (!now.writable || windowOpen(world, vm.mm, page)))) {
		world.retried(vcpu, gfn, "retryOther");
		return;
	}
	const spte = vm.root(as).entry(gfn);
	if (spte.frame === now.frame && permits(world.host, spte, write)) {
		world.count("vmexitsSpurious");
		touch(world.host, spte, write);
		return;
	}
	install(world, vcpu, as, gfn, page, now);
	observe(world, vcpu, as, gfn, now.frame, write);
}
