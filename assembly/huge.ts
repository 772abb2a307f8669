// Huge mappings (kernel.md 1.15, 3.4, 3.6): a PMD that maps 512 pages, noted in the header of its leaf, and the 2 MiB leaf that KVM makes of it.
import { count } from "./counters";
import { allocate } from "./frames";
import { Cause, Counter, Kind } from "./generated/constants";
import { Bit, HUGE_LEAVES, NO_PAGE, NODE_ENTRIES, SpteBit } from "./layout";
import { findRecord, leafEnd, leafOf, nextPresent, Root, recordIn } from "./pagetable";
import { pteOf, setPte, writingAllowed } from "./primary";
import { hugeStart, isReadOnly } from "./slots";
import { addLeafTable, hasLeafTable, isHugeLeaf, spteFor, zapHugeLeaf } from "./spte";
import { begin, commit, end, flushVcpus, wholeOperation } from "./steps";
import { Mm, rootOf, Vm } from "./world";

/** Of a zap that no call site made. */
// @ts-ignore: decorator
@inline
const NO_SITE: u32 = 0xffff_ffff;

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

/** The 512 pages around `page` are there, and one PMD maps them. */
export function populateHuge(mm: Mm, page: u64): void {
	if (isHuge(mm, page)) return;
	const first = firstOf(page);
	for (let at = first; at < first + NODE_ENTRIES; at++) {
		if ((pteOf(mm, at) & Bit.present) == 0) setPte(mm, at, allocate(), writingAllowed(mm, at));
	}
	makeHuge(mm, page);
}

/** Entries of a leaf at the host's mapping level: one, or the 512 of a 2 MiB leaf. `record` and `pte` are those of the gfn. */
export function setLeaf(vm: Vm, strategy: u32, addressSpace: u32, record: usize, gfn: u64, page: u64, pte: u32): void {
	const root = rootOf(vm, addressSpace);
	const leaf = leafOf(root, gfn);
	const first = isHuge(vm.mm, page) ? hugeStart(vm, addressSpace, gfn) : NO_PAGE;
	const at = record + ((<usize>strategy) << 2);
	const rights: u32 = isReadOnly(vm, addressSpace, gfn) ? ~(<u32>Bit.writable) : 0xffff_ffff;
	if (first == NO_PAGE) {
		// A 2 MiB leaf where a table is needed is zapped (kvm_tdp_mmu_map).
		if (isHugeLeaf(leaf, strategy)) {
			zapHugeLeaf(root, leaf, strategy, Cause.other, NO_SITE);
			flush(vm, strategy);
		}
		countInstall(at, strategy);
		store<u32>(at, spteFor(pte & rights, SpteBit.accessed));
		addLeafTable(root, gfn, record, strategy);
		return;
	}
	countInstall(at, strategy);
	// A leaf in the place of a table: what the table mapped may still be in TLBs (tdp_mmu_map_handle_target_level).
	if (hasLeafTable(leaf, strategy)) flush(vm, strategy);
	const bit: u32 = 1 << strategy;
	store<u32>(leaf, load<u32>(leaf) & ~bit);
	store<u32>(leaf, load<u32>(leaf, HUGE_LEAVES) | bit, HUGE_LEAVES);
	fillHugeLeaf(root, leaf, strategy, findRecord(vm.mm.ptes, firstOf(page)), rights);
}

/** The first entry of a PMD's PTEs stands for the first of the leaf: hva and gpa are congruent. */
function fillHugeLeaf(root: Root, leaf: usize, strategy: u32, ptes: usize, rights: u32): void {
	const stride = (<usize>root.words) << 2;
	let record = recordIn(root, leaf, 0) + ((<usize>strategy) << 2);
	for (let index: usize = 0; index < NODE_ENTRIES; index++) {
		store<u32>(record, spteFor(load<u32>(ptes + (index << 2)) & rights, SpteBit.accessed));
		record += stride;
	}
}

// @ts-ignore: decorator
@inline
function countInstall(at: usize, strategy: u32): void {
	count(strategy, (load<u32>(at) & Bit.present) == 0 ? Counter.spteInstalled : Counter.spteChanged);
}

function flush(vm: Vm, strategy: u32): void {
	count(strategy, Counter.flush_guestTlb);
	flushVcpus(vm, strategy);
}
