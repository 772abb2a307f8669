// The secondary MMUs other than KVM (kernel.md 4): device TLBs over the CPU's page table (SVA), mirrors with an interval notifier of their own, and
// devices for which pages are pinned. What the steps of an operation do to them is here too.
import { DeviceKind, MAX_DEVICE_TLB } from "../trace/kinds.js";
import { breakOrReuse } from "./cow.js";
import { mappedPte } from "./entries.js";
import { presentAfterFault, primaryEffect } from "./fault.js";
import type { Frame } from "./frames.js";
import type { Mm, Pte } from "./mm.js";
import type { Operation } from "./operation.js";
import { tooPermissive } from "./oracle.js";
import { quiescent, windowOpen } from "./windows.js";
import type { World } from "./world.js";

interface DeviceEntry {
	readonly frame: Frame;
	readonly writable: boolean;
}

/** A device on one mm. */
export interface Device {
	readonly id: number;
	readonly mm: Mm;
	readonly kind: DeviceKind;
	/** Its range: an SVA device has the whole mm. */
	readonly first: number;
	readonly end: number;
	/** Entries of an SVA device's TLB. */
	readonly capacity: number;
	/** By page: the TLB, least recently used first; a mirror's own table; the pages pinned. */
	readonly entries: Map<number, DeviceEntry>;
	/** The interval's: raised at the end of each invalidation that meets it, and how many are in progress. */
	seq: number;
	inProgress: number;
	/** An access that waits: for an invalidation in progress, or for a page that is kept write-protected. */
	pending: { readonly page: number; readonly write: boolean } | null;
}

/** Whether the device has a notifier on its mm: then that notifier lacks change_pte (kernel.md 4). */
const hasNotifier = (device: Device): boolean => device.kind !== DeviceKind.pinned;

const devicesOf = (world: World, mm: Mm): Device[] => [...world.devices.values()].filter((device) => device.mm === mm);

/** "Some registered notifier lacks change_pte", for this mm. */
export const lacksChangePte = (world: World, mm: Mm): boolean => devicesOf(world, mm).some(hasNotifier);

const meets = (device: Device, { page, pages }: Operation): boolean => page < device.end && page + pages > device.first;

export function attachDevice(world: World, mm: Mm, id: number, kind: DeviceKind, page: number, pages: number, entries: number): void {
	detachDevice(world, mm, id);
	const device: Device = {
		id,
		mm,
		kind,
		first: kind === DeviceKind.sva ? 0 : page,
		end: kind === DeviceKind.sva ? Number.POSITIVE_INFINITY : page + pages,
		capacity: Math.min(Math.max(entries, 1), MAX_DEVICE_TLB),
		entries: new Map(),
		seq: 0,
		inProgress: 0,
		pending: null,
	};
	world.devices.set(`${mm.id}.${id}`, device);
	if (kind === DeviceKind.pinned) for (let at = page; at < page + pages; at++) pin(world, device, at);
}

/** pin_user_pages(FOLL_WRITE | FOLL_LONGTERM): the page is faulted in for writing, and from then on a reference and a pin stay on it. */
function pin(world: World, device: Device, page: number): void {
	const { mm } = device;
	if (!mm.writingAllowed(page)) return;
	const pte = mm.get(page);
	if (pte?.writable !== true) world.count("hostFaults");
	const found = pte ?? presentAfterFault(world, mm, page, true);
	if (found?.writable === false) breakOrReuse(world, mm, page, found, 0);
	const now = mm.get(page);
	if (now === undefined) return;
	world.frames.pin(now.frame);
	device.entries.set(page, { frame: now.frame, writable: true });
}

export function detachDevice(world: World, mm: Mm, id: number): void {
	const key = `${mm.id}.${id}`;
	const device = world.devices.get(key);
	world.devices.delete(key);
	if (device?.kind === DeviceKind.pinned) for (const { frame } of device.entries.values()) world.frames.unpin(frame);
}

/** exit_mmap: the notifiers' release, and what was pinned. */
export function detachAll(world: World, mm: Mm): void {
	for (const { id } of devicesOf(world, mm)) detachDevice(world, mm, id);
}

/** range_start reaches the mirrors whose interval it meets: their entries go, and their faults wait until its end. */
export function mirrorsStart(world: World, operation: Operation): void {
	for (const device of devicesOf(world, operation.mm)) {
		if (device.kind !== DeviceKind.mirror || !meets(device, operation)) continue;
		operation.mirrors.push(device);
		device.inProgress++;
		invalidateMirror(world, device, operation);
	}
}

export function mirrorsEnd({ mirrors }: Operation): void {
	for (const device of mirrors) {
		device.seq++;
		device.inProgress--;
	}
}

function invalidateMirror(world: World, device: Device, operation: Operation): void {
	world.count("device.mirrorInvalidations");
	dropEntries(device, operation);
}

function dropEntries(device: Device, { page, pages }: Operation): void {
	for (const at of [...device.entries.keys()]) if (at >= page && at < page + pages) device.entries.delete(at);
}

/** invalidate_secondary_tlbs: every SVA device of the mm drops its TLB's entries of the range. */
export function tellDeviceTlbs(world: World, operation: Operation): void {
	const told = devicesOf(world, operation.mm).filter(({ kind }) => kind === DeviceKind.sva);
	if (told.length > 0) world.count("notifier.invalidateSecondaryTlb");
	flushTlbs(world, told, operation);
}

function flushTlbs(world: World, devices: readonly Device[], operation: Operation): void {
	for (const device of devices) {
		world.count("flush.deviceTlb");
		dropEntries(device, operation);
	}
}

