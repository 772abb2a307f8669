import { describe, expect, it } from "vitest";
import { COUNTER_PATHS, counterIndex } from "../../src/counters.js";
import { DEFAULT_COSTS, parseCosts } from "../../src/machine/costs.js";
import { breakEvenVmexitCycles, cyclesOf, estimatesOf, sensitivity } from "../../src/report/cost.js";

function counters(values: Readonly<Record<string, number>>): BigUint64Array {
	const block = new BigUint64Array(COUNTER_PATHS.length);
	for (const [path, value] of Object.entries(values)) block[counterIndex(path)] = BigInt(value);
	return block;
}

const COSTS = parseCosts(
	JSON.stringify({
		items: {
			access: 1,
			tlbL2Hit: 0,
			walkReference: 0,
			vmexit: 100,
			flushGuest: 10,
			flushPrimary: 0,
			hostFault: 0,
			cowCopy: 5,
			notifierBracket: 0,
			changePte: 0,
			mmuLockWrite: 0,
		},
	}),
	"test",
);

describe("cycles", () => {
	it("are counts times costs, on the guest's way and beside it", () => {
		const block = counters({
			"accesses.guestRead": 40,
			"accesses.guestWrite": 10,
			vmexits: 2,
			"flush.guestTlb": 3,
			"cowCopies.ksm": 1,
			"cowCopies.zero": 1,
		});
		expect(cyclesOf(block, COSTS, true, 1e9)).toEqual({
			guestCycles: 250,
			hostCycles: 40,
			cyclesPerAccess: 290 / 50,
			simulatedAccessesPerSecond: 1e9 / (290 / 50),
		});
	});

	it("an access are unknown without a complete access log", () => {
		const cycles = cyclesOf(counters({ "accesses.guestRead": 40, vmexits: 2 }), COSTS, false, 1e9);
		expect(cycles).toEqual({ guestCycles: 200, hostCycles: 0, cyclesPerAccess: null, simulatedAccessesPerSecond: null });
	});
});

describe("the break-even cost of an exit", () => {
	const base = counters({ vmexits: 10, "flush.guestTlb": 1 });
	it("is where two strategies tie", () => {
		// 4 exits fewer for 20 flushes more: 200 cycles for 4 exits.
		const cost = breakEvenVmexitCycles(counters({ vmexits: 6, "flush.guestTlb": 21 }), base, COSTS, true);
		expect(cost).toBe(50);
	});
	it("is none where one is ahead at any cost, or the exits are the same", () => {
		expect(breakEvenVmexitCycles(counters({ vmexits: 6 }), base, COSTS, true)).toBeNull();
		expect(breakEvenVmexitCycles(counters({ vmexits: 10, "flush.guestTlb": 5 }), base, COSTS, true)).toBeNull();
	});
});

describe("sensitivity", () => {
	it("halves and doubles each cost", () => {
		const rows = sensitivity([counters({ vmexits: 5, "flush.guestTlb": 50 })], counters({ vmexits: 10 }), COSTS, true);
		const saved = (factor: number): number | null | undefined =>
			rows.find((row) => row.cost === "vmexit" && row.factor === factor)?.cyclesSavedPercent[0];
		expect(saved(0.5)).toBe(-50);
		expect(saved(2)).toBe(25);
	});
});

describe("the default costs", () => {
	it("say which are estimates and where each comes from", () => {
		expect(estimatesOf(DEFAULT_COSTS, true)).toContain("vmexit");
		expect(estimatesOf(DEFAULT_COSTS, false)).not.toContain("walkReference");
		for (const cost of Object.values(DEFAULT_COSTS.items)) expect(cost.source).not.toBe("");
	});
	it("multiply counters that there are", () => {
		for (const { counters: paths } of Object.values(DEFAULT_COSTS.items))
			for (const path of paths)
				expect(COUNTER_PATHS.some((known) => known === path || (path.endsWith(".*") && known.startsWith(path.slice(0, -1))))).toBe(true);
	});
});
