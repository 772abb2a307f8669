// fix: option 2 of 2014. No bracket at the eligible sites; change_pte updates a present SPTE in place and raises the sequence; a writable new PTE
// zaps the SPTE, as x86 has done since 2009. Where a notifier lacks change_pte the new PTE stays write-protected until that one is invalidated.
// Andrea Arcangeli, "Re: [PATCH] mm/mmu_notifier: restore set_pte_at_notify semantics", 2014-01-22; kernel.md 2.4, 10.1.
import { unbracketed } from "./bracketed.js";
import type { Strategy } from "./steps.js";

export const fix: Strategy = {
	name: "fix",
	option: 2,
	title: "no bracket, change_pte updates in place, writable zaps",
	kernels: "none (the captured fix-* kernels run its KVM half: flag)",
	source: ["Arcangeli, 2014-01-22", "kernel.md 2.4, litmus (c) and (i)"],
	safe: true,
	operations: unbracketed({ step: "change-pte", mode: "update", writable: "zap" }),
};
