// Memslots of a VM: gfn to hva, and from an hva range back to every gfn that it backs (kernel.md 3.1), aliases and both address spaces
// included.
import { enlarge, take } from "./heap";
import { NO_PAGE, NODE_ENTRIES } from "./layout";
import { exists, Mm, Vm } from "./world";

@unmanaged
export class Slot {
	slot: u64;
	gfn: u64;
	/** First hva page. */
	page: u64;
	pages: u64;
	addressSpace: u32;
	/** KVM_MEM_READONLY: no writable SPTE; a guest's write is emulated. */
	readOnly: bool;
	/** KVM_MEM_LOG_DIRTY_PAGES: no SPTE over 4 KiB, and each first store is noticed. */
	logDirty: bool;
}

/** A piece of an hva range in a memslot: gfns [gfn, gfn + pages). */
@unmanaged
export class Run {
	gfn: u64;
	pages: u64;
	/** hva page of `gfn`. */
	page: u64;
	addressSpace: u32;
}

/** A VM whose memslots an hva range touches, and the runs that it has of it. */
@unmanaged
export class Hit {
	vm: Vm;
	firstRun: u32;
	runs: u32;
}

// What `collect` found last, and what it was asked for; collectedMm: none.
export let hitCount: u32 = 0;
let collectedMm: Mm = changetype<Mm>(0);
let collectedPage: u64 = 0;
let collectedPages: u64 = 0;
let hits: usize = 0;
let hitBytes: usize = 0;
let runs: usize = 0;
let runBytes: usize = 0;

export function resetSlots(): void {
	hitCount = 0;
	collectedMm = changetype<Mm>(0);
	hitBytes = 1024;
	hits = take(hitBytes);
	runBytes = 4096;
	runs = take(runBytes);
}

// @ts-ignore: decorator
@inline
export function slotAt(vm: Vm, index: u32): Slot {
	return changetype<Slot>(vm.slots + <usize>index * offsetof<Slot>());
}

/** A slot by its number; address 0 where there is none. */
export function numberedSlot(vm: Vm, slot: u64, addressSpace: u32): Slot {
	for (let index: u32 = 0; index < vm.slotCount; index++) {
		const at = slotAt(vm, index);
		if (at.slot == slot && at.addressSpace == addressSpace) return at;
	}
	return changetype<Slot>(0);
}

export function removeSlot(vm: Vm, at: Slot): void {
	const behind = changetype<usize>(at) + offsetof<Slot>();
	vm.slotCount--;
	collectedMm = changetype<Mm>(0);
	memory.copy(changetype<usize>(at), behind, changetype<usize>(slotAt(vm, vm.slotCount)) + offsetof<Slot>() - behind);
	vm.lastSlot = 0;
	if (vm.slotCount == 0) vm.overlap = false;
}

/** False if what a gfn means may have changed while translations of it exist: slots overlap. */
export function addSlot(vm: Vm, slot: u64, addressSpace: u32, gfn: u64, page: u64, pages: u64, readOnly: bool, logDirty: bool): bool {
	// The list may move.
	vm.lastSlot = 0;
	for (let index: u32 = 0; index < vm.slotCount; index++) {
		const at = slotAt(vm, index);
		if (at.addressSpace == addressSpace && gfn < at.gfn + at.pages && at.gfn < gfn + pages) vm.overlap = true;
	}
	const bytes = <usize>vm.slotCount * offsetof<Slot>();
	if (bytes + offsetof<Slot>() > vm.slotBytes) {
		const wanted = max<usize>(vm.slotBytes * 2, 512);
		vm.slots = enlarge(vm.slots, vm.slotBytes, wanted);
		vm.slotBytes = wanted;
	}
	const last = slotAt(vm, vm.slotCount++);
	collectedMm = changetype<Mm>(0);
	last.slot = slot;
	last.gfn = gfn;
	last.page = page;
	last.pages = pages;
	last.addressSpace = addressSpace;
	last.readOnly = readOnly;
	last.logDirty = logDirty;
	return !vm.overlap;
}

