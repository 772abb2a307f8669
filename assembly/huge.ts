// Huge mappings (kernel.md 1.15, 3.4, 3.6): a PMD that maps 512 pages, noted in the header of its leaf, and the 2 MiB leaf that KVM makes of it.
import { count } from "./counters";
import { faultIn, faultInRange } from "./entries";
import { ZERO_PAGE } from "./frames";
import { Cause, Counter, Kind } from "./generated/constants";
import { dropFromVcpus, flushGuest, flushGuestRange, flushVcpus, NO_SITE } from "./guestflush";
import { legacyMmu } from "./kvmhost";
import { Bit, FRAME_MASK, NO_PAGE, NODE_ENTRIES } from "./layout";
import { openOperation, wholeOperation } from "./operation";
import { noteChangedPage } from "./oracle";
import { findRecord, leafEnd, leafOf, nextPresent, Root, recordIn } from "./pagetable";
import { frameOf, populateFresh, pteOf } from "./primary";
import { hugeStart, isReadOnly } from "./slots";
import { addLeafTable, handOver, hasLeafTable, isHugeLeaf, makeHugeLeaf, makeSpte, zapHugeLeaf } from "./spte";
import { begin, closeOperation, commit, end } from "./steps";
import { rangedFlush } from "./tlb";
import { Mm, rootOf, Vcpu, Vm } from "./world";

// @ts-ignore: decorator
@inline
function firstOf(page: u64): u64 {
	return page & ~(<u64>NODE_ENTRIES - 1);
}

/** Whether a huge PMD maps the page: host_pfn_mapping_level. */
export function isHuge(mm: Mm, page: u64): bool {
	const leaf = leafOf(mm.ptes, page);
	return leaf != 0 && load<u32>(leaf) != 0;
}

/** The huge zero page, which no rmap walk finds (1.15). */
export function isHugeZero(mm: Mm, page: u64): bool {
	const first = pteOf(mm, firstOf(page));
	return isHuge(mm, page) && (first & Bit.present) != 0 && frameOf(first) == ZERO_PAGE;
}

/** The 512 pages around `page`, all of them there, are mapped by one PMD from now on. */
export function makeHuge(mm: Mm, page: u64): void {
	store<u32>(leafOf(mm.ptes, page), 1);
}

/** PMDs that meet [page, last) become tables of PTEs. */
export function splitRange(mm: Mm, page: u64, last: u64): void {
	for (let at = nextPresent(mm.ptes, page, last); at < last; at = nextPresent(mm.ptes, leafEnd(at, last), last))
		store<u32>(leafOf(mm.ptes, at), 0);
}

/** What works on one page of a huge mapping splits it first, in a bracket of its own; nothing to do where the trace has the split. */
export function splitFirst(mm: Mm, page: u64): void {
	if (!isHuge(mm, page)) return;
	const operation = wholeOperation(Kind.thpSplit, mm, firstOf(page), NODE_ENTRIES);
	begin(operation);
	commit(operation);
	end(operation);
}

/** zap_pmd_range: a PMD that the range [page, end) covers in part is split first, in a bracket of 2 MiB, within that of the range. */
export function splitEdges(mm: Mm, page: u64, end: u64): void {
	if (page >= end) return;
	if ((page & (NODE_ENTRIES - 1)) != 0) splitWithin(mm, page);
	if ((end & (NODE_ENTRIES - 1)) != 0) splitWithin(mm, end - 1);
}

function splitWithin(mm: Mm, page: u64): void {
	if (!isHuge(mm, page)) return;
	const operation = openOperation(Kind.thpSplit, mm, firstOf(page), NODE_ENTRIES);
	begin(operation);
	commit(operation);
	end(operation);
	closeOperation(operation);
}

/** The 512 pages around `page` are there, and one PMD maps them. */
export function populateHuge(mm: Mm, page: u64): void {
	faultIn(mm, page, false);
	if (isHuge(mm, page)) return;
	const first = firstOf(page);
	faultInRange(mm, first, first + NODE_ENTRIES);
	for (let at = first; at < first + NODE_ENTRIES; at++) {
		if ((pteOf(mm, at) & Bit.present) == 0) populateFresh(mm, at, true);
	}
	makeHuge(mm, page);
}

