// The list of built-in strategies. A strategy is one file and one line here.
import { drop } from "./drop.js";
import { establish } from "./establish.js";
import { establishLean } from "./establish-lean.js";
import { establishMap } from "./establish-map.js";
import { establishNaive } from "./establish-naive.js";
import { fix } from "./fix.js";
import { fixMap } from "./fix-map.js";
import { flag } from "./flag.js";
import type { Strategy } from "./steps.js";
import { wrapped } from "./wrapped.js";

export const STRATEGIES: readonly Strategy[] = [wrapped, drop, fix, fixMap, flag, establish, establishMap, establishLean, establishNaive];

/** What `compare` runs unless told otherwise, and what it compares with (cli.md). */
export const DEFAULT_STRATEGIES: readonly string[] = ["wrapped", "drop", "fix", "establish", "establish-map"];
export const DEFAULT_BASELINE = "drop";

/** A built-in strategy by name; undefined if there is none. */
export function findStrategy(name: string): Strategy | undefined {
	return STRATEGIES.find((strategy) => strategy.name === name);
}
