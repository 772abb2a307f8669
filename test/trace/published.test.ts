// The published schema says what is in the file: protobufjs reflection, which knows nothing of src/trace, reads the same.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { expect, it } from "vitest";
import { MMUS } from "../../src/trace/kvmhost.js";
import { entries, header, sequenced, writerOptions, writeTo, writeToMemory } from "./arbitraries.js";
import { decodeTrace, readPublished } from "./published.js";

it("every record, by the published schema, equals what was written", () => {
	fc.assert(
		fc.property(entries, writerOptions, (list, options) => {
			const { causes, observations } = readPublished(writeToMemory(list, options));
			const expected = sequenced(list);
			expect(causes).toEqual(expected.filter((_, at) => !list[at].observation));
			expect(observations).toEqual(expected.filter((_, at) => list[at].observation));
		}),
		{ seed: 3, numRuns: 150 },
	);
});

it("header and index, by the published schema, equal what was written", () => {
	const directory = mkdtempSync(join(tmpdir(), "mmtrace-"));
	const path = join(directory, "t.mmtrace");
	fc.assert(
		fc.property(entries, writerOptions, header, (list, options, facts) => {
			const written = writeTo(path, list, options, facts);
			const { losses, warnings, sources, strategyEvidence, vms, access, host, ...rest } = facts;
			const trace = decodeTrace(readFileSync(path));
			expect(trace.header).toMatchObject({
				...rest,
				major: 1,
				minor: 0,
				loss: losses,
				warning: warnings,
				source: sources,
				vm: vms,
				strategyEvidence,
				access: ["none", "inferred", "complete"].indexOf(access),
			});
			const { mmu, ...bits } = host;
			const known = { ...bits, ...(mmu === undefined ? {} : { mmu: MMUS.indexOf(mmu) + 1 }) };
			if (Object.keys(host).length > 0) expect(trace.header).toMatchObject({ kvmHost: known });
			const sum = (numbers: number[]) => numbers.reduce((total, number) => total + number, 0);
			const index = trace.index as {
				entries: number;
				causes: number[];
				observations: number[];
				totalCode: number[];
				totalRecords: number[];
			};
			expect(index.entries).toBe(written.blocks);
			expect(sum(index.causes)).toBe(written.causes);
			expect(sum(index.observations)).toBe(written.observations);
			const accesses = list.filter(({ record }) => record.kind === "access").length;
			expect(index.totalRecords[index.totalCode.indexOf(0)] ?? 0).toBe(accesses);
			expect(sum(index.totalRecords)).toBe(list.length);
		}),
		{ seed: 4, numRuns: 60 },
	);
	rmSync(directory, { recursive: true });
});
