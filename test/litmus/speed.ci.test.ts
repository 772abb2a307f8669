// How fast the explorer is, and how long the safe strategies survive. Not among the unit tests: they take a minute, and a quiet machine.
import { describe, expect, it } from "vitest";
import { explore } from "../../src/litmus/explore.js";
import { builtInScenarios } from "../../src/litmus/library.js";
import { parseScenario } from "../../src/litmus/parse.js";
import { compileProgram } from "../../src/litmus/program.js";
import { search } from "../../src/litmus/search.js";
import { judge } from "../../src/litmus/verdict.js";
import { STRATEGIES } from "../../src/strategies/index.js";

const LARGE = `litmus large
frame A private
frame K ksm held
frame B shared
page v: pte A rw, spte A rw
page w: pte B ro, spte B ro
thread S ksmd
    merge v K
thread H host
    write w 1
    read v r
thread G vcpu
    write v 2
    read w r
thread H2 host
    write w 3
    write v 4
forbidden I-1 or I-2
`;

describe("the explorer", () => {
	it("sees a million states a second", () => {
		const [strategy] = STRATEGIES.filter(({ name }) => name === "fix");
		if (strategy === undefined) throw new Error("fix");
		const program = compileProgram(parseScenario(LARGE, "large"), strategy);
		const rates = Array.from({ length: 5 }, () => {
			// Time of our own: whoever else is on the machine does not count.
			const before = process.cpuUsage();
			const { states } = explore(program, { reduce: false, countPaths: false });
			const { user, system } = process.cpuUsage(before);
			expect(states).toBeGreaterThan(400_000);
			return (1e6 * states) / (user + system);
		});
		expect(Math.max(...rates)).toBeGreaterThan(1e6);
	});

	it("is through with every scenario in 2 s, and with all in 20 s", () => {
		const began = performance.now();
		for (const scenario of builtInScenarios()) {
			const one = performance.now();
			judge(scenario, STRATEGIES, true);
			expect(performance.now() - one, scenario.name).toBeLessThan(2000);
		}
		expect(performance.now() - began).toBeLessThan(20_000);
	});

	it("finds nothing under the safe strategies in 60 s", { timeout: 90_000 }, () => {
		const safe = STRATEGIES.filter((strategy) => strategy.safe);
		expect(search(safe, { seed: 1, seconds: 60 }).finds).toEqual([]);
	});
});
