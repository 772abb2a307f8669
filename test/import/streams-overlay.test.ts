// The KSM pattern over an access stream: its numbers, its determinism, and that the model finds nothing wrong with it.
import { describe, expect, it } from "vitest";
import { COUNTER_PATHS } from "../../src/counters.js";
import { UsageError } from "../../src/errors.js";
import { OVERLAY_DEFAULTS, overlayText, parseOverlay } from "../../src/import/overlay.js";
import { ReferenceModel } from "../../src/model/replay.js";
import { findStrategy } from "../../src/strategies/index.js";
import { type Imported, importBytes, kinds } from "./streamed.js";

/** A program that reads 64 pages over and over, and stores to one of them now and then. */
function program(accesses: number): string {
	let text = "";
	for (let at = 0; at < accesses; at++) {
		const page = (at * 7) % 64;
		const store = at % 997 === 0 || at < 64 * 7;
		text += ` ${store ? "S" : "L"} ${(0x40_0000 + page * 4096 + (at % 512) * 8).toString(16)},8\n`;
	}
	return text;
}
const PROGRAM = program(60_000);

function replay(imported: Imported, name: string): (path: string) => number {
	const strategy = findStrategy(name);
	if (strategy === undefined) throw new Error(`no strategy ${name}`);
	const level = { sets: 16, ways: 4 };
	const model = new ReferenceModel({
		strategy,
		tlb: { l1: level, l2: level },
		guestLevels: 4,
		hostLevels: 4,
		copiesRecorded: false,
	});
	for (const [sequence, record] of imported.records.entries()) model.replay(record, sequence);
	return (path) => Number(model.world.counters[COUNTER_PATHS.indexOf(path)] ?? 0n);
}

describe("--overlay", () => {
	it("has defaults for what is not told", () => {
		expect(parseOverlay("ksm")).toEqual(OVERLAY_DEFAULTS);
		expect(parseOverlay("ksm:")).toEqual(OVERLAY_DEFAULTS);
		expect(parseOverlay("ksm:duplicates=0.25,seed=7")).toEqual({ ...OVERLAY_DEFAULTS, duplicates: 0.25, seed: 7 });
		expect(parseOverlay("ksm:scan=auto")).toEqual(OVERLAY_DEFAULTS);
	});

	it("is read back as it is written", () => {
		const spec = parseOverlay("ksm:duplicates=0.1,sharing=3,scan=12.5,cow=0.2,seed=99");
		expect(parseOverlay(overlayText(spec))).toEqual(spec);
	});

	it.each([
		"",
		"thp",
		"ksm:duplicates",
		"ksm:duplicates=2",
		"ksm:duplicates=-1",
		"ksm:twins=3",
		"ksm:seed=1.5",
		"ksm:scan=",
		"ksm:scan= ",
		"ksm:scan=NaN",
		"ksm:cow=1=2",
		"ksm:a:b",
		"ksm:toString=1",
		"ksm:sharing=1",
	])("refuses %j", (text) => {
		expect(() => parseOverlay(text)).toThrow(UsageError);
	});
});

describe("the pattern", () => {
	it("is the same for the same seed, however the bytes come, and another for another", async () => {
		const one = await importBytes("lackey", PROGRAM, { overlay: "ksm:scan=20,seed=5" });
		expect((await importBytes("lackey", PROGRAM, { overlay: "ksm:scan=20,seed=5", chunk: 999 })).digest).toBe(one.digest);
		expect((await importBytes("lackey", PROGRAM, { overlay: "ksm:scan=20,seed=6" })).digest).not.toBe(one.digest);
	});

	it("keeps the stream's accesses as they are", async () => {
		const bare = await importBytes("lackey", PROGRAM);
		const laid = await importBytes("lackey", PROGRAM, { overlay: "ksm:cow=0" });
		const stream = (of: Imported): unknown[] => of.records.filter((record) => record.kind === "access");
		expect(stream(laid)).toEqual(stream(bare));
	});

	it("says in the header that it is made up, and by which numbers", async () => {
		const { header } = await importBytes("lackey", PROGRAM, { overlay: "ksm:duplicates=0.5" });
		expect(header.warnings[0]).toMatch(/^synthetic: .*duplicates=0\.5,sharing=6,scan=auto,cow=0\.01,seed=1/);
	});

	it("merges nothing where there are no duplicates, or ksmd does not scan", async () => {
		for (const overlay of ["ksm:duplicates=0", "ksm:scan=0"]) {
			expect(kinds(await importBytes("lackey", PROGRAM, { overlay })).ksmWriteProtect).toBeUndefined();
		}
	});

	it("merges about as many pages as it is told", async () => {
		const { records } = await importBytes("lackey", program(30_000).replaceAll(" S ", " L "), { overlay: "ksm:duplicates=0.8,cow=0" });
		const merged = records.filter(
			(record) => record.kind === "operation" && (record.name === "ksmReplace" || record.name === "ksmPromote"),
		);
		expect(merged.length).toBeGreaterThan(64 * 0.6);
		expect(merged.length).toBeLessThanOrEqual(64 * 0.95);
	});

	it("write-protects before each replace and promotion, and replaces with pages that were promoted", async () => {
		const { records } = await importBytes("lackey", PROGRAM, { overlay: "ksm:scan=20,cow=0.2" });
		const promoted = new Set<number>();
		records.forEach((record, at) => {
			if (record.kind !== "operation" || (record.name !== "ksmReplace" && record.name !== "ksmPromote")) return;
			expect(records[at - 1]).toMatchObject({ name: "ksmWriteProtect", page: record.page });
			if (record.name === "ksmPromote") promoted.add(record.args[0] ?? 0);
			else expect(promoted.has(record.args[3] ?? 0)).toBe(true);
		});
		expect(promoted.size).toBeGreaterThan(0);
	});

	it("merges again what a store has broken", async () => {
		const imported = await importBytes("lackey", PROGRAM, { overlay: "ksm:duplicates=0.8,scan=20" });
		const merges = imported.records.filter((record) => record.kind === "operation" && record.name === "ksmReplace");
		expect(new Set(merges.map((record) => record.page)).size).toBeLessThan(merges.length);
	});

	it("is what the model makes of it: its merges and breaks are those that the overlay counted", async () => {
		const imported = await importBytes("lackey", PROGRAM, { overlay: "ksm:duplicates=0.6,scan=20,cow=0.1" });
		const [, merges = "", guest = "", host = ""] =
			/: (\d+) merges .* (\d+) broken by the stream's stores, (\d+) by/.exec(imported.header.warnings[0] ?? "") ?? [];
		const counter = replay(imported, "drop");
		expect(counter("ksmMerges")).toBe(Number(merges));
		expect(counter("cowBreaks")).toBe(Number(guest) + Number(host));
		expect(Number(guest)).toBeGreaterThan(0);
		expect(Number(host)).toBeGreaterThan(0);
		expect(counter("coherence.violations")).toBe(0);
	});

	it("tells the strategies apart", async () => {
		const imported = await importBytes("lackey", PROGRAM, { overlay: "ksm:duplicates=0.6,scan=20" });
		const exits = ["drop", "fix", "establish-map"].map((name) => replay(imported, name)("vmexits"));
		const [drop = 0, fix = 0, establish = 0] = exits;
		expect(fix).toBeLessThan(drop);
		expect(establish).toBeLessThanOrEqual(fix);
	});
});