/** Entries of a leaf at the host's mapping level: one, or the 512 of a 2 MiB leaf (true). `record` and `pte` are those of the gfn. */
export function setLeaf(vcpu: Vcpu, strategy: u32, addressSpace: u32, record: usize, gfn: u64, page: u64, pte: u32): bool {
	const vm = vcpu.vm;
	const root = rootOf(vm, addressSpace);
	const leaf = leafOf(root, gfn);
	const first = isHuge(vm.mm, page) ? hugeStart(vm, addressSpace, gfn) : NO_PAGE;
	const at = record + ((<usize>strategy) << 2);
	const rights: u32 = isReadOnly(vm, addressSpace, gfn) ? ~(<u32>Bit.writable) : 0xffff_ffff;
	if (first == NO_PAGE) {
		// A 2 MiB leaf where a table is needed is zapped (kvm_tdp_mmu_map).
		if (isHugeLeaf(leaf, strategy)) {
			zapHugeLeaf(root, leaf, strategy, Cause.other, NO_SITE);
			flush(vm, strategy, addressSpace, firstOf(gfn));
		}
		const old = load<u32>(at);
		if (replaceLeaf(vcpu, strategy, gfn, old, pte, true)) handOver(strategy, old);
		store<u32>(at, makeSpte(pte & rights, false));
		addLeafTable(root, gfn, record, strategy);
		return false;
	}
	if (replaceLeaf(vcpu, strategy, gfn, load<u32>(at), pte, isHugeLeaf(leaf, strategy))) handOver(strategy, allOf(root, leaf, strategy));
	else if (!isHugeLeaf(leaf, strategy)) handOverTable(root, leaf, strategy);
	// A leaf in the place of a table: what the table mapped may still be in TLBs (tdp_mmu_map_handle_target_level, mmu_set_spte).
	if (hasLeafTable(leaf, strategy)) flush(vm, strategy, addressSpace, first);
	const bit: u32 = 1 << strategy;
	const ptes = findRecord(vm.mm.ptes, firstOf(page));
	// Other pages under a leaf that stands: no kernel does that (__handle_changed_spte is a BUG there), a trace that populates over pages does.
	if (isHugeLeaf(leaf, strategy) && hasMoved(root, leaf, strategy, ptes)) flushVcpus(vm, strategy);
	store<u32>(leaf, load<u32>(leaf) & ~bit);
	makeHugeLeaf(leaf, strategy);
	fillHugeLeaf(root, leaf, strategy, ptes, rights);
	return true;
}

/**
 * What the fault's leaf was before: true if it was a leaf of the same level (`sameLevel`) with another page, one that no notifier took away. The TDP
 * MMU stops there (I-7), the legacy MMU drops it and flushes. The same leaf with more rights tells nobody.
 */
function replaceLeaf(vcpu: Vcpu, strategy: u32, gfn: u64, old: u32, pte: u32, sameLevel: bool): bool {
	count(strategy, (old & Bit.present) == 0 ? Counter.spteInstalled : Counter.spteChanged);
	if (!sameLevel || (old & Bit.present) == 0 || ((old ^ pte) & FRAME_MASK) == 0) return false;
	if (legacyMmu) flushGuest(vcpu.vm, strategy, NO_SITE);
	else noteChangedPage(vcpu, strategy, gfn);
	return true;
}

/** The bits of the entries of a 2 MiB leaf. */
function allOf(root: Root, leaf: usize, strategy: u32): u32 {
	const stride = (<usize>root.words) << 2;
	let record = recordIn(root, leaf, 0) + ((<usize>strategy) << 2);
	let all: u32 = 0;
	for (let index: u32 = 0; index < NODE_ENTRIES; index++) {
		all |= load<u32>(record);
		record += stride;
	}
	return all;
}

/** A table that a leaf replaces goes entry by entry. */
function handOverTable(root: Root, leaf: usize, strategy: u32): void {
	const stride = (<usize>root.words) << 2;
	let record = recordIn(root, leaf, 0) + ((<usize>strategy) << 2);
	for (let index: u32 = 0; index < NODE_ENTRIES; index++) {
		const spte = load<u32>(record);
		if ((spte & Bit.present) != 0) handOver(strategy, spte);
		record += stride;
	}
}

/** The first entry of a PMD's PTEs stands for the first of the leaf: hva and gpa are congruent. */
function fillHugeLeaf(root: Root, leaf: usize, strategy: u32, ptes: usize, rights: u32): void {
	const stride = (<usize>root.words) << 2;
	let record = recordIn(root, leaf, 0) + ((<usize>strategy) << 2);
	for (let index: usize = 0; index < NODE_ENTRIES; index++) {
		store<u32>(record, makeSpte(load<u32>(ptes + (index << 2)) & rights, false));
		record += stride;
	}
}

/** Whether the leaf has another page than the PTEs somewhere. */
function hasMoved(root: Root, leaf: usize, strategy: u32, ptes: usize): bool {
	const stride = (<usize>root.words) << 2;
	let record = recordIn(root, leaf, 0) + ((<usize>strategy) << 2);
	for (let index: usize = 0; index < NODE_ENTRIES; index++) {
		if (((load<u32>(record) ^ load<u32>(ptes + (index << 2))) & FRAME_MASK) != 0) return true;
		record += stride;
	}
	return false;
}

/** For the 2 MiB from `first` on. */
function flush(vm: Vm, strategy: u32, addressSpace: u32, first: u64): void {
	const dropped: u64 = rangedFlush ? dropFromVcpus(vm, strategy, addressSpace, first, first + NODE_ENTRIES) : 0;
	flushGuestRange(vm, strategy, NO_SITE, dropped);
}
