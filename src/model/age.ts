// Ageing: clear_flush_young, clear_young and test_young of the notifiers (kernel.md 3.5).
import { Young } from "../trace/kinds.js";
import { presentSptes } from "./bracket.js";
import type { Mm } from "./mm.js";
import { clearAccessed } from "./spte.js";
import type { Vm } from "./vm.js";
import type { World } from "./world.js";

/** `how`: a Young. With A/D bits A is cleared, without them the SPTE becomes an access-track one. */
export function age(world: World, mm: Mm, page: number, pages: number, how: number): void {
	world.countSite("age", "count");
	world.countSite("age", "sptePresent", presentSptes(world, mm, page, pages));
	for (const vm of world.vmsOf(mm)) {
		if (!vm.hits(page, pages)) continue;
		world.lockForWrite("age");
		if (how === Young.test) continue;
		const young = ageVm(world, vm, page, pages);
		if (young && how === Young.clearFlush) world.flushGuest(vm, "age");
	}
}

function ageVm(world: World, vm: Vm, page: number, pages: number): boolean {
	let young = false;
	for (const run of vm.runs(page, pages)) {
		const root = vm.root(run.as);
		for (const gfn of root.leaves(run.gfn, run.gfn + run.pages)) {
			const entries = root.leaf(gfn);
			if (!entries.some(({ accessed }) => accessed)) continue;
			young = true;
			world.count("spteChanged");
			// W goes with the rights that are saved: the page is told before (kvm_set_pfn_dirty).
			if (!world.host.eptAd && entries.some(({ writable }) => writable)) {
				world.count("pfnDirtied");
				for (const { frame } of entries) if (frame !== null) frame.dirty = true;
			}
			for (const entry of entries) clearAccessed(world.host, entry);
		}
	}
	return young;
}
