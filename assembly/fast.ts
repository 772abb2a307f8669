// fast_page_fault: what KVM repairs without mmu_lock, without asking the host (kernel.md 3.6, step 4; 3.4).
import { count } from "./counters";
import { Counter } from "./generated/constants";
import { Bit, NO_PAGE, NODE_ENTRIES, SpteBit } from "./layout";
import { leafOf, recordIn } from "./pagetable";
import { logsDirty } from "./slots";
import { expectRights, isHugeLeaf, isUsable } from "./spte";
import { rootOf, Vcpu, vcpuState } from "./world";

/**
 * A store through an MMU-writable SPTE that has lost W to dirty logging, or any access through an access-track one. True if it is repaired: the
 * access then goes through. `record`: the SPTEs of the gfn.
 */
export function fixFast(vcpu: Vcpu, strategy: u32, addressSpace: u32, record: usize, gfn: u64, write: bool): bool {
	const at = record + ((<usize>strategy) << 2);
	const spte = load<u32>(at);
	if ((spte & Bit.present) == 0) return false;
	const isTracked = !isUsable(spte);
	if (!isTracked && !write) return false;
	if (write && (spte & SpteBit.mmuWritable) == 0) return false;
	const root = rootOf(vcpu.vm, addressSpace);
	const leaf = leafOf(root, gfn);
	if (isHugeLeaf(leaf, strategy)) {
		// The log notes 4 KiB: the slow path splits the leaf.
		if (write && logsDirty(vcpu.vm, addressSpace, gfn)) return false;
		const stride = (<usize>root.words) << 2;
		let entry = recordIn(root, leaf, 0) + ((<usize>strategy) << 2);
		for (let index: u32 = 0; index < NODE_ENTRIES; index++) {
			repair(entry, isTracked, write);
			entry += stride;
		}
	} else repair(at, isTracked, write);
	count(strategy, Counter.vmexitsFixed);
	count(strategy, Counter.vmexitsFast);
	vcpuState(vcpu, strategy).loop = NO_PAGE;
	return true;
}

function repair(at: usize, isTracked: bool, write: bool): void {
	let spte = load<u32>(at);
	if (isTracked) spte |= SpteBit.accessed;
	if (write && (spte & SpteBit.mmuWritable) != 0) spte |= Bit.writable;
	expectRights(spte);
	store<u32>(at, spte);
}
