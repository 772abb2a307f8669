// Between a source's events and the tracker: names and texts have become the tracker's (recognise.ts); what this kernel or recipe does not
// record is put in its place where something else shows it (profiles.ts, formats.md sections 3 and 7).
import { NotifyEvent } from "../trace/kinds.js";
import { CODES, Code, Fault, FIRST, KernelEvent, MmFault, Range } from "./event.js";
import { PAGE } from "./tracefs.js";

/** What a capture lacks as a whole, known only after a look at all of it. */
export interface Lacking {
	/** kvm_unmap_hva_range is not recorded: every range is taken to reach KVM. */
	readonly unmap: boolean;
	/** kvm_page_fault has no vCPU: the number of each task among its VM's. */
	readonly vcpuOf: ReadonlyMap<number, number> | null;
}

export const LACKS_NOTHING: Lacking = { unmap: false, vcpuOf: null };

interface TaskState {
	/** try_to_merge_with_ksm_page is open. try_to_merge_one_page has been seen, or put in, inside it. */
	readonly merge: KernelEvent;
	merging: boolean;
	one: boolean;
	put: boolean;
	/** Page and flags of do_wp_page with nothing behind it yet. */
	wpPage: number;
	wpFlags: number;
	/** wp_page_copy is open. */
	copy: boolean;
	/** The open copy is of no bracket: known by its page_alloc. */
	allocated: boolean;
}

/** Where events go on; each is lent for the time of the call. */
type Visit = (event: KernelEvent) => void;
type Step = (normaliser: Normaliser, event: KernelEvent, visit: Visit) => void;

/**
 * exit_mmap's range is [0, ULONG_MAX]. mmu_notifier_release has unregistered KVM before it, so it reaches nobody: it stays as a range of page 0, which
 * no memslot has.
 */
function withoutExit({ v }: KernelEvent): void {
	// So is that of clear_refs, which reaches everybody.
	if (v[Range.event] === NotifyEvent.softDirty) return;
	if (v[Range.start] === 0 && v[Range.end] < 0 && v[Range.end] >= -PAGE) v[Range.end] = PAGE;
}

const NONE = -1;

export class Normaliser {
	readonly #lacking: Lacking;
	readonly #tasks = new Map<number, TaskState>();
	readonly #made = new KernelEvent();
	#last: TaskState | undefined;
	#lastPid = NONE;
	#copyProbe = false;

	constructor(lacking: Lacking) {
		this.#lacking = lacking;
	}

	/** Visits the tracker's events for a recognised one. */
	push(event: KernelEvent, visit: Visit): void {
		const step = STEPS[event.code];
		if (step === undefined) visit(event);
		else step(this, event, visit);
	}

	#state(pid: number): TaskState {
		if (this.#last !== undefined && this.#lastPid === pid) return this.#last;
		let state = this.#tasks.get(pid);
		if (state === undefined) {
			state = { merge: new KernelEvent(), merging: false, one: false, put: false, wpPage: NONE, wpFlags: 0, copy: false, allocated: false };
			this.#tasks.set(pid, state);
		}
		this.#last = state;
		this.#lastPid = pid;
		return state;
	}

