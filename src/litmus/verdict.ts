// Scenarios under strategies: the verdicts, and what was expected (kernel.md section 5).
import type { Strategy } from "../strategies/steps.js";
import { type Exploration, explore } from "./explore.js";
import { compileProgram } from "./program.js";
import { expectedVerdict, type Scenario, type Verdict } from "./scenario.js";
import { findWitness, type Witness } from "./witness.js";

/** What the matrix has beside the strategies: those with an option that some scenario shows to be unsafe. */
export const VARIANTS: readonly string[] = [
	"fix:seqBump=false",
	"fix:writeProtectStep=false",
	"fix:reuseInWindow=true",
	"fix:deferFlush=true",
];

export interface StrategyVerdict {
	readonly name: string;
	readonly verdict: Verdict;
	readonly expected: Verdict;
	readonly states: number;
	readonly transitions: number;
	readonly interleavings: bigint | null;
	/** Some execution leaves a thread waiting for ever. */
	readonly stuck: boolean;
	readonly seconds: number;
	readonly witness: Witness | null;
	/** Why a thread of the scenario is not there. */
	readonly note: string | null;
}

export interface ScenarioVerdict {
	readonly scenario: Scenario;
	readonly strategies: readonly StrategyVerdict[];
}

/** @throws LimitError; RangeError where the reduced and the full exploration disagree: a defect */
export function judge(scenario: Scenario, strategies: readonly Strategy[], reduce: boolean): ScenarioVerdict {
	return { scenario, strategies: strategies.map((strategy) => judgeOne(scenario, strategy, reduce)) };
}

function judgeOne(scenario: Scenario, strategy: Strategy, reduce: boolean): StrategyVerdict {
	const program = compileProgram(scenario, strategy);
	const found: Exploration = explore(program, { reduce });
	const witness = found.allowed ? findWitness(program) : null;
	if (found.allowed && witness === null) throw new RangeError(`${scenario.name} under ${strategy.name}: an outcome without an execution`);
	const absent = scenario.without.filter(({ strategies }) => strategies.includes(strategy.name));
	return {
		name: strategy.name,
		verdict: found.allowed ? "allowed" : "forbidden",
		expected: expectedVerdict(scenario, strategy.name),
		states: found.states,
		transitions: found.transitions,
		interleavings: found.interleavings,
		stuck: found.stuck,
		seconds: found.seconds,
		witness,
		note: absent.length === 0 ? null : absent.map(({ thread, reason }) => `without ${thread}: ${reason}`).join("; "),
	};
}

export function isExpected({ verdict, expected, stuck }: StrategyVerdict): boolean {
	return verdict === expected && !stuck;
}
