// The files that compare and report write, and the saved runs that they read.
import { readFileSync, writeFileSync } from "node:fs";
import { type Comparison, comparisonJson } from "../report/compare.js";
import { counterTable } from "../report/comparetable.js";
import { litmusMarkdown, markdownSummary } from "../report/markdown.js";
import { reportText } from "../report/page/page.js";
import { type Run, readRun, readRunOrLitmus } from "../report/readrun.js";
import { RUN_SCHEMA, savedRun } from "../report/savedrun.js";
import { seriesTable } from "../report/seriestable.js";
import { csvTable } from "../report/table.js";
import { fileError } from "../trace/sink.js";
import type { Judged } from "./judged.js";
import { writeOut } from "./output.js";
import { pageScript } from "./pages.js";
import { made } from "./version.js";

/** Where each form goes; `-` is standard output. */
export interface CompareFiles {
	output?: string;
	html?: string;
	csv?: string;
	series?: string;
	parquet?: string;
	markdown?: string;
}

/** What `compare --json` prints. */
export function compareDocument(comparisons: readonly Comparison[], judged: Judged | null): object {
	const [first] = comparisons;
	const beside = judged === null ? {} : { litmus: judged.document };
	if (first !== undefined && comparisons.length === 1) return { schema: RUN_SCHEMA, ...comparisonJson(first), ...beside };
	return { schema: RUN_SCHEMA, traces: comparisons.map(comparisonJson), ...beside };
}

/** @throws UsageError, LimitError */
export function save(path: string, content: string | Uint8Array): void {
	if (path === "-") {
		writeOut(content);
		return;
	}
	try {
		writeFileSync(path, content);
	} catch (error) {
		throw fileError(error, path);
	}
}

function textOf(path: string): string {
	try {
		return readFileSync(path === "-" ? 0 : path, "utf8");
	} catch (error) {
		throw fileError(error, path);
	}
}

/** @throws UsageError, BadInputError */
export function openRun(path: string): Run {
	return readRun(textOf(path), path);
}

/** A saved run, or litmus verdicts. @throws UsageError, BadInputError */
export function openReported(path: string): Run {
	return readRunOrLitmus(textOf(path), path);
}

const csv = (table: Parameters<typeof csvTable>[0]): string => `${csvTable(table).join("\r\n")}\r\n`;

/** What is made of comparisons, new or read back. */
export async function writeReports(runs: readonly Run[], options: CompareFiles): Promise<void> {
	const { html, csv: counters, series, parquet, markdown } = options;
	const comparisons = runs.flatMap((run) => run.comparisons);
	const litmus = runs.flatMap((run) => (run.litmus === null ? [] : [run.litmus]));
	if (html !== undefined) save(html, reportText(runs, pageScript("report")));
	if (counters !== undefined) save(counters, csv(counterTable(comparisons)));
	if (series !== undefined) save(series, csv(seriesTable(comparisons)));
	if (parquet !== undefined) {
		// Its library is loaded where it is wanted: a start must be quick.
		const { parquetSeries } = await import("../report/parquet.js");
		save(parquet, parquetSeries(comparisons));
	}
	if (markdown !== undefined) {
		const parts = [...comparisons.map(markdownSummary), ...litmus.map(litmusMarkdown)];
		save(markdown, `${parts.map((lines) => lines.join("\n")).join("\n\n")}\n`);
	}
}

/** Everything that compare writes. */
export async function writeFiles(comparisons: readonly Comparison[], judged: Judged | null, options: CompareFiles): Promise<void> {
	const { output } = options;
	if (output !== undefined) save(output, `${JSON.stringify(savedRun(comparisons, made(), judged?.document ?? null), null, "\t")}\n`);
	await writeReports([{ made: made(), comparisons, litmus: judged?.litmus ?? null }], options);
}
