// Witnesses: the shortest execution, the step that decides it, and how it reads.
import { describe, expect, it } from "vitest";
import { builtInScenarios, chooseScenarios } from "../../src/litmus/library.js";
import { matrixLines, scenarioLines, totalLine } from "../../src/litmus/listing.js";
import { compileProgram } from "../../src/litmus/program.js";
import { judge, VARIANTS } from "../../src/litmus/verdict.js";
import { findWitness, type Witness } from "../../src/litmus/witness.js";
import { findStrategy, STRATEGIES } from "../../src/strategies/index.js";
import type { Strategy } from "../../src/strategies/steps.js";

function strategyOf(name: string): Strategy {
	const strategy = findStrategy(name);
	if (strategy === undefined) throw new Error(name);
	return strategy;
}

function witnessOf(scenario: string, strategy: string): Witness {
	const [chosen] = chooseScenarios([scenario]);
	if (chosen === undefined) throw new Error(scenario);
	const witness = findWitness(compileProgram(chosen, strategyOf(strategy)));
	if (witness === null) throw new Error("none");
	return witness;
}

describe("a witness", () => {
	it("of (h) has the guest on the freed copy", () => {
		const { steps, rules } = witnessOf("h", "establish-naive");
		expect(rules).toContain("I-1");
		const last = steps.at(-1);
		expect(last).toMatchObject({ breaks: true, does: "free-old" });
		expect(last?.view.pte).toBe("-");
		expect(last?.view.spte).toMatch(/^N\d? w!$/);
		const change = steps.find(({ does }) => does === "change-pte");
		expect(change?.inProgress).toBe(2);
	});

	it("of (a) before 3.6 has the host's write between set_pte and change_pte", () => {
		const does = witnessOf("a-third-thread", "legacy-2.6.32").steps.map((step) => step.does);
		expect(does).toEqual(expect.arrayContaining(["set-pte", "write v=1", "read v r=0"]));
		expect(does).not.toContain("change-pte");
	});

	it("of (i) has the install after the copy, with the sequence where it was", () => {
		const { steps } = witnessOf("i", "fix:seqBump=false");
		const install = steps.find(({ does }) => does === "install");
		expect(install?.seq).toBe(0);
		expect(install?.view.spte).toBe("K r");
	});

	it("marks one step, the last of those before which the outcome was still open", () => {
		for (const scenario of builtInScenarios())
			for (const name of scenario.allowed) {
				const witness = findWitness(compileProgram(scenario, strategyOf(name)));
				expect(witness?.steps.filter(({ breaks }) => breaks).length, `${scenario.name} ${name}`).toBe(1);
			}
	});
});

describe("the listing", () => {
	const strategies = [...STRATEGIES.map(({ name }) => name), ...VARIANTS].map(strategyOf);
	const verdicts = builtInScenarios().map((scenario) => judge(scenario, strategies, true));

	it("fits 80 columns", () => {
		const lines = [
			...verdicts.flatMap((verdict) => scenarioLines(verdict, true)),
			...matrixLines(verdicts),
			...totalLine(verdicts).split("\n"),
		];
		for (const line of lines) expect(line.length, line).toBeLessThanOrEqual(80);
	});
});
