// A witness as a trace: the reference model breaks the same rule on it.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { writeWitness } from "../../src/litmus/export.js";
import { chooseScenarios } from "../../src/litmus/library.js";
import { DEFAULT_MACHINE, setsOf } from "../../src/machine/machine.js";
import { ReferenceModel } from "../../src/model/replay.js";
import { findStrategy } from "../../src/strategies/index.js";
import type { Strategy } from "../../src/strategies/steps.js";
import { openTrace } from "../../src/trace/reader.js";
import { records } from "../../src/trace/records.js";

let folder = "";
beforeAll(() => {
	folder = mkdtempSync(join(tmpdir(), "mmreplay-litmus-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function strategyOf(name: string): Strategy {
	const strategy = findStrategy(name);
	if (strategy === undefined) throw new Error(name);
	return strategy;
}

function exported(scenario: string, strategy: string): string {
	const path = join(folder, `${scenario}-${strategy.replaceAll(":", "-")}.mmtrace`);
	const [chosen] = chooseScenarios([scenario]);
	if (chosen === undefined) throw new Error(scenario);
	writeWitness(path, chosen, strategyOf(strategy));
	return path;
}

function brokenRules(path: string, strategy: string): string[] {
	const { tlb, guestLevels, hostLevels } = DEFAULT_MACHINE;
	const level = (of: typeof tlb.l1): { sets: number; ways: number } => ({ sets: setsOf(of), ways: of.ways });
	const model = new ReferenceModel({
		strategy: strategyOf(strategy),
		tlb: { l1: level(tlb.l1), l2: level(tlb.l2) },
		guestLevels,
		hostLevels,
		copiesRecorded: false,
	});
	const trace = openTrace(path);
	for (const { record, sequence } of records(trace)) model.replay(record, sequence);
	trace.close();
	return [...new Set(model.world.violations.map(({ rule }) => rule))].sort();
}

describe("a witness as a trace", () => {
	it.each([
		["a-third-thread", "range-after-unlock", ["I-10", "I-2"]],
		["a-third-thread", "fix:deferFlush=true", ["I-2"]],
		["d2", "range-after-unlock", ["I-1"]],
		["d3", "fix:deferFlush=true", ["I-1"]],
		["d4", "fix:deferFlush=true", ["I-1", "I-9"]],
		["g", "range-after-unlock", ["I-10", "I-2"]],
		["h", "establish-naive", ["I-1", "I-6"]],
		// The store lands in a page that is gone: the model frees it with the replace, without ksmd's own reference.
		["k", "fix:deferFlush=true", ["I-1", "I-9"]],
		// A fault in flight.
		["e", "range-after-unlock", ["I-2"]],
		["e", "fix:seqBump=false", ["I-2"]],
		["i", "fix:seqBump=false", ["I-2"]],
		// Devices.
		["a2", "range-after-unlock", ["I-10", "I-2"]],
		["b", "range-after-unlock", ["I-10", "I-2"]],
		["c-missing-change-pte", "fix:writeProtectStep=false", ["I-10", "I-2"]],
		["c-missing-change-pte", "fix:reuseInWindow=true", ["I-2"]],
		["c1", "fix:reuseInWindow=true", ["I-2"]],
		["d1", "range-after-unlock", ["I-1"]],
		["n1", "fix:writeProtectStep=false", ["I-10", "I-2"]],
		["n2", "fix:writeProtectStep=false", ["I-2"]],
		["n3", "range-after-unlock", ["I-10", "I-2"]],
		// The window is under the page-table lock: the commit is cut.
		["a-third-thread", "legacy-2.6.32", ["I-10", "I-2"]],
		["a2", "legacy-2.6.32", ["I-10", "I-2"]],
		["c-missing-change-pte", "legacy-2.6.32", ["I-10", "I-2"]],
		["c1", "legacy-2.6.32", ["I-10", "I-2"]],
		["g", "legacy-2.6.32", ["I-10", "I-2"]],
	])("%s under %s breaks %s in a replay, and nothing under drop", (scenario, strategy, rules) => {
		const path = exported(scenario, strategy);
		expect(brokenRules(path, strategy)).toEqual(rules);
		expect(brokenRules(path, "drop")).toEqual([]);
	});

	it.each([
		// The device's store is between the copy of the data and the new PTE: one moment to a trace.
		["n3", "wrapped"],
		["n3", "flag"],
		["n3", "fix:writeProtectStep=false"],
		["n3", "fix:reuseInWindow=true"],
	])("%s under %s cannot be told", (scenario, strategy) => {
		expect(() => exported(scenario, strategy)).toThrow(/cannot be/);
	});

	it("has nothing to tell of what cannot happen", () => {
		expect(() => exported("h", "drop")).toThrow("cannot happen");
	});
});
