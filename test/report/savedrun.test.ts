// A run that is saved and read back, and what is made of it.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { BadInputError } from "../../src/errors.js";
import { readRun } from "../../src/report/readrun.js";
import { runChanges } from "../../src/report/runchanges.js";
import { bar, sparkline } from "../../src/report/terminal.js";
import { verdictLine } from "../../src/report/verdict.js";
import { mmreplay } from "../cli/process.js";
import { fixture, withFolder } from "../cli/traces.js";

interface Saved {
	made: { version: string; command: string };
	summary: { verdict: string };
	strategies: { name: string; digest: string; counters: { vmexits: number } }[];
	phases: { phase: number; label: string; strategies: Record<string, number>[] }[];
	intervals: { events: number; strategies: Record<string, number>[] }[];
}

async function savedIn(folder: string, ...names: string[]): Promise<string> {
	const file = join(folder, "run.json");
	const ended = await mmreplay(["compare", ...names.map(fixture), "-o", file]);
	expect(ended.stderr).toBe("");
	expect(ended.status).toBe(0);
	return file;
}

describe("a saved run", () => {
	it("holds phases and intervals that sum up, and how it was made", () =>
		withFolder(async (folder) => {
			const saved = JSON.parse(readFileSync(await savedIn(folder, "fix-tiny"), "utf8")) as Saved;
			expect(saved.made.version).toMatch(/^\d+\.\d+/);
			expect(saved.made.command).toMatch(/^mmreplay compare /);
			expect(saved.phases.length).toBeGreaterThan(10);
			for (const [at, { counters }] of saved.strategies.entries()) {
				const sum = saved.intervals.reduce((total, { strategies }) => total + (strategies[at]?.vmexits ?? 0), 0);
				expect(sum).toBe(counters.vmexits);
			}
		}));

	it("says the same when it is read back", () =>
		withFolder(async (folder) => {
			const text = readFileSync(await savedIn(folder, "stock-tiny"), "utf8");
			const saved = JSON.parse(text) as Saved;
			const run = readRun(text, "run.json");
			const [one] = run.comparisons;
			if (one === undefined) throw new Error("no comparison");
			expect(verdictLine(one)).toBe(saved.summary.verdict);
			expect(one.strategies.map(({ replay }) => replay.digest)).toEqual(saved.strategies.map(({ digest }) => digest));
			expect(one.result.phases).toHaveLength(saved.phases.length);
			expect(runChanges(run, run.comparisons)).toEqual({
				lines: ["baseline run: 5 strategies as before, counter for counter"],
				differs: false,
			});
		}));

	it("of several traces is read as well, and the plain --json document too", () =>
		withFolder(async (folder) => {
			const text = readFileSync(await savedIn(folder, "stock-tiny", "fix-tiny"), "utf8");
			expect(readRun(text, "run.json").comparisons).toHaveLength(2);
			const plain = await mmreplay(["compare", fixture("stock-tiny"), "--json", "--sensitivity"]);
			const [one] = readRun(plain.stdout, "plain.json").comparisons;
			expect(one?.result.phases).toEqual([]);
			expect(one?.sensitivity).not.toBeNull();
		}));

	it.each([
		["{}", /schema/],
		["[]", /must be an object/],
		["x", /not JSON/],
		['{"schema":"mmreplay/compare/2"}', /schema: is mmreplay\/compare\/2/],
		['{"schema":"mmreplay/compare/1"}', /trace: is missing/],
	])("that is none is refused: %s", (text, message) => {
		expect(() => readRun(text, "x.json")).toThrow(BadInputError);
		expect(() => readRun(text, "x.json")).toThrow(message);
	});
});

describe("compare --baseline-run", () => {
	it("passes on the same trace and fails where a counter differs", () =>
		withFolder(async (folder) => {
			const file = await savedIn(folder, "fix-tiny");
			const same = await mmreplay(["compare", fixture("fix-tiny"), "--baseline-run", file]);
			expect(same.stdout).toMatch(/baseline run: 5 strategies as before/);
			expect(same.status).toBe(0);
			const saved = JSON.parse(readFileSync(file, "utf8")) as Saved;
			const [first] = saved.strategies;
			if (first !== undefined) first.counters.vmexits++;
			writeFileSync(file, JSON.stringify(saved));
			const other = await mmreplay(["compare", fixture("fix-tiny"), "--baseline-run", file, "--json"]);
			expect(other.stderr).toMatch(/wrapped DIFFERS in 1 counter: vmexits 92 -> 91/);
			expect(other.status).toBe(1);
		}));

	it("of another trace says the difference and passes", () =>
		withFolder(async (folder) => {
			const file = await savedIn(folder, "stock-tiny");
			const ended = await mmreplay(["compare", fixture("linux-6.12-tiny"), "--baseline-run", file]);
			expect(ended.stdout).toMatch(/of another trace .*drop 91 -> 91 vmexits/);
			expect(ended.status).toBe(0);
		}));
});

describe("files", () => {
	it("Markdown, CSV and series, from compare and from a saved run alike", () =>
		withFolder(async (folder) => {
			const at = (name: string): string => join(folder, name);
			const first = await mmreplay([
				"compare",
				fixture("stock-tiny"),
				"-o",
				at("r.json"),
				"--markdown",
				at("a.md"),
				"--csv",
				at("a.csv"),
				"--series",
				at("a.s"),
			]);
			expect(first.stderr).toBe("");
			const again = await mmreplay(["report", at("r.json"), "--markdown", at("b.md"), "--csv", at("b.csv"), "--series", at("b.s")]);
			expect(again.stderr).toBe("");
			for (const [a, b] of [
				["a.md", "b.md"],
				["a.csv", "b.csv"],
				["a.s", "b.s"],
			] as const) {
				expect(readFileSync(at(b), "utf8")).toBe(readFileSync(at(a), "utf8"));
			}
			expect(readFileSync(at("a.md"), "utf8")).toMatch(/\*\*Verdict:\*\* of 91 vmexits under drop[\s\S]*\| fix \| 72 \| 19 \|/);
			expect(readFileSync(at("a.s"), "utf8").split("\r\n")[0]).toMatch(
				/^trace,kind,number,label,event,events,ns,strategy,accesses\.guestRead/,
			);
		}));

	it("chosen columns", async () => {
		const ended = await mmreplay(["compare", fixture("stock-tiny"), "--columns", "vmexits,vmexitsByCause.ksm,avoided %"]);
		expect(ended.stdout).toMatch(/strategy\tvmexits\tvmexitsByCause\.ksm\tavoided %/);
		const wrong = await mmreplay(["compare", fixture("stock-tiny"), "--columns", "vmexit"]);
		expect(wrong.status).toBe(2);
		expect(wrong.stderr).toMatch(/no column vmexit \(--columns\)/);
	});
});

describe("bars", () => {
	it("have eighths of a cell", () => {
		expect(bar(1, 4)).toBe("████");
		expect(bar(0.5, 3)).toBe("█▌");
		expect(bar(0, 3)).toBe("");
	});

	it("and sparklines eight levels, and a space for nothing", () => {
		expect(sparkline([0, 1, 8], 8)).toBe(" ▂█");
	});
});
