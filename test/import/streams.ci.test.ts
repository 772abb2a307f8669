// Every access stream of ../shared/data/formats, with its counts by kind. They were counted line by line outside this project.
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { readBytes } from "../../src/import/bytes.js";
import { detected, importFile, kinds } from "./streamed.js";

const formats = fileURLToPath(new URL("../../../shared/data/formats/", import.meta.url));
const missing = !existsSync(formats);
if (missing) console.log("skipped: the samples of ../shared/data/formats are not here");

interface Golden {
	readonly file: string;
	readonly format: string;
	readonly reads: number;
	readonly writes: number;
	readonly fetches: number;
	/** Distinct pages touched. */
	readonly pages: number;
	readonly slots: number;
	readonly crossing: number;
}

// lackey: reads are L + M, writes S + M, fetches I.
const GOLDEN: readonly Golden[] = [
	{
		file: "lackey-gzip-data.txt.gz",
		format: "lackey",
		reads: 810516 + 12321,
		writes: 347783 + 12321,
		fetches: 0,
		pages: 122,
		slots: 3,
		crossing: 0,
	},
	{
		file: "lackey-gzsmall-data.txt.gz",
		format: "lackey",
		reads: 38712 + 1621,
		writes: 82502 + 1621,
		fetches: 0,
		pages: 107,
		slots: 3,
		crossing: 0,
	},
	{
		file: "lackey-gzsmall-full.txt.gz",
		format: "lackey",
		reads: 38712 + 1621,
		writes: 82502 + 1621,
		fetches: 265014,
		pages: 188,
		slots: 3,
		crossing: 154,
	},
	{
		file: "lackey-sqlite-data.txt.gz",
		format: "lackey",
		reads: 899899 + 17823,
		writes: 408538 + 17823,
		fetches: 0,
		pages: 309,
		slots: 3,
		crossing: 14,
	},
	{
		file: "qemu72-plugin-sysmode-kernelboot-300k.txt.gz",
		format: "qemu-plugin",
		reads: 176723,
		writes: 123277,
		fetches: 0,
		pages: 177,
		slots: 2,
		crossing: 0,
	},
	{
		file: "qemu72-plugin-usermode-gzip.txt.gz",
		format: "qemu-plugin",
		reads: 36541,
		writes: 83979,
		fetches: 0,
		pages: 104,
		slots: 1,
		crossing: 0,
	},
];

/** The first bytes after gzip. */
async function headOf(path: string): Promise<Uint8Array> {
	for await (const chunk of readBytes(path, { name: "", sha256: "" })) return chunk.subarray(0, 4096);
	return new Uint8Array(0);
}

describe.skipIf(missing)("samples of access streams", () => {
	it.each(GOLDEN)("$file", async ({ file, format, reads, writes, fetches, pages, slots, crossing }) => {
		const path = `${formats}${file}`;
		expect(detected(await headOf(path))).toEqual([format]);
		const imported = await importFile(format, path);
		const counted = kinds(imported);
		expect([counted.access0 ?? 0, counted.access1 ?? 0, counted.access2 ?? 0]).toEqual([reads, writes, fetches]);
		expect(counted.memslot).toBe(slots);
		expect(imported.header.vms).toEqual([{ id: 0, mm: 0, vcpus: 1, memoryBytes: pages * 4096 }]);
		expect(imported.header.losses).toEqual([]);
		const across = imported.header.warnings.find((warning) => warning.includes("reach into the next page")) ?? "0";
		expect(Number.parseInt(across, 10)).toBe(crossing);
	});

	it("the two logs of one program agree on its data", async () => {
		const data = kinds(await importFile("lackey", `${formats}lackey-gzsmall-data.txt.gz`));
		const full = kinds(await importFile("lackey", `${formats}lackey-gzsmall-full.txt.gz`));
		expect([full.access0, full.access1]).toEqual([data.access0, data.access1]);
	});
});
