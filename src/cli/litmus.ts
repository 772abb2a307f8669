// mmreplay litmus: every interleaving of the coherence scenarios, or of random small programs, under each strategy.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Command } from "commander";
import { UsageError } from "../errors.js";
import { writeWitness } from "../litmus/export.js";
import { litmusHtml } from "../litmus/html.js";
import { chooseScenarios } from "../litmus/library.js";
import { litmusJson, matrixLines, scenarioLines, totalLine } from "../litmus/listing.js";
import { printScenario } from "../litmus/print.js";
import type { Scenario } from "../litmus/scenario.js";
import { type Find, search } from "../litmus/search.js";
import { isExpected, judge, VARIANTS } from "../litmus/verdict.js";
import { plural } from "../report/numbers.js";
import { STRATEGIES } from "../strategies/index.js";
import type { Strategy } from "../strategies/steps.js";
import { chooseStrategies, wholeNumber } from "./choices.js";
import { type VoiceOptions, withVoice } from "./options.js";
import { type Voice, voiceOf, warn, writeError, writeJson, writeOut } from "./output.js";

interface LitmusFlags extends VoiceOptions {
	strategies?: string;
	list?: boolean;
	witness?: boolean;
	full?: boolean;
	json?: boolean;
	html?: string;
	export?: string;
	search?: boolean;
	seed: number;
	seconds: number;
	programs?: number;
	output?: string;
}

export function define(command: Command): void {
	withVoice(command)
		.argument("[scenario...]", "a scenario's name or letter, or a file; all of mmreplay's own where none is named")
		.option("-s, --strategies <list>", "names (also fix:seqBump=false) and JSON files, separated by commas")
		.option("-l, --list", "list the scenarios")
		.option("-w, --witness", "show an execution for every outcome that can happen; the default where scenarios are named")
		.option("--full", "explore without the partial-order reduction")
		.option("--json", "print one JSON document")
		.option("--html <file>", "write the listing as a page")
		.option("--export <file>", "write the witness of one scenario under one strategy as a trace")
		.option("--search", "look for forbidden outcomes in random programs")
		.option("--seed <n>", "search: where the random programs begin", wholeNumber, 1)
		.option("--seconds <n>", "search: how long", wholeNumber, 10)
		.option("--programs <n>", "search: how many programs, instead of how long", wholeNumber)
		.option("-o, --output <folder>", "search: write what is found as scenario files")
		.action(run);
}

function run(names: string[], options: LitmusFlags): void {
	const voice = voiceOf(options);
	const named = options.strategies ?? [...STRATEGIES.map(({ name }) => name), ...VARIANTS].join(",");
	const strategies = chooseStrategies(named).map(({ strategy }) => strategy);
	if (options.search === true) {
		runSearch(strategies, options, voice);
		return;
	}
	const scenarios = chooseScenarios(names);
	if (options.list === true) {
		writeOut(scenarios.map(({ name, title }) => `${name.padEnd(28)}${title}\n`).join(""));
		return;
	}
	if (options.export !== undefined) {
		writeTrace(scenarios, strategies, options.export);
		return;
	}
	const began = performance.now();
	const verdicts = scenarios.map((scenario) => judge(scenario, strategies, options.full !== true));
	if (options.html !== undefined) writeFileSync(options.html, litmusHtml(verdicts));
	if (options.json === true) writeJson(litmusJson(verdicts));
	else if (options.html === undefined) {
		const witnesses = options.witness ?? names.length > 0;
		const parts = verdicts.map((verdict) => scenarioLines(verdict, witnesses));
		if (names.length === 0) parts.push(matrixLines(verdicts));
		parts.push([totalLine(verdicts)]);
		writeOut(`${parts.map((lines) => lines.join("\n")).join("\n\n")}\n`);
	}
	if (voice.progress) writeError(`${((performance.now() - began) / 1000).toFixed(2)} s in all`);
	if (verdicts.some(({ strategies }) => !strategies.every(isExpected))) process.exitCode = 1;
}

function writeTrace(scenarios: readonly Scenario[], strategies: readonly Strategy[], path: string): void {
	const [scenario, ...scenariosMore] = scenarios;
	const [strategy, ...strategiesMore] = strategies;
	if (scenario === undefined || strategy === undefined || scenariosMore.length + strategiesMore.length > 0)
		throw new UsageError("one scenario and one strategy are exported", {
			where: "--export",
			hint: "mmreplay litmus h --strategies establish-naive --export h.mmtrace",
		});
	writeWitness(path, scenario, strategy);
}

function runSearch(strategies: readonly Strategy[], options: LitmusFlags, voice: Voice): void {
	const limits = options.programs === undefined ? { seconds: options.seconds } : { programs: options.programs };
	const result = search(strategies, { seed: options.seed, ...limits });
	if (options.output !== undefined) {
		mkdirSync(options.output, { recursive: true });
		for (const { scenario } of result.finds) writeFileSync(join(options.output, `${scenario.name}.litmus`), printScenario(scenario));
	}
	const unsafe = result.finds.filter(({ strategy }) => strategies.some(({ name, safe }) => safe && name === strategy));
	if (options.json === true)
		writeJson({ schema: "mmreplay/litmus-search/1", seed: options.seed, ...result, finds: result.finds.map(findJson) });
	else {
		for (const find of result.finds) writeOut(`${findLines(find).join("\n")}\n\n`);
		const rate = (result.states / result.seconds / 1e6).toFixed(1);
		writeOut(
			`${plural(result.programs, "program")}, ${plural(result.states, "state")} in ${result.seconds.toFixed(1)} s (${rate} M states/s), seed ${options.seed}: `,
		);
		writeOut(result.finds.length === 0 ? "nothing found\n" : `${result.finds.length} found\n`);
	}
	for (const { strategy, rule } of unsafe) warn(voice, `${strategy} counts as safe, and breaks ${rule}`);
	if (unsafe.length > 0) process.exitCode = 1;
}

function findJson({ scenario, strategy, rule, like, program }: Find): object {
	return { strategy, rule, like, program, scenario: printScenario(scenario) };
}

function findLines({ scenario, strategy, rule, like, program }: Find): string[] {
	return [`# ${strategy} breaks ${rule}: program ${program}${like === null ? "" : `, like ${like}`}`, printScenario(scenario).trimEnd()];
}
