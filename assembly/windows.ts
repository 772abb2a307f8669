// Operations between their commit and their end, where a trace holds the two apart: what others may do to their pages meanwhile (kernel.md 5 (c), (c'),
// and what "quiescent" means in section 6). As src/model/windows.ts.
import { writeContent } from "./contents";
import { count } from "./counters";
import { Counter } from "./generated/constants";
import { Bit } from "./layout";
import { Operation } from "./operation";
import { frameOf, pteOf } from "./primary";
import { exists, Mm } from "./world";

/** In order of their commits. */
let firstOpen: Operation = changetype<Operation>(0);
let lastOpen: Operation = changetype<Operation>(0);

export function resetWindows(): void {
	firstOpen = changetype<Operation>(0);
	lastOpen = changetype<Operation>(0);
}

// @ts-ignore: decorator
@inline
function covers(op: Operation, mm: Mm, page: u64): bool {
	return op.mm == mm && page >= op.page && page - op.page < op.pages;
}

export function noteOpen(op: Operation): void {
	if (op.isListed) return;
	op.isListed = true;
	op.nextOpen = changetype<Operation>(0);
	if (exists(lastOpen)) lastOpen.nextOpen = op;
	else firstOpen = op;
	lastOpen = op;
}

/** No operation that has changed the page's PTE has still to come to its end. */
export function quiescent(mm: Mm, page: u64): bool {
	for (let op = firstOpen; exists(op); op = op.nextOpen) if (covers(op, mm, page)) return false;
	return true;
}

/** Strategies (bits) in which the page's new PTE is kept write-protected until a notifier without change_pte is told; write faults on it wait. */
export function openWindows(mm: Mm, page: u64): u32 {
	let open: u32 = 0;
	for (let op = firstOpen; exists(op); op = op.nextOpen) if (op.mm == mm && op.page == page) open |= op.protects;
	return open;
}

/** A host thread's store to a page: under these strategies it is made when the window closes. */
export function deferStore(mm: Mm, page: u64): u32 {
	let deferred: u32 = 0;
	for (let op = firstOpen; exists(op); op = op.nextOpen) {
		if (op.mm != mm || op.page != page) continue;
		const here = op.protects & ~deferred;
		op.deferredStores |= here;
		deferred |= here;
	}
	for (let rest = deferred; rest != 0; rest &= rest - 1) count(ctz(rest), Counter.hostFaults);
	return deferred;
}

/** make-writable: the page has its right, and what waited is done. */
export function closeWindow(op: Operation): void {
	if (!op.isListed) return;
	op.isListed = false;
	let before = changetype<Operation>(0);
	for (let at = firstOpen; changetype<usize>(at) != changetype<usize>(op); at = at.nextOpen) before = at;
	if (exists(before)) before.nextOpen = op.nextOpen;
	else firstOpen = op.nextOpen;
	if (changetype<usize>(lastOpen) == changetype<usize>(op)) lastOpen = before;
	op.protects = 0;
	const stores = op.deferredStores;
	op.deferredStores = 0;
	const pte = pteOf(op.mm, op.page);
	if ((pte & Bit.writable) == 0) return;
	for (let rest = stores; rest != 0; rest &= rest - 1) writeContent(frameOf(pte), ctz(rest));
}
