// The secondary MMUs other than KVM (kernel.md 4), as src/model/devices.ts has them: device TLBs over the CPU's page table, mirrors with an interval
// notifier, and devices for which pages are pinned. What a device does to the primary table happens once; its translations exist for each strategy.
import { sameContent, writeContent, writeContentAll } from "./contents";
import { count, countAll } from "./counters";
import { breakOrReuse } from "./cow";
import {
	Device,
	DeviceState,
	deviceState,
	dropFromTable,
	dropFromTlb,
	entriesOf,
	isBracketed,
	placeOf,
	putFirst,
	tlbBytes,
} from "./device";
import { isMapped } from "./entries";
import { Effect, primaryEffect } from "./fault";
import { FrameBit, keepFreed, pin, settleFreed, unpin, wordOf } from "./frames";
import { AgentKind, Counter, DeviceKind, Hint, MAX_DEVICE_TLB, Rule } from "./generated/constants";
import { reserve } from "./heap";
import { Bit, FRAME_SHIFT, NO_PAGE, PAGE_LIMIT } from "./layout";
import { canReuseFrames, checking, tooPermissive } from "./oracle";
import { findRecord, leafEnd, leafOf, makeRecord, makeRoot, nextPresent, recordIn } from "./pagetable";
import { frameOf, presentAfterFault, pteAllows, pteOf, writingAllowed } from "./primary";
import { get, remove, resetTable, set, TABLE_BYTES, Table } from "./table";
import { violate } from "./violations";
import { openWindows, quiescent } from "./windows";
import { exists, Mm, strategies } from "./world";

const devices = changetype<Table>(memory.data(<i32>TABLE_BYTES));

export let firstDevice: Device = changetype<Device>(0);

let lastDevice: Device = changetype<Device>(0);

/** Accesses that wait, under all strategies. */
let waiting: u32 = 0;

export function resetDevices(): void {
	resetTable(devices);
	firstDevice = changetype<Device>(0);
	lastDevice = changetype<Device>(0);
	waiting = 0;
}

// @ts-ignore: decorator
@inline
function keyOf(mm: Mm, id: u32): u64 {
	return ((<u64>mm.id) << 32) | id;
}

export function attach(mm: Mm, id: u32, kind: u32, page: u64, pages: u64, entries: u64): void {
	detach(mm, id);
	const device = changetype<Device>(reserve(offsetof<Device>() + offsetof<DeviceState>() * strategies));
	device.id = id;
	device.mm = mm;
	device.kind = kind;
	device.first = kind == DeviceKind.sva ? 0 : page;
	device.end = kind == DeviceKind.sva ? PAGE_LIMIT : min<u64>(page + pages, PAGE_LIMIT);
	device.capacity = <u32>min<u64>(max<u64>(entries, 1), MAX_DEVICE_TLB);
	for (let strategy: u32 = 0; strategy < strategies; strategy++) deviceState(device, strategy).pendingPage = NO_PAGE;
	if (kind == DeviceKind.sva) device.tlbs = reserve(tlbBytes(device) * strategies);
	else device.table = makeRoot(kind == DeviceKind.mirror ? strategies : 0);
	if (exists(lastDevice)) lastDevice.next = device;
	else firstDevice = device;
	lastDevice = device;
	set(devices, keyOf(mm, id), <u32>changetype<usize>(device));
	if (kind == DeviceKind.pinned) {
		for (let at = page; at < device.end; at++) pinPage(device, at);
		settleFreed(canReuseFrames());
	} else {
		mm.notifiers++;
		keepFreed();
	}
}

/** pin_user_pages(FOLL_WRITE | FOLL_LONGTERM): the page is faulted in for writing, and from then on a reference and a pin stay on it. */
function pinPage(device: Device, page: u64): void {
	const mm = device.mm;
	if (!writingAllowed(mm, page)) return;
	let pte = pteOf(mm, page);
	if (!pteAllows(pte, true)) countAll(Counter.hostFaults);
	if ((pte & Bit.present) == 0) pte = presentAfterFault(mm, page, true);
	if (pte != 0 && (pte & Bit.writable) == 0) breakOrReuse(mm, page, Hint.derive);
	const now = pteOf(mm, page);
	pin(frameOf(now));
	store<u32>(makeRecord(device.table, page), now);
}

export function detach(mm: Mm, id: u32): void {
	const known = get(devices, keyOf(mm, id));
	if (known == 0) return;
	remove(devices, keyOf(mm, id));
	const device = changetype<Device>(known);
	let before = changetype<Device>(0);
	for (let at = firstDevice; changetype<usize>(at) != known; at = at.next) before = at;
	if (exists(before)) before.next = device.next;
	else firstDevice = device.next;
	if (changetype<usize>(lastDevice) == known) lastDevice = before;
	for (let strategy: u32 = 0; strategy < strategies; strategy++) {
		if (deviceState(device, strategy).pendingPage != NO_PAGE) waiting--;
	}
	if (device.kind != DeviceKind.pinned) {
		mm.notifiers--;
		return;
	}
	const table = device.table;
	for (let at = nextPresent(table, device.first, device.end); at < device.end; at = nextPresent(table, at, device.end)) {
		const next = leafEnd(at, device.end);
		let word = recordIn(table, leafOf(table, at), at);
		for (; at < next; at++) {
			if ((load<u32>(word) & Bit.present) != 0) unpin(frameOf(load<u32>(word)));
			word += 4;
		}
	}
	settleFreed(canReuseFrames());
}

