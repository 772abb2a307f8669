// The partial-order reduction against the full exploration: the same verdicts, the same broken rules, the same final states.
import { describe, expect, it } from "vitest";
import { explore } from "../../src/litmus/explore.js";
import { generateScenario } from "../../src/litmus/generate.js";
import { builtInScenarios } from "../../src/litmus/library.js";
import { compileProgram } from "../../src/litmus/program.js";
import type { Scenario } from "../../src/litmus/scenario.js";
import { VARIANTS } from "../../src/litmus/verdict.js";
import { findStrategy, STRATEGIES } from "../../src/strategies/index.js";
import type { Strategy } from "../../src/strategies/steps.js";

const strategies = [...STRATEGIES, ...VARIANTS.map(findStrategy)].filter((strategy): strategy is Strategy => strategy !== undefined);

function expectSame(scenario: Scenario, strategy: Strategy): { reduced: number; full: number } {
	const program = compileProgram(scenario, strategy);
	const reduced = explore(program);
	const full = explore(program, { reduce: false });
	const facts = ({ allowed, broken, finals, stuck }: typeof full): object => ({ allowed, broken, finals, stuck });
	expect(facts(reduced), `${scenario.name} under ${strategy.name}`).toEqual(facts(full));
	expect(reduced.states).toBeLessThanOrEqual(full.states);
	expect((reduced.interleavings ?? 0n) <= (full.interleavings ?? 0n)).toBe(true);
	return { reduced: reduced.states, full: full.states };
}

describe("the reduction", () => {
	it.each(builtInScenarios().map((scenario) => [scenario.name, scenario] as const))("leaves %s as it is", (_, scenario) => {
		let saved = 0;
		for (const strategy of strategies) {
			const { reduced, full } = expectSame(scenario, strategy);
			saved += full - reduced;
		}
		expect(saved).toBeGreaterThan(0);
	});

	it("leaves random programs as they are", () => {
		for (let number = 0; number < 60; number++) {
			const scenario = generateScenario(3, number);
			// Programs of two threads and their full exploration are small.
			if (scenario.threads.length > 2) continue;
			for (const strategy of strategies) expectSame(scenario, strategy);
		}
	});
});
