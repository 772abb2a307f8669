// The series as Parquet, read back by another library: the same rows and numbers as the CSV.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parquetMetadata, parquetReadObjects } from "hyparquet";
import { describe, expect, it } from "vitest";
import { COUNTER_PATHS } from "../../src/counters.js";
import { mmreplay } from "../cli/process.js";
import { fixture, withFolder } from "../cli/traces.js";

async function rowsOf(file: string): Promise<Record<string, unknown>[]> {
	const { buffer, byteOffset, length } = readFileSync(file);
	return parquetReadObjects({ file: buffer.slice(byteOffset, byteOffset + length) as ArrayBuffer });
}

/** Lines of a CSV without quoted cells, by column. */
function csvOf(file: string): Record<string, string>[] {
	const [head = "", ...lines] = readFileSync(file, "utf8").trimEnd().split("\r\n");
	const names = head.split(",");
	return lines.map((line) => Object.fromEntries(line.split(",").map((cell, at) => [names[at] ?? "", cell])));
}

describe("--parquet", () => {
	// Every access known, and only those that faulted: there TLB figures are null.
	it.each(["fix-tiny", "linux-6.12-tiny"])("has of %s what --series has", (name) =>
		withFolder(async (folder) => {
			const [parquet, series, run] = ["s.parquet", "s.csv", "run.json"].map((file) => join(folder, file));
			const ended = await mmreplay(["compare", fixture(name), "--parquet", `${parquet}`, "--series", `${series}`, "-o", `${run}`]);
			expect(ended.stderr).toBe("");
			const rows = await rowsOf(`${parquet}`);
			const lines = csvOf(`${series}`);
			expect(rows.length).toBeGreaterThan(20);
			expect(Object.keys(rows[0] ?? {})).toEqual(Object.keys(lines[0] ?? {}));
			const texts = rows.map((row) =>
				Object.fromEntries(Object.entries(row).map(([key, value]) => [key, value === null ? "" : String(value)])),
			);
			expect(texts).toEqual(lines);
			// From the saved run it is the same file.
			const again = join(folder, "again.parquet");
			expect((await mmreplay(["report", `${run}`, "--parquet", again])).stderr).toBe("");
			expect(readFileSync(again).equals(readFileSync(`${parquet}`))).toBe(true);
		}),
	);

	it("declares counters as unsigned 64-bit integers", () =>
		withFolder(async (folder) => {
			const file = join(folder, "s.parquet");
			await mmreplay(["compare", fixture("fix-tiny"), "--parquet", file]);
			const { buffer, byteOffset, length } = readFileSync(file);
			const { schema } = parquetMetadata(buffer.slice(byteOffset, byteOffset + length) as ArrayBuffer);
			const types = new Map(schema.map((element) => [element.name, element.converted_type]));
			expect(COUNTER_PATHS.map((path) => types.get(path)).every((type) => type === "UINT_64")).toBe(true);
		}));
});
