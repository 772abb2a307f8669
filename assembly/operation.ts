// An operation between its begin and its end, as the step programs (steps.ts) and the sites know it.
import { rangeEnd } from "./change";
import { Device, isBracketed } from "./device";
import { firstDevice } from "./devices";
import { enlarge, reserve, take } from "./heap";
import { Extent } from "./sites";
import { hitAt, hitCount } from "./slots";
import { exists, Mm, strategies, Vcpu, Vm } from "./world";

/** An operation from its begin to its end. Behind it, for each strategy, how often its list has begun a KVM bracket (u32). */
@unmanaged
export class Operation {
	page: u64;
	pages: u64;
	/** PTEs that the operation changes: [first, last). Fewer than the bracket has where page tables may be shared (hugetlb.ts). */
	first: u64;
	last: u64;
	/** A Kind; also the site of its counters. */
	kind: u32;
	/** OpFlag */
	flags: u32;
	mm: Mm;
	kpage: u32;
	/** fork: the id of the child's mm. */
	child: u32;
	/** mremap: the hva page that the range moves to; remap_file_pages: the page of the file. */
	to: u64;
	/** zap: the VMA goes too. */
	unmaps: bool;
	/** Its points are records of their own. */
	isOpen: bool;
	/** The last commit changed something, and what reference it took on the old page: frame + 1, 0 if none. */
	committed: bool;
	old: u32;
	/** Addresses of the VMs whose memslots the bracket's start hit: their end must pair. */
	hits: usize;
	hitBytes: usize;
	hitCount: u32;
	/** Addresses of the mirrors whose interval it met, likewise. */
	mirrors: usize;
	mirrorBytes: usize;
	mirrorCount: u32;
	/** reclaim: the places of the pages of files that the last commit unmapped. */
	places: usize;
	placeBytes: usize;
	placeCount: u32;
	/** Strategies (bits) that keep the new PTE write-protected until the end (litmus c), and in which a host thread's store waits for it. */
	protects: u32;
	deferredStores: u32;
	/** Strategies that make the PTE writable then. */
	makesWritable: u32;
	/** cow: the vCPU whose fault makes the copy, and which of its faults; address 0: none. */
	own: Vcpu;
	ownFlight: u32;
	/** In the list of windows.ts. */
	nextOpen: Operation;
	isListed: bool;
	/** The last commit changed PTEs that were mapped, and did not put them back. */
	changed: bool;
	/** It put them back: write_protect_page gave up for a reference. */
	refused: bool;
	/** The commit has been cut behind its set-pte. What the rest of it goes by: its Extent (none: there is no rest), the new PTE, what `protect` said. */
	cut: bool;
	rest: u32;
	restFrame: u32;
	restWritable: bool;
	restKept: u32;
	/** Whether the PTE was read-only before the commit at hand (I-8). */
	wasReadOnly: bool;
}

let whole: usize = 0;

/** Room for `wholeOperation`'s. */
export function reserveWhole(): void {
	whole = reserve(operationBytes());
}

export function operationBytes(): usize {
	return offsetof<Operation>() + 4 * <usize>strategies;
}

// @ts-ignore: decorator
@inline
export function brackets(op: Operation, strategy: u32): usize {
	return changetype<usize>(op) + offsetof<Operation>() + ((<usize>strategy) << 2);
}

function start(op: Operation, kind: u32, mm: Mm, page: u64, pages: u64): Operation {
	op.kind = kind;
	op.flags = 0;
	op.mm = mm;
	op.page = page;
	op.pages = pages;
	op.first = page;
	op.last = rangeEnd(page, pages);
	op.hitCount = 0;
	op.unmaps = true;
	op.placeCount = 0;
	op.isOpen = false;
	op.committed = false;
	op.old = 0;
	op.mirrorCount = 0;
	op.protects = 0;
	op.deferredStores = 0;
	op.makesWritable = 0;
	op.isListed = false;
	op.refused = false;
	op.cut = false;
	op.rest = Extent.none;
	op.own = changetype<Vcpu>(0);
	for (let strategy: u32 = 0; strategy < strategies; strategy++) store<u32>(brackets(op, strategy), 0);
	return op;
}

/** An operation that runs to its end at once; valid until the next one. */
export function wholeOperation(kind: u32, mm: Mm, page: u64, pages: u64): Operation {
	return start(changetype<Operation>(whole), kind, mm, page, pages);
}

/** An operation with its points apart; `closeOperation` gives it back. */
export function openOperation(kind: u32, mm: Mm, page: u64, pages: u64): Operation {
	const op = start(changetype<Operation>(take(operationBytes())), kind, mm, page, pages);
	op.isOpen = true;
	return op;
}

// @ts-ignore: decorator
@inline
export function hitOf(op: Operation, index: u32): Vm {
	return changetype<Vm>(<usize>load<u32>(op.hits + ((<usize>index) << 2)));
}

export function rememberHits(op: Operation): void {
	const bytes = (<usize>hitCount) << 2;
	if (bytes > op.hitBytes) {
		const wanted = max<usize>(bytes, 64);
		op.hits = enlarge(op.hits, op.hitBytes, wanted);
		op.hitBytes = wanted;
	}
	op.hitCount = hitCount;
	for (let index: u32 = 0; index < hitCount; index++) store<u32>(op.hits + ((<usize>index) << 2), <u32>changetype<usize>(hitAt(index).vm));
}

export function rememberMirrors(op: Operation): void {
	for (let device = firstDevice; exists(device); device = device.next) {
		if (!isBracketed(device, op.mm, op.page, op.pages)) continue;
		if ((<usize>op.mirrorCount) << 2 == op.mirrorBytes) {
			const wanted = max<usize>(op.mirrorBytes * 2, 64);
			op.mirrors = enlarge(op.mirrors, op.mirrorBytes, wanted);
			op.mirrorBytes = wanted;
		}
		store<u32>(op.mirrors + ((<usize>op.mirrorCount) << 2), <u32>changetype<usize>(device));
		op.mirrorCount++;
	}
}

export function rememberPlace(op: Operation, place: u32): void {
	if ((<usize>op.placeCount) << 2 == op.placeBytes) {
		const wanted = max<usize>(op.placeBytes * 2, 64);
		op.places = enlarge(op.places, op.placeBytes, wanted);
		op.placeBytes = wanted;
	}
	store<u32>(op.places + ((<usize>op.placeCount) << 2), place);
	op.placeCount++;
}

// @ts-ignore: decorator
@inline
export function rememberedPlace(op: Operation, index: u32): u32 {
	return load<u32>(op.places + ((<usize>index) << 2));
}

// @ts-ignore: decorator
@inline
export function mirrorOf(op: Operation, index: u32): Device {
	return changetype<Device>(<usize>load<u32>(op.mirrors + ((<usize>index) << 2)));
}
