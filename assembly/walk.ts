// One translation of a guest access: TLB, then the two-dimensional walk, whose last entry is the SPTE.

import { writeContent } from "./contents";
import { count } from "./counters";
import { Counter } from "./generated/constants";
import { FRAME_SHIFT, TlbBit } from "./layout";
import { observe, suspect } from "./oracle";
import { cachedOf, permits, touch } from "./spte";
import { amendFirst, fill, flushPage, hitLevel, lookup } from "./tlb";
import { tlbOf, Vcpu } from "./world";

/** True if the access went through. `record`: the SPTEs of the gfn. Address space 0: the only one with accesses of its own. */
export function translate(vcpu: Vcpu, strategy: u32, record: usize, gfn: u64, write: bool): bool {
	const tlb = tlbOf(vcpu, strategy);
	let entry = lookup(tlb, gfn, write ? 1 : 0);
	if (hitLevel == 1) count(strategy, Counter.tlb_l1Hit);
	else {
		count(strategy, Counter.tlb_l1Miss);
		if (hitLevel == 2) count(strategy, Counter.tlb_l2Hit);
		else {
			count(strategy, Counter.tlb_l2Miss);
			count(strategy, Counter.walk_count);
			const at = record + ((<usize>strategy) << 2);
			const spte = load<u32>(at);
			if (!permits(spte, write)) {
				flushPage(tlb, gfn);
				return false;
			}
			const walked = touch(spte, write);
			store<u32>(at, walked);
			entry = cachedOf(walked);
			fill(tlb, gfn, entry);
		}
	}
	if (((suspect >> strategy) & 1) != 0) observe(vcpu, strategy, 0, gfn, entry >> FRAME_SHIFT, write);
	else if (write && (entry & TlbBit.ownContent) == 0) {
		writeContent(entry >> FRAME_SHIFT, strategy);
		amendFirst(tlb, gfn, entry | TlbBit.ownContent);
	}
	return true;
}
