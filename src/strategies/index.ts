// The list of built-in strategies. A strategy is one file and one line here.
import { drop } from "./drop.js";
import { establish } from "./establish.js";
import { establishLean } from "./establish-lean.js";
import { establishMap } from "./establish-map.js";
import { establishNaive } from "./establish-naive.js";
import { fix } from "./fix.js";
import { fixMap } from "./fix-map.js";
import { flag } from "./flag.js";
import { legacy2632 } from "./legacy-2.6.32.js";
import { legacy36 } from "./legacy-3.6.js";
import { parseOptions, withOptions } from "./options.js";
import { rangeAfterUnlock } from "./range-after-unlock.js";
import type { Strategy } from "./steps.js";
import { wrapped } from "./wrapped.js";

export const STRATEGIES: readonly Strategy[] = [
	wrapped,
	drop,
	fix,
	fixMap,
	flag,
	establish,
	establishMap,
	establishLean,
	establishNaive,
	legacy2632,
	legacy36,
	rangeAfterUnlock,
];

/** What `compare` runs unless told otherwise, and what it compares with (cli.md). */
export const DEFAULT_STRATEGIES: readonly string[] = ["wrapped", "drop", "fix", "establish", "establish-map"];
export const DEFAULT_BASELINE = "drop";

/** A built-in strategy by name, `fix`, or a variant of one, `fix:seqBump=false`; undefined if there is none. @throws UsageError on an unknown option */
export function findStrategy(name: string): Strategy | undefined {
	const [base, ...options] = name.split(":");
	const found = STRATEGIES.find((strategy) => strategy.name === base);
	return found === undefined || options.length === 0 ? found : withOptions(found, parseOptions(options.join(":")));
}
