// Which kernel was captured, from what its events show (model.md section 1), and what is wrong with the probes.
import type { RecordedHost } from "../trace/kvmhost.js";
import { hexText } from "./event.js";
import { PAGE } from "./tracefs.js";

/** SPTE_TDP_AD_MASK, bits 52 and 53 of an SPTE, in its upper word: 1 where A/D bits are disabled (arch/x86/kvm/mmu/spte.h). */
const AD_SHIFT = 20;
const AD_MASK = 3;
const AD_DISABLED = 1;

const MAX_ADDRESS = 2 ** 47;

/** start < end, page aligned, below 2^47. */
export const isRange = (start: number, end: number): boolean =>
	start >= 0 && start < end && start % PAGE === 0 && end % PAGE === 0 && end <= MAX_ADDRESS;

export class Evidence {
	/** Any change_pte seen: Linux up to 6.9, or a kernel with it put back. */
	changePte = false;
	/** try_to_merge_with_ksm_page is probed, so a merge without it is one into the zero page. */
	mergeProbe = false;
	#both = 0;
	#unmapOnly = 0;
	#changeOnly = 0;
	#establishedReadOnly = 0;
	#establishedWritable = 0;
	#establishedInForeignBracket = 0;
	/** Calls of the establish helper that the captured establish kernels have, and those that refused a writable new PTE (-3). */
	#establishCalls = 0;
	#establishRefusedWritable = 0;
	#leaves = 0;
	#leavesWithoutAd = 0;
	#ranges = 0;
	#badRanges = 0;
	#firstBadRange = "";

	/** A present leaf of the TDP MMU, by the upper word of its SPTE. */
	leaf(high: number): void {
		this.#leaves++;
		if (((high >>> AD_SHIFT) & AD_MASK) === AD_DISABLED) this.#leavesWithoutAd++;
	}

	/** Only the TDP MMU has kvm_tdp_mmu_spte_changed, and its SPTEs say whether they have A/D bits. */
	host(): RecordedHost {
		return this.#leaves === 0 ? {} : { mmu: "tdp", eptAd: this.#leavesWithoutAd === 0 };
	}

	bracket(unmapped: boolean, changedPte: boolean, eligible: boolean): void {
		if (!eligible) return;
		if (unmapped && changedPte) this.#both++;
		else if (unmapped) this.#unmapOnly++;
		else if (changedPte) this.#changeOnly++;
	}

	establishes(writable: boolean, otherBracketOpen: boolean): void {
		if (writable) this.#establishedWritable++;
		else this.#establishedReadOnly++;
		if (otherBracketOpen) this.#establishedInForeignBracket++;
	}

	/** kvm_establish_ret of the captured establish kernels: its return value. */
	establishReturned(value: number): void {
		this.#establishCalls++;
		if (value === -3) this.#establishRefusedWritable++;
	}

	/** A range as fetched; one that is impossible comes from a wrong struct offset in the probe: false. */
	range(start: number, end: number): boolean {
		this.#ranges++;
		if (isRange(start, end)) return true;
		this.#badRanges++;
		this.#firstBadRange ||= `start=${hexText(start)} end=${hexText(end)}`;
		return false;
	}

	get badRanges(): { count: number; of: number; first: string } {
		return { count: this.#badRanges, of: this.#ranges, first: this.#firstBadRange };
	}

	/** The captured kernel's strategy and what says so; name "" where nothing does. */
	strategy(): { name: string; evidence: string[] } {
		const established = this.#establishedReadOnly + this.#establishedWritable;
		if (established > 0) {
			const counts = `${established} SPTEs made present inside change_pte, ${this.#establishedWritable} of them writable`;
			if (this.#establishedInForeignBracket > 0)
				return {
					name: "establish-naive",
					evidence: [counts, `${this.#establishedInForeignBracket} of them while another bracket was open`],
				};
			return { name: this.#establishedWritable > 0 ? "establish-map" : "establish", evidence: [counts] };
		}
		if (this.#establishCalls > 0) {
			const evidence = [`kvm_establish is called ${this.#establishCalls} times and creates nothing here`];
			return { name: this.#establishRefusedWritable > 0 ? "establish" : "establish-map", evidence };
		}
		if (this.#changeOnly > 0 && this.#changeOnly >= this.#both)
			return { name: "flag", evidence: [`${this.#changeOnly} change_pte brackets without kvm_unmap_hva_range`] };
		if (this.#both > 0) return { name: "wrapped", evidence: [`kvm_unmap_hva_range and change_pte in the same ${this.#both} brackets`] };
		if (this.#unmapOnly > 0) return { name: "drop", evidence: [`${this.#unmapOnly} brackets at COW and KSM sites, none with change_pte`] };
		return { name: "", evidence: [] };
	}
}
