// What each format of access streams means, line by line; hostile ones are in streams-hostile.test.ts.
import { gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { accesses, detected, importBytes, importFile, kinds, withFile } from "./streamed.js";

const LACKEY = [
	"==12== Lackey, an example Valgrind tool",
	"==12== ",
	"I  0401ab70,3",
	" L 1fff000748,8",
	" S 1fff000740,8",
	" M 00601ff8,4",
	"==12== Counted 3 calls",
	"",
].join("\n");
const USER = "# cpu op size vaddr paddr pc\n0 W 8 40028e0818 0 40028fbb73\n1 R 4 40028e0818 0 40028fbb79\n";
const SYSTEM =
	"# cpu op size vaddr paddr pc\n0 R 1 ffff888000001000 1000 f\n0 O 4 fee000b0 fee000b0 f\n0 I 4 fee00020 fee00020 f\n0 W 4 ffffffff81000008 2008 f\n";
const DAMON = [
	"# tracer: nop",
	"     kdamond.0-77      [001] .....    10.000001: damon_aggregated: target_id=0 nr_regions=2 4096-12288: 2 0",
	"     kdamond.0-77      [001] .....    10.000001: damon_aggregated: target_id=0 nr_regions=2 1048576-2097152: 0 7",
	"     kdamond.0-77      [001] .....    10.100001: damon_aggregated: target_id=0 nr_regions=1 4096-8192: 3 1",
	"",
].join("\n");

/** One ChampSim record. */
function champsim({ ip = 0x401000, stores = [] as number[], loads = [] as number[], branch = 0, taken = 0 } = {}): Buffer {
	const record = Buffer.alloc(64);
	record.writeBigUInt64LE(BigInt(ip), 0);
	record[8] = branch;
	record[9] = taken;
	for (const [at, address] of stores.entries()) record.writeBigUInt64LE(BigInt(address), 16 + at * 8);
	for (const [at, address] of loads.entries()) record.writeBigUInt64LE(BigInt(address), 32 + at * 8);
	return record;
}

describe("formats are told by content", () => {
	it.each([
		["lackey", LACKEY],
		["lackey", LACKEY.split("\n").slice(0, 2).join("\n")],
		["lackey", " L 1fff000748,8\n"],
		["qemu-plugin", USER],
		["qemu-plugin", SYSTEM],
		["qemu-plugin", "# cpu op size vaddr paddr pc\n"],
		["damon", DAMON],
		["champsim", champsim({ loads: [0x7fff_0000_1000] })],
	])("%s", (name, head) => {
		expect(detected(head)).toEqual([name]);
	});

	it.each([
		["nothing", ""],
		["prose", "Dear all,\nI am lost.\n"],
		["tracefs text", "# tracer: nop\n ksmd-33 [000] ..... 12.000001: kvm_unmap_hva_range: mmu notifier unmap range: 0x1 -- 0x2\n"],
		["tracefs text with DAMON in it", `${DAMON} ksmd-33 [000] ..... 12.000001: kvm_unmap_hva_range: mmu notifier\n`],
		["zeros", Buffer.alloc(4096)],
		["noise", Buffer.from(Array.from({ length: 4096 }, (_, at) => (at * 167 + 13) & 255))],
	])("%s is none of them", (_, head) => {
		expect(detected(head)).toEqual([]);
	});
});

describe("lackey", () => {
	it("takes M as a load and a store, and leaves valgrind's own lines out", async () => {
		const imported = await importBytes("lackey", LACKEY);
		expect(accesses(imported)).toEqual(["F 401a:b70", "R 1fff000:748", "W 1fff000:740", "R 601:ff8", "W 601:ff8"]);
		expect(imported.header.losses).toEqual([]);
	});

	it("gives memslots that cover what is touched, and what is read first its content", async () => {
		const imported = await importBytes("lackey", LACKEY);
		const operations = imported.records.flatMap((record) => (record.kind === "operation" ? [[record.name, record.page, record.args]] : []));
		expect(operations).toEqual([
			["memslot", 0x4000, [0, 0, 0x4000, 0x4000, 0]],
			["populate", 0x401a, [1, 1]],
			["memslot", 0x1ffc000, [1, 0, 0x1ffc000, 0x4000, 0]],
			["populate", 0x1fff000, [1, 1]],
			["memslot", 0, [2, 0, 0, 0x4000, 0]],
			["populate", 0x601, [1, 1]],
		]);
	});

	it("says of itself that it is a stream without a kernel", async () => {
		const { header } = await importBytes("lackey", LACKEY);
		expect(header).toMatchObject({ access: "complete", kernel: "", strategy: "", importer: "lackey", concurrent: false });
		expect(header.vms).toEqual([{ id: 0, mm: 0, vcpus: 1, memoryBytes: 3 * 4096 }]);
		expect(header.warnings.join("\n")).toContain("without kernel events");
	});

	it("counts accesses that reach into the next page", async () => {
		const { header } = await importBytes("lackey", "I  00000fff,3\n L 00000ff8,8\n");
		expect(header.warnings.join("\n")).toContain("1 accesses reach into the next page");
	});

	it.each([1, 2, 7, 64])("does not care where its bytes are cut (%i at a time)", async (chunk) => {
		expect((await importBytes("lackey", LACKEY, { chunk })).digest).toBe((await importBytes("lackey", LACKEY)).digest);
	});

	it("is the same gzip'ed, with and without a last newline, and with returns", async () => {
		const plain = await importBytes("lackey", LACKEY);
		const zipped = await withFile(gzipSync(LACKEY), (path) => importFile("lackey", path));
		expect(zipped.digest).toBe(plain.digest);
		expect(zipped.header.sources[0]).toMatchObject({
			name: "source",
			format: "lackey",
			sha256: expect.stringMatching(/^[0-9a-f]{64}$/) as unknown,
		});
		expect((await importBytes("lackey", LACKEY.trimEnd())).digest).toBe(plain.digest);
		expect((await importBytes("lackey", LACKEY.replaceAll("\n", "\r\n"))).digest).toBe(plain.digest);
	});

	it("keeps the 48 bits of a kernel's address", async () => {
		expect(accesses(await importBytes("lackey", " L ffffffff81000008,8\n"))).toEqual(["R ffff81000:8"]);
	});
});

describe("the QEMU plugin's log", () => {
	it("counts virtual addresses in user mode", async () => {
		const imported = await importBytes("qemu-plugin", USER);
		expect(accesses(imported)).toEqual(["W 40028e0:818", "R 40028e0:818"]);
		expect(imported.header.vms[0]?.vcpus).toBe(2);
		expect(imported.header.warnings.join("\n")).toContain("virtual addresses");
	});

	it("counts guest-physical ones in system mode, with MMIO beside them", async () => {
		const imported = await importBytes("qemu-plugin", SYSTEM);
		expect(accesses(imported)).toEqual(["R 1:0", "W 2:8"]);
		const mmio = imported.records.flatMap((record) =>
			record.kind === "operation" && record.name === "mmio" ? [[record.page, record.args]] : [],
		);
		expect(mmio).toEqual([
			[0xfee00, [1, 0]],
			[0xfee00, [0, 1]],
		]);
		expect(imported.header.warnings.join("\n")).not.toContain("virtual addresses");
	});

	it("counts accesses whose physical address QEMU does not know as lost", async () => {
		const { header } = await importBytes("qemu-plugin", `${SYSTEM}0 R 8 7f00 - f\n`);
		expect(header.losses).toEqual([{ name: "noPhysicalAddress", count: 1 }]);
	});
});

describe("ChampSim", () => {
	const source = Buffer.concat([
		champsim({ stores: [0x7fff_ffff_e008], loads: [0x60_1000, 0, 0x60_2010] }),
		champsim({ ip: 0x401004, branch: 1, taken: 1 }),
	]);

	it("takes a fetch, the loads, then the stores of each record", async () => {
		const imported = await importBytes("champsim", source);
		expect(accesses(imported)).toEqual(["F 401:0", "R 601:0", "R 602:10", "W 7fffffffe:8", "F 401:4"]);
	});

	it.each([1, 63, 65])("does not care where its bytes are cut (%i at a time)", async (chunk) => {
		expect((await importBytes("champsim", source, { chunk })).digest).toBe((await importBytes("champsim", source)).digest);
	});
});

describe("DAMON", () => {
	it("reads lines as bytes as it reads them as text", async () => {
		const numbers = ["0", "7", "07", "4096", "65536", "9999999", "123456789012345", "281474976710656", "9".repeat(17), "x", ""];
		const any = (at: number, each: number): string => numbers[Math.imul(at * 31 + each, 0x9e37_79b1) >>> 28] ?? "8192";
		const lines = Array.from({ length: 600 }, (_, at) => {
			const event =
				["damon_aggregated:", "damon:damon_aggregated: ", "damon_aggregated", "xdamon_aggregated:"][at % 5] ?? "damon_aggregated:";
			const age = at % 3 === 0 ? "" : ` ${any(at, 6)}`;
			const target = at % 7 === 0 ? any(at, 2) : "0";
			return `k-1 [1] ${any(at, 0)}.${any(at, 1)}: ${event} target_id=${target} nr_regions=1 ${any(at, 3)}-${any(at, 4)}: ${any(at, 5).slice(0, 3)}${age}`;
		});
		const [fast, text] = await Promise.all(
			// A space at its end makes a line unusual.
			["\n", " \n"].map((end) => importBytes("damon", `${DAMON}${lines.map((line) => `${line}${end}`).join("")}`, { lenient: true })),
		);
		expect(fast?.records).toEqual(text?.records);
		expect(fast?.header.losses).toEqual(text?.header.losses);
		expect(fast?.records.length).toBeGreaterThan(50);
	});

	it("makes a read of every check that found a region accessed, and says that they are samples", async () => {
		const imported = await importBytes("damon", DAMON);
		expect(kinds(imported)).toMatchObject({ access0: 5 });
		expect(imported.records.filter((record) => record.kind === "access").every((record) => record.page === 1 || record.page === 2)).toBe(
			true,
		);
		expect(imported.header).toMatchObject({ clock: "tracefs", durationNs: 100_000_000, losses: [{ name: "sampled", count: 5 }] });
		expect(imported.header.warnings.join("\n")).toContain("5 reads stand for the counts of 3 regions");
	});

	it("keeps the times", async () => {
		const { records } = await importBytes("damon", DAMON);
		expect(records.map((record) => record.ns)).toEqual(expect.arrayContaining([0, 100_000_000]));
	});

	it("takes one target, and says what it leaves out", async () => {
		const { header } = await importBytes(
			"damon",
			`${DAMON}kdamond.0-77 [1] 11.0: damon_aggregated: target_id=1 nr_regions=1 4096-8192: 3 1\n`,
		);
		expect(header.losses).toContainEqual({ name: "otherTargets", count: 1 });
	});

	it("reads perf's form, and kernels without an age", async () => {
		const line = "kdamond.0  1234 [001]  5.25: damon:damon_aggregated: target_id=9 nr_regions=1 4096-8192: 2\n";
		expect(detected(line)).toEqual(["damon"]);
		expect(kinds(await importBytes("damon", line))).toMatchObject({ access0: 2 });
	});
});
