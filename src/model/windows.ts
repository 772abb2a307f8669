// Operations between their commit and their end, where a trace holds the two apart: what others may do to their pages meanwhile (kernel.md 5 (c), (c'),
// and what "quiescent" means in section 6).
import type { Mm } from "./mm.js";
import type { Operation } from "./operation.js";
import type { World } from "./world.js";

const covers = (operation: Operation, mm: Mm, page: number): boolean =>
	operation.mm === mm && page >= operation.page && page < operation.page + operation.pages;

/** No operation that has changed the page's PTE has still to come to its end. */
export function quiescent(world: World, mm: Mm, page: number): boolean {
	return ![...world.open].some((operation) => covers(operation, mm, page));
}

/**
 * The page's new PTE is kept write-protected until a notifier without change_pte is told. Write faults on it wait; the
 * model's PTE has its final right all along.
 */
export function windowOpen(world: World, mm: Mm, page: number): boolean {
	return [...world.open].some((operation) => operation.protects && operation.mm === mm && operation.page === page);
}

/** A host thread's store to such a page is made when the window closes. */
export function deferStore(world: World, mm: Mm, page: number): boolean {
	const window = [...world.open].find((operation) => operation.protects && operation.mm === mm && operation.page === page);
	if (window === undefined) return false;
	world.count("hostFaults");
	window.deferredStore = true;
	return true;
}

/** make-writable: the page has its right, and what waited is done. */
export function closeWindow(world: World, operation: Operation): void {
	world.open.delete(operation);
	operation.protects = false;
	const pte = operation.mm.get(operation.page);
	if (operation.deferredStore && pte?.writable === true) world.frames.write(pte.frame);
	operation.deferredStore = false;
}
