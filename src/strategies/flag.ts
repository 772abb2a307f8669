// flag: Glisse's MMU_NOTIFIER_USE_CHANGE_PTE (RFC 2019, never merged), as the captured fix-* kernels run it: the notifier core keeps its bracket for
// everybody else, KVM returns from both ends at once and relies on change_pte, which raises the sequence under mmu_lock (kernel.md 2.6).
import { bracketed } from "./bracketed.js";
import type { Strategy } from "./steps.js";

export const flag: Strategy = {
	name: "flag",
	option: 2,
	title: "bracket kept for others, KVM skips it and updates in place",
	kernels: "none (captured: fix-*)",
	source: ["Glisse, RFC v2 2019-02-20, 3/4 and 4/4", "kernel.md 2.6"],
	safe: true,
	operations: bracketed({ kvm: false, changePte: { step: "change-pte", mode: "update", writable: "zap" }, bumpSeq: true }),
};
