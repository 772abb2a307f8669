// legacy-3.6: the order put right, for one release: change_pte (or invalidate_page) first, then set_pte_at, under the page-table lock and without a
// bracket. 48af0d7cb3c8 ("mm: mmu_notifier: fix inconsistent memory between secondary MMU and host"); kernel.md 2.3.
import { unwrapped } from "./bracketed.js";
import type { Strategy } from "./steps.js";

export const legacy36: Strategy = {
	name: "legacy-3.6",
	option: null,
	title: "no bracket, change_pte before set_pte",
	kernels: "3.6",
	source: ["48af0d7cb3c8", "kernel.md 2.3"],
	safe: true,
	operations: unwrapped("change-pte-first"),
};
