// A trace read back is the trace that was written: every kind of record, every option of the writer.
import { mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { UsageError } from "../../src/errors.js";
import { hasZstd } from "../../src/trace/codec.js";
import { emptyHeader, encodeHeader } from "../../src/trace/header.js";
import { rangeFlaw } from "../../src/trace/range.js";
import { openTrace } from "../../src/trace/reader.js";
import type { TraceRecord } from "../../src/trace/record.js";
import { records } from "../../src/trace/records.js";
import { validate } from "../../src/trace/validate.js";
import { TraceWriter } from "../../src/trace/writer.js";
import { entries, header, readAll, sample, sequenced, writerOptions, writeTo, writeToMemory } from "./arbitraries.js";
import { sealedTrace } from "./sealed.js";

let directory = "";
beforeAll(() => {
	directory = mkdtempSync(join(tmpdir(), "mmtrace-"));
});
afterAll(() => rmSync(directory, { recursive: true }));

const guest = { kind: 1, vm: 0, vcpu: 0, mm: 0, thread: 0 } as const;
const read: TraceRecord = { kind: "access", access: 0, agent: guest, page: 5 };

describe("a trace read back", () => {
	it("has every record in its place, with any options, in memory", () => {
		fc.assert(
			fc.property(entries, writerOptions, (list, options) => {
				expect(readAll(writeToMemory(list, options))).toEqual(sequenced(list));
			}),
			{ seed: 1, numRuns: 300 },
		);
	});

	it("has every record and a good index, in a file, its header known first or last", () => {
		fc.assert(
			fc.property(entries, writerOptions, header, fc.boolean(), (list, options, facts, early) => {
				const path = join(directory, "t.mmtrace");
				const written = writeTo(path, list, early ? { ...options, header: facts } : options, facts);
				expect(written.bytes).toBe(statSync(path).size);
				const trace = openTrace(path);
				expect(trace.header).toEqual(facts);
				expect([...records(trace)]).toEqual(sequenced(list));
				expect(trace.digest()).toBe(written.digest);
				expect(trace.storedIndex()?.entries.length).toBe(written.blocks);
				trace.close();
				const { problems, ...report } = validate(path);
				// These records may say what no replay can take; nothing else is wrong with them.
				const flaws = sequenced(list).map(({ record }) => rangeFlaw(record));
				expect(problems.map(({ reason }) => reason)).toEqual(flaws.filter((flaw) => flaw !== undefined));
				expect(report).toMatchObject({ complete: true, index: "good", causes: written.causes, observations: written.observations });
			}),
			{ seed: 2, numRuns: 150 },
		);
		expect(readdirSync(directory)).toEqual(["t.mmtrace"]);
	});

	it("has only causes or only observations where that is asked", () => {
		const list = sample(3000);
		const bytes = writeToMemory(list, { causesPerBlock: 500 });
		const trace = openTrace(bytes);
		const expected = sequenced(list);
		expect([...records(trace, { observations: false })]).toEqual(expected.filter((_, at) => !list[at].observation));
		expect([...records(trace, { causes: false })]).toEqual(expected.filter((_, at) => list[at].observation));
	});

	it("lacks the times and offsets that were dropped", () => {
		const list = sample(200).map(({ observation, record }) => ({ observation, record: { ...record, offset: 8 } }));
		const bytes = writeToMemory(list, { times: "drop", offsets: "drop" });
		expect(readAll(bytes).some(({ record }) => "ns" in record || "offset" in record)).toBe(false);
		expect(bytes.length).toBeLessThan(writeToMemory(list, { times: "drop" }).length);
	});

	it.runIf(hasZstd())("may be compressed with zstd", () => {
		const list = sample(500);
		const bytes = writeToMemory(list, { codec: "zstd" });
		expect(openTrace(bytes).requiredFeatures).toEqual(["zstd"]);
		expect(readAll(bytes)).toEqual(sequenced(list));
	});

	it.runIf(!hasZstd())("says what to do where this Node has no zstd", () => {
		expect(() => new TraceWriter({ write() {} }, { codec: "zstd" })).toThrow(UsageError);
		const message = encodeHeader(emptyHeader(), ["zstd"]);
		expect(() => openTrace(sealedTrace([], message))).toThrow(expect.objectContaining({ hint: expect.stringMatching(/Node 22.15/) }));
	});

	it("has the notes of its metadata blocks", () => {
		const path = join(directory, "notes.mmtrace");
		const writer = new TraceWriter(path);
		writer.cause(read);
		writer.metadata([{ name: "cmdline", text: "vms=2 pages=64" }]);
		writer.cause(read);
		writer.finish(emptyHeader());
		const trace = openTrace(path);
		const notes = [...trace.blocks()].filter(({ type }) => type === 4).map((block) => trace.metadata(block));
		expect(notes).toEqual([[{ name: "cmdline", text: "vms=2 pages=64" }]]);
		expect([...records(trace)].length).toBe(2);
		trace.close();
	});

	it("is the same trace, by its digest, under another header", () => {
		const list = sample(100);
		const one = writeTo(join(directory, "one.mmtrace"), list);
		const other = writeTo(join(directory, "other.mmtrace"), list, {}, { ...emptyHeader(), kernel: "6.12" });
		expect(other.digest).toBe(one.digest);
		expect(writeTo(join(directory, "third.mmtrace"), list.slice(1)).digest).not.toBe(one.digest);
	});
});

describe("the writer", () => {
	it("refuses a record that cannot be, and goes on without it", () => {
		const path = join(directory, "refused.mmtrace");
		const writer = new TraceWriter(path);
		writer.cause(read);
		const wrong: [TraceRecord, RegExp][] = [
			[{ ...read, page: -1 }, /page -1/],
			[{ ...read, page: 0.5 }, /page 0.5/],
			[{ ...read, ns: -5 }, /time -5/],
			[{ ...read, offset: 4096 }, /offset 4096/],
			[{ ...read, agent: { ...guest, mm: 2 ** 32 } }, /agent id/],
			[{ kind: "operation", name: "cow", args: [0, 1], agent: guest, page: 1 }, /cow takes 3 arguments/],
			[{ kind: "operation", name: "cow", args: [5, 1, 0], agent: guest, page: 1 }, /cow: point 5/],
			[{ kind: "operation", name: "fault", args: [4, 0, 0], agent: guest, page: 1 }, /fault: point 4/],
			[{ kind: "operation", name: "vmexit", args: [0, 0, 0], agent: guest, page: 1 }, /vmexit is an observation/],
			[{ kind: "operation", name: "mark", args: [0, 0, 0], text: "x".repeat(5000), agent: guest, page: 1 }, /4096 bytes/],
		];
		for (const [record, message] of wrong) expect(() => writer.cause(record)).toThrow(message);
		expect(() => writer.observe(read)).toThrow(RangeError);
		expect(writer.finish(emptyHeader()).causes).toBe(1);
		expect(validate(path).problems).toEqual([]);
	});

	it("takes a block of columns, as if it were records", () => {
		const path = join(directory, "bulk.mmtrace");
		const host = { kind: 2, vm: 0, vcpu: 0, mm: 1, thread: 9 } as const;
		const writer = new TraceWriter(path, { header: emptyHeader() });
		writer.cause(read);
		writer.block({
			agents: [
				{ agent: guest, basePage: 0 },
				{ agent: host, basePage: 7 * 2 ** 32 },
			],
			strings: ["warm"],
			op: Uint8Array.of(0, 4 | 8, 7, 1),
			page: Uint32Array.of(1, 2, 3, 0xffff_ffff),
			argument: [14, 3, 6, 0, 0],
			ns: Float64Array.of(10, 20, 15, 30),
			offset: Uint16Array.of(1, 4096, 4096, 4095),
		});
		writer.cause(read);
		writer.finish();
		expect(readAll(path).map(({ record }) => record)).toEqual([
			read,
			{ kind: "access", access: 0, agent: guest, page: 1, ns: 10, offset: 1 },
			{ kind: "access", access: 4, agent: host, page: 7 * 2 ** 32 + 2, ns: 20 },
			{ kind: "operation", name: "mark", args: [6, 0, 0], text: "warm", agent: guest, page: 3, ns: 15 },
			{ kind: "access", access: 1, agent: guest, page: 0xffff_ffff, ns: 30, offset: 4095 },
			read,
		]);
		expect(validate(path)).toMatchObject({ problems: [], causes: 6 });
	});

	it("refuses columns that do not fit together", () => {
		const writer = new TraceWriter({ write() {} });
		const agents = [{ agent: guest, basePage: 0 }];
		const page = Uint32Array.of(1);
		expect(() => writer.block({ agents, op: Uint8Array.of(0, 0), page })).toThrow(/unequal/);
		expect(() => writer.block({ agents, op: Uint8Array.of(8), page })).toThrow(/agent index 1 of 1/);
		expect(() => writer.block({ agents, op: Uint8Array.of(7), page })).toThrow(/operation code/);
		expect(() => writer.block({ agents, op: Uint8Array.of(7), page, argument: [14, 3, 0, 0, 0] })).toThrow(/label 0/);
		expect(() => writer.block({ agents, op: Uint8Array.of(0), page, argument: [1] })).toThrow(/left over/);
		expect(() => writer.block({ agents: [{ agent: guest, basePage: 5 }], op: Uint8Array.of(0), page })).toThrow(/base page/);
	});

	it("takes more agents than one byte of op can name", () => {
		const list = Array.from({ length: 5000 }, (_, vcpu) => ({
			observation: false,
			record: { kind: "access", access: 6, agent: { ...guest, vcpu }, page: vcpu } as const,
		}));
		expect(readAll(writeToMemory(list))).toEqual(sequenced(list));
	});

	it("keeps as many warnings as its header holds", () => {
		const warnings = Array.from({ length: 2000 }, (_, line) => `line ${line}: ${"é".repeat(60)}`);
		const trace = openTrace(writeToMemory([], {}, { ...emptyHeader(), warnings }));
		expect(trace.header.warnings.length).toBeGreaterThan(200);
		expect(trace.header.warnings.at(-1)).toMatch(/^\d+ more warnings are not kept here$/);
	});

	it("merges observations among causes although they stand in blocks of their own", () => {
		// Far more observations than causes, and the other way round.
		for (const every of [1, 977]) {
			const list = Array.from({ length: 20_000 }, (_, at) => ({
				observation: every === 1 ? at % 19 !== 0 : at % every === 0,
				record: (every === 1 ? at % 19 !== 0 : at % every === 0)
					? ({ kind: "operation", name: "flush", args: [], agent: guest, page: at } as const)
					: ({ kind: "access", access: 0, agent: guest, page: at } as const),
			}));
			const bytes = writeToMemory(list, { causesPerBlock: 256, observationsPerBlock: 1000 });
			expect(readAll(bytes).map(({ record }) => record.page)).toEqual(list.map((_, at) => at));
		}
	});
});
