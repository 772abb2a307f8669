// mmreplay litmus as a process: the JSON of cli.md, exit statuses, a user's own strategy and scenario.
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { findStrategy } from "../../src/strategies/index.js";
import { mmreplay } from "../cli/process.js";

let folder = "";
beforeAll(() => {
	folder = mkdtempSync(join(tmpdir(), "mmreplay-litmus-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Document {
	schema: string;
	scenarios: {
		name: string;
		source: string;
		strategies: { name: string; verdict: string; expected: string; states: number; interleavings: number; witness: object[] | null }[];
	}[];
}

describe("mmreplay litmus", () => {
	it("prints one document for all scenarios and strategies", async () => {
		const { status, stdout } = await mmreplay(["litmus", "--json"]);
		expect(status).toBe(0);
		const document = JSON.parse(stdout) as Document;
		expect(document.schema).toBe("mmreplay/litmus/1");
		expect(document.scenarios.length).toBeGreaterThanOrEqual(20);
		for (const { source, strategies } of document.scenarios) {
			expect(source).not.toBe("");
			expect(strategies.length).toBe(16);
			for (const { verdict, expected, states, interleavings, witness } of strategies) {
				expect(verdict).toBe(expected);
				expect(states).toBeGreaterThan(0);
				expect(interleavings).toBeGreaterThan(0);
				expect(witness === null).toBe(verdict === "forbidden");
			}
		}
	});

	it("tells what a strategy of the user's own breaks, and ends with 1", async () => {
		const file = join(folder, "mine.json");
		const drop = findStrategy("drop");
		if (drop === undefined) throw new Error("drop");
		const operations = Object.fromEntries(
			Object.entries(drop.operations).map(([kind, steps]) => [kind, steps.filter(({ step }) => !step.startsWith("range-"))]),
		);
		writeFileSync(file, JSON.stringify({ name: "mine", operations }));
		const { status, stdout } = await mmreplay(["litmus", "a-third-thread", "--strategies", file]);
		expect(status).toBe(1);
		expect(stdout).toContain("mine (NOT EXPECTED)");
	});

	it("rejects a strategy that changes the page of a writable PTE with the name of (j)", async () => {
		const file = join(folder, "inplace.json");
		const drop = findStrategy("drop");
		if (drop === undefined) throw new Error("drop");
		const replace = drop.operations["ksm-replace"].filter(({ step }) => step !== "recheck");
		writeFileSync(file, JSON.stringify({ name: "inplace", operations: { ...drop.operations, "ksm-replace": replace } }));
		const { status, stdout } = await mmreplay(["litmus", "j", "--strategies", file]);
		expect(status).toBe(1);
		expect(stdout).toContain("j-writable-replaced");
		expect(stdout).toContain("I-8");
	});

	it("writes a page, and what a search finds", async () => {
		const page = join(folder, "litmus.html");
		expect((await mmreplay(["litmus", "h", "--html", page])).status).toBe(0);
		expect(readFileSync(page, "utf8")).toContain("h-outstanding-bracket");
		const found = join(folder, "found");
		const searched = await mmreplay(["litmus", "--search", "--programs", "70", "-s", "establish-naive", "-o", found]);
		expect(searched.status).toBe(0);
		const [first = ""] = readdirSync(found);
		const again = await mmreplay(["litmus", join(found, first), "-s", "establish-naive,drop"]);
		expect(again.status).toBe(0);
		expect(again.stdout).toContain("allowed   establish-naive");
	});

	it.each([
		[["zz"], 2, "unknown scenario zz"],
		[["--export", "x.mmtrace"], 2, "one scenario and one strategy"],
		[["no/such.litmus"], 2, "no such scenario file"],
		[["h", "-s", "fix:nothing=1"], 2, "unknown strategy option"],
	])("refuses %j with %i", async (args, status, message) => {
		const ended = await mmreplay(["litmus", ...args]);
		expect(ended.status).toBe(status);
		expect(ended.stderr).toContain(message);
	});
});
