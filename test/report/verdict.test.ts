// The sentences of a report, on made-up counts.
import { describe, expect, it } from "vitest";
import { COUNTER_PATHS, counterIndex } from "../../src/counters.js";
import type { Fidelity } from "../../src/fidelity/fidelity.js";
import type { FidelityRow } from "../../src/fidelity/rows.js";
import { DEFAULT_COSTS } from "../../src/machine/costs.js";
import { DEFAULT_MACHINE } from "../../src/machine/machine.js";
import { type Comparison, comparison, type NoFidelity } from "../../src/report/compare.js";
import { compareTable, exactnessLines } from "../../src/report/comparetable.js";
import { caveatLines, fidelityLine, loopLines, verdictLine } from "../../src/report/verdict.js";
import { findStrategy } from "../../src/strategies/index.js";
import type { Strategy } from "../../src/strategies/steps.js";
import { emptyHeader } from "../../src/trace/header.js";
import { DEFAULT_HOST } from "../../src/trace/kvmhost.js";
import type { TraceHeader } from "../../src/trace/record.js";

function counters(values: Readonly<Record<string, number>>): BigUint64Array {
	const block = new BigUint64Array(COUNTER_PATHS.length);
	for (const [path, value] of Object.entries(values)) block[counterIndex(path)] = BigInt(value);
	return block;
}

const row = (change: Partial<FidelityRow>): FidelityRow => ({
	phase: null,
	counter: "vmexits",
	source: "events",
	predicted: 1,
	observed: 1,
	difference: 0,
	decidable: true,
	why: "",
	...change,
});

const held = (change: Partial<Fidelity> = {}): Fidelity => ({
	strategy: "wrapped",
	rows: [row({})],
	exact: true,
	decidable: 1,
	undecided: 0,
	differing: 0,
	uncertain: 0,
	...change,
});

function compared(
	values: Readonly<Record<string, Readonly<Record<string, number>>>>,
	header: Partial<TraceHeader> = { access: "complete", strategy: "wrapped" },
	fidelity: Fidelity | NoFidelity = held(),
): Comparison {
	const strategies = Object.keys(values)
		.map(findStrategy)
		.filter((strategy): strategy is Strategy => strategy !== undefined);
	return comparison(
		{ path: "t.mmtrace", digest: "", bytes: 1, header: { ...emptyHeader(), ...header }, host: DEFAULT_HOST },
		{
			strategies,
			builtIn: new Set(Object.keys(values)),
			baseline: "drop",
			machine: DEFAULT_MACHINE,
			costs: DEFAULT_COSTS,
			sensitivity: false,
		},
		{
			strategies: Object.entries(values).map(([name, counts]) => ({ name, counters: counters(counts), violations: [], digest: "" })),
			phases: [],
			intervals: [],
			ranges: [],
			events: 10,
			seconds: 1,
			decodeSeconds: 0,
			bytes: 1,
			peakMemoryBytes: 0,
			threads: 1,
		},
		fidelity,
		true,
	);
}

