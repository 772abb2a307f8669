// Sources that are cut, flipped, or lie about their lengths: importing ends in a trace or in one clear error, soon and in bounded memory.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { unzstd } from "../../src/import/zstd.js";
import { asPerf, asReport, asTracefs, smallRun } from "./encode.js";
import { asPerfetto, asTraceDat, bytes, gzipped, int, PAGE_BYTES, rawZstd, u32, u64 } from "./encodebinary.js";
import { failure, file, imported, importedSources, operations, survives } from "./sources.js";

const run = smallRun();

const BINARY: readonly (readonly [name: string, content: Buffer])[] = [
	["trace.dat v6", asTraceDat(run, { version: 6, compression: "none" })],
	["trace.dat v7", asTraceDat(run, { version: 7, compression: "none" })],
	["trace.dat v7, zlib", asTraceDat(run, { version: 7, compression: "zlib" })],
	["trace.dat v7, zstd", asTraceDat(run, { version: 7, compression: "zstd" })],
	["Perfetto, dynamic", asPerfetto(run, "dynamic", "none")],
	["Perfetto, deflate", asPerfetto(run, "generic", "deflate")],
	["Perfetto, zstd", asPerfetto(run, "generic", "zstd")],
];
const TEXT: readonly (readonly [name: string, content: Buffer])[] = [
	["tracefs", Buffer.from(asTracefs(run))],
	["report -R", Buffer.from(asReport(run, true))],
	["perf", Buffer.from(asPerf(run))],
];
const ALL = [...BINARY, ...TEXT];

const flip = (content: Buffer, at: number, value: number): Buffer => {
	const copy = Buffer.from(content);
	copy[at % copy.length] = value;
	return copy;
};

describe("a damaged source ends cleanly", () => {
	it.each(ALL)("%s, cut anywhere", async (_name, content) => {
		for (let part = 0; part < 40; part++) await survives(content.subarray(0, Math.floor((content.length * part) / 40)));
	});

	it.each(ALL)("%s, with any byte changed", async (_name, content) => {
		await fc.assert(
			fc.asyncProperty(fc.nat(content.length - 1), fc.nat(255), (at, value) => survives(flip(content, at, value))),
			{ seed: 7, numRuns: 120 },
		);
	});

	it.each(BINARY)("%s, with any four bytes as large as can be", async (_name, content) => {
		await fc.assert(
			fc.asyncProperty(fc.nat(Math.min(content.length - 8, 6000)), (at) => {
				const copy = Buffer.from(content);
				copy.writeUInt32LE(0xffff_fff7, at);
				return survives(copy);
			}),
			{ seed: 8, numRuns: 120 },
		);
	});

	it.each(TEXT)("%s, with noise in the middle", async (_name, content) => {
		const half = content.indexOf(10, content.length >> 1) + 1;
		const noise = Buffer.from([0, 255, 254, 10, 0x1b, 0x5b, 10, 27]);
		const broken = Buffer.concat([content.subarray(0, half), noise, Buffer.from("\n"), content.subarray(half)]);
		const error = await failure(broken);
		expect(error.message).toMatch(/not a line of .*: "\?\?\?" \(.*, line \d+\)/);
		expect(error.exitCode).toBe(3);
		const trace = await imported(broken, { lenient: true });
		expect(trace.header.warnings.join()).toMatch(/3 lines are no lines of .* left out, the first at line \d+/);
		expect(trace.header.losses).toEqual([{ name: "damaged", count: 3 }]);
	});

	it("a gzip that is cut names how far it could be read", async () => {
		const packed = gzipped(Buffer.concat(Array.from({ length: 50 }, () => Buffer.from(asTracefs(run)))));
		const error = await failure(packed.subarray(0, packed.length - 100));
		expect(error.what).toMatch(/cannot be read to its end/);
	});
});

