// One translation of a guest access: TLB, then the walk, whose last entry is the SPTE (docs/machines.md).

import { hasOwnContent, writeContent } from "./contents";
import { count, countBy, referencesPerWalk } from "./counters";
import { Counter, GuestPages, MachineWord } from "./generated/constants";
import { FRAME_MASK, FRAME_SHIFT, NODE_ENTRIES, TlbBit } from "./layout";
import { observe, suspect } from "./oracle";
import { leafOf, Root, recordIn } from "./pagetable";
import { pscHits, references, walkNested } from "./psc";
import { cachedOf, cachedOfLeaf, isHugeLeaf, permits, touch } from "./spte";
import { fill, flushPage, guestPages, hitLevel, isPlacedHuge, lookup, machineWord, noteOwn, Tlb } from "./tlb";
import { tlbOf, Vcpu } from "./world";

/** True if the access went through. `record`: the SPTEs of the gfn. Address space 0: the only one with accesses of its own. */
export function translate(vcpu: Vcpu, strategy: u32, record: usize, gfn: u64, write: bool): bool {
	const tlb = tlbOf(vcpu, strategy);
	const at = record + ((<usize>strategy) << 2);
	let entry = lookup(tlb, gfn, write ? 1 : 0, at);
	if (hitLevel == 1) count(strategy, Counter.tlb_l1Hit);
	else {
		count(strategy, Counter.tlb_l1Miss);
		if (hitLevel == 2) count(strategy, Counter.tlb_l2Hit);
		else {
			count(strategy, Counter.tlb_l2Miss);
			entry = walk(vcpu.vm.root0, tlb, strategy, at, gfn, write);
			if (entry == 0) return false;
		}
	}
	if (((suspect >> strategy) & 1) != 0) observe(vcpu, strategy, 0, gfn, entry >> FRAME_SHIFT, write);
	else if (write && (entry & TlbBit.ownContent) == 0) {
		writeContent(entry >> FRAME_SHIFT, strategy);
		if (!isPlacedHuge() || allOwn(vcpu.vm.root0, gfn, strategy)) noteOwn();
	}
	return true;
}

/** The walk fills the TLB; 0 where it ends in an EPT violation, which takes along what is cached of the page (Intel SDM 29.4.3.1). */
function walk(root: Root, tlb: Tlb, strategy: u32, at: usize, gfn: u64, write: bool): u32 {
	count(strategy, Counter.walk_count);
	const spte = load<u32>(at);
	const leaf = leafOf(root, gfn);
	const huge = isHugeLeaf(leaf, strategy);
	const permitted = permits(spte, write);
	countReferences(tlb, strategy, gfn, huge, permitted);
	if (!permitted) {
		flushPage(tlb, gfn);
		return 0;
	}
	const walked = touch(spte, write);
	store<u32>(at, walked);
	let entry = cachedOf(walked);
	const asHuge = huge && guestPages != GuestPages.small;
	if (asHuge) entry &= cachedOfLeaf(root, leaf, strategy);
	fill(tlb, gfn, entry, asHuge);
	return entry;
}

/** What the walk took beyond, or less than, the closed formula over full tables, which `settle` counts for every walk. */
function countReferences(tlb: Tlb, strategy: u32, gfn: u64, huge: bool, permitted: bool): void {
	const hugeGuest = guestPages == GuestPages.huge || (huge && guestPages == GuestPages.host);
	if (tlb.psc == 0 && !huge && !hugeGuest) return;
	const guestLevels = machineWord(MachineWord.guestLevels);
	const hostLevels = machineWord(MachineWord.hostLevels);
	const guestLeaf: u32 = hugeGuest ? 2 : 1;
	const hostLeaf: u32 = huge ? 2 : 1;
	let taken: u64 = 0;
	if (tlb.psc != 0) {
		walkNested(tlb.psc, gfn, guestLevels, guestLeaf, hostLevels, hostLeaf, permitted);
		countBy(strategy, Counter.walk_pscHits, pscHits);
		taken = references;
	} else {
		const guest = guestLevels == 0 ? 0 : guestLevels - guestLeaf + 1;
		taken = <u64>(guest + 1) * (hostLevels - hostLeaf + 2) - 1;
	}
	countBy(strategy, Counter.walk_memoryReferences, taken - referencesPerWalk);
}

/** Whether every page of the 2 MiB leaf around a gfn has content that no other frame has. */
function allOwn(root: Root, gfn: u64, strategy: u32): bool {
	const stride = (<usize>root.words) << 2;
	let record = recordIn(root, leafOf(root, gfn), 0) + ((<usize>strategy) << 2);
	for (let index: u32 = 0; index < NODE_ENTRIES; index++) {
		if (!hasOwnContent((load<u32>(record) & FRAME_MASK) >> FRAME_SHIFT, strategy)) return false;
		record += stride;
	}
	return true;
}
