// What the oracle finds: the rules of kernel.md section 6 that a replay holds a strategy against, and what it says of a violation. Which rule is
// checked when, and which none can be: docs/model.md.

/** Each has a counter, `coherence.byRule`. */
export const RULES = ["I-1", "I-2", "I-3", "I-5", "I-6", "I-7", "I-8", "I-9", "I-10"] as const;
export type Rule = (typeof RULES)[number];

export interface Violation {
	/** Number of the cause at which it was found. */
	readonly event: number;
	readonly rule: string;
	/** Who met it: a vCPU, thread or device at its access, a VM whose SPTE it is, or an mm whose PTE. */
	readonly agent: string;
	/** In bytes: gpa of a vCPU or VM, hva of an mm or thread, device-virtual address of a device. */
	readonly address: number;
}

/** Violations of a strategy that are kept one by one; all are counted. */
export const VIOLATIONS_KEPT = 1000;