describe("the verdict", () => {
	it("calls no count exact that was observed otherwise and that the capture leaves open", () => {
		const why = "the MMU may have yielded inside a range of several pages: each time it flushes once more";
		const open = { counter: "flush.guestTlb", predicted: 4, observed: 5, difference: -1, decidable: false, why };
		const unseen = { counter: "cowCopies", predicted: 4, observed: 0, difference: 4, decidable: false, why: "no such events" };
		const fidelity = held({ rows: [row({}), row(open), row({ ...open, phase: 1 }), row(unseen)], undecided: 3 });
		const values = { drop: { vmexits: 100 }, fix: { vmexits: 75 } };
		const line = verdictLine(compared(values, { access: "complete", strategy: "wrapped" }, fidelity));
		expect(line).toContain("; all counts exact but flush.guestTlb, from a complete access log");
		expect(fidelityLine(fidelity)).toMatch(
			/in all 1 counters compared; not decided by the capture, and observed otherwise: flush\.guestTlb \(the MMU may have yielded/,
		);
	});

	it("says who avoids how much, best first, equals together", () => {
		const line = verdictLine(
			compared({
				wrapped: { vmexits: 100 },
				drop: { vmexits: 100 },
				fix: { vmexits: 75 },
				establish: { vmexits: 75 },
				"establish-map": { vmexits: 50 },
			}),
		);
		expect(line).toMatch(
			/^verdict: of 100 vmexits under drop, establish-map avoids 50 \(50\.0%\), fix and establish avoid 25 \(25\.0%\), wrapped avoids none; all counts exact, from a complete access log/,
		);
	});

	it("says when a strategy takes more", () => {
		expect(verdictLine(compared({ drop: { vmexits: 10 }, fix: { vmexits: 12 } }))).toMatch(/fix takes 2 more/);
	});

	it("never names an unsafe strategy without saying so", () => {
		const result = compared({ drop: { vmexits: 10 }, "establish-naive": { vmexits: 2 } });
		expect(verdictLine(result)).toMatch(/establish-naive \(unsafe\) avoids 8/);
		expect(compareTable(result, false).rows[1]?.[0]).toBe("establish-naive (unsafe)");
	});

	it("says what is a lower bound", () => {
		const result = compared({ drop: { vmexits: 10 }, fix: { vmexits: 10 } }, { access: "inferred", strategy: "flag" });
		expect(verdictLine(result)).toMatch(/counts exact for fix, a lower bound for drop, from accesses inferred from faults/);
		expect(exactnessLines(result)).toHaveLength(1);
		expect(compareTable(result, false).rows[0]).toContain(">=10");
		expect(compareTable(result, true).rows[0]).toContain("lowerBound");
	});

	it("believes no trace that does not reproduce itself", () => {
		const wrong = held({ exact: false, differing: 1, rows: [row({ observed: 2, difference: -1 })] });
		const result = compared({ drop: { vmexits: 10 }, fix: { vmexits: 5 } }, { access: "complete", strategy: "wrapped" }, wrong);
		expect(result.strategies.map(({ exact }) => exact)).toEqual([false, false]);
		expect(result.strategies[0]?.why).toMatch(/does not reproduce its own kernel/);
	});
});

describe("the fidelity line", () => {
	it.each([
		[held(), /^fidelity: exact/],
		[
			held({ exact: false, differing: 1, rows: [row({ predicted: 3, observed: 1, difference: 2 })] }),
			/NOT exact.*vmexits in all: 3 predicted, 1 observed/,
		],
		[
			held({ exact: false, uncertain: 1, rows: [row({ decidable: false, difference: 1, why: "order" })] }),
			/open: .*differs in 1 .*\(order\)/,
		],
		[held({ exact: false, decidable: 0, rows: [row({ decidable: false, why: "lost" })] }), /decides none of the counters \(lost\)/],
		[{ reason: "the trace has no observations" }, /not held against itself: the trace has no observations/],
	])("%#", (fidelity, line) => {
		expect(fidelityLine(fidelity)).toMatch(line);
	});
});

describe("loops and losses", () => {
	it("stand in every report", () => {
		const result = compared(
			{ drop: { vmexits: 100, "vmexitsByCause.retryInProgress.write": 30, inProgressLoops: 2 }, fix: { vmexits: 70 } },
			{ access: "inferred", strategy: "wrapped", losses: [{ name: "lost", count: 7 }], warnings: ["cut off"] },
		);
		expect(loopLines(result).join()).toMatch(/drop 30 in 2 loops, 70 vmexits without/);
		expect(caveatLines(result)).toEqual(["lost: 7 (lost)", "warning: cut off"]);
	});
	it("are not mentioned where there are none", () => {
		expect(loopLines(compared({ drop: { vmexits: 1 } }))).toEqual([]);
	});
});
