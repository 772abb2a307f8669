// Every kernel-event sample of ../shared/data/formats: its causes and observations by kind, and that it reproduces itself exactly. The workload of
// 57 / 57 / 178 / 64 / 335 / 436 is that of formats.md, section 7.
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { counterIndex } from "../../src/counters.js";
import { fidelity } from "../../src/fidelity/fidelity.js";
import { importSources } from "../../src/import/index.js";
import { ReferenceModel } from "../../src/model/replay.js";
import { findStrategy } from "../../src/strategies/index.js";
import { openTrace } from "../../src/trace/reader.js";
import type { OperationRecord, TraceRecord } from "../../src/trace/record.js";
import { records } from "../../src/trace/records.js";
import { TraceWriter } from "../../src/trace/writer.js";
import { type ImportedSources, importedSources, operations } from "./sources.js";

const shared = fileURLToPath(new URL("../../../shared/data/formats/", import.meta.url));
const here = existsSync(shared);
const folder = mkdtempSync(join(tmpdir(), "mmreplay-ci-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const sample = (name: string): Promise<ImportedSources> => importedSources([shared + name]);

/** A workload's counts as formats.md derives them: merges, copies of guest pages, ranges, nested page faults. */
const WORKLOAD = { merges: 178, copies: 64, ranges: 335, faults: 436 };
const ONE_ROUND = { merges: 114, copies: 32, ranges: 207, faults: 308 };

const SAMPLES: readonly (readonly [name: string, strategy: string, counts: typeof WORKLOAD, changePte: number])[] = [
	["tracefs-6.1.txt.gz", "wrapped", WORKLOAD, 333],
	["tracefs-6.12.txt.gz", "drop", WORKLOAD, 0],
	["tracecmd-report-6.1.txt.gz", "wrapped", WORKLOAD, 333],
	["tracecmd-report-6.12.txt.gz", "drop", WORKLOAD, 0],
	["tracecmd-report-R-6.1.txt.gz", "wrapped", WORKLOAD, 333],
	["tracecmd-report-R-6.12.txt.gz", "drop", WORKLOAD, 0],
	["tracecmd-v6-6.1-kvm-ksm-cow.dat.gz", "wrapped", WORKLOAD, 333],
	["tracecmd-v7zstd-6.1-kvm-ksm-cow.dat", "wrapped", WORKLOAD, 333],
	["bpftrace-6.1-kvm-ksm.text.gz", "wrapped", WORKLOAD, 333],
	["bpftrace-6.1-kvm-ksm.json.gz", "wrapped", WORKLOAD, 333],
	["bpftrace-6.12.text.gz", "drop", ONE_ROUND, 0],
];

/** Pages that are KSM's at the end of each merge round, by the causes: promoted ones share with those replaced by them. */
function sharing(causes: readonly TraceRecord[]): { shared: number; sharing: number } {
	const first = causes.findIndex((record) => record.kind === "operation" && record.name === "cow" && record.agent.kind === 1);
	const round = causes.slice(0, first < 0 ? undefined : first).filter((record): record is OperationRecord => record.kind === "operation");
	return {
		shared: round.filter((record) => record.name === "ksmPromote").length,
		sharing: round.filter((record) => record.name === "ksmReplace" && (record.args[0] ?? 0) <= 1).length,
	};
}

describe.skipIf(!here)(`samples of every format${here ? "" : " (skipped: ../shared is not here)"}`, () => {
	it.each(SAMPLES)("%s", async (name, strategy, counts, changePte) => {
		const trace = await sample(name);
		const found = operations(trace);
		expect(trace.header).toMatchObject({ strategy, access: "inferred", copiesRecorded: true, losses: [] });
		expect(trace.header.vms).toHaveLength(2);
		expect(found).toMatchObject({
			memslot: 2,
			fault: counts.faults,
			vmexit: counts.faults,
			ksmWriteProtect: counts.merges,
			ksmPromote: counts.merges / 2,
			ksmReplace: counts.merges / 2,
			ksmMerge: counts.merges,
			// Two more copies are the VMMs' own, of their .data.
			cow: counts.copies + 2,
			cowCopy: counts.copies + 2,
			rangeStart: counts.ranges,
			rangeEnd: counts.ranges,
		});
		expect(found.changePte ?? 0).toBe(changePte);
		expect(sharing(trace.causes)).toEqual({ shared: 57, sharing: 57 });
		const memslots = trace.causes.filter((record) => record.kind === "operation" && record.name === "memslot");
		expect(memslots.map((record) => [record.page * 4096, (record as OperationRecord).args.slice(1, 4)])).toEqual([
			[0x7f0000001000, [0, 1, 79]],
			[0x7f0100001000, [0, 1, 79]],
		]);
	});

	it.each(SAMPLES)("%s reproduces itself exactly", async (name, strategy) => {
		const path = join(folder, "trace.mmtrace");
		const writer = new TraceWriter(path);
		writer.finish(await importSources({ sources: [shared + name], lenient: false }, writer));
		const trace = openTrace(path);
		const table = findStrategy(strategy);
		if (table === undefined) throw new Error(strategy);
		const tlb = { l1: { sets: 16, ways: 4 }, l2: { sets: 128, ways: 12 } };
		const { copiesRecorded } = trace.header;
		const model = new ReferenceModel({ strategy: table, tlb, guestLevels: 4, hostLevels: 4, copiesRecorded });
		for (const { record, sequence } of records(trace, { observations: false })) model.replay(record, sequence);
		const result = fidelity(trace, trace.header, strategy, { total: model.world.counters, phases: [], checked: false });
		trace.close();
		expect(Number(model.world.counters[counterIndex("coherence.violations")])).toBe(0);
		expect(result?.rows.filter((row) => row.decidable && row.difference !== 0)).toEqual([]);
		expect(result?.exact).toBe(true);
	});

	it("perf script on a host without KVM holds the host's own faults and merges", async () => {
		const trace = await sample("perf-script-ns-6.18-ksmcow.txt.gz");
		expect(operations(trace)).toEqual({ hostFault: 1013, ksmMerge: 666 });
		expect(trace.header).toMatchObject({ access: "none", clockResolutionNs: 1, vms: [] });
		expect(trace.header.warnings.join()).toMatch(/no events of KVM/);
	});

	it("the latency format is read", async () => {
		const trace = await sample("tracefs-latency-6.1.txt.gz");
		expect(trace.header.kernel).toBe("6.1.0-50-amd64");
		expect(operations(trace)).toEqual({ cowCopy: 10 });
	});

	it("trace.dat of both versions and the report of the same run are one trace", async () => {
		const [v6, v7, report] = await Promise.all(
			["tracecmd-v6-6.1-kvm-ksm-cow.dat.gz", "tracecmd-v7zstd-6.1-kvm-ksm-cow.dat", "tracecmd-report-6.1.txt.gz"].map(sample),
		);
		expect(v7?.causes).toEqual(v6?.causes);
		expect(report?.causes).toEqual(v6?.causes);
		expect(report?.observations).toEqual(v6?.observations);
	});

	it("bpftrace's text and JSON, two runs of one workload, do the same", async () => {
		const [text, json] = await Promise.all(["bpftrace-6.1-kvm-ksm.text.gz", "bpftrace-6.1-kvm-ksm.json.gz"].map(sample));
		if (text === undefined || json === undefined) throw new Error("no sample");
		expect(operations(json)).toEqual(operations(text));
		const pages = ({ causes }: ImportedSources): string[] =>
			causes
				.map((record) =>
					record.kind === "operation" ? `${record.name} ${record.agent.vm} ${record.page} ${record.args.join(" ")}` : "access",
				)
				.sort();
		expect(pages(json)).toEqual(pages(text));
	});
});
