// establish-map: as establish, writable new PTEs too. Yan Zhao, "KVM: x86/mmu: .change_pte() optimization in TDP MMU", August 2023 (never merged);
// captured as establish-rw-*. Removes the second exit of a guest's own COW break: the retried access finds its SPTE (kernel.md 2.8, 10.2).
import { bracketed } from "./bracketed.js";
import type { Strategy } from "./steps.js";

export const establishMap: Strategy = {
	name: "establish-map",
	option: 3,
	title: "bracketed, change_pte creates leaves, writable ones too",
	kernels: "none (captured: establish-rw-*)",
	source: ["Yan Zhao, 2023-08", "kernel.md 10.4"],
	safe: true,
	operations: bracketed({ archFlush: true, changePte: { step: "change-pte", mode: "establish", writable: "map", guard: "own-bracket" } }),
};
