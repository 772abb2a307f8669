// The captures that are too large for the repository, where they are at hand: every sequential one reproduces itself, and the stock capture
// predicts what the other kernels really did.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { type OpenedInput, openInput } from "../../src/cli/input.js";
import { replayHeld } from "../../src/cli/replayed.js";
import { DEFAULT_MACHINE } from "../../src/machine/machine.js";
import { counterOf } from "../../src/report/compare.js";
import { exactness } from "../../src/report/exactness.js";
import type { Replayed } from "../../src/report/held.js";
import { findStrategy } from "../../src/strategies/index.js";
import type { Strategy } from "../../src/strategies/steps.js";
import { CAPTURES, GUESTS } from "./traces.js";

const WORKLOADS = ["tiny", "small", "medium", "xsmall", "xmedium"] as const;
const SEQUENTIAL = new RegExp(`^(.*)-(${WORKLOADS.join("|")}|ops-cold|ops-sparse|ops-hole)$`);
const QUIET = { quiet: true, color: false, columns: undefined, unicode: false, progress: false };

/** Which capture shows what a strategy really does. */
const KERNEL_OF = { wrapped: "stock", drop: "drop", fix: "fix", establish: "establish-ro", "establish-map": "establish-rw" } as const;

interface Counts {
	cow_ksm: number;
	kvm_stat: { pf_taken: number; pf_fixed: number };
	trace: Record<string, number>;
}

async function withInput<T>(path: string, use: (input: OpenedInput) => T): Promise<T> {
	const input = await openInput(path);
	try {
		return use(input);
	} finally {
		input.close();
	}
}

function replayed(name: string, strategies: readonly string[], folder = CAPTURES): Promise<Replayed> {
	const chosen = strategies.map(findStrategy).filter((strategy): strategy is Strategy => strategy !== undefined);
	return withInput(join(folder, name), (input) => replayHeld(input, { strategies: chosen, machine: DEFAULT_MACHINE, check: false }, QUIET));
}

const found = existsSync(CAPTURES) ? readdirSync(CAPTURES) : [];
if (found.length === 0) console.warn("skipped: the captures are not at hand (../shared/data/captures)");

describe.skipIf(found.length === 0)("fidelity", () => {
	it.each(found.filter((name) => SEQUENTIAL.test(name)))("of %s is exact, phase by phase", async (name) => {
		const { held } = await replayed(name, []);
		if (!("rows" in held)) throw new Error(held.reason);
		expect(held.rows.filter((row) => row.decidable && row.difference !== 0)).toEqual([]);
		expect(held.exact).toBe(true);
	});

	it.each(found.filter((name) => name.endsWith("-conc")))("of %s says what is not decided", async (name) => {
		const { held } = await replayed(name, []);
		if (!("rows" in held)) throw new Error(held.reason);
		expect(held.differing).toBe(0);
		expect(held.undecided).toBeGreaterThan(0);
		const vmexits = held.rows.find((row) => !row.decidable && row.counter === "vmexits");
		expect(vmexits?.why).toMatch(/order is inferred/);
		// Faults, copies and brackets stand where they were seen; only accesses that hit are placed by what comes before them.
		expect(Math.abs(vmexits?.difference ?? 1000)).toBeLessThanOrEqual(5);
	});
});

describe.skipIf(found.length === 0)("the stock capture of", () => {
	it.each(WORKLOADS)("%s predicts every kernel's counts", async (workload) => {
		const { result } = await replayed(`stock-${workload}`, Object.keys(KERNEL_OF));
		for (const [strategy, kernel] of Object.entries(KERNEL_OF)) {
			const path = join(CAPTURES, `${kernel}-${workload}`, "counts.json");
			// Not every kernel ran every workload.
			if (!existsSync(path)) continue;
			const counts = JSON.parse(readFileSync(path, "utf8")) as Counts;
			const counters = result.strategies.find(({ name }) => name === strategy)?.counters ?? new BigUint64Array(0);
			const predicted = ["vmexits", "vmexitsFixed", "vmexitsRead", "vmexitsWrite", "cowBreaks", "flush.guestTlb"].map((counter) =>
				counterOf(counters, counter),
			);
			const { kvm_stat, trace, cow_ksm } = counts;
			const measured = [kvm_stat.pf_taken, kvm_stat.pf_fixed, trace["npf.read"], trace["npf.write"], cow_ksm, trace.kvm_flush_remote_tlbs];
			expect(predicted, `${strategy} against ${kernel}`).toEqual(measured);
		}
	});
});

const guests = existsSync(GUESTS) ? readdirSync(GUESTS) : [];

describe.skipIf(guests.length === 0)("real Linux guests", () => {
	/** Rows that differ, as a share of the faults: a capture does not tell every fault's address space. */
	it.each(["stock-guests", "fix-guests"])("%s reproduce themselves but for one fault in 2000", async (name) => {
		const { held, result } = await replayed(name, [], GUESTS);
		if (!("rows" in held)) throw new Error(held.reason);
		const faults = counterOf(result.strategies[0]?.counters ?? new BigUint64Array(0), "vmexits");
		expect(held.rows.find(({ counter, phase }) => counter === "vmexits" && phase === null)?.difference).toBe(0);
		for (const row of held.rows) expect(Math.abs(row.difference), row.counter).toBeLessThanOrEqual(faults * 0.0005);
	});

	it("captured under fix give a lower bound for wrapped", async () => {
		const { facts } = await replayed("fix-guests", [], GUESTS);
		expect(facts.header.strategy).toBe("flag");
		expect(exactness(facts.header, "fix", true).exact).toBe(true);
		expect(exactness(facts.header, "wrapped", true).exact).toBe("lowerBound");
	});

	it("captured under wrapped save with fix what KSM zapped and the guest read", async () => {
		const { result } = await replayed("stock-guests", ["wrapped", "fix"], GUESTS);
		const [wrapped, fix] = ["wrapped", "fix"].map(
			(strategy) => result.strategies.find(({ name }) => name === strategy)?.counters ?? new BigUint64Array(0),
		);
		if (wrapped === undefined || fix === undefined) throw new Error("two strategies were replayed");
		const ksmReads = (counters: BigUint64Array): number =>
			counterOf(counters, "vmexitsByCause.ksm.read") + counterOf(counters, "vmexitsByCause.ksm.fetch");
		expect(ksmReads(wrapped)).toBe(10538);
		expect(ksmReads(fix)).toBe(0);
		expect(counterOf(fix, "vmexitsByCause.readOnlySpte.write")).toBeGreaterThan(17000);
	});
});
