// mmreplay compare: strategies side by side on each trace.
import { writeFileSync } from "node:fs";
import type { Command } from "commander";
import { UsageError } from "../errors.js";
import { type Comparison, comparison, comparisonJson, violationsOf } from "../report/compare.js";
import { compareTable, counterTable, exactnessLines, sensitivityTable, speedLine } from "../report/comparetable.js";
import { csvTable, markdownTable, tableLines } from "../report/table.js";
import { caveatLines, fidelityLine, loopLines, verdictLine } from "../report/verdict.js";
import { DEFAULT_BASELINE, DEFAULT_STRATEGIES } from "../strategies/index.js";
import { fileError } from "../trace/sink.js";
import { chooseCosts, chooseMachine, chooseStrategies } from "./choices.js";
import { openInput } from "./input.js";
import { type CaptureFlags, captureOptions, withCapture, withVoice } from "./options.js";
import { type Voice, voiceOf, writeJson, writeOut } from "./output.js";
import { replayHeld } from "./replayed.js";

interface CompareOptions extends CaptureFlags {
	strategies: string;
	baseline: string;
	machine?: string;
	costs?: string;
	check?: boolean;
	sensitivity?: boolean;
	csv?: string;
	markdown?: string;
	json?: boolean;
	output?: string;
}

const SCHEMA = "mmreplay/compare/1";

export function define(command: Command): void {
	withVoice(withCapture(command))
		.argument("<trace...>", "traces, captures or folders of captures; - for standard input")
		.option("-s, --strategies <list>", "names and JSON files, separated by commas", DEFAULT_STRATEGIES.join(","))
		.option("-b, --baseline <name>", "the strategy to compare with", DEFAULT_BASELINE)
		.option("-m, --machine <name or file>", "the machine to simulate")
		.option("--costs <file>", "cycles for each counted thing, as JSON")
		.option("--check", "check every access for coherence, in traces of any size")
		.option("--no-check", "check none")
		.option("--sensitivity", "how the cycles saved depend on each cost")
		.option("--csv <file>", "every counter as CSV")
		.option("--markdown <file>", "the table as Markdown")
		.option("--json", "print one JSON document instead of the table")
		.option("-o, --output <file>", "write the JSON document to a file")
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
	const costs = chooseCosts(options.costs);
	const settings = { strategies, builtIn, baseline, machine, costs, sensitivity: options.sensitivity === true };
	const comparisons: Comparison[] = [];
	for (const path of paths) {
		const input = await openInput(path, captureOptions(options));
		try {
			const { facts, result, held, checked } = replayHeld(input, { strategies, machine, check: options.check }, voice);
			comparisons.push(comparison(facts, settings, result, held, checked));
		} finally {
			input.close();
		}
		if (options.json !== true) writeOut(`${reportLines(comparisons, voice).join("\n")}\n`);
	}
	writeFiles(comparisons, options);
	// Violations are a result under an unsafe strategy and a defect under a safe one.
	const violated = comparisons.some(({ strategies, checked }) =>
		strategies.some(({ safe, replay }) => safe && (violationsOf(replay, checked) ?? 0) > 0),
	);
	if (violated) process.exitCode = 1;
}

/** The last comparison, for people; TSV where standard output is no terminal, with the sentences as comments. */
function reportLines(comparisons: readonly Comparison[], voice: Voice): string[] {
	const last = comparisons.at(-1);
	if (last === undefined) return [];
	const plain = voice.columns === undefined;
	const prose = (lines: readonly string[]): string[] => (plain ? lines.map((line) => `# ${line}`) : [...lines]);
	const gap = plain ? [] : [""];
	const { path, header } = last.trace;
	const kernel = header.kernel === "" ? "" : `, kernel ${header.kernel}`;
	return [
		...(comparisons.length > 1 ? gap : []),
		...prose([`trace: ${path}${kernel}`, fidelityLine(last.fidelity), verdictLine(last), ...caveatLines(last)]),
		...gap,
		...tableLines(compareTable(last, plain), voice.columns, voice.color),
		...gap,
		...prose([...exactnessLines(last), ...loopLines(last), speedLine(last)]),
		...(last.sensitivity === null ? [] : [...gap, ...tableLines(sensitivityTable(last), voice.columns, voice.color)]),
	];
}

function document(comparisons: readonly Comparison[]): object {
	const [first] = comparisons;
	if (first !== undefined && comparisons.length === 1) return { schema: SCHEMA, ...comparisonJson(first) };
	return { schema: SCHEMA, traces: comparisons.map(comparisonJson) };
}

function writeFiles(comparisons: readonly Comparison[], options: CompareOptions): void {
	if (options.json === true && (options.output === undefined || options.output === "-")) writeJson(document(comparisons));
	else if (options.output !== undefined) save(options.output, `${JSON.stringify(document(comparisons), null, "\t")}\n`);
	if (options.csv !== undefined) save(options.csv, `${csvTable(counterTable(comparisons)).join("\r\n")}\r\n`);
	if (options.markdown !== undefined) save(options.markdown, `${comparisons.map(markdown).join("\n")}`);
}

function markdown(one: Comparison): string {
	const lines = [
		`### ${one.trace.path}`,
		"",
		fidelityLine(one.fidelity),
		"",
		verdictLine(one),
		"",
		...caveatLines(one).flatMap((line) => [line, ""]),
	];
	const notes = [...exactnessLines(one), ...loopLines(one)].flatMap((line) => ["", line]);
	return `${[...lines, ...markdownTable(compareTable(one, false)), ...notes].join("\n")}\n`;
}

/** `-` is standard output. @throws UsageError, LimitError */
function save(path: string, text: string): void {
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
