// Random exploration: it finds by itself what the scenarios show, and nothing under the safe strategies.
import { describe, expect, it } from "vitest";
import { explore } from "../../src/litmus/explore.js";
import { generateScenario } from "../../src/litmus/generate.js";
import { parseScenario } from "../../src/litmus/parse.js";
import { printScenario } from "../../src/litmus/print.js";
import { compileProgram } from "../../src/litmus/program.js";
import { search } from "../../src/litmus/search.js";
import { findStrategy, STRATEGIES } from "../../src/strategies/index.js";
import type { Strategy } from "../../src/strategies/steps.js";

function strategyOf(name: string): Strategy {
	const strategy = findStrategy(name);
	if (strategy === undefined) throw new Error(name);
	return strategy;
}

describe("the search", () => {
	it.each([
		["a-third-thread", "range-after-unlock", 300],
		["a-third-thread", "legacy-2.6.32", 150],
		["g-set-pte-first", "legacy-2.6.32", 50],
		["c-missing-change-pte", "fix:writeProtectStep=false", 400],
		["h-outstanding-bracket", "establish-naive", 100],
		["i-no-sequence-bump", "fix:seqBump=false", 60],
	])("finds %s under %s within %i programs", (like, strategy, programs) => {
		const { finds } = search([strategyOf(strategy)], { seed: 1, programs });
		expect(finds.map((find) => find.like)).toContain(like);
		for (const { scenario } of finds) {
			// What is written reads back, and shows the same.
			const again = parseScenario(printScenario(scenario), "found.litmus");
			expect(explore(compileProgram(again, strategyOf(strategy))).allowed).toBe(true);
			expect(again.allowed).toContain(strategy);
		}
	});

	it("finds nothing under the safe strategies", () => {
		const safe = STRATEGIES.filter((strategy) => strategy.safe);
		expect(search(safe, { seed: 1, programs: 40 }).finds).toEqual([]);
	});

	it("is the same every time", () => {
		const of = (seed: number): string[] => Array.from({ length: 20 }, (_, number) => printScenario(generateScenario(seed, number)));
		expect(of(5)).toEqual(of(5));
		expect(of(5)).not.toEqual(of(6));
	});
});
