// drop: option 1 of 2014 and Linux since 6.10: plain set_pte_at inside the bracket. f3b65bbaed7c, 997308f9ae72, f7842747d13d (merge 531f52002432).
import { bracketed } from "./bracketed.js";
import type { Strategy } from "./steps.js";

export const drop: Strategy = {
	name: "drop",
	option: 1,
	title: "bracketed, no change_pte",
	kernels: "6.10 and later",
	source: ["f3b65bbaed7c", "997308f9ae72", "f7842747d13d", "merge 531f52002432"],
	safe: true,
	operations: bracketed({ archFlush: true }),
};
