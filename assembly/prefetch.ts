// direct_pte_prefetch of the legacy MMU: a fault that maps a 4 KiB page maps its neighbours too (kernel.md 3.6, step 7).
import { count } from "./counters";
import { Counter } from "./generated/constants";
import { eptAd, legacyMmu } from "./kvmhost";
import { Bit } from "./layout";
import { pteOf } from "./primary";
import { slotOf } from "./slots";
import { makeSpte } from "./spte";
import { exists, rootOf, Vm, vmState } from "./world";

/** PTE_PREFETCH_NUM: the aligned group of gfns that the fault's own is one of. Groups do not cross leaf tables. */
// @ts-ignore: decorator
@inline
const GROUP: u64 = 8;

/**
 * The absent entries of the group, run by run. Not without A/D bits, which tell a prefetched entry from an accessed one; not while any range of the
 * VM is being invalidated. The first run that yields no page at all ends it. `record`: the SPTEs of the gfn.
 */
export function prefetch(vm: Vm, strategy: u32, addressSpace: u32, record: usize, gfn: u64): void {
	if (!legacyMmu || !eptAd || vmState(vm, strategy).inProgress != 0) return;
	const stride = (<usize>rootOf(vm, addressSpace).words) << 2;
	const first = gfn & ~(GROUP - 1);
	const end = first + GROUP;
	const base = record - <usize>(gfn - first) * stride + ((<usize>strategy) << 2);
	let start = end;
	for (let at = first; at <= end; at++) {
		const isAbsent = at < end && at != gfn && (load<u32>(base + <usize>(at - first) * stride) & Bit.present) == 0;
		if (isAbsent && start == end) start = at;
		if (isAbsent || start == end) continue;
		if (!prefetchRun(vm, strategy, addressSpace, base + <usize>(start - first) * stride, stride, start, at)) return;
		start = end;
	}
}

/**
 * direct_pte_prefetch_many: one memslot, that of the first gfn, which must have the whole run, be writable and log no dirty pages.
 * get_user_pages_fast_only with FOLL_WRITE takes the pages up to the first whose PTE is not writable.
 */
function prefetchRun(vm: Vm, strategy: u32, addressSpace: u32, from: usize, stride: usize, start: u64, end: u64): bool {
	const slot = slotOf(vm, addressSpace, start);
	if (!exists(slot) || slot.logDirty || slot.readOnly || slot.gfn + slot.pages < end) return false;
	let entry = from;
	for (let at = start; at < end; at++) {
		const pte = pteOf(vm.mm, slot.page + (at - slot.gfn));
		if ((pte & (Bit.present | Bit.writable)) != (Bit.present | Bit.writable)) return at > start;
		store<u32>(entry, makeSpte(pte, true));
		count(strategy, Counter.spteInstalled);
		count(strategy, Counter.sptePrefetched);
		entry += stride;
	}
	return true;
}
