// Litmus verdicts in a comparison's report: by compare --litmus, and from the document that mmreplay litmus --json prints.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { mmreplay } from "../cli/process.js";
import { fixture, withFolder } from "../cli/traces.js";

interface Document {
	scenarios: { name: string; strategies: { name: string; verdict: string; expected: string; witness: object[] | null }[] }[];
}

function sectionOf(file: string): string {
	return readFileSync(file, "utf8").split('<section id="litmus">')[1]?.split("</section>")[0] ?? "";
}

describe("litmus verdicts", () => {
	it("stand in the report of compare --litmus, in its document and in its saved run", () =>
		withFolder(async (folder) => {
			const [html, run, again, markdown] = ["a.html", "run.json", "b.html", "a.md"].map((name) => join(folder, name));
			const flags = ["--strategies", "drop,establish-naive", "--litmus"];
			const ended = await mmreplay(["compare", fixture("stock-tiny"), ...flags, "--html", `${html}`, "-o", `${run}`, "--json"]);
			expect(ended.stderr).toBe("");
			const { litmus } = JSON.parse(ended.stdout) as { litmus: Document };
			const bad = litmus.scenarios.filter(({ strategies }) => strategies[1]?.verdict === "allowed").map(({ name }) => name);
			expect(bad).toContain("h-outstanding-bracket");
			expect(litmus.scenarios.every(({ strategies }) => strategies[0]?.verdict === "forbidden")).toBe(true);
			const section = sectionOf(`${html}`);
			for (const { name } of litmus.scenarios) expect(section).toContain(name);
			expect(section.match(/<td class="bad">bad<\/td>/g)).toHaveLength(bad.length);
			expect(section).toContain("a translation leads to a freed page");
			const made = await mmreplay(["report", `${run}`, "-o", `${again}`, "--markdown", `${markdown}`]);
			expect(made.stderr).toBe("");
			expect(sectionOf(`${again}`) === section).toBe(true);
			expect(readFileSync(`${markdown}`, "utf8")).toMatch(/\*\*Litmus:\*\* \d+ scenarios: a bad outcome can happen under establish-naive/);
		}));

	it("are taken by report from litmus --json, beside runs or alone", () =>
		withFolder(async (folder) => {
			const [verdicts, html] = ["l.json", "l.html"].map((name) => join(folder, name));
			const judged = await mmreplay(["litmus", "a", "--strategies", "drop,legacy-2.6.32", "--json"]);
			writeFileSync(`${verdicts}`, judged.stdout);
			const made = await mmreplay(["report", `${verdicts}`, "-o", `${html}`]);
			expect(made.stderr).toBe("");
			expect(sectionOf(`${html}`)).toContain("1 scenario: a bad outcome can happen under legacy-2.6.32 (1)");
			const document = JSON.parse(judged.stdout) as Document;
			for (const { strategies } of document.scenarios) for (const one of strategies) one.expected = "forbidden";
			writeFileSync(`${verdicts}`, JSON.stringify({ ...document, schema: "mmreplay/litmus/1" }));
			await mmreplay(["report", `${verdicts}`, "-o", `${html}`]);
			expect(sectionOf(`${html}`)).toMatch(/1 verdict NOT AS EXPECTED.*bad, not expected/s);
			writeFileSync(`${verdicts}`, '{"schema":"mmreplay/litmus/1","scenarios":[{"name":"x","strategies":[{"name":"drop"}]}]}');
			const broken = await mmreplay(["report", `${verdicts}`, "-o", `${html}`]);
			expect(broken.status).toBe(3);
			expect(broken.stderr).toMatch(/^mmreplay: error: scenarios\[0\]\.strategies\[0\]\.verdict: is missing \(.*l\.json\)/);
			const baseline = await mmreplay(["compare", fixture("stock-tiny"), "--baseline-run", `${verdicts}`]);
			expect(baseline.status).toBe(3);
		}));
});
