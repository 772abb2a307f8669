// The order of kernel.md 10.2: who keeps at least whose mappings, and what a result may be called.
import { describe, expect, it } from "vitest";
import { exactness, keepsAtLeast } from "../../src/report/exactness.js";
import { STRATEGIES } from "../../src/strategies/index.js";
import { emptyHeader } from "../../src/trace/header.js";
import { hostOf, type RecordedHost } from "../../src/trace/kvmhost.js";

const inferred = (strategy: string) => ({ ...emptyHeader(), access: "inferred" as const, strategy });

describe("keepsAtLeast", () => {
	it.each([
		["drop", "wrapped"],
		["wrapped", "drop"],
		["fix", "wrapped"],
		["fix", "flag"],
		["flag", "fix"],
		["fix-map", "flag"],
		["establish-map", "establish"],
		["establish-map", "establish-lean"],
		["establish-lean", "drop"],
	])("%s keeps what %s keeps", (more, less) => {
		expect(keepsAtLeast(more, less)).toBe(true);
	});

	it.each([
		["drop", "fix"],
		["fix", "fix-map"],
		["fix", "establish"],
		["establish", "fix"],
		["establish-map", "fix"],
		["establish", "establish-lean"],
		["establish-lean", "establish"],
		["wrapped", "establish"],
	])("%s does not keep all that %s keeps", (more, less) => {
		expect(keepsAtLeast(more, less)).toBe(false);
	});

	it("knows every built-in strategy, and each keeps what drop keeps", () => {
		for (const { name } of STRATEGIES) expect(keepsAtLeast(name, "drop"), name).toBe(true);
	});
});

describe("exactness", () => {
	it("of a complete access log is exact for all", () => {
		const header = { ...emptyHeader(), access: "complete" as const };
		for (const { name } of STRATEGIES) expect(exactness(header, name, true).exact).toBe(true);
		expect(exactness(header, "mine", false).exact).toBe(true);
	});

	it("of concurrent accesses is not", () => {
		const found = exactness({ ...emptyHeader(), access: "complete", concurrent: true }, "fix", true);
		expect(found.exact).toBe(false);
		expect(found.why).toMatch(/order is inferred/);
	});

	it("of a capture that lost events is not", () => {
		expect(exactness({ ...emptyHeader(), access: "complete", losses: [{ name: "lost", count: 3 }] }, "fix", true).exact).toBe(false);
	});

	it("of inferred accesses goes by the captured strategy", () => {
		expect(exactness(inferred("wrapped"), "fix", true).exact).toBe(true);
		expect(exactness(inferred("flag"), "fix", true).exact).toBe(true);
		expect(exactness(inferred("flag"), "wrapped", true).exact).toBe("lowerBound");
		expect(exactness(inferred("flag"), "establish", true).exact).toBe("lowerBound");
		expect(exactness(inferred(""), "fix", true).exact).toBe(false);
		expect(exactness(inferred("wrapped"), "mine", false).exact).toBe(false);
	});

	it("without accesses is not", () => {
		expect(exactness(emptyHeader(), "drop", true).exact).toBe(false);
	});
});

describe("on another host", () => {
	const traced = (host: RecordedHost) => ({ ...inferred("drop"), host });
	const on = (captured: RecordedHost, assumed: RecordedHost) => exactness(traced(captured), "drop", true, hostOf(assumed, captured)).exact;

	it("a result is a lower bound where that host keeps fewer mappings than the captured one", () => {
		expect(on({}, { eptAd: false })).toBe("lowerBound");
		expect(on({}, { pml: false })).toBe("lowerBound");
		expect(on({ mmu: "legacy" }, { mmu: "tdp" })).toBe("lowerBound");
	});

	it("and exact where it keeps as many", () => {
		expect(on({}, { mmu: "legacy" })).toBe(true);
		expect(on({ eptAd: false }, { eptAd: true })).toBe(true);
		expect(on({ mmu: "legacy", eptAd: false }, { mmu: "tdp" })).toBe(true);
		expect(exactness({ ...traced({}), access: "complete" }, "drop", true, hostOf({ eptAd: false })).exact).toBe(true);
	});
});