	/** An event of ours beside `event`. */
	#make(event: KernelEvent, code: number): KernelEvent {
		const made = this.#made.set(event);
		made.code = code;
		return made;
	}

	mergeBegins(event: KernelEvent, visit: Visit): void {
		const state = this.#state(event.pid);
		state.merge.set(event);
		state.merging = true;
		state.one = false;
		state.put = false;
		visit(event);
	}

	oneBegins(event: KernelEvent, visit: Visit): void {
		this.#state(event.pid).one = true;
		visit(event);
	}

	mergeEnds(event: KernelEvent, visit: Visit): void {
		const state = this.#state(event.pid);
		if (state.merging && state.put) visit(this.#make(event, Code.mergeOnePageReturn));
		state.merging = false;
	}

	doWpPage({ pid, v }: KernelEvent): void {
		const state = this.#state(pid);
		state.wpPage = Math.floor(v[MmFault.addr] / PAGE);
		state.wpFlags = Number.isNaN(v[MmFault.flags]) ? 0 : v[MmFault.flags];
	}

	copyBegins(event: KernelEvent, visit: Visit): void {
		const state = this.#state(event.pid);
		this.#copyProbe = true;
		state.copy = true;
		state.wpPage = NONE;
		visit(event);
	}

	copyEnds(event: KernelEvent, visit: Visit): void {
		this.#state(event.pid).copy = false;
		visit(event);
	}

	pageAlloc(event: KernelEvent, visit: Visit): void {
		const state = this.#state(event.pid);
		if (state.wpPage === NONE || this.#copyProbe || event.v[FIRST] !== 1) return;
		this.#putCopy(state, event, visit);
		state.allocated = true;
	}

	rangeStart(event: KernelEvent, visit: Visit): void {
		withoutExit(event);
		const state = this.#state(event.pid);
		const { v } = event;
		if (state.merging && !state.one && !state.put) {
			state.put = true;
			const made = this.#make(event, Code.mergeOnePage);
			made.v.set(state.merge.v);
			visit(made);
		}
		const copies =
			state.wpPage !== NONE && !this.#copyProbe && v[Range.start] === state.wpPage * PAGE && v[Range.end] - v[Range.start] === PAGE;
		if (copies) this.#putCopy(state, event, visit);
		state.wpPage = NONE;
		state.allocated = false;
		visit(event);
		if (this.#lacking.unmap) visit(this.#make(event, Code.unmapHvaRange));
	}

	rangeEnd(event: KernelEvent, visit: Visit): void {
		withoutExit(event);
		const state = this.#state(event.pid);
		visit(event);
		// Nothing of wp_page_copy comes behind its bracket; a capture without its return gets it here.
		if (state.copy) visit(this.#make(event, Code.copyReturn));
		state.copy = false;
	}

	pageFault(event: KernelEvent, visit: Visit): void {
		this.settled(event, visit);
		const vcpu = this.#lacking.vcpuOf?.get(event.pid);
		if (vcpu !== undefined) event.v[Fault.vcpu] = vcpu;
		visit(event);
	}

	#putCopy(state: TaskState, event: KernelEvent, visit: Visit): void {
		if (state.wpPage === NONE) return;
		const made = this.#make(event, Code.copy);
		made.v.fill(Number.NaN);
		made.v[MmFault.addr] = state.wpPage * PAGE;
		made.v[MmFault.flags] = state.wpFlags;
		state.wpPage = NONE;
		state.copy = true;
		visit(made);
	}

	/** The task is at another fault: a copy that met no bracket (its mm has no notifier) is over, and do_wp_page without one was a reuse. */
	settled(event: KernelEvent, visit: Visit): void {
		const state = this.#tasks.get(event.pid);
		if (state === undefined) return;
		state.wpPage = NONE;
		if (!state.allocated) return;
		state.allocated = false;
		state.copy = false;
		visit(this.#make(event, Code.copyReturn));
	}
}

/** By the events' codes. */
const STEPS: (Step | undefined)[] = Array.from({ length: CODES });
STEPS[Code.mergeWithKsmPage] = (normaliser, event, visit) => normaliser.mergeBegins(event, visit);
STEPS[Code.mergeWithKsmPageReturn] = (normaliser, event, visit) => normaliser.mergeEnds(event, visit);
STEPS[Code.mergeOnePage] = (normaliser, event, visit) => normaliser.oneBegins(event, visit);
STEPS[Code.doWpPage] = (normaliser, event) => normaliser.doWpPage(event);
STEPS[Code.copy] = (normaliser, event, visit) => normaliser.copyBegins(event, visit);
STEPS[Code.copyReturn] = (normaliser, event, visit) => normaliser.copyEnds(event, visit);
STEPS[Code.pageAlloc] = (normaliser, event, visit) => normaliser.pageAlloc(event, visit);
STEPS[Code.rangeStart] = (normaliser, event, visit) => normaliser.rangeStart(event, visit);
STEPS[Code.rangeEnd] = (normaliser, event, visit) => normaliser.rangeEnd(event, visit);
STEPS[Code.handleMmFault] = (normaliser, event, visit) => normaliser.settled(event, visit);
STEPS[Code.hostFault] = (normaliser, event, visit) => {
	normaliser.settled(event, visit);
	visit(event);
};
STEPS[Code.pageFault] = (normaliser, event, visit) => normaliser.pageFault(event, visit);
STEPS[Code.mmioSpte] = () => undefined;