/** invalidate-missing, and the 2008 draft's callback: all that lack change_pte let go of the range. */
export function tellMissing(world: World, operation: Operation): void {
	const devices = devicesOf(world, operation.mm);
	const tlbs = devices.filter(({ kind }) => kind === DeviceKind.sva);
	flushTlbs(world, tlbs, operation);
	for (const device of devices) {
		if (device.kind !== DeviceKind.mirror || !meets(device, operation)) continue;
		invalidateMirror(world, device, operation);
		device.seq++;
	}
}

/** An access by a device. One that is not attached, or not for this page, is counted as an access and nothing else. */
export function deviceAccess(world: World, mm: Mm, id: number, page: number, write: boolean): void {
	const device = world.devices.get(`${mm.id}.${id}`);
	if (device === undefined || page < device.first || page >= device.end) return;
	if (device.pending !== null) giveUpPending(world, device);
	if (device.kind === DeviceKind.pinned) pinnedAccess(world, device, page, write);
	else translate(world, device, page, write);
}

/** Its next access finds the one before still waiting: one more try, and it is over. */
function giveUpPending(world: World, device: Device): void {
	const { pending } = device;
	device.pending = null;
	if (pending === null) return;
	if (isBlocked(world, device, pending.page, pending.write)) {
		if (device.kind === DeviceKind.mirror) world.count("device.mirrorRetries");
	} else finish(world, device, pending.page, pending.write);
}

/** An invalidation or a window has ended: what waited for it goes on. */
export function resolvePendingDevices(world: World): void {
	for (const device of world.devices.values()) {
		const { pending } = device;
		if (pending === null || isBlocked(world, device, pending.page, pending.write)) continue;
		device.pending = null;
		finish(world, device, pending.page, pending.write);
	}
}

const isBlocked = (world: World, device: Device, page: number, write: boolean): boolean =>
	device.inProgress > 0 || (write && windowOpen(world, device.mm, page));

/** The IOMMU has the pages that were pinned, whatever the CPU's table says by now. */
function pinnedAccess(world: World, device: Device, page: number, write: boolean): void {
	const entry = device.entries.get(page);
	if (entry === undefined) world.count("device.refused");
	else if (write) world.frames.write(entry.frame);
}

function translate(world: World, device: Device, page: number, write: boolean): void {
	const { mm } = device;
	const sva = device.kind === DeviceKind.sva;
	const entry = device.entries.get(page);
	const hit = entry !== undefined && (!write || entry.writable);
	const snapshot = device.seq;
	if (sva) world.count(hit ? "device.tlbHit" : "device.tlbMiss");
	else if (!hit) world.count("device.mirrorFaults");
	if (hit) {
		if (sva) use(device, page, entry);
		observe(world, device, page, entry.frame, write);
	} else {
		// The IOMMU walks the CPU's table, and asks the host only where that does not suffice; hmm_range_fault likewise.
		const pte = mm.get(page);
		if (pte === undefined || (write && (!pte.writable || windowOpen(world, mm, page)))) {
			world.count("hostFaults");
			if (sva) world.count("device.pageRequests");
		}
	}
	const copied = primaryEffect(world, mm, page, write, 0);
	if (hit) return;
	if (copied === null) {
		world.count("device.refused");
		return;
	}
	if (isBlocked(world, device, page, write)) {
		world.count("device.waits");
		device.pending = { page, write };
		return;
	}
	// mmu_interval_read_retry: an invalidation has gone by since read_begin, the device's own copy included.
	if (!sva && device.seq !== snapshot) world.count("device.mirrorRetries");
	finish(world, device, page, write);
}

/** The entry for what the PTE says now, and the access through it. */
function finish(world: World, device: Device, page: number, write: boolean): void {
	const pte: Pte | undefined = device.mm.get(page);
	if (pte === undefined) return;
	const writable = pte.writable && !windowOpen(world, device.mm, page);
	use(device, page, { frame: pte.frame, writable });
	if (!write || writable) observe(world, device, page, pte.frame, write);
}

/** A writable new PTE is about to be visible: no device that follows the mm may have the old page any more (I-10). Pins have their pages to keep. */
export function checkDevices(world: World, mm: Mm, page: number, frame: Frame): void {
	for (const device of devicesOf(world, mm)) {
		const entry = hasNotifier(device) ? device.entries.get(page) : undefined;
		if (entry !== undefined && entry.frame !== frame) world.violate("I-10", `mm${mm.id} device${device.id}`, page);
	}
}

/** Put an entry last in order of use; a TLB that is full loses its first. */
function use(device: Device, page: number, entry: DeviceEntry): void {
	device.entries.delete(page);
	if (device.kind === DeviceKind.sva && device.entries.size >= device.capacity) {
		const [oldest] = device.entries.keys();
		if (oldest !== undefined) device.entries.delete(oldest);
	}
	device.entries.set(page, entry);
}

/**
 * The oracle at one access (I-1, I-2; I-3 at quiescence only: what is told at the end of a bracket may have the right until then, and so may lead to a
 * page that NUMA hinting hides).
 */
function observe(world: World, device: Device, page: number, frame: Frame, write: boolean): void {
	const { mm, id } = device;
	const pte = quiescent(world, mm, page) ? mm.get(page) : mappedPte(mm, page);
	const agent = `mm${mm.id} device${id}`;
	if (frame.freed) world.violate("I-1", agent, page);
	else if (pte === undefined) world.violate("I-2", agent, page);
	else if (pte.frame !== frame && (write || pte.frame.content !== frame.content)) world.violate("I-2", agent, page);
	else if (write && !pte.writable && quiescent(world, mm, page)) world.violate(tooPermissive(frame), agent, page);
	if (write) world.frames.write(frame);
}
