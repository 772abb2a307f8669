// wrapped: change_pte inside range_start/range_end, 3.7 to 6.9. The start has zapped the SPTE, so change_pte never finds one: dead code, and a
// third mmu_lock acquisition. 6bdb913f0a70 ("mm: wrap calls to set_pte_at_notify with invalidate_range_start and invalidate_range_end").
import { bracketed } from "./bracketed.js";
import type { Strategy } from "./steps.js";

export const wrapped: Strategy = {
	name: "wrapped",
	option: null,
	title: "bracketed, change_pte called and dead",
	kernels: "3.7 to 6.9",
	source: ["6bdb913f0a70", "c13fda237f08: change_pte no longer raises the sequence (5.13)"],
	safe: true,
	operations: bracketed({ changePte: { step: "change-pte", mode: "update", writable: "zap" } }),
};
