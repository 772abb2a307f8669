// Access logs that are cut, flipped, doubled, or of something else: the import ends in a trace or in one clear error, and counts what it leaves out.
import { readFileSync } from "node:fs";
import { gunzipSync, gzipSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { MmreplayError } from "../../src/errors.js";
import { importSources } from "../../src/import/index.js";
import type { TraceHeader } from "../../src/trace/record.js";
import { TraceWriter } from "../../src/trace/writer.js";
import { fixture } from "./fixture.js";
import { file } from "./sources.js";

const FOLDER = fixture("stock-tiny");
const TRACE = `${FOLDER}trace.txt.gz`;
const LOG = gunzipSync(readFileSync(`${FOLDER}access.vm0.txt.gz`));
const LINES = LOG.toString().trimEnd().split("\n");
const HEAD = LINES.findIndex((line) => !line.startsWith("#"));

async function importWith(log: string | Uint8Array, lenient = false): Promise<TraceHeader> {
	const writer = new TraceWriter({ write: () => undefined });
	try {
		const header = await importSources({ sources: [TRACE], access: [file(log)], lenient }, writer);
		writer.finish(header);
		return header;
	} catch (error) {
		writer.abort();
		throw error;
	}
}

/** A trace, or one of our errors with the status of bad input or of a limit, in one line. */
async function ends(log: string | Uint8Array, lenient: boolean): Promise<void> {
	try {
		const header = await importWith(log, lenient);
		for (const warning of header.warnings) expect(warning).not.toMatch(/\n/);
	} catch (error) {
		expect(error).toBeInstanceOf(MmreplayError);
		if (!(error instanceof MmreplayError)) return;
		expect([3, 4]).toContain(error.exitCode);
		expect(error.message).not.toMatch(/[^ -~…]/);
	}
}

const withLine = (at: number, line: string): string => [...LINES.slice(0, at), line, ...LINES.slice(at)].join("\n");

const BAD = [
	"2 0 guest 3 R 0x1000000",
	"2 0 guest 3 R 0x1000000 0x7e0000000000",
	"2 0 guest 3 R 0x1000000 0x7e0000000000 0x0 0x0",
	"2 1 guest 3 R 0x1000000 0x7e0000000000 0x0",
	"2 0 gusst 3 R 0x1000000 0x7e0000000000 0x0",
	"2 0 guest 3 R 0x1000000 0xffff7e0000000000 0x0",
	"2 0 guest 3 R 0xfffffffffffffffff 0x7e0000000000 0x0",
	"2 0 guest 99999999999999999999 R 0x1000000 0x7e0000000000 0x0",
	"99999999999999999999 0 guest 3 R 0x1000000 0x7e0000000000 0x0",
	"2 0 guest -1 R 0x1000000 0x7e0000000000 0x0",
	"2 0 guest 3 RW 0x1000000 0x7e0000000000 0x0",
	"2 0 op 0 F 0x1000000 0x7e0000000000 0xffffffffffff",
	"2 0 op 0 F 0x1000000 0x7e0000000000 -1",
	"# slot 7 gpa 0x0 hva 0x7e0000000000 size 0xfffffffffffff mergeable 0",
	"# slot 7 gpa 0x1 hva 0x7e0000000000 size 0x1000 mergeable 0",
	"\u0000\u0001\u0002",
	"kvm_exit: vcpu 0",
];

describe("a line of an access log that is none", () => {
	it.each(BAD)("%j ends the import where it stands", async (line) => {
		const where = expect.stringMatching(`, line ${HEAD + 4}$`) as unknown;
		await expect(importWith(withLine(HEAD + 3, line))).rejects.toMatchObject({ exitCode: 3, where });
	});

	it("is counted, leniently, and the log is not called complete", async () => {
		const header = await importWith(withLine(HEAD + 3, BAD.join("\n")), true);
		expect(header.losses).toContainEqual({ name: "damaged", count: BAD.length });
		expect(header.access).toBe("inferred");
		expect(header.warnings.join()).toMatch(`${BAD.length} lines are none of an access log's`);
	});
});

describe("an access log that is not whole", () => {
	it("cut anywhere, gzip'ed or not", async () => {
		const zipped = gzipSync(LOG);
		for (let part = 0; part < 10; part++) {
			await ends(LOG.subarray(0, Math.floor((LOG.length * part) / 10)), part % 2 === 0);
			await ends(zipped.subarray(0, Math.floor((zipped.length * part) / 10)), part % 2 === 0);
		}
	});

	it.each([
		["empty", ""],
		["of comments alone", "# vm 0 pid 96 vmfd 10\n"],
		["without its header", LINES.slice(HEAD).join("\n")],
		["a trace", gunzipSync(readFileSync(TRACE))],
		["noise", Buffer.from(Array.from({ length: 5000 }, (_, at) => (at * 7919) & 255))],
	])("%s is an error", async (_name, log) => {
		await expect(importWith(log)).rejects.toMatchObject({ exitCode: 3 });
		await expect(importWith(log, true)).rejects.toMatchObject({ exitCode: 3 });
	});

	it("of another run is an error, or a warning and no complete log", async () => {
		const other = LINES.join("\n").replace(/pid \d+/, "pid 4711");
		await expect(importWith(other)).rejects.toThrow("of another run: its process is 4711");
		const header = await importWith(other, true);
		expect(header.access).toBe("inferred");
		expect(header.warnings.join()).toMatch("of another run");
	});

	it("with lines swapped, doubled or left out is not called complete", async () => {
		const at = HEAD + 40;
		const swapped = LINES.toSpliced(at, 2, LINES[at + 1] ?? "", LINES[at] ?? "");
		for (const lines of [swapped, LINES.toSpliced(at, 0, ...LINES.slice(at, at + 20)), LINES.toSpliced(at, 3)]) {
			const header = await importWith(`${lines.join("\n")}\n`);
			expect(header.access).toBe("inferred");
			expect(header.warnings.join()).toMatch("not at the place that they number");
		}
	});
});

describe("an access log with any bytes changed", () => {
	it("ends in a trace or in an error of ours", async () => {
		const changes = fc.array(fc.tuple(fc.nat(LOG.length - 1), fc.nat(255)), { minLength: 1, maxLength: 6 });
		await fc.assert(
			fc.asyncProperty(changes, fc.boolean(), (bytes, lenient) => {
				const log = Buffer.from(LOG);
				for (const [at, value] of bytes) log[at] = value;
				return ends(log, lenient);
			}),
			{ seed: 11, numRuns: 12 },
		);
	});

	it("and with parts doubled, moved, or numbers as large as can be", async () => {
		const place = fc.nat(LINES.length - 1);
		await fc.assert(
			fc.asyncProperty(place, place, fc.nat(200), fc.nat(6), fc.bigInt(0n, 2n ** 80n), (from, to, length, field, number) => {
				const moved = LINES.toSpliced(to, 0, ...LINES.slice(from, from + length));
				const words = (moved[from] ?? "").split(" ");
				words[field] = field > 4 ? `0x${number.toString(16)}` : String(number);
				moved[from] = words.join(" ");
				return ends(moved.join("\n"), (from & 1) === 0);
			}),
			{ seed: 12, numRuns: 12 },
		);
	});
});