describe("lengths that lie", () => {
	const head = (version: number): Buffer =>
		Buffer.concat([Buffer.from([0x17, 0x08, 0x44]), Buffer.from(`tracing${version}\0`), Buffer.from([0, 8]), u32(PAGE_BYTES)]);

	it("a trace.dat whose header_page is larger than the file", async () => {
		const error = await failure(Buffer.concat([head(6), Buffer.from("header_page\0"), u64(2n ** 40n)]));
		expect(error.what).toMatch(/header_page of 1099511627776 bytes where 0 are left/);
	});

	it("a trace.dat of another version", async () => {
		const error = await failure(Buffer.concat([head(8), u64(0)]));
		expect(error.what).toBe("trace.dat version 8");
		expect(error.hint).toMatch(/trace-cmd convert/);
	});

	it("a trace.dat whose options go in a circle", async () => {
		const start = Buffer.concat([head(7), Buffer.from("none\0\0")]);
		const at = start.length + 8;
		const option = Buffer.concat([Buffer.from([0, 0]), u32(8), u64(at)]);
		const section = Buffer.concat([Buffer.from([0, 0, 0, 0]), u32(0), u64(option.length), option]);
		expect((await failure(Buffer.concat([start, u64(at), section]))).what).toMatch(/go in a circle/);
	});

	it("a packet that inflates without end", async () => {
		const { deflateSync } = await import("node:zlib");
		const bomb = deflateSync(Buffer.alloc(200 << 20));
		const error = await failure(bytes(1, bytes(50, bomb)));
		expect(error.exitCode).toBe(4);
		expect(error.what).toMatch(/compressed packets hold more than/);
	});

	it("a zstd frame with a window of gigabytes, or more content than it says", () => {
		const window = Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xf8, 1, 0, 0]);
		expect(() => unzstd(window, 1 << 20, "here")).toThrow(/asks for a window/);
		expect(() => unzstd(rawZstd(Buffer.alloc(1 << 20)), 1000, "here")).toThrow(/holds more than the 1000 bytes/);
		expect(Buffer.from(unzstd(rawZstd(Buffer.from("abc")), 3, "here")).toString()).toBe("abc");
	});

	it("a line without an end", async () => {
		const error = await failure(Buffer.concat([Buffer.from(asTracefs(run)), Buffer.alloc(3 << 20, 65)]));
		expect(error.what).toMatch(/longer than 1 MiB/);
	});
});

describe("what was lost is said", () => {
	it("in tracefs text", async () => {
		const text = asTracefs(run).replace("entries-written: 240/240", "entries-written: 240/300");
		const { header } = await imported(`${text}CPU:1 [LOST 12 EVENTS]\n`);
		expect(header.losses).toContainEqual({ name: "lost", count: 12 });
	});

	it("in ring-buffer pages", async () => {
		const dat = asTraceDat(run, { version: 6, compression: "none" });
		const first = dat.length - Math.floor((dat.length - 1) / PAGE_BYTES) * PAGE_BYTES === 0 ? PAGE_BYTES : dat.length % PAGE_BYTES;
		const page = dat.length - PAGE_BYTES - (first === dat.length ? 0 : 0);
		dat.writeUInt32LE((dat.readUInt32LE(page + 8) | 0x8000_0000) >>> 0, page + 8);
		const { header } = await imported(dat);
		expect(header.losses).toEqual([{ name: "missed", count: 1 }]);
		expect(header.warnings.join()).toMatch(/1 events were missed/);
	});

	it("in Perfetto bundles", async () => {
		const lost = bytes(1, bytes(1, Buffer.concat([int(1, 0), int(3, 1)])));
		const { header } = await imported(Buffer.concat([asPerfetto(run, "generic", "none"), lost]));
		expect(header.losses).toEqual([{ name: "lostBundles", count: 1 }]);
	});

	it("in bpftrace JSON", async () => {
		const lines = [
			"M 1 0 566 567 a KVM_PF vcpu=0 rip=1 gpa=1000 ec=4",
			"M 2 0 566 567 a MN_START mm=ffff888100000000 start=7f0000001000 end=7f0000002000 event=1",
		];
		const json = [
			...lines.map((line) => JSON.stringify({ type: "printf", data: `${line}\n` })),
			'{"type": "lost_events", "data": {"events": 5}}',
			"",
		].join("\n");
		const memslots = file("vm0 pid 566\nslot 0 gpa 0x0 hva 0x7f0000000000 size 0x10000\n");
		const { header } = await imported(json, { memslots });
		expect(header.losses).toEqual([{ name: "lost", count: 5 }]);
	});
});

describe("order", () => {
	it("of a source that was written CPU by CPU is that of its times", async () => {
		const byCpu = [...run].sort((a, b) => a.cpu - b.cpu);
		expect(operations(await imported(asPerf(byCpu)))).toEqual(operations(await imported(asPerf(run))));
	});

	it("of equal times is the file's", async () => {
		const ties = run.map((event) => ({ ...event, ns: Math.floor(event.ns / 1e9) * 1e9 }));
		expect(operations(await importedSources([file(asPerf(ties))]))).toEqual(operations(await imported(asPerf(run))));
	});
});
