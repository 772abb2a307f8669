// Flushes of the vCPUs' TLBs (kernel.md 3.8): of a whole VM, of a range of gfns, or requested for later.
import { count, countBy, siteCounter } from "./counters";
import { Counter, SiteCounter } from "./generated/constants";
import { suspectOne } from "./oracle";
import { forget } from "./psc";
import { flush, flushRange, rangedFlush } from "./tlb";
import { exists, tlbOf, Vcpu, Vm, vcpuState } from "./world";

/** Of a flush that no call site made. */
// @ts-ignore: decorator
@inline
export const NO_SITE: u32 = 0xffff_ffff;

/** One kvm_flush_remote_tlbs. */
// @ts-ignore: decorator
@inline
export function countFlush(strategy: u32, site: u32): void {
	count(strategy, Counter.flush_guestTlb);
	if (site != NO_SITE) count(strategy, siteCounter(site, SiteCounter.flushes));
}

/** The whole VM. */
export function flushGuest(vm: Vm, strategy: u32, site: u32): void {
	countFlush(strategy, site);
	flushVcpus(vm, strategy);
}

/** The same for a range: where the host flushes by range, what it is for has been dropped already. */
export function flushGuestRange(vm: Vm, strategy: u32, site: u32): void {
	countFlush(strategy, site);
	if (!rangedFlush) flushVcpus(vm, strategy);
}

/** The same, but each vCPU does it at its next exit: until then its TLB holds what the SPTEs no longer do. */
export function requestFlush(vm: Vm, strategy: u32, site: u32): void {
	countFlush(strategy, site);
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
