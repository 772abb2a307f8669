// Access streams that are damaged, cut, or meant to harm: one error with its place, or, leniently, what is good of them and a count of the rest.
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { BadInputError, LimitError, MmreplayError } from "../../src/errors.js";
import { STREAM_FORMATS } from "../../src/import/streams.js";
import { TouchedPages } from "../../src/import/touchedpages.js";
import { accesses, formatNamed, importBytes, importFile, withFile } from "./streamed.js";

const GOOD: Readonly<Record<string, string>> = {
	lackey: " L 1fff000748,8\n",
	"qemu-plugin": "0 R 1 47f6a8a 47f6a8a 4f3a520\n",
	damon: "kdamond.0-77 [001] ..... 10.000001: damon_aggregated: target_id=0 nr_regions=1 4096-8192: 1 0\n",
};

const BAD: readonly (readonly [format: string, line: string])[] = [
	["lackey", " L 1fff000748"],
	["lackey", " L 1fff000748,"],
	["lackey", " L ,8"],
	["lackey", " L 1fff000748,x"],
	["lackey", " L 1fff000748,0"],
	["lackey", " L 11fff000748000000,8"],
	["lackey", " L 1fff0007480000,8"],
	["lackey", " X 1fff000748,8"],
	["lackey", "I 1fff000748,8"],
	["lackey", " I 1fff000748,8"],
	["lackey", "L  1fff000748,8"],
	["lackey", "== no pid"],
	["lackey", "hello from the program"],
	["lackey", " L 1fff000748,8 L 1fff000748,8"],
	["lackey", "I"],
	["lackey", "\u0000\u0001\u0002"],
	["qemu-plugin", "0 R 1 47f6a8a"],
	["qemu-plugin", "0 R 1 47f6a8a 47f6a8a"],
	["qemu-plugin", "0 R 1 47f6a8a 47f6a8a "],
	["qemu-plugin", "0 X 1 47f6a8a 47f6a8a 4f3a520"],
	["qemu-plugin", "x R 1 47f6a8a 47f6a8a 4f3a520"],
	["qemu-plugin", "0 R 0 47f6a8a 47f6a8a 4f3a520"],
	["qemu-plugin", "0 R 1 47f6a8a 0fff0000047f6a8a 4f3a520"],
	["qemu-plugin", "0 R 1 47f6a8a 47f6a8a 4f3a520 more"],
	["qemu-plugin", "0RR 1 47f6a8a 47f6a8a 4f3a520"],
	["damon", "k-1 [0] 1.0: damon_aggregated: target_id=0 nr_regions=1 8192-4096: 1 0"],
	["damon", "k-1 [0] 1.0: damon_aggregated: target_id=0 nr_regions=1 0-99999999999999999999: 1 0"],
	["damon", "k-1 [0] 1.0: damon_aggregated: target_id=0 nr_regions=1 4096-8192: 4000000000 0"],
	["damon", "k-1 [0] 1.0: damon_aggregated: target_id=0 nr_reg"],
	["damon", "k-1 [0] 99999999999999.0: damon_aggregated: target_id=0 nr_regions=1 4096-8192: 1 0"],
	["damon", "no event at all"],
];

describe("a line that is none", () => {
	it.each(BAD)("%s: %j ends the import where it stands", async (format, line) => {
		const good = GOOD[format] ?? "";
		await expect(importBytes(format, `${good}${line}\n${good}`)).rejects.toMatchObject({ exitCode: 3, where: "in.txt, line 2" });
	});

	it.each(BAD)("%s: %j is left out and counted, leniently", async (format, line) => {
		const good = GOOD[format] ?? "";
		const { header } = await importBytes(format, `${good}${line}\n${good}`, { lenient: true });
		expect(header.losses).toContainEqual({ name: "damaged", count: 1 });
	});

	it("does not put control characters into the error", async () => {
		await expect(importBytes("lackey", "\u001b[2J\u0007\n")).rejects.toThrow(/"\?\[2J\?"/);
	});
});

