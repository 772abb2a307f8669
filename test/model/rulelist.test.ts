// Every rule of kernel.md's sections 1 and 3 that is modelled has a scenario numbered after it; those that are not say why.
import { describe, expect, it } from "vitest";
import { listedSections, numberedScenarios } from "./rulelist.js";

const sections = listedSections();
const scenarios = numberedScenarios();

describe("the rules of kernel.md", () => {
	it("have their scenarios, by section and name", () => {
		expect(scenarios.length).toBeGreaterThan(150);
		const without = sections.flatMap(({ section, rules }) =>
			rules
				.filter(({ scenario, under = section }) => {
					if (scenario === undefined) return false;
					return !scenarios.some(({ sections: numbers, name }) => numbers.includes(under) && name.includes(scenario));
				})
				.map(({ rule, scenario }) => `${section} ${rule}: no scenario "${scenario}"`),
		);
		expect(without).toEqual([]);
	});

	it("have either a scenario or a reason, and each subsection some rule", () => {
		for (const { section, rules } of sections) {
			expect(rules.length, section).toBeGreaterThan(0);
			for (const { rule, scenario, notModelled } of rules)
				expect([scenario, notModelled].filter((given) => given !== undefined && given.length > 5).length, `${section} ${rule}`).toBe(1);
		}
	});

	it("cover every section that a scenario of theirs is numbered after", () => {
		const known = new Set(sections.map(({ section }) => section));
		const unknown = scenarios.flatMap(({ sections: numbers, name }) =>
			numbers.some((number) => /^[13]\.\d+$/.test(number) && !known.has(number)) ? [name] : [],
		);
		expect(unknown).toEqual([]);
	});
});