/** exit_mmap: the notifiers' release, and what was pinned. */
export function detachAll(mm: Mm): void {
	let device = firstDevice;
	while (exists(device)) {
		const next = device.next;
		if (device.mm == mm) detach(mm, device.id);
		device = next;
	}
}

/** range_start or an invalidation reaches a mirror: its entries of the range go. */
function invalidateMirror(device: Device, strategy: u32, page: u64, pages: u64): void {
	count(strategy, Counter.device_mirrorInvalidations);
	dropFromTable(device, strategy, page, page + pages);
}

/** Faults on the mirror wait from here until `mirrorEnd`. */
export function mirrorStart(device: Device, strategy: u32, page: u64, pages: u64): void {
	deviceState(device, strategy).inProgress++;
	invalidateMirror(device, strategy, page, pages);
}

export function mirrorEnd(device: Device, strategy: u32): void {
	const state = deviceState(device, strategy);
	state.seq++;
	state.inProgress--;
}

/** invalidate_secondary_tlbs: every SVA device of the mm drops its TLB's entries of the range. */
export function tellDeviceTlbs(mm: Mm, strategy: u32, page: u64, pages: u64): void {
	if (flushTlbs(mm, strategy, page, pages)) count(strategy, Counter.notifier_invalidateSecondaryTlb);
}

function flushTlbs(mm: Mm, strategy: u32, page: u64, pages: u64): bool {
	let any = false;
	for (let device = firstDevice; exists(device); device = device.next) {
		if (device.kind != DeviceKind.sva || device.mm != mm) continue;
		any = true;
		count(strategy, Counter.flush_deviceTlb);
		dropFromTlb(device, strategy, page, page + pages);
	}
	return any;
}

/** invalidate-missing, and the 2008 draft's callback: all that lack change_pte let go of the range. */
export function tellMissing(mm: Mm, strategy: u32, page: u64, pages: u64): void {
	if (mm.notifiers == 0) return;
	flushTlbs(mm, strategy, page, pages);
	for (let device = firstDevice; exists(device); device = device.next) {
		if (!isBracketed(device, mm, page, pages)) continue;
		invalidateMirror(device, strategy, page, pages);
		deviceState(device, strategy).seq++;
	}
}

/** An access by a device. One that is not attached, or not for this page, is counted as an access and nothing else. */
export function deviceAccess(mm: Mm, id: u32, page: u64, write: bool): void {
	const known = get(devices, keyOf(mm, id));
	if (known == 0) return;
	const device = changetype<Device>(known);
	if (page < device.first || page >= device.end) return;
	if (device.kind == DeviceKind.pinned) {
		pinnedAccess(device, page, write);
		return;
	}
	for (let strategy: u32 = 0; strategy < strategies; strategy++) {
		if (deviceState(device, strategy).pendingPage != NO_PAGE) giveUpPending(device, strategy);
	}
	let missed: u32 = 0;
	for (let strategy: u32 = 0; strategy < strategies; strategy++) {
		if (!translate(device, strategy, page, write)) missed |= 1 << strategy;
	}
	const effect = primaryEffect(mm, page, write, Hint.derive);
	for (let rest = missed; rest != 0; rest &= rest - 1) {
		const strategy = ctz(rest);
		if (effect == Effect.forbidden) count(strategy, Counter.device_refused);
		else answer(device, strategy, page, write);
	}
}

/** The IOMMU has the pages that were pinned, whatever the CPU's table says by now. */
function pinnedAccess(device: Device, page: u64, write: bool): void {
	const at = findRecord(device.table, page);
	const word = at == 0 ? 0 : load<u32>(at);
	if ((word & Bit.present) == 0) countAll(Counter.device_refused);
	else if (write) writeContentAll(frameOf(word));
}

// @ts-ignore: decorator
@inline
function keptReadOnly(device: Device, strategy: u32, page: u64): bool {
	return ((openWindows(device.mm, page) >> strategy) & 1) != 0;
}

function isBlocked(device: Device, strategy: u32, page: u64, write: bool): bool {
	return deviceState(device, strategy).inProgress > 0 || (write && keptReadOnly(device, strategy, page));
}

/** Its next access finds the one before still waiting: one more try, and it is over. */
function giveUpPending(device: Device, strategy: u32): void {
	const state = deviceState(device, strategy);
	const page = state.pendingPage;
	const write = state.pendingWrite;
	state.pendingPage = NO_PAGE;
	waiting--;
	if (!isBlocked(device, strategy, page, write)) finish(device, strategy, page, write);
	else if (device.kind == DeviceKind.mirror) count(strategy, Counter.device_mirrorRetries);
}

