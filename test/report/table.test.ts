import { describe, expect, it } from "vitest";
import { csvTable, markdownTable, type Table, tableLines, textTable, tsvTable } from "../../src/report/table.js";

const TABLE: Table = {
	columns: [
		{ title: "strategy", align: "left" },
		{ title: "guest TLB flushes", align: "right" },
		{ title: "cycles", align: "right" },
	],
	rows: [
		["drop", "64396", "1.6 G"],
		["establish-map", "124375", "1.8 G"],
	],
};

const widest = (lines: readonly string[]): number => Math.max(...lines.map((line) => line.length));

describe("a table", () => {
	it("on a terminal wraps its titles and aligns its figures", () => {
		expect(textTable(TABLE, 80, false)).toEqual([
			"                 guest",
			"                   TLB",
			"strategy       flushes  cycles",
			"drop             64396   1.6 G",
			"establish-map   124375   1.8 G",
		]);
	});

	it("is turned on its side where it does not fit", () => {
		const wide: Table = {
			columns: Array.from({ length: 12 }, (_, at) => ({ title: at === 0 ? "strategy" : `counter${at}`, align: "right" as const })),
			rows: [
				["drop", ...Array.from({ length: 11 }, () => "1000")],
				["fix", ...Array.from({ length: 11 }, () => "1")],
			],
		};
		const lines = textTable(wide, 60, false);
		expect(lines[0]).toMatch(/^strategy +drop +fix$/);
		expect(lines).toHaveLength(12);
		expect(widest(lines)).toBeLessThanOrEqual(60);
	});

	it("comes in parts where it does not fit either way", () => {
		const lines = textTable(TABLE, 26, false);
		expect(widest(lines)).toBeLessThanOrEqual(33);
		expect(lines.join("\n")).toContain("124375");
	});

	it("without a terminal is TSV", () => {
		expect(tableLines(TABLE, undefined, true)).toEqual(tsvTable(TABLE));
		expect(tsvTable({ ...TABLE, rows: [["a\tb", "1", "2"]] })[1]).toBe("a b\t1\t2");
	});

	it("as CSV and Markdown quotes what it must", () => {
		const odd = { ...TABLE, rows: [['a,"b"', "x|y", "2"]] };
		expect(csvTable(odd)[1]).toBe('"a,""b""",x|y,2');
		expect(markdownTable(odd)).toEqual(["| strategy | guest TLB flushes | cycles |", "|---|---:|---:|", '| a,"b" | x\\|y | 2 |']);
	});

	it("has bold titles in colour only", () => {
		expect(textTable(TABLE, 80, true)[0]).toContain("\x1b[1m");
		expect(textTable(TABLE, 80, false).join("")).not.toContain("\x1b");
	});
});
