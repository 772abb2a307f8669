// fix-map: as fix, but a writable new PTE is mapped in place: the reading of the 2014 thread in which change_pte also saves the exit after a COW
// break. Disputed: no x86 kernel ever did it (kernel.md 11.1).
import { unbracketed } from "./bracketed.js";
import type { Strategy } from "./steps.js";

export const fixMap: Strategy = {
	name: "fix-map",
	option: 2,
	title: "as fix, and a writable new PTE is mapped in place",
	kernels: "none",
	source: ["Arcangeli, 2014-01-22", "kernel.md 11.1 (disputed)"],
	safe: true,
	operations: unbracketed({ step: "change-pte", mode: "update", writable: "map" }),
};
