// fast_page_fault: what KVM repairs without mmu_lock, without asking the host (kernel.md 3.6, step 4; 3.4).
import { expectRights, isUsable } from "./spte.js";
import type { Vcpu, World } from "./world.js";

/**
 * A store through an MMU-writable SPTE that has lost W to dirty logging, or any access through an access-track one. True if it is repaired: the access
 * then goes through.
 */
export function fixFast(world: World, vcpu: Vcpu, as: number, gfn: number, write: boolean): boolean {
	const { host } = world;
	const { vm } = vcpu;
	const root = vm.root(as);
	const spte = root.peek(gfn);
	if (spte === undefined || spte.frame === null) return false;
	const isTracked = !isUsable(host, spte);
	if (!isTracked && !write) return false;
	if (write) {
		if (!spte.mmuWritable) return false;
		// The log notes 4 KiB: the slow path splits the leaf.
		if (spte.huge && vm.logsDirty(as, gfn)) return false;
	}
	for (const entry of root.leaf(gfn)) {
		if (isTracked) entry.accessed = true;
		if (write && entry.mmuWritable) entry.writable = true;
		expectRights(entry);
	}
	world.count("vmexitsFixed");
	world.count("vmexitsFast");
	vcpu.loop = -1;
	return true;
}
