// The records of the replay: what all strategies share (mms, VMs, host threads) and, behind each, what every strategy has of its own.
// Ids of a trace are 32-bit; tables lead from them to these records, which live until the next reset.
import { reserve } from "./heap";
import { NO_PAGE } from "./layout";
import { makeRoot, Root } from "./pagetable";
import { get, resetTable, set, TABLE_BYTES, Table } from "./table";
import { l1Bytes, makeTlb, TLB_BYTES, Tlb, tlbBytes } from "./tlb";
import { Vma } from "./vmas";

/** The primary MMU of one address space. */
@unmanaged
export class Mm {
	id: u32;
	ptes: Root;
	firstVm: Vm;
	lastVm: Vm;
	firstThread: HostThread;
	next: Mm;
	/** Devices with a notifier: each lacks change_pte. */
	notifiers: u32;
	/** VMAs that are not private anonymous memory, by page, and the one that the last look-up found (vmas.ts). */
	firstVma: Vma;
	foundVma: Vma;
}

/** KVM's side of one VM. Behind it a VmState for each strategy. */
@unmanaged
export class Vm {
	id: u32;
	mm: Mm;
	/** In order of appearance, as all these lists. */
	nextOfMm: Vm;
	next: Vm;
	firstVcpu: Vcpu;
	lastVcpu: Vcpu;
	/** TDP tables of address spaces 0 and 1. */
	root0: Root;
	root1: Root;
	/** Memslots in order of their setting (slots.ts). */
	slots: usize;
	slotCount: u32;
	slotBytes: usize;
	/** The slot that the last look-up found; 0: none yet. */
	lastSlot: usize;
	/** Slots overlap in one address space: the first in the list counts. */
	overlap: bool;
}

/** kvm->mmu_invalidate_*, for one strategy. */
@unmanaged
export class VmState {
	/** Union of the ranges in progress, hva pages [start, end); never shrinks until inProgress is 0. */
	hullStart: u64;
	hullEnd: u64;
	/** hva pages [start, end) of operations that ended while a bracket was in progress: their SPTEs are yet to be inspected (oracle.ts). */
	doubtStart: u64;
	doubtEnd: u64;
	/** mmu_invalidate_seq. */
	seq: u32;
	/** mmu_invalidate_in_progress. */
	inProgress: u32;
}

/** A vCPU. Behind it a VcpuState and a Tlb for each strategy; the first levels of the TLBs stand side by side. */
@unmanaged
export class Vcpu {
	/** First levels, one strategy's after the other. */
	l1: usize;
	/** Faults that have begun. */
	flights: u32;
	/** Strategies in which an access of this vCPU is pending. */
	pending: u32;
	/** The PTE that gup found at the begin of the fault in flight; 0: gup comes back at its end. */
	gup: u32;
	/** An access that waits for a migration of its page (migration_entry_wait, 1.11), and the strategies under which it has exited. */
	isWaiting: bool;
	waitingFor: u64;
	waitingAccess: u32;
	waitingHint: u32;
	waitingExits: u32;
	id: u32;
	vm: Vm;
	nextOfVm: Vcpu;
	next: Vcpu;
}

/** A nested page fault between its begin and its end, and an access that was left pending. */
@unmanaged
export class VcpuState {
	pendingGfn: u64;
	/** gfn of the running in-progress loop; NO_PAGE if there is none. */
	loop: u64;
	/** gfn of the last exit, the stale attempts in a row on it, and whether that exit is the last of them. */
	chainGfn: u64;
	chain: u32;
	wasRetried: bool;
	pendingAccess: u32;
	/** seq before gup: of the fault in flight, and of the access at hand. */
	snapshot: u32;
	retrySnapshot: u32;
	waitSnapshot: u32;
	inFlight: bool;
	/** The fault made a copy itself. */
	ownCow: bool;
	/** KVM_REQ_TLB_FLUSH is pending. */
	flushRequested: bool;
	/** The pending access's fault waits for a page that is kept write-protected: no further exit. */
	waits: bool;
}

/** A thread of a VMM's process: the TLB of its mm on its CPU. The causes decide it, so all strategies share it. */
@unmanaged
export class HostThread {
	mm: Mm;
	next: HostThread;
}

/** Whether the end of a list is not reached: the records have no nulls, address 0 is none. */
// @ts-ignore: decorator
@inline
export function exists<T>(record: T): bool {
	return changetype<usize>(record) != 0;
}

export let strategies: u32 = 0;
/** One bit a strategy. */
export let allStrategies: u32 = 0;
/** Copies are recorded in the trace: a write to a read-only page without one is a reuse. */
export let copiesRecorded: bool = false;
/** Number of the cause being replayed. */
export let event: u64 = 0;

export let firstMm: Mm = changetype<Mm>(0);
export let firstVm: Vm = changetype<Vm>(0);
export let firstVcpu: Vcpu = changetype<Vcpu>(0);
let lastVcpu: Vcpu = changetype<Vcpu>(0);

/** The mm that the last look-up found. */
let foundMm: Mm = changetype<Mm>(0);
const mms = changetype<Table>(memory.data(<i32>TABLE_BYTES));
const vms = changetype<Table>(memory.data(<i32>TABLE_BYTES));
const vcpus = changetype<Table>(memory.data(<i32>TABLE_BYTES));
const threads = changetype<Table>(memory.data(<i32>TABLE_BYTES));

