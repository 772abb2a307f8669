// One small run in every format: whatever it comes in, it is told by its content and gives the same trace.
import { describe, expect, it } from "vitest";
import { asBpftrace, asBpftraceJson, asLatency, asPerf, asReport, asTracefs, SMALL_RUN_OPERATIONS, smallRun } from "./encode.js";
import { asPerfetto, asTraceDat, gzipped, rawZstd } from "./encodebinary.js";
import { failure, file, type ImportedSources, imported, importedSources, operations } from "./sources.js";

const run = smallRun();

/** What a trace says, without its times. */
const substance = ({ causes, observations }: ImportedSources): unknown[] =>
	[...causes, ...observations].map((record) => ({ ...record, ns: 0 }));

const FORMATS: readonly (readonly [name: string, format: string, content: string | Buffer])[] = [
	["tracefs text", "tracefs", asTracefs(run)],
	["tracefs in latency format", "tracefs latency", asLatency(run)],
	["trace-cmd report", "trace-cmd report", asReport(run, false)],
	["trace-cmd report -R", "trace-cmd report", asReport(run, true)],
	["perf script", "perf script", asPerf(run)],
	["bpftrace", "bpftrace", asBpftrace(run)],
	["bpftrace's JSON", "bpftrace json", asBpftraceJson(run)],
	["trace.dat v6", "trace.dat", asTraceDat(run, { version: 6, compression: "none" })],
	["trace.dat v7", "trace.dat", asTraceDat(run, { version: 7, compression: "none" })],
	["trace.dat v7, zlib", "trace.dat", asTraceDat(run, { version: 7, compression: "zlib" })],
	["trace.dat v7, zstd", "trace.dat", asTraceDat(run, { version: 7, compression: "zstd" })],
	["Perfetto, generic events", "perfetto", asPerfetto(run, "generic", "none")],
	["Perfetto, dynamic events", "perfetto", asPerfetto(run, "dynamic", "none")],
	["Perfetto, deflate", "perfetto", asPerfetto(run, "generic", "deflate")],
	["Perfetto, zstd", "perfetto", asPerfetto(run, "dynamic", "zstd")],
];

describe("one run in every format", () => {
	it.each(FORMATS)("%s", async (_name, format, content) => {
		const plain = await imported(content);
		const reference = await imported(asTracefs(run));
		expect(plain.header.sources[0]?.format).toBe(format);
		expect(plain.header).toMatchObject({ strategy: "drop", access: "inferred", copiesRecorded: true, losses: [] });
		expect(plain.header.vms).toEqual(reference.header.vms);
		expect(substance(plain)).toEqual(substance(reference));
		const packed = await imported(gzipped(content));
		expect(substance(packed)).toEqual(substance(plain));
	});

	it("counts what the run did", async () => {
		expect(operations(await imported(asTracefs(run)))).toEqual(SMALL_RUN_OPERATIONS);
	});

	it("takes the kernel from where the format has it", async () => {
		for (const content of [
			asLatency(run),
			asTraceDat(run, { version: 6, compression: "none" }),
			asTraceDat(run, { version: 7, compression: "zlib" }),
		]) {
			const { header } = await imported(content);
			expect(header.kernel).toBe("6.1.0-50-amd64");
			expect(header.strategyEvidence.at(-1)).toMatch(/kernel profile 6\.1 \(found in the source/);
		}
	});
});

describe("several sources of one host", () => {
	it("are merged by their clock", async () => {
		const faults = run.filter((event) => event.name.startsWith("kvm_"));
		const probes = run.filter((event) => !event.name.startsWith("kvm_"));
		const together = await importedSources([file(asPerf(faults)), file(asReport(probes, false))]);
		expect(substance(together)).toEqual(substance(await imported(asTracefs(run))));
		expect(together.header.sources.map((source) => source.format)).toEqual(["perf script", "trace-cmd report"]);
	});

	it("may not hold the same events twice", async () => {
		const error = await importedSources([file(asPerf(run)), file(asTracefs(run))]).catch((reason: Error) => reason);
		expect(String(error)).toMatch(/kvm_page_fault is in .* and in .* at the same time/);
	});

	it("must have one clock", async () => {
		const dat = file(
			asTraceDat(
				run.filter((event) => event.symbol !== undefined),
				{ version: 6, compression: "none" },
			),
		);
		const perfetto = file(
			asPerfetto(
				run.filter((event) => event.symbol === undefined),
				"generic",
				"none",
			),
		);
		const error = await importedSources([dat, perfetto]).catch((reason: Error) => reason);
		expect(String(error)).toMatch(/different clocks: mono, boot/);
	});
});

describe("what is told by content and cannot be read", () => {
	it.each([
		["perf.data", Buffer.from("PERFILE2\x68\0\0\0\0\0\0\0"), /perf\.data/, /perf script/],
		["zstd", rawZstd(Buffer.from("hello")), /compressed with zstd/, /zstd -dc/],
		["xz", Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0, 1, 2]), /compressed with xz/, /xz -dc/],
		["zip", Buffer.from("PK\u0003\u0004xxxxxxxx"), /zip archive/, /unpack/],
		["an empty file", Buffer.alloc(0), /the file is empty/, /known: tracefs/],
		["a letter", "Dear Sir,\nplease find enclosed nothing at all.\n", /begins with "Dear Sir,"/, /--from FORMAT/],
		["noise", Buffer.from([0xde, 0xad, 0, 0, 0xbe, 0xef]), /begins with the bytes de ad 00 00 be ef/, /--from FORMAT/],
	])("%s", async (_name, content, what, hint) => {
		const error = await failure(content);
		expect(error.what).toMatch(what);
		expect(error.hint).toMatch(hint);
		expect(error.exitCode).toBe(3);
	});

	it("and what --from does not know", async () => {
		const error = await failure(asTracefs(run), { from: "excel" });
		expect(error.exitCode).toBe(2);
	});
});
