// establish-lean: as establish-map, but not at a write_protect_page that a replace_page follows (kpage given): its bracket would zap the entry
// unused. Kept where the page itself becomes the KSM page. Untried by any kernel; measured on the captures (model.md section 4).
import { bracketed } from "./bracketed.js";
import type { Strategy } from "./steps.js";

export const establishLean: Strategy = {
	name: "establish-lean",
	option: 3,
	title: "as establish-map, but not before a replace",
	kernels: "none",
	source: ["model.md section 4: 5115 of 5641 unused entries of a capture come from these"],
	safe: true,
	operations: bracketed({
		archFlush: true,
		changePte: { step: "change-pte", mode: "establish", writable: "map", guard: "own-bracket", unless: "replace-follows" },
	}),
};
