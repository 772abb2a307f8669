// A secondary MMU other than KVM on one mm (kernel.md 4), and what it has: the TLB of an SVA device, the table of a mirror or of pinned pages.
import { DeviceKind } from "./generated/constants";
import { leafEnd, leafOf, nextPresent, Root, recordIn } from "./pagetable";
import { Mm } from "./world";

/** A device on one mm. Behind it a DeviceState for each strategy. */
@unmanaged
export class Device {
	/** Its range: an SVA device has the whole mm. */
	first: u64;
	end: u64;
	id: u32;
	kind: u32;
	mm: Mm;
	/** In order of attachment. */
	next: Device;
	/** Entries of an SVA device's TLB. */
	capacity: u32;
	/** A mirror's table, one word for each strategy; the pages pinned, one word. */
	table: Root;
	/** TLBs of all strategies: pages (u64), then entries (u32), each most recently used first. */
	tlbs: usize;
}

@unmanaged
export class DeviceState {
	/** Of the access that waits; NO_PAGE: none does. */
	pendingPage: u64;
	pendingWrite: bool;
	/** The interval's: raised at the end of each invalidation that meets it, and how many are in progress. */
	seq: u32;
	inProgress: u32;
	snapshot: u32;
	/** Entries in the TLB. */
	used: u32;
}

// @ts-ignore: decorator
@inline
export function deviceState(device: Device, strategy: u32): DeviceState {
	return changetype<DeviceState>(changetype<usize>(device) + offsetof<Device>() + <usize>strategy * offsetof<DeviceState>());
}

// @ts-ignore: decorator
@inline
function meets(device: Device, page: u64, pages: u64): bool {
	return page < device.end && page + pages > device.first;
}

// A device TLB: pages, then entries, the most recently used first.
// @ts-ignore: decorator
@inline
export function tlbBytes(device: Device): usize {
	return <usize>device.capacity * 12;
}

// @ts-ignore: decorator
@inline
function pagesOf(device: Device, strategy: u32): usize {
	return device.tlbs + <usize>strategy * tlbBytes(device);
}

// @ts-ignore: decorator
@inline
export function entriesOf(device: Device, strategy: u32): usize {
	return pagesOf(device, strategy) + ((<usize>device.capacity) << 3);
}

/** Place of a page; `used` where it is not there. */
export function placeOf(device: Device, strategy: u32, page: u64): u32 {
	const used = deviceState(device, strategy).used;
	const pages = pagesOf(device, strategy);
	let place: u32 = 0;
	while (place < used && load<u64>(pages + ((<usize>place) << 3)) != page) place++;
	return place;
}

/** Put a page first; a TLB that is full loses its last. */
export function putFirst(device: Device, strategy: u32, page: u64, entry: u32): void {
	const state = deviceState(device, strategy);
	let place = placeOf(device, strategy, page);
	if (place == state.used) {
		if (state.used < device.capacity) state.used++;
		else place--;
	}
	const pages = pagesOf(device, strategy);
	const entries = entriesOf(device, strategy);
	memory.copy(pages + 8, pages, (<usize>place) << 3);
	memory.copy(entries + 4, entries, (<usize>place) << 2);
	store<u64>(pages, page);
	store<u32>(entries, entry);
}

/** Drop the entries of [page, end). */
export function dropFromTlb(device: Device, strategy: u32, page: u64, end: u64): void {
	const state = deviceState(device, strategy);
	const pages = pagesOf(device, strategy);
	const entries = entriesOf(device, strategy);
	let kept: usize = 0;
	for (let at: usize = 0; at < <usize>state.used; at++) {
		const known = load<u64>(pages + (at << 3));
		if (known >= page && known < end) continue;
		store<u64>(pages + (kept << 3), known);
		store<u32>(entries + (kept << 2), load<u32>(entries + (at << 2)));
		kept++;
	}
	state.used = <u32>kept;
}

export function dropFromTable(device: Device, strategy: u32, page: u64, end: u64): void {
	const table = device.table;
	const first = max<u64>(page, device.first);
	const last = min<u64>(end, device.end);
	for (let at = nextPresent(table, first, last); at < last; at = nextPresent(table, at, last)) {
		const next = leafEnd(at, last);
		let word = recordIn(table, leafOf(table, at), at) + ((<usize>strategy) << 2);
		for (; at < next; at++) {
			store<u32>(word, 0);
			word += (<usize>table.words) << 2;
		}
	}
}

/** Whether a bracket over a range reaches the device: a mirror whose interval it meets. */
export function isBracketed(device: Device, mm: Mm, page: u64, pages: u64): bool {
	return device.kind == DeviceKind.mirror && device.mm == mm && meets(device, page, pages);
}
