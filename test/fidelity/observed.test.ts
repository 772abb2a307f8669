// Observations summed up: phases, changes in place, kernel counters.
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { type Observed, observe } from "../../src/fidelity/observed.js";
import { phaseStarts } from "../../src/fidelity/phases.js";
import { emptyHeader } from "../../src/trace/header.js";
import { isObservation } from "../../src/trace/operations.js";
import { openTrace } from "../../src/trace/reader.js";
import type { OperationRecord, TraceRecord } from "../../src/trace/record.js";
import { TraceWriter } from "../../src/trace/writer.js";
import { GUEST, MM, mark, memslot, withFolder } from "../cli/traces.js";

const spte = (gfn: number, before: number, after: number, cause = 0): TraceRecord => ({
	kind: "operation",
	name: "spteChanged",
	agent: GUEST,
	page: gfn,
	args: [0, 1, before, after, cause],
});
const changePte: OperationRecord = { kind: "operation", name: "changePte", agent: GUEST, page: 300, args: [0] };
const vmexit = (gfn: number): TraceRecord => ({ kind: "operation", name: "vmexit", agent: GUEST, page: gfn, args: [0, 0, 1] });
const kernelCounter = (phase: number, text: string, value: number): TraceRecord => ({
	kind: "operation",
	name: "counters",
	agent: MM,
	page: 0,
	args: [phase, 0, value],
	text,
});

/** Causes and observations in the order given. */
function observed(recorded: readonly TraceRecord[]): Promise<Observed> {
	return withFolder((folder) => {
		const path = join(folder, "t.mmtrace");
		const writer = new TraceWriter(path);
		for (const record of recorded) {
			if (isObservation(record)) writer.observe(record);
			else writer.cause(record);
		}
		writer.finish(emptyHeader());
		const trace = openTrace(path);
		try {
			return observe(trace, phaseStarts(trace));
		} finally {
			trace.close();
		}
	});
}

const PRESENT = 5;
const WRITABLE = 7;

describe("an SPTE", () => {
	it("zapped and installed at once was changed in place", async () => {
		const { total } = await observed([changePte, spte(1, PRESENT, 0, 1), spte(1, 0, PRESENT)]);
		expect(total.get("spteChanged")).toBe(1);
		expect(total.get("spteZapped")).toBe(0);
		expect(total.get("spteZappedByCause.ksm")).toBe(0);
		expect(total.get("spteInstalled")).toBeUndefined();
	});

	it("zapped by a bracket and established by its change_pte was not", async () => {
		const { total } = await observed([spte(1, PRESENT, 0, 1), changePte, spte(1, 0, PRESENT)]);
		expect([total.get("spteZapped"), total.get("spteInstalled"), total.get("spteChanged")]).toEqual([1, 1, undefined]);
	});

	it("zapped and faulted in again was not", async () => {
		const { total } = await observed([spte(1, PRESENT, 0, 1), vmexit(1), spte(1, 0, PRESENT)]);
		expect([total.get("spteZapped"), total.get("spteInstalled")]).toEqual([1, 1]);
	});

	it("that becomes writable was changed", async () => {
		expect((await observed([spte(1, PRESENT, WRITABLE)])).total.get("spteChanged")).toBe(1);
	});
});

describe("a phase", () => {
	it("runs from its mark to the next one, past its end", async () => {
		const { phases, total } = await observed([
			memslot(4),
			vmexit(0),
			mark(7, 0),
			vmexit(1),
			vmexit(2),
			mark(7, 1),
			vmexit(3),
			mark(8, 0),
			vmexit(4),
		]);
		expect(phases.map((sums) => sums.get("vmexits"))).toEqual([3, 1]);
		expect(total.get("vmexits")).toBe(5);
	});

	it("has the kernel's own counters by its number", async () => {
		const { kernel } = await observed([mark(7, 0), mark(7, 1), kernelCounter(7, "pf_taken", 3), kernelCounter(7, "cow_ksm", 1)]);
		expect([...(kernel.get(7) ?? [])]).toEqual([
			["pf_taken", 3],
			["cow_ksm", 1],
		]);
	});
});
