// Between a source's events and the tracker: names and texts have become the tracker's (recognise.ts); what this kernel or recipe does not
// record is put in its place where something else shows it (profiles.ts, formats.md sections 3 and 7).
import { field, hex, PAGE, type TracefsEvent } from "./tracefs.js";

/** What a capture lacks as a whole, known only after a look at all of it. */
export interface Lacking {
	/** kvm_unmap_hva_range is not recorded: every range is taken to reach KVM. */
	readonly unmap: boolean;
	/** kvm_page_fault has no vCPU: the number of each task among its VM's. */
	readonly vcpuOf: ReadonlyMap<number, number> | null;
}

export const LACKS_NOTHING: Lacking = { unmap: false, vcpuOf: null };

interface TaskState {
	/** try_to_merge_with_ksm_page is open: its fields. try_to_merge_one_page has been seen, or put in, inside it. */
	merge: { readonly text: string; one: boolean; put: boolean } | null;
	/** hva page and flags of do_wp_page with nothing behind it yet. */
	doWp: { readonly start: string; readonly flags: string; readonly mm: string } | null;
	/** wp_page_copy is open. */
	copy: boolean;
	/** The open copy is of no bracket: known by its page_alloc. */
	allocated: boolean;
}

/** A page of the user's that a copy goes to: order 0, movable. */
const COPY_TARGET = /\border=0\b.*(migratetype=1\b|MOVABLE)/;

/**
 * exit_mmap's range is [0, ULONG_MAX]. mmu_notifier_release has unregistered KVM before it, so it reaches nobody: it stays as a range of page 0, which
 * no memslot has.
 */
function withoutExit(event: TracefsEvent): TracefsEvent {
	if (field(event.text, "start") !== "0x0" || !/^0xfffffffffffff[0-9a-f]{3}$/.test(field(event.text, "end") ?? "")) return event;
	return { ...event, text: event.text.replace(/\bend=\S+/, `end=0x${PAGE.toString(16)}`) };
}

export class Normaliser {
	readonly #lacking: Lacking;
	readonly #tasks = new Map<number, TaskState>();
	#copyProbe = false;

	constructor(lacking: Lacking) {
		this.#lacking = lacking;
	}

	/** The tracker's events for a recognised one, into `out`. */
	push(given: TracefsEvent, out: TracefsEvent[]): void {
		const event = given.name === "mn_range_start" || given.name === "mn_range_end" ? withoutExit(given) : given;
		const step = this.#steps[event.name];
		if (step === undefined) out.push(event);
		else step(event, out);
	}

	#state(pid: number): TaskState {
		let state = this.#tasks.get(pid);
		if (state === undefined) {
			state = { merge: null, doWp: null, copy: false, allocated: false };
			this.#tasks.set(pid, state);
		}
		return state;
	}

	readonly #steps: Readonly<Record<string, (event: TracefsEvent, out: TracefsEvent[]) => void>> = {
		ksm_try_to_merge_with_ksm_page: (event, out) => {
			this.#state(event.pid).merge = { text: event.text, one: false, put: false };
			out.push(event);
		},
		ksm_try_to_merge_one_page: (event, out) => {
			const { merge } = this.#state(event.pid);
			if (merge !== null) merge.one = true;
			out.push(event);
		},
		ksm_try_to_merge_with_ksm_page_ret: (event, out) => {
			const state = this.#state(event.pid);
			if (state.merge?.put === true) out.push({ ...event, name: "ksm_try_to_merge_one_page_ret" });
			state.merge = null;
		},
		do_wp_page: (event) => {
			const state = this.#state(event.pid);
			const addr = field(event.text, "addr") ?? "";
			const start = `0x${(Math.floor(hex(addr) / PAGE) * PAGE).toString(16)}`;
			state.doWp = { start, flags: field(event.text, "flags") ?? "0x0", mm: field(event.text, "mm") ?? "" };
		},
		wp_page_copy: (event, out) => {
			const state = this.#state(event.pid);
			this.#copyProbe = true;
			state.copy = true;
			state.doWp = null;
			out.push(event);
		},
		wp_page_copy_ret: (event, out) => {
			this.#state(event.pid).copy = false;
			out.push(event);
		},
		mm_page_alloc: (event, out) => {
			const state = this.#state(event.pid);
			if (state.doWp === null || this.#copyProbe || !COPY_TARGET.test(event.text)) return;
			this.#putCopy(state, event, out);
			state.allocated = true;
		},
		mn_range_start: (event, out) => {
			const state = this.#state(event.pid);
			const { merge, doWp } = state;
			if (merge !== null && !merge.one && !merge.put) {
				merge.put = true;
				out.push({ ...event, name: "ksm_try_to_merge_one_page", text: merge.text });
			}
			const start = field(event.text, "start") ?? "";
			if (doWp !== null && !this.#copyProbe && start === doWp.start && hex(field(event.text, "end")) - hex(start) === PAGE)
				this.#putCopy(state, event, out);
			state.doWp = null;
			state.allocated = false;
			out.push(event);
			if (this.#lacking.unmap) out.push({ ...event, name: "kvm_unmap_hva_range", text: "" });
		},
		mn_range_end: (event, out) => {
			const state = this.#state(event.pid);
			out.push(event);
			// Nothing of wp_page_copy comes behind its bracket; a capture without its return gets it here.
			if (state.copy) out.push({ ...event, name: "wp_page_copy_ret", text: "" });
			state.copy = false;
		},
		handle_mm_fault: (event, out) => this.#settled(event, out),
		page_fault_user: (event, out) => {
			this.#settled(event, out);
			out.push(event);
		},
		kvm_page_fault: (event, out) => {
			this.#settled(event, out);
			const vcpu = this.#lacking.vcpuOf?.get(event.pid);
			out.push(vcpu === undefined ? event : { ...event, text: event.text.replace(/^vcpu \d+/, `vcpu ${vcpu}`) });
		},
		mark_mmio_spte: () => undefined,
	};

	#putCopy(state: TaskState, event: TracefsEvent, out: TracefsEvent[]): void {
		const { doWp } = state;
		if (doWp === null) return;
		state.doWp = null;
		state.copy = true;
		out.push({ ...event, name: "wp_page_copy", text: `addr=${doWp.start} flags=${doWp.flags}` });
	}

	/** The task is at another fault: a copy that met no bracket (its mm has no notifier) is over, and do_wp_page without one was a reuse. */
	#settled(event: TracefsEvent, out: TracefsEvent[]): void {
		const state = this.#tasks.get(event.pid);
		if (state === undefined) return;
		state.doWp = null;
		if (!state.allocated) return;
		state.allocated = false;
		state.copy = false;
		out.push({ ...event, name: "wp_page_copy_ret", text: "" });
	}
}
