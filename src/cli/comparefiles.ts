// The files that compare and report write, and the saved runs that they read.
import { readFileSync, writeFileSync } from "node:fs";
import { type Comparison, comparisonJson } from "../report/compare.js";
import { counterTable } from "../report/comparetable.js";
import { markdownSummary } from "../report/markdown.js";
import { reportText } from "../report/page/page.js";
import { type Run, readRun } from "../report/readrun.js";
import { RUN_SCHEMA, savedRun } from "../report/savedrun.js";
import { seriesTable } from "../report/seriestable.js";
import { csvTable } from "../report/table.js";
import { fileError } from "../trace/sink.js";
import { writeOut } from "./output.js";
import { pageScript } from "./pages.js";
import { made } from "./version.js";

/** Where each form goes; `-` is standard output. */
export interface CompareFiles {
	output?: string;
	html?: string;
	csv?: string;
	series?: string;
	markdown?: string;
}

/** What `compare --json` prints. */
export function compareDocument(comparisons: readonly Comparison[]): object {
	const [first] = comparisons;
	if (first !== undefined && comparisons.length === 1) return { schema: RUN_SCHEMA, ...comparisonJson(first) };
	return { schema: RUN_SCHEMA, traces: comparisons.map(comparisonJson) };
}

/** @throws UsageError, LimitError */
export function save(path: string, text: string): void {
	if (path === "-") {
		writeOut(text);
		return;
	}
	try {
		writeFileSync(path, text);
	} catch (error) {
		throw fileError(error, path);
	}
}

/** @throws UsageError, BadInputError */
export function openRun(path: string): Run {
	let text: string;
	try {
		text = readFileSync(path === "-" ? 0 : path, "utf8");
	} catch (error) {
		throw fileError(error, path);
	}
	return readRun(text, path);
}

const csv = (table: Parameters<typeof csvTable>[0]): string => `${csvTable(table).join("\r\n")}\r\n`;

/** What is made of comparisons, new or read back. */
export function writeReports(runs: readonly Run[], options: CompareFiles): void {
	const { html, csv: counters, series, markdown } = options;
	const comparisons = runs.flatMap((run) => run.comparisons);
	if (html !== undefined) save(html, reportText(runs, pageScript("report")));
	if (counters !== undefined) save(counters, csv(counterTable(comparisons)));
	if (series !== undefined) save(series, csv(seriesTable(comparisons)));
	if (markdown !== undefined) save(markdown, `${comparisons.map((one) => markdownSummary(one).join("\n")).join("\n\n")}\n`);
}

/** Everything that compare writes. */
export function writeFiles(comparisons: readonly Comparison[], options: CompareFiles): void {
	if (options.output !== undefined) save(options.output, `${JSON.stringify(savedRun(comparisons, made()), null, "\t")}\n`);
	writeReports([{ made: made(), comparisons }], options);
}
