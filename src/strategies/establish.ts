// establish: option 3 of 2014. The bracket stays, and change_pte creates the missing leaf inside it: read-only new PTEs only, only where the leaf
// table exists (it cannot allocate), and only while its own bracket is the only one (kernel.md 10.4, litmus h). Captured as establish-ro-*.
import { bracketed } from "./bracketed.js";
import type { Strategy } from "./steps.js";

export const establish: Strategy = {
	name: "establish",
	option: 3,
	title: "bracketed, change_pte creates read-only leaves",
	kernels: "none (captured: establish-ro-*)",
	source: ["Arcangeli, 2014-01-22", "kernel.md 10.4, litmus (h)"],
	safe: true,
	operations: bracketed({
		archFlush: true,
		changePte: { step: "change-pte", mode: "establish", writable: "refuse", guard: "own-bracket" },
	}),
};
