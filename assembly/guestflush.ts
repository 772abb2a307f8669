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

/** One kvm_flush_remote_tlbs. `dropped`: entries that it takes from vCPUs' TLBs; without any it has no effect. */
function countFlush(strategy: u32, site: u32, dropped: u64): void {
	count(strategy, Counter.flush_guestTlb);
	if (site != NO_SITE) count(strategy, siteCounter(site, SiteCounter.flushes));
	if (dropped == 0) return;
	count(strategy, Counter.flush_guestTlbEffective);
	if (site != NO_SITE) count(strategy, siteCounter(site, SiteCounter.flushesEffective));
}

/** The whole VM. */
export function flushGuest(vm: Vm, strategy: u32, site: u32): void {
	countFlush(strategy, site, flushVcpus(vm, strategy));
}

/** The same for a range: where the host flushes by range, what it is for has been dropped already, so many entries. */
export function flushGuestRange(vm: Vm, strategy: u32, site: u32, dropped: u64): void {
	countFlush(strategy, site, rangedFlush ? dropped : flushVcpus(vm, strategy));
}

/** The same, but each vCPU does it at its next exit: until then its TLB holds what the SPTEs no longer do. */
export function requestFlush(vm: Vm, strategy: u32, site: u32): void {
	suspectOne(strategy);
	let held: u64 = 0;
	for (let vcpu = vm.firstVcpu; exists(vcpu); vcpu = vcpu.nextOfVm) {
		vcpuState(vcpu, strategy).flushRequested = true;
		held += tlbOf(vcpu, strategy).live;
	}
	countFlush(strategy, site, held);
}

/** How many entries there were. */
export function flushVcpus(vm: Vm, strategy: u32): u64 {
	let dropped: u64 = 0;
	for (let vcpu = vm.firstVcpu; exists(vcpu); vcpu = vcpu.nextOfVm) dropped += emptyTlb(vcpu, strategy);
	return dropped;
}

/** A vCPU loses all that it holds of its VM: so many entries. */
export function emptyTlb(vcpu: Vcpu, strategy: u32): u64 {
	const dropped: u64 = flush(tlbOf(vcpu, strategy));
	countBy(strategy, Counter.tlb_flushed, dropped);
	return dropped;
}

/** A flush of gfns [gfn, end): how many entries went. vCPUs' accesses are those of address space 0, and so is what they hold. */
export function dropFromVcpus(vm: Vm, strategy: u32, addressSpace: u32, gfn: u64, end: u64): u64 {
	if (addressSpace != 0) return 0;
	let dropped: u64 = 0;
	for (let vcpu = vm.firstVcpu; exists(vcpu); vcpu = vcpu.nextOfVm) {
		const tlb = tlbOf(vcpu, strategy);
		dropped += flushRange(tlb, gfn, end);
		if (tlb.psc != 0) forget(tlb.psc, gfn, end);
	}
	countBy(strategy, Counter.tlb_flushed, dropped);
	return dropped;
}
