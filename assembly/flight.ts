// Recorded faults of captures without an access log: an attempt of a vCPU from its kvm_page_fault to its SPTE change (kernel.md 3.6; model.md section 3).
import { writeContent } from "./contents";
import { count, countAll } from "./counters";
import { breakOrReuse } from "./cow";
import { fixFast } from "./fast";
import { countExit, install, isWrite, keptReadOnly, lockForFault, retried, staleBecause } from "./fault";
import { isSharedPage } from "./files";
import { isAlwaysCopied } from "./frames";
import { Cause, Counter, FaultFlag, Hint } from "./generated/constants";
import { isHuge, populateHuge } from "./huge";
import { Bit, NO_PAGE, PteEntry, TARGET_MASK } from "./layout";
import { holdGup, observe, suspect, suspectOne } from "./oracle";
import { makeRecord } from "./pagetable";
import { entryOf, frameOf, populateNone, pteAllows, pteOf } from "./primary";
import { ownCowAware } from "./programs";
import { hvaOf, isReadOnly } from "./slots";
import { permits, touch } from "./spte";
import { rootOf, strategies, Vcpu, vcpuState, vmState } from "./world";

/** The oracle's part of an access that does not go through a TLB. */
function see(vcpu: Vcpu, strategy: u32, addressSpace: u32, gfn: u64, frame: u32, write: bool): void {
	if (((suspect >> strategy) & 1) != 0) observe(vcpu, strategy, addressSpace, gfn, frame, write);
	else if (write) writeContent(frame, strategy);
}

/** kvm_page_fault of a capture without an access log: one attempt begins. */
export function faultBegin(vcpu: Vcpu, addressSpace: u32, gfn: u64, access: u32, flags: u64): void {
	const vm = vcpu.vm;
	const write = isWrite(access);
	vcpu.flights++;
	for (let strategy: u32 = 0; strategy < strategies; strategy++) vcpuState(vcpu, strategy).inFlight = false;
	holdGup(vcpu, 0);
	const page = hvaOf(vm, addressSpace, gfn);
	if (page == NO_PAGE) {
		countAll(write ? Counter.mmio_write : Counter.mmio_read);
		return;
	}
	const record = makeRecord(rootOf(vm, addressSpace), gfn);
	const record0 = makeRecord(vm.root0, gfn);
	for (let strategy: u32 = 0; strategy < strategies; strategy++) {
		const at = record + ((<usize>strategy) << 2);
		const spte = load<u32>(at);
		let passes = permits(spte, write);
		if (!passes) {
			countExit(vcpu, strategy, spte, load<u32>(record0 + ((<usize>strategy) << 2)), gfn, access);
			passes = fixFast(vcpu, strategy, addressSpace, record, gfn, write);
		}
		if (passes) {
			store<u32>(at, touch(load<u32>(at), write));
			see(vcpu, strategy, addressSpace, gfn, frameOf(spte), write);
		} else {
			const state = vcpuState(vcpu, strategy);
			state.inFlight = true;
			state.ownCow = false;
			state.snapshot = vmState(vm, strategy).seq;
		}
	}
	if (write && isReadOnly(vm, addressSpace, gfn)) return;
	if ((flags & FaultFlag.huge) != 0) populateHuge(vm.mm, page);
	else if ((pteOf(vm.mm, page) & Bit.present) == 0 && entryOf(vm.mm, page) != PteEntry.migration)
		populateNone(vm.mm, page, write, (flags & FaultFlag.filled) != 0);
	const pte = pteOf(vm.mm, page);
	if (pteAllows(pte, write)) holdGup(vcpu, pte);
}

/** The fault in flight has made a copy itself. */
export function noteOwnCow(vcpu: Vcpu): void {
	for (let strategy: u32 = 0; strategy < strategies; strategy++) vcpuState(vcpu, strategy).ownCow = true;
}

