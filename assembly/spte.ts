// SPTEs in the records of a TDP leaf (kernel.md 3.4): present or absent, with the reason for it. One record holds all strategies' words.
import { count, siteCounter } from "./counters";
import { noteZap } from "./exits";
import { Cause, Counter, SiteCounter, Zap } from "./generated/constants";
import { eptAd, usableBits } from "./kvmhost";
import { Bit, CAUSE_SHIFT, FRAME_MASK, HUGE_LEAVES, NODE_ENTRIES, SITE_SHIFT, SpteBit } from "./layout";
import { logging, logZap } from "./log";
import { leafEnd, leafOf, nextPresent, Root, recordIn } from "./pagetable";
import { Run } from "./slots";
import { rootOf, strategies, Vm } from "./world";

/** Of an absent SPTE: the cause of the vmexit that follows. */
// @ts-ignore: decorator
@inline
export function causeOf(spte: u32): u32 {
	return (spte >> CAUSE_SHIFT) & 63;
}

/** Of an absent SPTE: the call site whose zap made it so, plus 1; 0 = none. */
// @ts-ignore: decorator
@inline
export function siteOf(spte: u32): u32 {
	return (spte >> SITE_SHIFT) & 63;
}

// @ts-ignore: decorator
@inline
export function absent(cause: u32, sitePlusOne: u32): u32 {
	return (cause << CAUSE_SHIFT) | (sitePlusOne << SITE_SHIFT);
}

/** Present to the hardware: an access-track SPTE is KVM's, but of no use to the hardware. */
// @ts-ignore: decorator
@inline
export function isUsable(spte: u32): bool {
	return (spte & usableBits) == usableBits;
}

/** Whether an SPTE lets an access through. */
// @ts-ignore: decorator
@inline
export function permits(spte: u32, write: bool): bool {
	const need: u32 = usableBits | (<u32>write * Bit.writable);
	return (spte & need) == need;
}

/** is_dirty_spte: without A/D bits the right to write says it. */
// @ts-ignore: decorator
@inline
export function isDirty(spte: u32): bool {
	return (spte & (eptAd ? <u32>SpteBit.dirty : Bit.writable)) != 0;
}

/** A walk that goes through: the hardware sets A, and D at a store. */
// @ts-ignore: decorator
@inline
export function touch(spte: u32, write: bool): u32 {
	return spte | SpteBit.accessed | (<u32>(write & eptAd) * SpteBit.dirty);
}

/** What the TLB keeps of an SPTE: a store through an entry whose D is clear walks again, to set it. */
// @ts-ignore: decorator
@inline
export function cachedOf(spte: u32): u32 {
	return spteFor(eptAd && (spte & SpteBit.dirty) == 0 ? spte & ~(<u32>Bit.writable) : spte, 0);
}

/** check_spte_writable_invariants (I-4): W only with M. */
// @ts-ignore: decorator
@inline
export function expectRights(spte: u32): void {
	assert((spte & Bit.writable) == 0 || (spte & SpteBit.mmuWritable) != 0);
}

/**
 * make_spte for the page and the right of a PTE. `prefetch`: no access made it, so A is clear; without A/D bits that leaves an access-track SPTE,
 * which has no W (3.4, 2.8).
 */
export function makeSpte(pte: u32, prefetch: bool): u32 {
	let spte: u32 = (pte & FRAME_MASK) | Bit.present;
	if (!prefetch) spte |= SpteBit.accessed;
	if ((pte & Bit.writable) != 0) {
		spte |= SpteBit.mmuWritable;
		if (eptAd) spte |= SpteBit.dirty | Bit.writable;
		else if (!prefetch) spte |= Bit.writable;
	}
	expectRights(spte);
	return spte;
}

/** An SPTE goes or gets another page: what its page has to know (kvm_set_pfn_accessed, kvm_set_pfn_dirty; 3.2, litmus l). */
export function handOver(strategy: u32, spte: u32): void {
	if ((spte & SpteBit.accessed) != 0) count(strategy, Counter.pfnAccessed);
	if (isDirty(spte)) count(strategy, Counter.pfnDirtied);
}

