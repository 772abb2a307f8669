// legacy-2.6.32: KSM's first change_pte, 2.6.32 to 3.5: set_pte_at first, then the notifier, under the page-table lock and without a bracket. A host
// thread can write through the new PTE while the guest still reads the old page (litmus g). 828502d30073; kernel.md 1.0, 1.3, 2.2.
import { unwrapped } from "./bracketed.js";
import type { Strategy } from "./steps.js";

export const legacy2632: Strategy = {
	name: "legacy-2.6.32",
	option: null,
	title: "no bracket, set_pte before change_pte",
	kernels: "2.6.32 to 3.5",
	source: ["828502d30073", "kernel.md 2.2, litmus (g)"],
	safe: false,
	operations: unwrapped("set-pte-first"),
};
