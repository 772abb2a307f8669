// The host's side of a page fault (kernel.md 1.2, 1.3, 1.10): none -> present, reuse, or the strategy's own copy. Host threads, KVM's gup and an SVA
// device's page requests all come here.
import type { Step } from "../strategies/steps.js";
import type { Label, ThreadCode } from "./code.js";
import { DIRTY, FrameBit, frameOf, type PageSlots, PRESENT, permits, type State, WRITABLE, ZERO_FRAME } from "./memory.js";
import { compileOperation } from "./operation.js";

/** Whether a fault can go on: the page-table lock is free, and nobody keeps the page write-protected until a notifier is told. */
export function faultReady(s: State, page: PageSlots, write: boolean): boolean {
	return s[page.ptl] === 0 && (!write || page.window < 0 || s[page.window] === 0);
}

/** What a fault touches, in one piece with the look at the PTE. */
export function faultFootprint(code: ThreadCode, page: PageSlots): number {
	const { footprint } = code;
	return footprint.pte(page) | footprint.frames(page) | footprint.locks(page) | footprint.allocation;
}

/**
 * Handle a fault on a PTE that does not permit the access: populate or reuse at once, or begin a copy: then the thread goes on with the cow steps.
 * Says whether it began a copy.
 */
export function takeFault(code: ThreadCode, s: State, page: PageSlots, write: boolean): boolean {
	const { memory } = code;
	const pte = s[page.pte];
	if ((pte & PRESENT) === 0) {
		populate(code, s, page, write);
		return false;
	}
	const frame = frameOf(pte);
	if (!mustCopy(code, s, page, frame)) {
		memory.mark(s, frame, FrameBit.exclusive);
		s[page.pte] = pte | WRITABLE | DIRTY;
		return false;
	}
	beginCopy(code, s, page);
	return true;
}

/** do_wp_page takes a reference on the old page for the time of the copy. */
export function beginCopy(code: ThreadCode, s: State, page: PageSlots): void {
	s[code.locals.original] = s[page.pte];
	code.memory.pin(s, frameOf(s[page.pte]));
}

/** The steps of wp_page_copy by this strategy; then on to `exit`. */
export function compileCopy(code: ThreadCode, page: PageSlots, steps: readonly Step[], exit: Label, snapshot = -1): void {
	compileOperation(code, { kind: "cow", page, steps, snapshot }, exit);
}

/** do_wp_page's choice (1.2). */
function mustCopy(code: ThreadCode, s: State, page: PageSlots, frame: number): boolean {
	const { memory } = code;
	if (memory.has(s, frame, FrameBit.exclusive)) return false;
	if (memory.isImmutable(s, frame)) return true;
	// ksmd has the page locked: trylock fails.
	if (page.pageLock >= 0 && s[page.pageLock] === frame + 1) return true;
	return memory.mappings(s, frame) !== 1 || memory.pins(s, frame) !== 0;
}

/** A read of memory that was never written maps the zero page; swapped-out content comes back. */
function populate(code: ThreadCode, s: State, page: PageSlots, write: boolean): void {
	const { memory } = code;
	const content = s[page.backing];
	if (!write && content === 0) {
		s[page.pte] = PRESENT | ZERO_FRAME;
		return;
	}
	const frame = memory.allocate(s);
	memory.setContent(s, frame, content);
	memory.mark(s, frame, FrameBit.exclusive);
	memory.map(s, frame);
	s[page.pte] = PRESENT | (write ? WRITABLE | DIRTY : 0) | frame;
}

/** An entry through which an access goes, with the dirty bit that a write's walk sets. */
export function walked(entry: number, write: boolean): number {
	return write ? entry | DIRTY : entry;
}

/** A TLB entry that an access may use without a walk: for a write it must be dirty already. */
export function hits(entry: number, write: boolean): boolean {
	return permits(entry, write) && (!write || (entry & DIRTY) !== 0);
}
