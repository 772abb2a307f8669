// The verdict matrix of kernel.md section 5, cell by cell, with the set-ups that the page names under it.
import { describe, expect, it } from "vitest";
import { builtInScenarios } from "../../src/litmus/library.js";
import { isExpected, judge, VARIANTS } from "../../src/litmus/verdict.js";
import { findStrategy, STRATEGIES } from "../../src/strategies/index.js";
import type { Strategy } from "../../src/strategies/steps.js";

const strategies = [...STRATEGIES, ...VARIANTS.map(findStrategy)].filter((strategy): strategy is Strategy => strategy !== undefined);
const scenarios = builtInScenarios();
const verdicts = new Map(
	scenarios.map((scenario) => [
		scenario.name,
		new Map(judge(scenario, strategies, true).strategies.map((verdict) => [verdict.name, verdict])),
	]),
);

/** Columns of the matrix: the strategies that each is about. */
const COLUMNS = {
	draft: ["range-after-unlock"],
	E1: ["legacy-2.6.32"],
	E2: ["legacy-3.6"],
	wrapped: ["wrapped"],
	drop: ["drop"],
	fix: ["fix", "fix-map", "flag"],
	naive: ["establish-naive"],
	guarded: ["establish", "establish-map", "establish-lean"],
} as const;

/** A cell is BAD where one of its scenarios can go wrong. "-" in the page: no verdict. */
const CELLS: readonly (readonly [
	test: string,
	scenarios: readonly string[],
	bad: readonly (keyof typeof COLUMNS)[],
	undecided: readonly string[],
])[] = [
	["a", ["a-third-thread"], ["draft", "E1"], []],
	["a, for M", ["a2-third-thread-mirror"], ["draft", "E1"], []],
	["b", ["b-device-order"], ["draft"], []],
	["c", ["c-missing-change-pte"], ["draft", "E1"], []],
	["d", ["d1-free-before-end-device", "d2-free-before-end-guest", "d3-old-page-freed", "d4-merged-page-freed"], ["draft"], []],
	["e", ["e-gup-race"], ["draft"], []],
	["g", ["g-set-pte-first"], ["E1"], ["draft"]],
	["h", ["h-outstanding-bracket"], ["naive"], ["draft"]],
	["i", ["i-no-sequence-bump"], [], ["draft"]],
	["k", ["k-merge-live-writer"], [], ["draft"]],
	["e0, not in the matrix", ["e0-concurrent-installs"], [], []],
	["c'', not in the matrix", ["c2-read-only-result"], [], []],
	["f, not in the matrix", ["f-same-content"], [], []],
	["j, not in the matrix", ["j-writable-replaced"], [], []],
	["l, not in the matrix", ["l-lost-dirty"], [], []],
	["m, not in the matrix", ["m-pinned-page"], [], []],
];

describe("the verdict matrix", () => {
	it("is the same for a fault that does not retry for its own copy", () => {
		const base = ["wrapped", "drop", "fix", "fix-map", "flag", "establish-map"];
		const aware = base.map((name) => findStrategy(`${name}:ownCowAware=true`)).filter((strategy) => strategy !== undefined);
		for (const scenario of scenarios) {
			const found = judge(scenario, aware, true).strategies.map(({ verdict }) => verdict);
			expect(found, scenario.name).toEqual(base.map((name) => verdicts.get(scenario.name)?.get(name)?.verdict));
		}
	});

	it("has no n3 where every flush tells the device TLBs", () => {
		const told = [findStrategy("wrapped:archFlush=true"), findStrategy("flag:archFlush=true")].filter((strategy) => strategy !== undefined);
		const n3 = scenarios.filter(({ name }) => name.startsWith("n3"));
		for (const scenario of n3)
			expect(judge(scenario, told, true).strategies.map(({ verdict }) => verdict)).toEqual(["forbidden", "forbidden"]);
	});

	const cells = CELLS.flatMap(([test, names, bad, undecided]) =>
		Object.entries(COLUMNS)
			.filter(([column]) => !undecided.includes(column))
			.map(([column, columns]) => ({ test, column, names, columns, expected: bad.some((each) => each === column) ? "BAD" : "ok" })),
	);
	it.each(cells)("($test) $column: $expected", ({ names, columns, expected }) => {
		for (const column of columns) {
			const bad = names.some((name) => verdicts.get(name)?.get(column)?.verdict === "allowed");
			expect(bad ? "BAD" : "ok", column).toBe(expected);
		}
	});

	it.each([
		["i-no-sequence-bump", "fix:seqBump=false"],
		["e-gup-race", "fix:seqBump=false"],
		["c-missing-change-pte", "fix:writeProtectStep=false"],
		["a2-third-thread-mirror", "fix:writeProtectStep=false"],
		["c1-reuse-in-window", "fix:reuseInWindow=true"],
		["d3-old-page-freed", "fix:deferFlush=true"],
		["d4-merged-page-freed", "fix:deferFlush=true"],
		["k-merge-live-writer", "fix:deferFlush=true"],
	])("%s is allowed under %s, and not under fix", (name, variant) => {
		expect(verdicts.get(name)?.get(variant)?.verdict).toBe("allowed");
		expect(verdicts.get(name)?.get("fix")?.verdict).toBe("forbidden");
	});

	it("has every verdict as its scenario expects it, and nobody waits for ever", () => {
		for (const [name, of] of verdicts) for (const verdict of of.values()) expect(isExpected(verdict), `${name} ${verdict.name}`).toBe(true);
	});

	it("has a witness for every outcome that can happen, and for no other", () => {
		for (const of of verdicts.values())
			for (const { verdict, witness } of of.values()) expect(witness !== null).toBe(verdict === "allowed");
	});

	it("names strategies that there are", () => {
		const names = strategies.map(({ name }) => name);
		for (const { allowed, without } of scenarios)
			for (const name of [...allowed, ...without.flatMap((each) => each.strategies)]) expect(names).toContain(name);
	});

	it("names every scenario after its letter", () => {
		const letters = new Set(scenarios.map(({ name }) => name.split("-")[0]));
		for (const letter of ["a", "a2", "b", "c", "c1", "c2", "e", "e0", "f", "g", "h", "i", "j", "k", "l", "m"])
			expect(letters).toContain(letter);
	});
});