describe("sources that are not whole", () => {
	it.each(STREAM_FORMATS.map(({ name }) => name))("%s: an empty one says so", async (name) => {
		await expect(importBytes(name, "")).rejects.toBeInstanceOf(BadInputError);
	});

	it("a line without an end is refused before it fills the memory", async () => {
		await expect(importBytes("lackey", "a".repeat(1 << 20), { chunk: 1000 })).rejects.toThrow("longer than 65536 bytes");
	});

	it("a gzip stream that is cut says how far it got", async () => {
		const zipped = gzipSync((GOOD.lackey ?? "").repeat(100_000));
		await withFile(zipped.subarray(0, zipped.length / 2), async (path) => {
			await expect(importFile("lackey", path)).rejects.toMatchObject({
				exitCode: 3,
				message: expect.stringContaining("after byte") as unknown,
			});
		});
	});

	it("another compression is named, with what undoes it", async () => {
		await withFile(Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0, 0, 4]), async (path) => {
			await expect(importFile("champsim", path)).rejects.toMatchObject({ exitCode: 3, hint: expect.stringContaining("xz -dc") as unknown });
		});
	});

	it("a ChampSim record that is cut is an error, or a loss", async () => {
		const record = Buffer.alloc(100);
		record.writeUInt32LE(0x1000, 0);
		await expect(importBytes("champsim", record)).rejects.toThrow("36 of 64 bytes");
		expect((await importBytes("champsim", record, { lenient: true })).header.losses).toEqual([{ name: "damaged", count: 1 }]);
	});

	it("a ChampSim record that cannot be names its byte", async () => {
		const records = Buffer.alloc(128);
		records.writeUInt32LE(0x1000, 0);
		records.writeUInt32LE(0x1000, 64);
		records[64 + 8] = 7;
		await expect(importBytes("champsim", records)).rejects.toMatchObject({ where: "in.txt, record 1 at byte 64" });
	});
});

describe("limits", () => {
	it("more vCPUs than a kernel takes", async () => {
		await expect(importBytes("qemu-plugin", "999999 R 1 1000 1000 f\n")).rejects.toBeInstanceOf(LimitError);
	});

	it("more regions than KVM takes as memslots", async () => {
		const lines = Array.from({ length: 33_000 }, (_, at) => ` S ${(at * 2 ** 27).toString(16)},8\n`).join("");
		await expect(importBytes("lackey", lines)).rejects.toMatchObject({ exitCode: 4 });
	});
});

describe("pages are numbered in the order of their first touch", () => {
	it("whatever they are", () => {
		fc.assert(
			fc.property(
				fc.array(
					fc.oneof(
						fc.nat(200),
						fc.maxSafeNat().map((n) => n % 2 ** 36),
					),
				),
				(pages) => {
					const touched = new TouchedPages();
					const order = [...new Set(pages)];
					for (const page of pages) expect(touched.numberOf(page)).toBe(order.indexOf(page));
					expect(order.map((_, number) => touched.page(number))).toEqual(order);
				},
			),
		);
	});

	it("also when there are many that look alike", () => {
		const touched = new TouchedPages();
		for (let page = 0; page < 100_000; page++) touched.numberOf(page * 2 ** 12);
		for (let page = 0; page < 100_000; page += 97) expect(touched.numberOf(page * 2 ** 12)).toBe(page);
	});
});

describe("any bytes at all", () => {
	const binary = fc.uint8Array({ maxLength: 4096 });
	const words = fc.array(
		fc.constantFrom(" L ", "I  ", " M ", "0 R 8 ", "1fff000", ",8", " 0 ", "\n", "==1== ", "damon_aggregated: ", "1.0: ", "#", "\u0000"),
		{ maxLength: 200 },
	);

	it.each(STREAM_FORMATS.map(({ name }) => name))("%s: end in a trace or in an error of ours", async (name) => {
		const source = fc.oneof(
			binary,
			words.map((parts) => Buffer.from(parts.join(""))),
		);
		await fc.assert(
			fc.asyncProperty(source, fc.boolean(), async (bytes, lenient) => {
				expect(typeof formatNamed(name).looksLike(bytes)).toBe("boolean");
				try {
					const imported = await importBytes(name, bytes, { lenient, chunk: 100 });
					expect(accesses(imported).length).toBeGreaterThanOrEqual(0);
				} catch (error) {
					expect(error).toBeInstanceOf(MmreplayError);
				}
			}),
			{ numRuns: 60 },
		);
	});
});
