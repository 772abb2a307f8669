// mmreplay compare: strategies side by side on each trace.
import type { Command } from "commander";
import { UsageError } from "../errors.js";
import { checkColumns, chosenTable } from "../report/columns.js";
import { type Comparison, comparison, violationsOf } from "../report/compare.js";
import { exactnessLines, sensitivityTable, speedLine } from "../report/comparetable.js";
import { litmusLine } from "../report/litmusrun.js";
import { runChanges } from "../report/runchanges.js";
import { tableLines } from "../report/table.js";
import { terminalLines } from "../report/terminal.js";
import { caveatLines, fidelityLine, loopLines, verdictLine } from "../report/verdict.js";
import { DEFAULT_BASELINE, DEFAULT_STRATEGIES } from "../strategies/index.js";
import { chooseCosts, chooseMachine, chooseStrategies, threadCount } from "./choices.js";
import { type CompareFiles, compareDocument, openRun, writeFiles } from "./comparefiles.js";
import { openInput } from "./input.js";
import { judgeAll } from "./judged.js";
import {
	assumedHost,
	type CaptureFlags,
	captureOptions,
	type HostFlags,
	type TableFlags,
	toldHost,
	withCapture,
	withHost,
	withVoice,
} from "./options.js";
import { type Voice, voiceOf, writeError, writeJson, writeOut } from "./output.js";
import { expectOwnOutputs } from "./overwrite.js";
import { writePerfetto } from "./perfettofile.js";
import { replayHeld } from "./replayed.js";

interface CompareOptions extends CaptureFlags, HostFlags, CompareFiles, TableFlags {
	strategies: string;
	baseline: string;
	machine?: string;
	costs?: string;
	check?: boolean;
	threads: number;
	sensitivity?: boolean;
	baselineRun?: string;
	perfetto?: string;
	litmus?: boolean;
	json?: boolean;
}

export function define(command: Command): void {
	withVoice(withHost(withCapture(command), "the host to replay"))
		.argument("<trace...>", "traces, captures or folders of captures; - for standard input")
		.option("-s, --strategies <list>", "names and JSON files, separated by commas", DEFAULT_STRATEGIES.join(","))
		.option("-b, --baseline <name>", "the strategy to compare with", DEFAULT_BASELINE)
		.option("-m, --machine <name or file>", "the machine to simulate: a name (zen3, zen3:psc=true) or a file")
		.option("--costs <file>", "cycles for each counted thing, as JSON")
		.option("--threads <number>", "threads that share the VMs of a trace out among them", threadCount, 1)
		.option("--check", "check every access for coherence, in traces of any size")
		.option("--no-check", "check none")
		.option("--sensitivity", "how the cycles saved depend on each cost")
		.option("-o, --output <file>", "save the run: the JSON document, with phases and intervals, for report and --baseline-run")
		.option("--baseline-run <file>", "a saved run: say what changed since, and fail where the same trace counts differently")
		.option("--html <file>", "a report that opens in any browser, without a network")
		.option("--csv <file>", "every counter as CSV")
		.option("--series <file>", "every counter by phase and by interval as CSV")
		.option("--parquet <file>", "the same as Parquet")
		.option("--markdown <file>", "a summary in Markdown, for a cover letter or a pull request")
		.option("--perfetto <file>", "the trace and every strategy's answer as a time line for ui.perfetto.dev")
		.option("--litmus", "explore the coherence scenarios under each strategy too, for the report and the saved run")
		.option("--columns <list>", "columns of the table: their titles or counters, separated by commas")
		.option("--wide", "the table in one piece, however wide")
		.option("--json", "print one JSON document instead of the table")
		.action(compare);
}

