// mmreplay report: saved runs (compare -o) as a page, as Markdown, as tables.
import type { Command } from "commander";
import { UsageError } from "../errors.js";
import { type CompareFiles, openRun, writeReports } from "./comparefiles.js";
import { withVoice } from "./options.js";

type ReportOptions = Omit<CompareFiles, "output">;

export function define(command: Command): void {
	withVoice(command)
		.argument("<run...>", "saved runs, as mmreplay compare -o writes them; - for standard input")
		.option("--csv <file>", "every counter as CSV")
		.option("--series <file>", "every counter by phase and by interval as CSV")
		.option("--markdown <file>", "a summary in Markdown, for a cover letter or a pull request")
		.action(report);
}

function report(paths: string[], options: ReportOptions): void {
	if ([options.csv, options.series, options.markdown].every((path) => path === undefined)) {
		throw new UsageError("nothing to write", { where: "report", hint: "--markdown FILE, --csv FILE or --series FILE" });
	}
	const comparisons = paths.flatMap((path) => openRun(path).comparisons);
	writeReports(comparisons, options);
}
