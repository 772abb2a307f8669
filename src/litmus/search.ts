// Beyond the written scenarios: random programs under each strategy; whatever breaks a rule is shrunk and becomes a scenario.
import { LimitError } from "../errors.js";
import { findStrategy, STRATEGIES } from "../strategies/index.js";
import type { Strategy } from "../strategies/steps.js";
import { canonical, likeness } from "./canonical.js";
import { type Exploration, explore } from "./explore.js";
import { generateScenario } from "./generate.js";
import { builtInScenarios } from "./library.js";
import { printScenario } from "./print.js";
import { compileProgram } from "./program.js";
import { RULE_BIT, RULES, type Rule } from "./rules.js";
import type { Scenario } from "./scenario.js";
import { shrink } from "./shrink.js";
import { VARIANTS } from "./verdict.js";

export interface SearchOptions {
	readonly seed: number;
	/** How long, or how many programs; both: whichever comes first. */
	readonly seconds?: number;
	readonly programs?: number;
}

export interface Find {
	readonly scenario: Scenario;
	readonly strategy: string;
	readonly rule: Rule;
	/** The written scenario that it is most like, of those that the strategy allows; null: none. */
	readonly like: string | null;
	/** Number of the random program. */
	readonly program: number;
}

export interface SearchResult {
	readonly programs: number;
	/** Programs that were too large. */
	readonly skipped: number;
	readonly states: number;
	readonly seconds: number;
	readonly finds: readonly Find[];
}

/** A program larger than this is skipped: the small ones say the same. */
const STATE_LIMIT = 1 << 15;

export function search(strategies: readonly Strategy[], options: SearchOptions): SearchResult {
	return new Search(strategies).run(options);
}

class Search {
	readonly #strategies: readonly Strategy[];
	readonly #finds: Find[] = [];
	/** Texts of what was found, without their names: the same program is one find. */
	readonly #known = new Set<string>();
	#states = 0;
	#skipped = 0;
	readonly #written = builtInScenarios();

	constructor(strategies: readonly Strategy[]) {
		this.#strategies = strategies;
	}

	run({ seed, seconds, programs }: SearchOptions): SearchResult {
		const began = performance.now();
		const elapsed = (): number => (performance.now() - began) / 1000;
		let number = 0;
		while (number < (programs ?? Number.POSITIVE_INFINITY) && elapsed() < (seconds ?? Number.POSITIVE_INFINITY)) {
			const scenario = generateScenario(seed, number);
			for (const strategy of this.#strategies) this.#try(scenario, strategy, number);
			number++;
		}
		return { programs: number, skipped: this.#skipped, states: this.#states, seconds: elapsed(), finds: this.#finds };
	}

	#explore(scenario: Scenario, strategy: Strategy): Exploration | null {
		try {
			const found = explore(compileProgram(scenario, strategy), { limit: STATE_LIMIT, countPaths: false });
			this.#states += found.states;
			return found;
		} catch (error) {
			if (!(error instanceof LimitError)) throw error;
			this.#skipped++;
			return null;
		}
	}

	#try(scenario: Scenario, strategy: Strategy, program: number): void {
		const found = this.#explore(scenario, strategy);
		if (found === null) return;
		if (found.stuck) throw new RangeError(`program ${program} under ${strategy.name}: a thread waits for ever`);
		const rule = RULES.find((each) => (found.broken & RULE_BIT[each]) !== 0);
		if (rule === undefined) return;
		const breaks = (candidate: Scenario): boolean => ((this.#explore(candidate, strategy)?.broken ?? 0) & RULE_BIT[rule]) !== 0;
		const smallest = canonical({ ...shrink(scenario, breaks), forbidden: { is: "rule", rule } });
		const text = `${strategy.name}\n${printScenario({ ...smallest, name: "x" })}`;
		if (this.#known.has(text)) return;
		this.#known.add(text);
		const name = `found-${strategy.name.replaceAll(/[^a-z0-9]+/gi, "-").toLowerCase()}-${program}`;
		const named = { ...smallest, name, title: `${strategy.name} breaks ${rule}`, allowed: this.#allowed(smallest, rule) };
		this.#finds.push({ scenario: named, strategy: strategy.name, rule, like: this.#like(named, strategy), program });
	}

	#like(found: Scenario, strategy: Strategy): string | null {
		const known = this.#written.filter(({ allowed }) => allowed.includes(strategy.name));
		const ranked = known.map((scenario) => ({ name: scenario.name, score: likeness(found, scenario) })).sort((a, b) => b.score - a.score);
		return ranked[0]?.name ?? null;
	}

	/** Which of our strategies and variants break the rule, besides those that are searched. */
	#allowed(scenario: Scenario, rule: Rule): string[] {
		const ours = [...STRATEGIES, ...VARIANTS.map(findStrategy)].filter((strategy) => strategy !== undefined);
		const own = this.#strategies.filter(({ name }) => !ours.some((other) => other.name === name));
		return [...ours, ...own]
			.filter((strategy) => ((this.#explore(scenario, strategy)?.broken ?? 0) & RULE_BIT[rule]) !== 0)
			.map(({ name }) => name);
	}
}
