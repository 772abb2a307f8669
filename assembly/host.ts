// An access by a thread of the VMM's process through the primary PTE: its own TLB, and do_wp_page or a none -> present fault where that fails.
// None of it depends on a strategy.

import { writeContent, writeContentAll } from "./contents";
import { countAll, countAllBy } from "./counters";
import { breakOrReuse } from "./cow";
import { Counter, MachineWord } from "./generated/constants";
import { isHuge } from "./huge";
import { Bit, FRAME_MASK, NODE_ENTRIES, PteBit } from "./layout";
import { findRecord } from "./pagetable";
import { changePte, frameOf, presentAfterFault, pteOf, writingAllowed } from "./primary";
import { forgetAll, pscHits, references, walkNative } from "./psc";
import { spteFor } from "./spte";
import { fill, flush, flushPage, flushRange, hitLevel, hostFlushPages, lookup, machineWord } from "./tlb";
import { deferStore } from "./windows";
import { allStrategies, exists, HostThread, Mm, threadTlb } from "./world";

export function hostAccess(thread: HostThread, page: u64, write: bool, hint: u32): void {
	const mm = thread.mm;
	const tlb = threadTlb(thread);
	lookup(tlb, page, write ? 1 : 0, 0);
	const level = hitLevel;
	countAll(level == 1 ? Counter.hostTlb_l1Hit : Counter.hostTlb_l1Miss);
	if (level == 2) countAll(Counter.hostTlb_l2Hit);
	if (level == 0) {
		countAll(Counter.hostTlb_l2Miss);
		walkNative(tlb.psc, page, machineWord(MachineWord.hostLevels), isHuge(mm, page) ? 2 : 1);
		countAll(Counter.hostWalk_count);
		countAllBy(Counter.hostWalk_memoryReferences, references);
		countAllBy(Counter.hostWalk_pscHits, pscHits);
		let pte = pteOf(mm, page);
		const isAbsent = (pte & Bit.present) == 0;
		if (isAbsent || (write && (pte & Bit.writable) == 0)) countAll(Counter.hostFaults);
		if (isAbsent) pte = presentAfterFault(mm, page, write);
		if (pte != 0 && write && (pte & Bit.writable) == 0 && writingAllowed(mm, page)) breakOrReuse(mm, page, hint);
		const now = pteOf(mm, page);
		if ((now & Bit.present) == 0 || (write && (now & Bit.writable) == 0)) return;
		flushPage(tlb, page);
		if (isHuge(mm, page)) fill(tlb, page, spteFor(now & allPtes(mm, page), 0), true);
		else fill(tlb, page, spteFor(now, 0), false);
	}
	if (!write) return;
	const pte = pteOf(mm, page);
	if ((pte & Bit.present) == 0) return;
	changePte(mm, page, 0, PteBit.dirty);
	const deferred = deferStore(mm, page);
	if (deferred == 0) writeContentAll(frameOf(pte));
	else for (let rest = allStrategies & ~deferred; rest != 0; rest &= rest - 1) writeContent(frameOf(pte), ctz(rest));
}

/** The rights that all PTEs of a huge PMD have. */
function allPtes(mm: Mm, page: u64): u32 {
	const first = findRecord(mm.ptes, page & ~(<u64>NODE_ENTRIES - 1));
	let all = load<u32>(first);
	for (let index: usize = 1; index < NODE_ENTRIES; index++) all &= load<u32>(first + (index << 2));
	return all | FRAME_MASK;
}

/** flush_tlb_range: every CPU of the mm, page by page where these are few. INVLPG takes all paging-structure entries along. */
export function flushThreads(mm: Mm, page: u64, pages: u64): void {
	if (pages - 1 >= hostFlushPages) {
		emptyThreads(mm);
		return;
	}
	for (let thread = mm.firstThread; exists(thread); thread = thread.next) {
		const tlb = threadTlb(thread);
		if (tlb.psc != 0) forgetAll(tlb.psc);
		countAllBy(Counter.hostTlb_flushed, flushRange(tlb, page, page + pages));
	}
}

export function emptyThreads(mm: Mm): void {
	for (let thread = mm.firstThread; exists(thread); thread = thread.next) countAllBy(Counter.hostTlb_flushed, flush(threadTlb(thread)));
}