/** The first slot in the list that has a gfn; address 0 where there is none. */
export function slotOf(vm: Vm, addressSpace: u32, gfn: u64): Slot {
	const known = changetype<Slot>(vm.lastSlot);
	if (vm.lastSlot != 0 && known.addressSpace == addressSpace && gfn - known.gfn < known.pages) return known;
	for (let index: u32 = 0; index < vm.slotCount; index++) {
		const slot = slotAt(vm, index);
		if (slot.addressSpace != addressSpace || gfn - slot.gfn >= slot.pages) continue;
		if (!vm.overlap) vm.lastSlot = changetype<usize>(slot);
		return slot;
	}
	return changetype<Slot>(0);
}

/** hva page of a gfn; NO_PAGE outside every slot. */
export function hvaOf(vm: Vm, addressSpace: u32, gfn: u64): u64 {
	const slot = slotOf(vm, addressSpace, gfn);
	return exists(slot) ? slot.page + (gfn - slot.gfn) : NO_PAGE;
}

/**
 * First gfn of the 2 MiB leaf that could map `gfn`: its memslot covers it all, with hva and gpa congruent, and does not log dirty pages; NO_PAGE if
 * it cannot (3.6, step 7).
 */
export function hugeStart(vm: Vm, addressSpace: u32, gfn: u64): u64 {
	const slot = slotOf(vm, addressSpace, gfn);
	const first = gfn & ~(<u64>NODE_ENTRIES - 1);
	if (!exists(slot) || slot.logDirty || ((slot.page ^ slot.gfn) & (NODE_ENTRIES - 1)) != 0) return NO_PAGE;
	return first >= slot.gfn && first + NODE_ENTRIES <= slot.gfn + slot.pages ? first : NO_PAGE;
}

export function isReadOnly(vm: Vm, addressSpace: u32, gfn: u64): bool {
	const slot = slotOf(vm, addressSpace, gfn);
	return exists(slot) && slot.readOnly;
}

export function logsDirty(vm: Vm, addressSpace: u32, gfn: u64): bool {
	const slot = slotOf(vm, addressSpace, gfn);
	return exists(slot) && slot.logDirty;
}

// @ts-ignore: decorator
@inline
export function hitAt(index: u32): Hit {
	return changetype<Hit>(hits + <usize>index * offsetof<Hit>());
}

// @ts-ignore: decorator
@inline
export function runAt(index: u32): Run {
	return changetype<Run>(runs + <usize>index * offsetof<Run>());
}

/** The VMs of an mm that [page, page + pages) touches, with their runs. Valid until the next call. */
// @ts-ignore: decorator
@inline
export function collect(mm: Mm, page: u64, pages: u64): void {
	if (collectedMm == mm && collectedPage == page && collectedPages == pages) return;
	collectAnew(mm, page, pages);
}

function collectAnew(mm: Mm, page: u64, pages: u64): void {
	collectedMm = mm;
	collectedPage = page;
	collectedPages = pages;
	hitCount = 0;
	let runCount: u32 = 0;
	const end = page + pages;
	for (let vm = mm.firstVm; exists(vm); vm = vm.nextOfMm) {
		const firstRun = runCount;
		let touched = false;
		for (let index: u32 = 0; index < vm.slotCount; index++) {
			const slot = slotAt(vm, index);
			const slotEnd = slot.page + slot.pages;
			if (page >= slotEnd || end <= slot.page) continue;
			touched = true;
			const first = max<u64>(page, slot.page);
			const last = min<u64>(end, slotEnd);
			if (first >= last) continue;
			const used = <usize>runCount * offsetof<Run>();
			if (used + offsetof<Run>() > runBytes) {
				runs = enlarge(runs, runBytes, runBytes * 2);
				runBytes *= 2;
			}
			const run = runAt(runCount++);
			run.addressSpace = slot.addressSpace;
			run.gfn = slot.gfn + (first - slot.page);
			run.page = first;
			run.pages = last - first;
		}
		if (!touched) continue;
		const used = <usize>hitCount * offsetof<Hit>();
		if (used + offsetof<Hit>() > hitBytes) {
			hits = enlarge(hits, hitBytes, hitBytes * 2);
			hitBytes *= 2;
		}
		const hit = hitAt(hitCount++);
		hit.vm = vm;
		hit.firstRun = firstRun;
		hit.runs = runCount - firstRun;
	}
}
