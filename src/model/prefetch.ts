// direct_pte_prefetch of the legacy MMU: a fault that maps a 4 KiB page maps its neighbours too (kernel.md 3.6, step 7).
import { makeSpte } from "./spte.js";
import type { Vm } from "./vm.js";
import type { World } from "./world.js";

/** PTE_PREFETCH_NUM: the aligned group of gfns that the fault's own is one of. */
const GROUP = 8;

/**
 * The absent entries of the group, run by run. Not without A/D bits, which tell a prefetched entry from an accessed one; not while any range of the VM is
 * being invalidated. The first run that yields no page at all ends it.
 */
export function prefetch(world: World, vm: Vm, as: number, gfn: number): void {
	if (world.host.mmu !== "legacy" || !world.host.eptAd || vm.inProgress !== 0) return;
	const root = vm.root(as);
	const end = gfn - (gfn % GROUP) + GROUP;
	let start = -1;
	for (let at = end - GROUP; at <= end; at++) {
		const isAbsent = at < end && at !== gfn && (root.peek(at)?.frame ?? null) === null;
		if (isAbsent && start < 0) start = at;
		if (isAbsent || start < 0) continue;
		if (!prefetchRun(world, vm, as, start, at)) return;
		start = -1;
	}
}

/**
 * direct_pte_prefetch_many: one memslot, that of the first gfn, which must have the whole run, be writable and log no dirty pages. get_user_pages_fast_only
 * with FOLL_WRITE takes the pages up to the first whose PTE is not writable.
 */
function prefetchRun(world: World, vm: Vm, as: number, start: number, end: number): boolean {
	const slot = vm.slot(as, start);
	if (slot === undefined || slot.logDirty || slot.readOnly || slot.gfn + slot.pages < end) return false;
	for (let at = start; at < end; at++) {
		const pte = vm.mm.get(slot.page + (at - slot.gfn));
		if (pte === undefined || !pte.writable) return at > start;
		makeSpte(world.host, vm.root(as).entry(at), pte.frame, true, true);
		world.count("spteInstalled");
		world.count("sptePrefetched");
	}
	return true;
}