export function resetWorld(count: u32, copies: bool): void {
	strategies = count;
	allStrategies = count == 32 ? 0xffff_ffff : (1 << count) - 1;
	copiesRecorded = copies;
	event = 0;
	firstMm = changetype<Mm>(0);
	foundMm = changetype<Mm>(0);
	firstVm = changetype<Vm>(0);
	firstVcpu = changetype<Vcpu>(0);
	lastVcpu = changetype<Vcpu>(0);
	resetTable(mms);
	resetTable(vms);
	resetTable(vcpus);
	resetTable(threads);
}

// @ts-ignore: decorator
@inline
export function setEvent(sequence: u64): void {
	event = sequence;
}

// @ts-ignore: decorator
@inline
export function mmOf(id: u32): Mm {
	return exists(foundMm) && foundMm.id == id ? foundMm : findMm(id);
}

function findMm(id: u32): Mm {
	const known = get(mms, id);
	if (known != 0) {
		foundMm = changetype<Mm>(known);
		return foundMm;
	}
	const mm = changetype<Mm>(reserve(offsetof<Mm>()));
	mm.id = id;
	mm.ptes = makeRoot(0);
	mm.next = firstMm;
	firstMm = mm;
	set(mms, id, <u32>changetype<usize>(mm));
	return mm;
}

/** A VM; its mm is that of its first record. */
export function vmOf(id: u32, mmId: u32): Vm {
	const known = get(vms, id);
	if (known != 0) return changetype<Vm>(known);
	const mm = mmOf(mmId);
	const vm = changetype<Vm>(reserve(offsetof<Vm>() + offsetof<VmState>() * strategies));
	vm.id = id;
	vm.mm = mm;
	vm.root0 = makeRoot(strategies);
	vm.root1 = makeRoot(strategies);
	const last = mm.lastVm;
	if (exists(last)) last.nextOfMm = vm;
	else mm.firstVm = vm;
	mm.lastVm = vm;
	vm.next = firstVm;
	firstVm = vm;
	set(vms, id, <u32>changetype<usize>(vm));
	return vm;
}

// @ts-ignore: decorator
@inline
export function rootOf(vm: Vm, addressSpace: u32): Root {
	return addressSpace == 0 ? vm.root0 : vm.root1;
}

// @ts-ignore: decorator
@inline
export function vmState(vm: Vm, strategy: u32): VmState {
	return changetype<VmState>(changetype<usize>(vm) + offsetof<Vm>() + <usize>strategy * offsetof<VmState>());
}

// @ts-ignore: decorator
@inline
function vcpuKey(vmId: u32, id: u32): u64 {
	return ((<u64>vmId) << 32) | id;
}

/** A vCPU that a record has spoken of; address 0: none has. */
export function findVcpu(vmId: u32, id: u32): Vcpu {
	return changetype<Vcpu>(get(vcpus, vcpuKey(vmId, id)));
}

export function vcpuOf(vm: Vm, id: u32): Vcpu {
	const known = findVcpu(vm.id, id);
	if (exists(known)) return known;
	const vcpu = changetype<Vcpu>(reserve(offsetof<Vcpu>() + (offsetof<VcpuState>() + TLB_BYTES) * strategies));
	vcpu.id = id;
	vcpu.vm = vm;
	vcpu.l1 = reserve(l1Bytes * strategies);
	for (let strategy: u32 = 0; strategy < strategies; strategy++) {
		makeTlb(tlbOf(vcpu, strategy), vcpu.l1 + l1Bytes * strategy, reserve(tlbBytes()));
		vcpuState(vcpu, strategy).loop = NO_PAGE;
	}
	const lastOfVm = vm.lastVcpu;
	if (exists(lastOfVm)) lastOfVm.nextOfVm = vcpu;
	else vm.firstVcpu = vcpu;
	vm.lastVcpu = vcpu;
	const last = lastVcpu;
	if (exists(last)) last.next = vcpu;
	else firstVcpu = vcpu;
	lastVcpu = vcpu;
	set(vcpus, vcpuKey(vm.id, id), <u32>changetype<usize>(vcpu));
	return vcpu;
}

// @ts-ignore: decorator
@inline
export function vcpuState(vcpu: Vcpu, strategy: u32): VcpuState {
	return changetype<VcpuState>(changetype<usize>(vcpu) + offsetof<Vcpu>() + <usize>strategy * offsetof<VcpuState>());
}

// @ts-ignore: decorator
@inline
export function tlbOf(vcpu: Vcpu, strategy: u32): Tlb {
	return changetype<Tlb>(
		changetype<usize>(vcpu) + offsetof<Vcpu>() + <usize>strategies * offsetof<VcpuState>() + <usize>strategy * TLB_BYTES,
	);
}

export function threadOf(mm: Mm, id: u32): HostThread {
	const key = ((<u64>mm.id) << 32) | id;
	const known = get(threads, key);
	if (known != 0) return changetype<HostThread>(known);
	const thread = changetype<HostThread>(reserve(offsetof<HostThread>() + TLB_BYTES));
	thread.mm = mm;
	thread.next = mm.firstThread;
	mm.firstThread = thread;
	makeTlb(threadTlb(thread), reserve(l1Bytes), reserve(tlbBytes()));
	set(threads, key, <u32>changetype<usize>(thread));
	return thread;
}

// @ts-ignore: decorator
@inline
export function threadTlb(thread: HostThread): Tlb {
	return changetype<Tlb>(changetype<usize>(thread) + offsetof<HostThread>());
}