/** The cause of a zap as a counter of its own. */
function zapCounter(cause: u32): i32 {
	let zap: i32 = Zap.other;
	if (cause == Cause.ksm) zap = Zap.ksm;
	else if (cause == Cause.cow) zap = Zap.cow;
	else if (cause == Cause.hugeSplit) zap = Zap.hugeSplit;
	else if (cause == Cause.kvmZap) zap = Zap.kvmZap;
	else if (cause == Cause.notifier) zap = Zap.notifier;
	return Counter.spteZappedByCause_other + zap;
}

/** Some table has, or had, a 2 MiB leaf: where none has, no leaf's header is looked at, a cache line of its own. */
export let anyLeafHuge: bool = false;

export function resetSptes(): void {
	anyLeafHuge = false;
}

/** The strategies under which the entries of a leaf are one 2 MiB leaf. */
// @ts-ignore: decorator
@inline
export function hugeLeavesOf(leaf: usize): u32 {
	return anyLeafHuge ? load<u32>(leaf, HUGE_LEAVES) : 0;
}

export function makeHugeLeaf(leaf: usize, strategy: u32): void {
	anyLeafHuge = true;
	store<u32>(leaf, load<u32>(leaf, HUGE_LEAVES) | ((<u32>1) << strategy), HUGE_LEAVES);
}

/** Whether the entries of a leaf are one 2 MiB leaf under a strategy. */
// @ts-ignore: decorator
@inline
export function isHugeLeaf(leaf: usize, strategy: u32): bool {
	return ((hugeLeavesOf(leaf) >> strategy) & 1) != 0;
}

/** What a TLB may keep of all entries of a 2 MiB leaf. */
export function cachedOfLeaf(root: Root, leaf: usize, strategy: u32): u32 {
	const stride = (<usize>root.words) << 2;
	let record = leaf + root.header + ((<usize>strategy) << 2);
	let all: u32 = u32.MAX_VALUE;
	for (let index: u32 = 0; index < NODE_ENTRIES && (all & Bit.writable) != 0; index++) {
		all &= cachedOf(load<u32>(record));
		record += stride;
	}
	return all | FRAME_MASK;
}

/** A 2 MiB leaf that overlaps a range is zapped whole (3.2). */
export function zapHugeLeaf(root: Root, leaf: usize, strategy: u32, cause: u32, site: u32): void {
	const stride = (<usize>root.words) << 2;
	let record = leaf + root.header + ((<usize>strategy) << 2);
	let all: u32 = 0;
	for (let index: u32 = 0; index < NODE_ENTRIES; index++) {
		all |= load<u32>(record);
		store<u32>(record, absent(cause, site + 1));
		noteZap(root, leaf, index, strategy);
		record += stride;
	}
	handOver(strategy, all);
	store<u32>(leaf, load<u32>(leaf, HUGE_LEAVES) & ~((<u32>1) << strategy), HUGE_LEAVES);
	count(strategy, Counter.spteZapped);
	count(strategy, zapCounter(cause));
}

/** tdp_mmu_split_huge_page: a table with 512 entries of the leaf's page, rights, A and D. */
export function splitHugeLeaf(root: Root, leaf: usize, strategy: u32): void {
	const stride = (<usize>root.words) << 2;
	const first = leaf + root.header + ((<usize>strategy) << 2);
	let all: u32 = 0;
	let record = first;
	for (let index: u32 = 0; index < NODE_ENTRIES; index++) {
		all |= load<u32>(record);
		record += stride;
	}
	all &= SpteBit.accessed | SpteBit.dirty;
	record = first;
	for (let index: u32 = 0; index < NODE_ENTRIES; index++) {
		store<u32>(record, load<u32>(record) | all);
		record += stride;
	}
	const bit: u32 = 1 << strategy;
	store<u32>(leaf, load<u32>(leaf) | bit);
	store<u32>(leaf, load<u32>(leaf, HUGE_LEAVES) & ~bit, HUGE_LEAVES);
	count(strategy, Counter.spteChanged);
}