/** The end of the attempt: stale, or installed. Copies have their own records unless the capture has none (`derive`). */
export function faultEnd(vcpu: Vcpu, addressSpace: u32, gfn: u64, access: u32, flags: u64): void {
	const vm = vcpu.vm;
	const mm = vm.mm;
	const write = isWrite(access);
	const derive = (flags & FaultFlag.deriveCopy) != 0;
	const page = hvaOf(vm, addressSpace, gfn);
	const emulated = write && isReadOnly(vm, addressSpace, gfn);
	let gup = (flags & FaultFlag.lateSnapshot) != 0 ? 0 : vcpu.gup;
	let copied = false;
	if (page != NO_PAGE && !emulated) {
		if ((flags & FaultFlag.huge) != 0) populateHuge(mm, page);
		else if ((pteOf(mm, page) & Bit.present) == 0) populateNone(mm, page, write, false);
		const pte = pteOf(mm, page);
		if (write && (pte & Bit.writable) == 0 && (derive || !isAlwaysCopied(frameOf(pte)) || isSharedPage(mm, page))) {
			for (let strategy: u32 = 0; strategy < strategies; strategy++) vcpuState(vcpu, strategy).retrySnapshot = vmState(vm, strategy).seq;
			copied = breakOrReuse(mm, page, derive ? Hint.derive : Hint.reuse);
			gup = 0;
		}
		if (isHuge(mm, page)) gup = 0;
	}
	for (let strategy: u32 = 0; strategy < strategies; strategy++) {
		const state = vcpuState(vcpu, strategy);
		const inFlight = state.inFlight;
		state.inFlight = false;
		if (!inFlight || page == NO_PAGE) continue;
		if (emulated) count(strategy, Counter.vmexitsEmulated);
		else {
			if (copied && ((ownCowAware >> strategy) & 1) != 0) state.snapshot += vmState(vm, strategy).seq - state.retrySnapshot;
			if ((flags & FaultFlag.lateSnapshot) != 0) state.snapshot = vmState(vm, strategy).seq;
			finishFault(vcpu, strategy, addressSpace, gfn, page, access, copied || state.ownCow, state.ownCow ? 0 : gup);
		}
	}
	holdGup(vcpu, 0);
}

/**
 * What a fault installs that nobody has told to retry: the page as it is mapped now, or what gup found at its begin if that is another by now, or had
 * the right to write that is gone. Under a safe strategy `seq` or a bracket tells it (litmus e and i).
 */
function resultOfGup(strategy: u32, gup: u32, now: u32): u32 {
	if (gup == 0 || (((gup ^ now) & TARGET_MASK) == 0 && (gup & ~now & Bit.writable) == 0)) return now;
	suspectOne(strategy);
	return gup;
}

function finishFault(vcpu: Vcpu, strategy: u32, addressSpace: u32, gfn: u64, page: u64, access: u32, ownCow: bool, gup: u32): void {
	const vm = vcpu.vm;
	const write = isWrite(access);
	const record = makeRecord(rootOf(vm, addressSpace), gfn);
	const at = record + ((<usize>strategy) << 2);
	let pte = pteOf(vm.mm, page);
	lockForFault(strategy);
	let stale = staleBecause(vm, strategy, page, vcpuState(vcpu, strategy).snapshot, ownCow);
	if (stale == Cause.firstTouch) {
		pte = resultOfGup(strategy, gup, pte);
		if (keptReadOnly(vm.mm, strategy, page)) pte &= ~(<u32>Bit.writable);
		const need: u32 = write ? Bit.present | Bit.writable : Bit.present;
		if ((pte & need) != need) stale = Cause.retryOther;
	}
	if (stale != Cause.firstTouch) {
		retried(vcpu, strategy, makeRecord(vm.root0, gfn) + ((<usize>strategy) << 2), gfn, stale);
		return;
	}
	const spte = load<u32>(at);
	// The frame is the PTE's and the rights suffice: another vCPU was first.
	if (permits(spte, write) && frameOf(spte) == frameOf(pte)) {
		count(strategy, Counter.vmexitsSpurious);
		store<u32>(at, touch(spte, write));
		return;
	}
	install(vcpu, strategy, addressSpace, record, gfn, page, pte);
	see(vcpu, strategy, addressSpace, gfn, frameOf(pte), write);
}
