// range-after-unlock: the range callbacks as first posted in January 2008 (Lameter): the secondary MMUs are invalidated after the page-table lock is
// dropped, with nothing that holds off their faults. Unsafe: litmus (a) is Arcangeli's answer to it. kernel.md 2.1.
import { invalidatedAfterUnlock } from "./bracketed.js";
import type { Strategy } from "./steps.js";

export const rangeAfterUnlock: Strategy = {
	name: "range-after-unlock",
	option: null,
	title: "one invalidation after the lock, no bracket",
	kernels: "none (draft of 2008)",
	source: ["Lameter, [patch 2/6] mmu_notifier: Callbacks to invalidate addressranges, 2008-01-29", "kernel.md 2.1, litmus (a)"],
	safe: false,
	operations: invalidatedAfterUnlock(),
};