/** Remove one SPTE of 4 KiB if it is present; says whether it was. */
export function zap(at: usize, strategy: u32, cause: u32, site: u32): bool {
	const spte = load<u32>(at);
	if ((spte & Bit.present) == 0) return false;
	if ((spte & (SpteBit.established | SpteBit.accessed)) == SpteBit.established) count(strategy, Counter.establish_neverTouched);
	handOver(strategy, spte);
	store<u32>(at, absent(cause, site + 1));
	count(strategy, Counter.spteZapped);
	count(strategy, zapCounter(cause));
	return true;
}

/** Remove every SPTE of a run under one strategy; how many there were. */
export function zapRun(vm: Vm, run: Run, strategy: u32, cause: u32, site: u32): u64 {
	return zapRange(rootOf(vm, run.addressSpace), run.gfn, run.gfn + run.pages, strategy, cause, site);
}

/** gfns that the last zapRange took SPTEs of: its own, and those of 2 MiB leaves that reach beyond. */
export let reachStart: u64 = 0;
export let reachEnd: u64 = 0;

export function zapRange(root: Root, gfn: u64, end: u64, strategy: u32, cause: u32, site: u32): u64 {
	let zapped: u64 = 0;
	reachStart = gfn;
	reachEnd = end;
	const stride = (<usize>root.words) << 2;
	for (let at = nextPresent(root, gfn, end); at < end; at = nextPresent(root, at, end)) {
		const next = leafEnd(at, end);
		const leaf = leafOf(root, at);
		if (isHugeLeaf(leaf, strategy)) {
			zapHugeLeaf(root, leaf, strategy, cause, site);
			reachStart = min<u64>(reachStart, at & ~(<u64>NODE_ENTRIES - 1));
			reachEnd = max<u64>(reachEnd, (at | (NODE_ENTRIES - 1)) + 1);
			zapped++;
			at = next;
			continue;
		}
		let record = recordIn(root, leaf, at) + ((<usize>strategy) << 2);
		for (; at < next; at++) {
			if (zap(record, strategy, cause, site)) {
				zapped++;
				noteZap(root, leaf, at, strategy);
				if (logging) logZap(root, at, strategy, record);
			}
			record += stride;
		}
	}
	return zapped;
}

/** Count the SPTEs of a run as `sptePresent` of a site, under every strategy. */
export function countPresent(vm: Vm, run: Run, site: u32): void {
	const root = rootOf(vm, run.addressSpace);
	const end = run.gfn + run.pages;
	const counter = siteCounter(site, SiteCounter.sptePresent);
	for (let at = nextPresent(root, run.gfn, end); at < end; at = nextPresent(root, at, end)) {
		const next = leafEnd(at, end);
		let word = recordIn(root, leafOf(root, at), at);
		for (; at < next; at++) {
			for (let strategy: u32 = 0; strategy < strategies; strategy++) {
				if ((load<u32>(word) & Bit.present) != 0) count(strategy, counter);
				word += 4;
			}
		}
	}
}

/** Whether the leaf table of a record exists under a strategy: made at an install, dropped with a memslot. */
// @ts-ignore: decorator
@inline
export function hasLeafTable(leaf: usize, strategy: u32): bool {
	return ((load<u32>(leaf) >> strategy) & 1) != 0;
}

// @ts-ignore: decorator
@inline
export function addLeafTable(root: Root, gfn: u64, record: usize, strategy: u32): void {
	const leaf = record - (<usize>gfn & (NODE_ENTRIES - 1)) * ((<usize>root.words) << 2) - root.header;
	store<u32>(leaf, load<u32>(leaf) | (1 << strategy));
}

export function dropLeafTable(leaf: usize, strategy: u32): void {
	store<u32>(leaf, load<u32>(leaf) & ~((<u32>1) << strategy));
}

/** Every leaf table of an address space goes, under every strategy. */
export function dropLeafTables(root: Root, limit: u64): void {
	for (let at = nextPresent(root, 0, limit); at < limit; at = nextPresent(root, leafEnd(at, limit), limit)) store<u32>(leafOf(root, at), 0);
}

/** What a TLB keeps of a PTE. */
// @ts-ignore: decorator
@inline
export function spteFor(pte: u32, flags: u32): u32 {
	return (pte & (FRAME_MASK | Bit.writable)) | Bit.present | flags;
}
