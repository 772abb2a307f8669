// A real capture through the importer, and what becomes of broken ones: a clear error, or a warning that stays in the header.
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { counterIndex } from "../../src/counters.js";
import { BadInputError } from "../../src/errors.js";
import { ReferenceModel } from "../../src/model/replay.js";
import { findStrategy } from "../../src/strategies/index.js";
import { broken, fixture, type Imported, imported, kinds, sourcesOf, traceText } from "./fixture.js";

function exits({ causes, header }: Imported, name: string): number[] {
	const strategy = findStrategy(name);
	if (strategy === undefined) throw new Error(name);
	const tlb = { l1: { sets: 16, ways: 4 }, l2: { sets: 128, ways: 12 } };
	const model = new ReferenceModel({ strategy, tlb, guestLevels: 4, hostLevels: 4, copiesRecorded: header.copiesRecorded });
	for (const [sequence, record] of causes.entries()) model.replay(record, sequence);
	return ["vmexits", "vmexitsFixed", "cowBreaks", "flush.guestTlb", "coherence.violations"].map((path) =>
		Number(model.world.counters[counterIndex(path)]),
	);
}

describe("a capture of Linux 6.1 as it is", () => {
	it("imports with its causes and observations, and its kernel is inferred", async () => {
		const capture = await imported(sourcesOf("stock-tiny"));
		expect(capture.header).toMatchObject({
			strategy: "wrapped",
			access: "complete",
			copiesRecorded: true,
			concurrent: false,
			losses: [],
			warnings: [],
		});
		expect(kinds(capture.causes)).toEqual({
			memslot: 2,
			populate: 2,
			mark: 44,
			fault: 17,
			"plain access": 288,
			ksmWriteProtect: 23,
			ksmPromote: 5,
			ksmReplace: 18,
		});
		expect(kinds(capture.observations)).toMatchObject({ vmexit: 91, flush: 42, rangeStart: 64, rangeEnd: 64, changePte: 64, ksmMerge: 23 });
	});

	it("predicts what each kernel did", async () => {
		const capture = await imported(sourcesOf("stock-tiny"));
		expect(exits(capture, "wrapped")).toEqual([91, 75, 23, 42, 0]);
		expect(exits(capture, "drop")).toEqual([91, 75, 23, 42, 0]);
		expect(exits(capture, "fix")).toEqual([72, 56, 23, 64, 0]);
		expect(exits(capture, "establish")).toEqual([72, 56, 23, 64, 0]);
		expect(exits(capture, "establish-map")).toEqual([49, 33, 23, 64, 0]);
	});
});

describe("a capture of Linux 6.12, without change_pte and wp_page_copy", () => {
	it("imports as drop and reproduces", async () => {
		const capture = await imported(sourcesOf("linux-6.12-tiny"));
		expect(capture.header).toMatchObject({ strategy: "drop", copiesRecorded: false, warnings: [] });
		expect(exits(capture, "drop")).toEqual([91, 75, 23, 42, 0]);
	});
});

