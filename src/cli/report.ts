// mmreplay report: saved runs (compare -o) as a page, as Markdown, as tables.
import type { Command } from "commander";
import { UsageError } from "../errors.js";
import { type CompareFiles, openReported, save, writeReports } from "./comparefiles.js";
import { withVoice } from "./options.js";
import { expectOwnOutputs } from "./overwrite.js";
import { interactivePage } from "./pages.js";

interface ReportOptions extends Omit<CompareFiles, "html"> {
	interactive?: boolean;
}

export function define(command: Command): void {
	withVoice(command)
		.argument("[run...]", "saved runs (mmreplay compare -o) and litmus verdicts (mmreplay litmus --json); - for standard input")
		.option("-o, --output <file>", "one HTML file that opens in any browser, without a network")
		.option("--interactive", "the file is a page that replays traces itself; no run is needed")
		.option("--csv <file>", "every counter as CSV")
		.option("--series <file>", "every counter by phase and by interval as CSV")
		.option("--parquet <file>", "the same as Parquet")
		.option("--markdown <file>", "a summary in Markdown, for a cover letter or a pull request")
		.action(report);
}

async function report(paths: string[], { output, interactive, ...others }: ReportOptions): Promise<void> {
	if (interactive === true) {
		if (output === undefined) throw new UsageError("no file for the page", { where: "--interactive", hint: "-o FILE.html" });
		if (paths.length > 0) throw new UsageError("the page replays traces and shows no saved run", { where: "--interactive" });
		save(output, interactivePage());
		return;
	}
	if (paths.length === 0)
		throw new UsageError("no saved run is named", { where: "report", hint: "mmreplay compare -o RUN.json saves one" });
	const { csv, series, parquet, markdown } = others;
	const outputs = [output, csv, series, parquet, markdown];
	expectOwnOutputs(paths, outputs);
	if (outputs.every((path) => path === undefined)) {
		throw new UsageError("nothing to write", { where: "report", hint: "-o FILE.html; or --markdown, --csv, --series, --parquet FILE" });
	}
	await writeReports(paths.map(openReported), { ...others, ...(output === undefined ? {} : { html: output }) });
}
