// Memslots that come, move, change and go, and the dirty log (KVM_SET_USER_MEMORY_REGION and KVM_GET_DIRTY_LOG; kernel.md 3.1, 3.6;
// model.md section 3, rule 7). What the kernel refuses (another hva, size or read-only flag for a slot that is there) is a deletion and a
// new slot.

import { countLock } from "./bracket";
import { count, countAll, countBy, siteCounter } from "./counters";
import { noteZap } from "./exits";
import { Cause, Counter, Site, SiteCounter } from "./generated/constants";
import { flushGuest, flushVcpus } from "./guestflush";
import { isHuge } from "./huge";
import { legacyMmu, pml } from "./kvmhost";
import { Bit, NODE_ENTRIES, PAGE_LIMIT, SpteBit } from "./layout";
import { logging, logZap } from "./log";
import { suspectAll } from "./oracle";
import { leafEnd, leafOf, nextPresent, Root, recordIn } from "./pagetable";
import { addSlot, hugeStart, hvaOf, numberedSlot, removeSlot, Slot } from "./slots";
import { dropLeafTable, dropLeafTables, hasLeafTable, isDirty, isHugeLeaf, splitHugeLeaf, zap, zapRange } from "./spte";
import { exists, rootOf, strategies, Vm } from "./world";

/** kvm_mmu_zap_all_fast: every SPTE of the VM and its leaf tables. The vCPUs get new roots, without a flush of their own. */
export function zapAll(vm: Vm, site: u32): void {
	for (let strategy: u32 = 0; strategy < strategies; strategy++) {
		countLock(strategy, site);
		let zapped: u64 = 0;
		for (let as: u32 = 0; as < 2; as++) zapped += zapRange(rootOf(vm, as), 0, PAGE_LIMIT, strategy, Cause.kvmZap, site);
		countBy(strategy, siteCounter(site, SiteCounter.sptePresent), zapped);
		flushVcpus(vm, strategy);
	}
	for (let as: u32 = 0; as < 2; as++) dropLeafTables(rootOf(vm, as), PAGE_LIMIT);
}

/** A slot as it shall be; without pages it goes. */
export function setMemslot(vm: Vm, number: u64, as: u32, gfn: u64, page: u64, pages: u64, readOnly: bool, logDirty: bool): void {
	countAll(siteCounter(Site.memslot, SiteCounter.count));
	const old = numberedSlot(vm, number, as);
	if (exists(old)) {
		if (pages == old.pages && page == old.page && readOnly == old.readOnly && gfn == old.gfn) {
			const toggled = logDirty != old.logDirty;
			old.logDirty = logDirty;
			// A read-only slot has nothing to log.
			if (!toggled || readOnly) return;
			for (let strategy: u32 = 0; strategy < strategies; strategy++) {
				if (logDirty) startLogging(vm, strategy, old);
				else stopLogging(vm, strategy, old);
			}
			return;
		}
		removeSlot(vm, old);
		zapAll(vm, Site.memslot);
	}
	if (pages != 0 && !addSlot(vm, number, as, gfn, page, pages, readOnly, logDirty)) suspectAll();
}

/**
 * Dirty logging begins (kvm_mmu_slot_apply_flags): the TDP MMU splits 2 MiB leaves at once (eager_page_split, since 5.17), the legacy MMU
 * write-protects them and leaves the rest to the store's fault. With page-modification logging D goes from 4 KiB SPTEs, otherwise W. The flush is
 * unconditional.
 */
function startLogging(vm: Vm, strategy: u32, slot: Slot): void {
	if (legacyMmu) countLock(strategy, Site.memslot);
	// D is cleared at one pass, huge leaves are write-protected at another.
	if (legacyMmu && pml) countLock(strategy, Site.memslot);
	const root = rootOf(vm, slot.addressSpace);
	const end = slot.gfn + slot.pages;
	const stride = (<usize>root.words) << 2;
	for (let at = nextPresent(root, slot.gfn, end); at < end; ) {
		const next = leafEnd(at, end);
		const leaf = leafOf(root, at);
		if (legacyMmu && isHugeLeaf(leaf, strategy))
			protectEntries(recordIn(root, leaf, 0) + ((<usize>strategy) << 2), stride, NODE_ENTRIES, strategy, Bit.writable);
		else {
			if (isHugeLeaf(leaf, strategy)) splitHugeLeaf(root, leaf, strategy);
			protectRange(root, leaf, at, next, strategy);
		}
		at = nextPresent(root, next, end);
	}
	flushGuest(vm, strategy, Site.memslot);
}