describe("a broken capture", () => {
	const failing = async (sources: Parameters<typeof imported>[0]): Promise<BadInputError> => {
		const error = await imported(sources).then(
			() => undefined,
			(reason: unknown) => reason,
		);
		expect(error).toBeInstanceOf(BadInputError);
		return error as BadInputError;
	};

	it("cut in the middle of a line is an error; --lenient keeps what is whole and says so", async () => {
		const cut = (text: string): string => text.slice(0, Math.floor(text.length * 0.6));
		const error = await failing(broken("stock-tiny", cut));
		expect(error.message).toMatch(/cut off in its last line \(.*, line \d+\)/);
		const capture = await imported(broken("stock-tiny", cut, { lenient: true }));
		expect(capture.header.losses).toEqual([{ name: "damaged", count: 1 }]);
		expect(capture.header.warnings.join("\n")).toMatch(/cut off in line \d+/);
		expect(capture.header.warnings.join("\n")).toMatch(/does not reach \d+ phases/);
	});

	it("cut in the middle of its gzip stream is an error", async () => {
		const gzip = readFileSync(`${fixture("stock-tiny")}trace.txt.gz`);
		const error = await failing(broken("stock-tiny", () => gzip.subarray(0, gzip.length - 2000)));
		expect(error.what).toMatch(/cannot be read to its end/);
	});

	it("with lost events says how many, and keeps the loss", async () => {
		const capture = await imported(
			broken("stock-tiny", (text) => {
				const lines = text.split("\n");
				lines.splice(500, 40, "CPU:0 [LOST 40 EVENTS]");
				return lines.join("\n");
			}),
		);
		expect(capture.header.losses).toEqual([{ name: "lost", count: 40 }]);
		expect(capture.header.warnings.join("\n")).toMatch(/40 events were lost/);
	});

	it("whose buffer was overwritten says so", async () => {
		const capture = await imported(broken("stock-tiny", (text) => text.replace("1391/1391", "1391/2000")));
		expect(capture.header.losses).toEqual([{ name: "overwritten", count: 609 }]);
	});

	it("with a wrong struct offset in a probe is an error, or a warning if lenient", async () => {
		// 6.12's struct read with 6.1's offsets: start holds the end, end the flags.
		const shift = (text: string): string =>
			text.replace(/start=0x7e\w+ end=(0x7e\w+) flags=0x1 event=1/g, "start=$1 end=0x1 flags=0x1 event=1");
		const error = await failing(broken("stock-tiny", shift));
		expect(error.what).toMatch(/notifier ranges are impossible/);
		expect(error.hint).toMatch(/offset/);
		const some = (text: string): string =>
			text.replace(/start=0x7e0000009000 end=0x7e000000a000/, "start=0x7e0000009001 end=0x7e000000a000");
		const lenient = await imported(broken("stock-tiny", some, { lenient: true }));
		expect(lenient.header.warnings.join("\n")).toMatch(/1 of 64 notifier ranges/);
	});

	it("with two clocks in it is an error, or a warning if lenient", async () => {
		const mix = (text: string): string => {
			const lines = text.split("\n");
			return lines.map((line, at) => (at > 300 && at % 7 === 0 ? line.replace(/ {5}(\d\.\d{6}:)/, " 81234$1") : line)).join("\n");
		};
		const error = await failing(broken("stock-tiny", mix));
		expect(error.what).toMatch(/time runs backwards/);
		const lenient = await imported(broken("stock-tiny", mix, { lenient: true }));
		expect(lenient.header.warnings.join("\n")).toMatch(/mixed clocks/);
	});

	it("that is no trace at all is an error, whatever it is", async () => {
		for (const garbage of ["", "\n\n", "hello\n".repeat(500), "\0".repeat(5000), "# only a comment\n"])
			expect((await failing(broken("stock-tiny", () => garbage))).exitCode).toBe(3);
		await failing(broken("stock-tiny", () => new Uint8Array(100_000).fill(0xe9)));
		await failing({ ...sourcesOf("stock-tiny"), trace: `${fixture("stock-tiny")}no-such-file` });
	});

	it("with a damaged access log names the line", async () => {
		const sources = broken(
			"stock-tiny",
			() => "# vm 0 pid 1 vmfd 2\n# slot 0 gpa 0x0 hva 0x1000 size 0x1000 mergeable 0\n2 0 guest 0 R zz 0x0\n3 0\n",
		);
		const error = await failing({ ...sourcesOf("stock-tiny"), access: [sources.trace] });
		expect(error.where).toMatch(/line 3/);
	});

	it("cut at any line never crashes", async () => {
		const lines = traceText("stock-tiny").split("\n");
		for (let keep = 12; keep < lines.length; keep += 97) {
			const capture = await imported(broken("stock-tiny", () => `${lines.slice(0, keep).join("\n")}\n`)).catch((error: unknown) => error);
			if (capture instanceof Error) expect(capture).toBeInstanceOf(BadInputError);
		}
	});
});
