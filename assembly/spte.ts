// SPTEs in the records of a TDP leaf (kernel.md 3.4): present or absent, with the reason for it. One record holds all strategies' words.
import { count, siteCounter } from "./counters";
import { Cause, Counter, SiteCounter, Zap } from "./generated/constants";
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

/** Whether an SPTE lets an access through. */
// @ts-ignore: decorator
@inline
export function permits(spte: u32, write: bool): bool {
	const need: u32 = write ? Bit.present | Bit.writable : Bit.present;
	return (spte & need) == need;
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

/** Whether the entries of a leaf are one 2 MiB leaf under a strategy. */
// @ts-ignore: decorator
@inline
export function isHugeLeaf(leaf: usize, strategy: u32): bool {
	return ((load<u32>(leaf, HUGE_LEAVES) >> strategy) & 1) != 0;
}

/** A 2 MiB leaf that overlaps a range is zapped whole (3.2). */
export function zapHugeLeaf(root: Root, leaf: usize, strategy: u32, cause: u32, site: u32): void {
	const stride = (<usize>root.words) << 2;
	let record = leaf + root.header + ((<usize>strategy) << 2);
	for (let index: u32 = 0; index < NODE_ENTRIES; index++) {
		store<u32>(record, absent(cause, site + 1));
		record += stride;
	}
	store<u32>(leaf, load<u32>(leaf, HUGE_LEAVES) & ~((<u32>1) << strategy), HUGE_LEAVES);
	count(strategy, Counter.spteZapped);
	count(strategy, zapCounter(cause));
}

/** Remove one SPTE of 4 KiB if it is present; says whether it was. */
export function zap(at: usize, strategy: u32, cause: u32, site: u32): bool {
	const spte = load<u32>(at);
	if ((spte & Bit.present) == 0) return false;
	if ((spte & (SpteBit.established | SpteBit.accessed)) == SpteBit.established) count(strategy, Counter.establish_neverTouched);
	store<u32>(at, absent(cause, site + 1));
	count(strategy, Counter.spteZapped);
	count(strategy, zapCounter(cause));
	return true;
}

/** Remove every SPTE of a run under one strategy; how many there were. */
export function zapRun(vm: Vm, run: Run, strategy: u32, cause: u32, site: u32): u64 {
	return zapRange(rootOf(vm, run.addressSpace), run.gfn, run.gfn + run.pages, strategy, cause, site);
}

export function zapRange(root: Root, gfn: u64, end: u64, strategy: u32, cause: u32, site: u32): u64 {
	let zapped: u64 = 0;
	const stride = (<usize>root.words) << 2;
	for (let at = nextPresent(root, gfn, end); at < end; at = nextPresent(root, at, end)) {
		const next = leafEnd(at, end);
		const leaf = leafOf(root, at);
		if (isHugeLeaf(leaf, strategy)) {
			zapHugeLeaf(root, leaf, strategy, cause, site);
			zapped++;
			at = next;
			continue;
		}
		let record = recordIn(root, leaf, at) + ((<usize>strategy) << 2);
		for (; at < next; at++) {
			if (zap(record, strategy, cause, site)) {
				zapped++;
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

/** Every leaf table of an address space goes, under every strategy. */
export function dropLeafTables(root: Root, limit: u64): void {
	for (let at = nextPresent(root, 0, limit); at < limit; at = nextPresent(root, leafEnd(at, limit), limit)) store<u32>(leafOf(root, at), 0);
}

/** A present SPTE for what a PTE maps, with its rights. */
// @ts-ignore: decorator
@inline
export function spteFor(pte: u32, flags: u32): u32 {
	return (pte & (FRAME_MASK | Bit.writable)) | Bit.present | flags;
}