/** The 4 KiB SPTEs of [at, next) in one leaf table. */
function protectRange(root: Root, leaf: usize, at: u64, next: u64, strategy: u32): void {
	const stride = (<usize>root.words) << 2;
	let record = recordIn(root, leaf, at) + ((<usize>strategy) << 2);
	for (let gfn = at; gfn < next; gfn++) {
		protectEntries(record, stride, 1, strategy, pml ? <u32>SpteBit.dirty : Bit.writable);
		record += stride;
	}
}

/** The next store to a leaf shall be noticed: `taken` is W or D. MMU-writable stays: the fast path gives W back. */
function protectEntries(first: usize, stride: usize, entries: u32, strategy: u32, taken: u32): void {
	if ((load<u32>(first) & Bit.present) == 0) return;
	let before: u32 = 0;
	let at = first;
	for (let index: u32 = 0; index < entries; index++) {
		before |= load<u32>(at);
		at += stride;
	}
	if ((before & taken) == 0) return;
	at = first;
	for (let index: u32 = 0; index < entries; index++) {
		store<u32>(at, load<u32>(at) & ~taken);
		at += stride;
	}
	count(strategy, Counter.spteChanged);
	if (isDirty(before) && !isDirty(before & ~taken)) count(strategy, Counter.pfnDirtied);
}

/**
 * Dirty logging ends: what could be mapped by 2 MiB goes, so that the next fault maps it so. The TDP MMU drops the whole table, each with a flush,
 * under mmu_lock for reading; the legacy MMU its SPTEs, with one flush.
 */
function stopLogging(vm: Vm, strategy: u32, slot: Slot): void {
	if (legacyMmu) countLock(strategy, Site.memslot);
	const as = slot.addressSpace;
	const root = rootOf(vm, as);
	const end = slot.gfn + slot.pages;
	const stride = (<usize>root.words) << 2;
	let zapped = false;
	let first = (slot.gfn + NODE_ENTRIES - 1) & ~(<u64>NODE_ENTRIES - 1);
	for (first = nextPresent(root, first, end); first + NODE_ENTRIES <= end; first = nextPresent(root, first + NODE_ENTRIES, end)) {
		const leaf = leafOf(root, first);
		if (!hasLeafTable(leaf, strategy) || hugeStart(vm, as, first) != first || !isHuge(vm.mm, hvaOf(vm, as, first))) continue;
		let record = recordIn(root, leaf, first) + ((<usize>strategy) << 2);
		for (let index: u32 = 0; index < NODE_ENTRIES; index++) {
			if (zap(record, strategy, Cause.kvmZap, Site.memslot)) {
				zapped = true;
				noteZap(root, leaf, first + index, strategy);
				if (logging) logZap(root, first + index, strategy, record);
			}
			record += stride;
		}
		if (legacyMmu) continue;
		dropLeafTable(leaf, strategy);
		flushGuest(vm, strategy, Site.memslot);
	}
	if (legacyMmu && zapped) flushGuest(vm, strategy, Site.memslot);
}

/**
 * KVM_GET_DIRTY_LOG, KVM_CLEAR_DIRTY_LOG: `pages` of a slot from `offset` on were found dirty, and the next store to each shall be noticed again
 * (kvm_arch_mmu_enable_log_dirty_pt_masked).
 */
export function harvestDirtyLog(vm: Vm, number: u64, as: u32, offset: u64, pages: u64): void {
	countAll(siteCounter(Site.dirtyLog, SiteCounter.count));
	const slot = numberedSlot(vm, number, as);
	if (!exists(slot) || !slot.logDirty) return;
	const first = slot.gfn + min<u64>(offset, slot.pages);
	const end = min<u64>(first + pages, slot.gfn + slot.pages);
	if (first >= end) return;
	const root = rootOf(vm, as);
	for (let strategy: u32 = 0; strategy < strategies; strategy++) {
		countLock(strategy, Site.dirtyLog);
		harvest(root, first, end, strategy);
		flushGuest(vm, strategy, Site.dirtyLog);
	}
}

function harvest(root: Root, first: u64, end: u64, strategy: u32): void {
	const counter = siteCounter(Site.dirtyLog, SiteCounter.sptePresent);
	const stride = (<usize>root.words) << 2;
	for (let at = nextPresent(root, first, end); at < end; ) {
		const next = leafEnd(at, end);
		const leaf = leafOf(root, at);
		if (isHugeLeaf(leaf, strategy)) count(strategy, counter);
		else {
			let record = recordIn(root, leaf, at) + ((<usize>strategy) << 2);
			for (let gfn = at; gfn < next; gfn++) {
				if ((load<u32>(record) & Bit.present) != 0) count(strategy, counter);
				record += stride;
			}
			protectRange(root, leaf, at, next, strategy);
		}
		at = nextPresent(root, next, end);
	}
}