/** An invalidation or a window has ended: what waited for it goes on. */
export function resolvePendingDevices(): void {
	if (waiting == 0) return;
	for (let device = firstDevice; exists(device); device = device.next) {
		for (let strategy: u32 = 0; strategy < strategies; strategy++) {
			const state = deviceState(device, strategy);
			const page = state.pendingPage;
			if (page == NO_PAGE || isBlocked(device, strategy, page, state.pendingWrite)) continue;
			state.pendingPage = NO_PAGE;
			waiting--;
			finish(device, strategy, page, state.pendingWrite);
		}
	}
}

/** True if the access went through by what the device has. Otherwise the host is asked, where the CPU's table does not suffice. */
function translate(device: Device, strategy: u32, page: u64, write: bool): bool {
	const sva = device.kind == DeviceKind.sva;
	const entry = entryFor(device, strategy, page);
	const need: u32 = write ? Bit.present | Bit.writable : Bit.present;
	const hit = (entry & need) == need;
	if (sva) count(strategy, hit ? Counter.device_tlbHit : Counter.device_tlbMiss);
	else if (!hit) count(strategy, Counter.device_mirrorFaults);
	if (hit) {
		if (sva) putFirst(device, strategy, page, entry);
		observe(device, strategy, page, entry >> FRAME_SHIFT, write);
		return true;
	}
	const pte = pteOf(device.mm, page);
	if ((pte & need) != need || (write && keptReadOnly(device, strategy, page))) {
		count(strategy, Counter.hostFaults);
		if (sva) count(strategy, Counter.device_pageRequests);
	}
	deviceState(device, strategy).snapshot = deviceState(device, strategy).seq;
	return false;
}

/** The host has done its part: wait, or go on. */
function answer(device: Device, strategy: u32, page: u64, write: bool): void {
	const state = deviceState(device, strategy);
	if (isBlocked(device, strategy, page, write)) {
		count(strategy, Counter.device_waits);
		state.pendingPage = page;
		state.pendingWrite = write;
		waiting++;
		return;
	}
	// mmu_interval_read_retry: an invalidation has gone by since read_begin, the device's own copy included.
	if (state.seq != state.snapshot) count(strategy, Counter.device_mirrorRetries);
	finish(device, strategy, page, write);
}

/** The entry for what the PTE says now, and the access through it. */
function finish(device: Device, strategy: u32, page: u64, write: bool): void {
	const pte = pteOf(device.mm, page);
	if ((pte & Bit.present) == 0) return;
	const writable = (pte & Bit.writable) != 0 && !keptReadOnly(device, strategy, page);
	const entry: u32 = (pte & ~(<u32>Bit.writable)) | (writable ? <u32>Bit.writable : 0);
	if (device.kind == DeviceKind.sva) putFirst(device, strategy, page, entry);
	else store<u32>(makeRecord(device.table, page) + ((<usize>strategy) << 2), entry);
	if (!write || writable) observe(device, strategy, page, frameOf(pte), write);
}

/** What the TLB of an SVA device, or a mirror's table, has of a page; 0: nothing. */
function entryFor(device: Device, strategy: u32, page: u64): u32 {
	if (device.kind == DeviceKind.sva) {
		const place = placeOf(device, strategy, page);
		return place < deviceState(device, strategy).used ? load<u32>(entriesOf(device, strategy) + ((<usize>place) << 2)) : 0;
	}
	const at = findRecord(device.table, page);
	return at == 0 ? 0 : load<u32>(at + ((<usize>strategy) << 2));
}

/** A writable new PTE is about to be visible: no device that follows the mm may have the old page any more (I-10). Pins have their pages to keep. */
export function checkDevices(mm: Mm, strategy: u32, page: u64, frame: u32): void {
	if (!checking || mm.notifiers == 0) return;
	for (let device = firstDevice; exists(device); device = device.next) {
		if (device.kind == DeviceKind.pinned || device.mm != mm) continue;
		const entry = entryFor(device, strategy, page);
		if ((entry & Bit.present) != 0 && entry >> FRAME_SHIFT != frame) violateBy(device, strategy, Rule.I_10, page);
	}
}

function violateBy(device: Device, strategy: u32, rule: Rule, page: u64): void {
	violate(strategy, rule, AgentKind.device, device.mm.id, device.id, page);
}

/**
 * The oracle at one access (I-1, I-2; I-3 at quiescence only: what is told at the end of a bracket may have the right until then, and so may lead to a
 * page that NUMA hinting hides).
 */
function observe(device: Device, strategy: u32, page: u64, frame: u32, write: bool): void {
	if (!checking) return;
	const pte = pteOf(device.mm, page);
	const mapped = frameOf(pte);
	if ((wordOf(frame) & FrameBit.freed) != 0) violateBy(device, strategy, Rule.I_1, page);
	else if ((pte & Bit.present) == 0 && (!isMapped(pte) || quiescent(device.mm, page))) violateBy(device, strategy, Rule.I_2, page);
	else if (mapped != frame && (write || !sameContent(mapped, frame, strategy))) violateBy(device, strategy, Rule.I_2, page);
	else if (write && (pte & Bit.writable) == 0 && quiescent(device.mm, page)) violateBy(device, strategy, tooPermissive(frame), page);
	if (write) writeContent(frame, strategy);
}
