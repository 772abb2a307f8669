// An access by a thread of the VMM's process through the primary PTE: its own TLB, and do_wp_page or a none -> present fault where that fails.
// None of it depends on a strategy.

import { writeContent, writeContentAll } from "./contents";
import { countAll } from "./counters";
import { breakOrReuse } from "./cow";
import { giveUp } from "./failure";
import { Counter, Failure } from "./generated/constants";
import { Bit, PteBit } from "./layout";
import { changePte, frameOf, populateNone, pteOf, writingAllowed } from "./primary";
import { spteFor } from "./spte";
import { get, resetTable, set, TABLE_BYTES, Table } from "./table";
import { fill, flush, flushPage, hitLevel, lookup, spanOfSets, taggedPages } from "./tlb";
import { deferStore } from "./windows";
import { allStrategies, exists, HostThread, Mm, threadTlb } from "./world";

/**
 * Regions of host address space by order of their use. A TLB tag has 32 bits above the set's index, which a geometry of few sets does not give
 * to a 36-bit hva page. So the pages of a region, whose size every number of sets divides, are moved down to where the n-th region would be.
 */
const regions = changetype<Table>(memory.data(<i32>TABLE_BYTES));
let regionPages: u64 = 1;
let regionCount: u32 = 0;
let lastRegion: u64 = 0;
let lastShift: u64 = 0;

export function resetHost(): void {
	resetTable(regions);
	regionCount = 0;
	lastRegion = 0xffff_ffff_ffff_ffff;
	const span = spanOfSets();
	regionPages = ((((1 as u64) << 24) + span - 1) / span) * span;
}

/** The page under which a TLB knows an hva page: another number, in the same sets. */
function taggedPage(page: u64): u64 {
	const region = page / regionPages;
	if (region != lastRegion) {
		let index = get(regions, region);
		if (index == 0) {
			index = ++regionCount;
			if (<u64>index * regionPages > taggedPages) giveUp(Failure.hostRegions, index);
			set(regions, region, index);
		}
		lastRegion = region;
		lastShift = (region - (<u64>index - 1)) * regionPages;
	}
	return page - lastShift;
}

export function hostAccess(thread: HostThread, page: u64, write: bool, hint: u32): void {
	const mm = thread.mm;
	const tlb = threadTlb(thread);
	const tagged = taggedPage(page);
	lookup(tlb, tagged, write ? 1 : 0);
	const level = hitLevel;
	countAll(level == 1 ? Counter.hostTlb_l1Hit : Counter.hostTlb_l1Miss);
	if (level == 2) countAll(Counter.hostTlb_l2Hit);
	if (level == 0) {
		countAll(Counter.hostTlb_l2Miss);
		const pte = pteOf(mm, page);
		if ((pte & Bit.present) == 0) {
			countAll(Counter.hostFaults);
			populateNone(mm, page, write, false);
		} else if (write && (pte & Bit.writable) == 0) {
			countAll(Counter.hostFaults);
			if (writingAllowed(mm, page)) breakOrReuse(mm, page, hint);
		}
		const now = pteOf(mm, page);
		if ((now & Bit.present) == 0 || (write && (now & Bit.writable) == 0)) return;
		flushPage(tlb, tagged);
		fill(tlb, tagged, spteFor(now, 0));
	}
	if (!write) return;
	const pte = pteOf(mm, page);
	if ((pte & Bit.present) == 0) return;
	changePte(mm, page, 0, PteBit.dirty);
	const deferred = deferStore(mm, page);
	if (deferred == 0) writeContentAll(frameOf(pte));
	else for (let rest = allStrategies & ~deferred; rest != 0; rest &= rest - 1) writeContent(frameOf(pte), ctz(rest));
}

/** flush_tlb_page or flush_tlb_range: every CPU of the mm. */
export function flushThreads(mm: Mm, page: u64, pages: u64): void {
	for (let thread = mm.firstThread; exists(thread); thread = thread.next) {
		if (pages == 1) flushPage(threadTlb(thread), taggedPage(page));
		else flush(threadTlb(thread));
	}
}
