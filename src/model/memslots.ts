// Memslots that come, move, change and go, and the dirty log (KVM_SET_USER_MEMORY_REGION and KVM_GET_DIRTY_LOG; kernel.md 3.1, 3.6;
// model.md section 3, rule 7). What the kernel refuses (another hva, size or read-only flag for a slot that is there) is a deletion and a new slot.
import type { Site } from "../counters.js";
import { HUGE_PAGES } from "./mm.js";
import { isDirty } from "./spte.js";
import type { Memslot, TdpRoot, Vm } from "./vm.js";
import type { World } from "./world.js";

/** kvm_mmu_zap_all_fast: every SPTE of the VM, in both address spaces, and its leaf tables. The vCPUs get new roots, without a flush of their own. */
export function zapAll(world: World, vm: Vm, site: Site): void {
	world.lockForWrite(site);
	let zapped = 0;
	for (const root of vm.roots) {
		for (const [gfn] of root.entries()) if (world.zapSpte(root, gfn, "kvmZap", site)) zapped++;
		root.dropTables();
	}
	world.countSite(site, "sptePresent", zapped);
	for (const vcpu of world.vcpusOf(vm)) world.emptyTlb(vcpu);
}

/** `slot` as it shall be; without pages it goes. */
export function setMemslot(world: World, vm: Vm, slot: Memslot): void {
	world.countSite("memslot", "count");
	const old = vm.numbered(slot.slot, slot.as);
	const stays = old !== undefined && slot.pages === old.pages && slot.page === old.page && slot.readOnly === old.readOnly;
	if (stays && slot.gfn === old.gfn) {
		vm.changeSlot(slot);
		// A read-only slot has nothing to log.
		if (slot.logDirty === old.logDirty || slot.readOnly) return;
		if (slot.logDirty) startLogging(world, vm, slot);
		else stopLogging(world, vm, slot);
		return;
	}
	if (old !== undefined) {
		vm.deleteSlot(slot.slot, slot.as);
		zapAll(world, vm, "memslot");
	}
	if (slot.pages > 0) vm.addSlot(slot);
}

/**
 * Dirty logging begins (kvm_mmu_slot_apply_flags): the TDP MMU splits 2 MiB leaves at once (eager_page_split, since 5.17), the legacy MMU write-protects
 * them and leaves the rest to the store's fault. With page-modification logging D goes from 4 KiB SPTEs, otherwise W. The flush is unconditional.
 */
function startLogging(world: World, vm: Vm, slot: Memslot): void {
	const { mmu, pml } = world.host;
	const root = vm.root(slot.as);
	const legacy = mmu === "legacy";
	if (legacy) world.lockForWrite("memslot");
	// D is cleared at one pass, huge leaves are write-protected at another.
	if (legacy && pml) world.lockForWrite("memslot");
	for (const gfn of root.leaves(slot.gfn, slot.gfn + slot.pages)) {
		if (!root.entry(gfn).huge) protect(world, root, gfn, pml);
		else if (legacy) protect(world, root, gfn, false);
		else {
			const first = splitLeaf(world, root, gfn);
			const end = Math.min(first + HUGE_PAGES, slot.gfn + slot.pages);
			for (let at = gfn; at < end; at++) protect(world, root, at, pml);
		}
	}
	world.flushGuest(vm, "memslot");
}

/** tdp_mmu_split_huge_page: a table with 512 entries of the leaf's page, rights, A and D. */
function splitLeaf(world: World, root: TdpRoot, gfn: number): number {
	const entries = root.leaf(gfn);
	const accessed = entries.some((entry) => entry.accessed);
	const dirty = entries.some((entry) => entry.dirty);
	for (const entry of entries) {
		entry.huge = false;
		entry.accessed = accessed;
		entry.dirty = dirty;
	}
	root.addLeafTable(gfn);
	world.count("spteChanged");
	return gfn - (gfn % HUGE_PAGES);
}

/** The next store to a leaf shall be noticed. MMU-writable stays: the fast path gives W back. */
function protect(world: World, root: TdpRoot, gfn: number, byDirtyBit: boolean): void {
	const entries = root.leaf(gfn);
	const { host } = world;
	if (entries[0]?.frame === null) return;
	const before = entries.some((entry) => isDirty(host, entry));
	if (!entries.some((entry) => (byDirtyBit ? entry.dirty : entry.writable))) return;
	for (const entry of entries) {
		if (byDirtyBit) entry.dirty = false;
		else entry.writable = false;
	}
	world.count("spteChanged");
	if (!before || entries.some((entry) => isDirty(host, entry))) return;
	world.count("pfnDirtied");
	for (const entry of entries) {
		if (entry.frame !== null) entry.frame.dirty = true;
		entry.stored = false;
	}
}

/**
 * Dirty logging ends: what could be mapped by 2 MiB goes, so that the next fault maps it so. The TDP MMU drops the whole table, each with a flush, under
 * mmu_lock for reading; the legacy MMU its SPTEs, with one flush.
 */
function stopLogging(world: World, vm: Vm, slot: Memslot): void {
	const root = vm.root(slot.as);
	const legacy = world.host.mmu === "legacy";
	if (legacy) world.lockForWrite("memslot");
	let zapped = false;
	const end = slot.gfn + slot.pages;
	for (let first = Math.ceil(slot.gfn / HUGE_PAGES) * HUGE_PAGES; first + HUGE_PAGES <= end; first += HUGE_PAGES) {
		const page = vm.hva(slot.as, first);
		if (page === undefined || vm.hugeStart(slot.as, first) === undefined || !vm.mm.isHuge(page) || !root.hasLeafTable(first)) continue;
		for (let at = first; at < first + HUGE_PAGES; at++) if (world.zapSpte(root, at, "kvmZap", "memslot")) zapped = true;
		if (legacy) continue;
		root.removeLeafTable(first);
		world.flushGuest(vm, "memslot");
	}
	if (legacy && zapped) world.flushGuest(vm, "memslot");
}

/**
 * KVM_GET_DIRTY_LOG, KVM_CLEAR_DIRTY_LOG: `pages` of a slot from `offset` on were found dirty, and the next store to each shall be noticed again
 * (kvm_arch_mmu_enable_log_dirty_pt_masked).
 */
export function harvestDirtyLog(world: World, vm: Vm, number: number, as: number, offset: number, pages: number): void {
	world.countSite("dirtyLog", "count");
	const slot = vm.numbered(number, as);
	if (slot === undefined || !slot.logDirty) return;
	const first = slot.gfn + Math.min(offset, slot.pages);
	const end = Math.min(first + pages, slot.gfn + slot.pages);
	if (first >= end) return;
	world.lockForWrite("dirtyLog");
	const root = vm.root(as);
	for (const gfn of root.leaves(first, end)) {
		world.countSite("dirtyLog", "sptePresent");
		if (!root.entry(gfn).huge) protect(world, root, gfn, world.host.pml);
	}
	world.flushGuest(vm, "dirtyLog");
}
