// mmreplay report: saved runs (compare -o) as a page, as Markdown, as tables.
import type { Command } from "commander";
import { UsageError } from "../errors.js";
import { type CompareFiles, openRun, writeReports } from "./comparefiles.js";
import { withVoice } from "./options.js";

type ReportOptions = Omit<CompareFiles, "html">;

export function define(command: Command): void {
	withVoice(command)
		.argument("<run...>", "saved runs, as mmreplay compare -o writes them; - for standard input")
		.option("-o, --output <file>", "one HTML file that opens in any browser, without a network")
		.option("--csv <file>", "every counter as CSV")
		.option("--series <file>", "every counter by phase and by interval as CSV")
		.option("--markdown <file>", "a summary in Markdown, for a cover letter or a pull request")
		.action(report);
}

function report(paths: string[], { output, ...others }: ReportOptions): void {
	const wanted = { ...others, ...(output === undefined ? {} : { html: output }) };
	if ([wanted.html, wanted.csv, wanted.series, wanted.markdown].every((path) => path === undefined)) {
		throw new UsageError("nothing to write", { where: "report", hint: "-o FILE.html; or --markdown, --csv, --series FILE" });
	}
	writeReports(paths.map(openRun), wanted);
}
