// establish-naive: establish-map without its guard: it creates an entry while another bracket that has already zapped the page is still open, and
// that bracket's end does not remove it (litmus h). Unsafe on purpose: 22 of 120 races on a real kernel ended with a guest on a freed page.
import { bracketed } from "./bracketed.js";
import type { Strategy } from "./steps.js";

export const establishNaive: Strategy = {
	name: "establish-naive",
	option: 3,
	title: "establish-map without the own-bracket guard",
	kernels: "none (captured: naive-rw-*)",
	source: ["6bdb913f0a70 changelog, point 2", "kernel.md litmus (h)"],
	safe: false,
	operations: bracketed({ archFlush: true, changePte: { step: "change-pte", mode: "establish", writable: "map", guard: "none" } }),
};
