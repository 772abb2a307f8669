// A first look at a capture without access logs: which events it has, which kernel they are of, and what they tell of memslots and VMs.

import type { KernelSigns } from "./profiles.js";
import type { SlotEvidence } from "./slotevidence.js";
import { field, hex, type TracefsEvent } from "./tracefs.js";
import { isKsmTracepoint } from "./tracepoints.js";

/** Pointers that the kernel printed with %p: hashed, with the upper half zero. */
const HASHED = /\b(?:mm|rmap_item|sptep|page)[ =](?:0x)?0{8}[0-9a-f]{8}\b/;

/** Tracepoints that print pointers. */
const WITH_POINTERS = /^ksm_/;
/** FAULT_FLAG_VMA_LOCK. */
const VMA_LOCK = 0x1000;

export class Scout {
	/** Evidence for memslots; null where they are known. */
	readonly slots: SlotEvidence | null;
	/** Canonical names of the events with meaning, with their counts. */
	readonly events = new Map<string, number>();
	readonly signs: KernelSigns = {
		rangeLayout: "",
		changePte: false,
		ranges: false,
		ksmTracepoints: false,
		faultHasVcpu: undefined,
		merges: false,
		vmaLock: false,
	};
	/** The first event with a hashed pointer. */
	hashed = "";
	#lettersInSptes = false;
	/** Memslots are recorded before the first nested fault: the rest of the capture need not be looked at. */
	complete = false;

	constructor(slots: SlotEvidence | null) {
		this.slots = slots;
	}

	/** @param event what `raw` was recognised as */
	look(raw: TracefsEvent, event: TracefsEvent | null): void {
		if (WITH_POINTERS.test(raw.name)) {
			if (isKsmTracepoint(raw.name)) this.signs.ksmTracepoints = true;
			if (this.hashed === "" && HASHED.test(raw.text)) this.hashed = raw.name;
		}
		if (event === null) return;
		this.events.set(event.name, (this.events.get(event.name) ?? 0) + 1);
		if (event.name === "kvm_page_fault") {
			// The rewritten text always has one.
			this.signs.faultHasVcpu ??= /\bvcpu/.test(raw.text);
		} else if (event.name === "mn_change_pte") this.signs.changePte = true;
		else if (event.name === "mn_range_start") this.signs.ranges = true;
		else if (event.name === "ksm_try_to_merge_with_ksm_page" || event.name === "ksm_try_to_merge_one_page") this.signs.merges = true;
		else if (event.name === "handle_mm_fault" || event.name === "do_wp_page")
			this.signs.vmaLock ||= (hex(field(event.text, "flags")) & VMA_LOCK) !== 0;
		else if (event.name === "kvm_tdp_mmu_spte_changed") this.#lettersInSptes ||= /spte [0-9a-f]*[a-f]/.test(event.text);
		else if (event.name === "kvm_set_memory_region" && !this.has("kvm_page_fault")) this.complete = true;
		this.slots?.feed(event);
	}

	has(event: string): boolean {
		return this.events.has(event);
	}

	/** SPTEs printed in decimal, where every reader takes them for hex. */
	get decimalSptes(): boolean {
		return !this.#lettersInSptes && (this.events.get("kvm_tdp_mmu_spte_changed") ?? 0) >= 64;
	}

	/** Numbers of vCPU tasks among those of their VM, where kvm_page_fault does not have them. */
	vcpuNumbers(groups: readonly (readonly number[])[]): Map<number, number> {
		const numbers = new Map<number, number>();
		for (const tasks of groups) for (const [at, pid] of [...tasks].sort((a, b) => a - b).entries()) numbers.set(pid, at);
		return numbers;
	}
}