async function compare(paths: string[], options: CompareOptions): Promise<void> {
	const voice = voiceOf(options);
	const chosen = chooseStrategies(options.strategies);
	const [asked, ...others] = chooseStrategies(options.baseline, "--baseline");
	if (asked === undefined || others.length > 0) throw new UsageError("one strategy is the baseline", { where: "--baseline" });
	const baseline = asked.strategy.name;
	if (!chosen.some(({ strategy }) => strategy.name === baseline)) chosen.unshift(asked);
	const strategies = chosen.map(({ strategy }) => strategy);
	const builtIn = new Set(chosen.filter((one) => one.builtIn).map(({ strategy }) => strategy.name));
	const machine = chooseMachine(options.machine);
	const host = toldHost(options);
	const costs = chooseCosts(options.costs);
	const settings = { strategies, builtIn, baseline, machine, costs, sensitivity: options.sensitivity === true };
	// Read first: nobody wants to wait for a replay to hear that a file is not there.
	const before = options.baselineRun === undefined ? undefined : openRun(options.baselineRun);
	checkColumns(options.columns);
	const { output, html, csv, series, parquet, markdown, perfetto, costs: costFile } = options;
	const inputs = [...paths, options.baselineRun, options.machine, costFile].filter((path) => path !== undefined);
	expectOwnOutputs(inputs, [output, html, csv, series, parquet, markdown, perfetto], options.json === true);
	if (options.perfetto !== undefined && paths.length > 1) throw new UsageError("one trace makes one time line", { where: "--perfetto" });
	const comparisons: Comparison[] = [];
	for (const path of paths) {
		const input = await openInput(path, captureOptions(options));
		try {
			const wanted = { strategies, machine, check: options.check, host, threads: options.threads };
			const { facts, result, held, checked } = replayHeld(input, wanted, voice);
			comparisons.push(comparison(facts, settings, result, held, checked));
			if (options.perfetto !== undefined)
				writePerfetto(options.perfetto, input, { strategies, machine, check: checked, host: facts.host }, voice);
		} finally {
			input.close();
		}
		if (options.json !== true) writeOut(`${reportLines(comparisons, options, voice).join("\n")}\n`);
	}
	const judged = options.litmus === true ? judgeAll(strategies) : null;
	if (options.json === true) writeJson(compareDocument(comparisons, judged));
	else if (judged !== null) writeOut(`${voice.columns === undefined ? "# " : ""}${litmusLine(judged.litmus)}\n`);
	await writeFiles(comparisons, judged, options);
	if (before !== undefined) {
		const changes = runChanges(before, comparisons);
		(options.json === true ? writeError : (line: string): void => writeOut(`${line}\n`))(changes.lines.join("\n"));
		if (changes.differs) process.exitCode = 1;
	}
	// Violations are a result under an unsafe strategy and a defect under a safe one.
	const violated = comparisons.some(({ strategies, checked }) =>
		strategies.some(({ safe, replay }) => safe && (violationsOf(replay, checked) ?? 0) > 0),
	);
	if (violated) process.exitCode = 1;
}

/** The last comparison, for people; TSV where standard output is no terminal, with the sentences as comments. */
function reportLines(comparisons: readonly Comparison[], options: CompareOptions, voice: Voice): string[] {
	const last = comparisons.at(-1);
	if (last === undefined) return [];
	const plain = voice.columns === undefined;
	const width = options.wide === true && !plain ? Number.POSITIVE_INFINITY : voice.columns;
	const prose = (lines: readonly string[]): string[] => (plain ? lines.map((line) => `# ${line}`) : [...lines]);
	const gap = plain ? [] : [""];
	const { path, header, host } = last.trace;
	const kernel = header.kernel === "" ? "" : `, kernel ${header.kernel}`;
	const lines = plain ? [] : terminalLines(last, voice.columns, voice.unicode);
	return [
		...(comparisons.length > 1 ? gap : []),
		...prose([`trace: ${path}${kernel}${assumedHost(host)}`, fidelityLine(last.fidelity), verdictLine(last), ...caveatLines(last)]),
		...gap,
		...tableLines(chosenTable(last, options.columns, plain), width, voice.color),
		...(lines.length === 0 ? [] : [...gap, ...lines]),
		...gap,
		...prose([...exactnessLines(last), ...loopLines(last), speedLine(last)]),
		...(last.sensitivity === null ? [] : [...gap, ...tableLines(sensitivityTable(last), width, voice.color)]),
	];
}
