// The litmus verdicts on the strategies of a comparison (compare --litmus).
import { builtInScenarios } from "../litmus/library.js";
import { litmusJson } from "../litmus/listing.js";
import { judge } from "../litmus/verdict.js";
import { readDocument } from "../machine/fields.js";
import { type LitmusRun, readLitmus } from "../report/litmusrun.js";
import type { Strategy } from "../strategies/steps.js";

export interface Judged {
	/** As `mmreplay litmus --json` prints it. */
	readonly document: object;
	readonly litmus: LitmusRun;
}

/** Explore every scenario under each strategy. @throws LimitError */
export function judgeAll(strategies: readonly Strategy[]): Judged {
	const document = litmusJson(builtInScenarios().map((scenario) => judge(scenario, strategies, true)));
	return { document, litmus: readLitmus(readDocument(JSON.stringify(document), "litmus", "verdicts")) };
}
