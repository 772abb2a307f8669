// Ageing: clear_flush_young, clear_young and test_young of the notifiers (kernel.md 3.5).

import { countLock } from "./bracket";
import { count, countAll, siteCounter } from "./counters";
import { Counter, Site, SiteCounter, Young } from "./generated/constants";
import { flushGuest } from "./guestflush";
import { eptAd } from "./kvmhost";
import { Bit, NODE_ENTRIES, SpteBit } from "./layout";
import { leafEnd, leafOf, nextPresent, Root, recordIn } from "./pagetable";
import { collect, Hit, hitAt, hitCount, runAt } from "./slots";
import { countPresent, isHugeLeaf } from "./spte";
import { Mm, rootOf, strategies } from "./world";

/** `how`: a Young. With A/D bits A is cleared, without them the SPTE becomes an access-track one. */
export function age(mm: Mm, page: u64, pages: u64, how: u32): void {
	countAll(siteCounter(Site.age, SiteCounter.count));
	collect(mm, page, pages);
	for (let index: u32 = 0; index < hitCount; index++) {
		const hit = hitAt(index);
		for (let run: u32 = 0; run < hit.runs; run++) countPresent(hit.vm, runAt(hit.firstRun + run), Site.age);
		for (let strategy: u32 = 0; strategy < strategies; strategy++) {
			countLock(strategy, Site.age);
			if (how != Young.test && ageHit(hit, strategy) && how == Young.clearFlush) flushGuest(hit.vm, strategy, Site.age);
		}
	}
}

function ageHit(hit: Hit, strategy: u32): bool {
	let young = false;
	for (let at: u32 = 0; at < hit.runs; at++) {
		const run = runAt(hit.firstRun + at);
		if (ageRange(rootOf(hit.vm, run.addressSpace), run.gfn, run.gfn + run.pages, strategy)) young = true;
	}
	return young;
}

function ageRange(root: Root, gfn: u64, end: u64, strategy: u32): bool {
	let young = false;
	const stride = (<usize>root.words) << 2;
	for (let at = nextPresent(root, gfn, end); at < end; ) {
		const next = leafEnd(at, end);
		const leaf = leafOf(root, at);
		if (isHugeLeaf(leaf, strategy)) {
			if (ageEntries(recordIn(root, leaf, 0) + ((<usize>strategy) << 2), stride, NODE_ENTRIES, strategy)) young = true;
		} else {
			let record = recordIn(root, leaf, at) + ((<usize>strategy) << 2);
			for (; at < next; at++) {
				if (ageEntries(record, stride, 1, strategy)) young = true;
				record += stride;
			}
		}
		at = nextPresent(root, next, end);
	}
	return young;
}

/** One leaf: its entry, or the 512 of a 2 MiB leaf. Says whether it was young. */
function ageEntries(first: usize, stride: usize, entries: u32, strategy: u32): bool {
	let all: u32 = 0;
	let at = first;
	for (let index: u32 = 0; index < entries; index++) {
		all |= load<u32>(at);
		at += stride;
	}
	if ((all & Bit.present) == 0 || (all & SpteBit.accessed) == 0) return false;
	// Without A/D bits W goes with the rights that are saved: the page is told before (kvm_set_pfn_dirty).
	const taken: u32 = eptAd ? SpteBit.accessed : SpteBit.accessed | Bit.writable;
	if ((all & taken & Bit.writable) != 0) count(strategy, Counter.pfnDirtied);
	count(strategy, Counter.spteChanged);
	at = first;
	for (let index: u32 = 0; index < entries; index++) {
		store<u32>(at, load<u32>(at) & ~taken);
		at += stride;
	}
	return true;
}
