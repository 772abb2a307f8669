// mmreplay validate: everything that is wrong with a trace; --salvage keeps what is good of it.
import type { Command } from "commander";
import { UsageError } from "../errors.js";
import { plural } from "../report/numbers.js";
import { salvageTo } from "../trace/salvage.js";
import { type ValidationReport, validate } from "../trace/validate.js";
import { expectFile } from "./capture.js";
import { type VoiceOptions, withVoice } from "./options.js";
import { writeError, writeJson, writeOut } from "./output.js";
import { expectOwnOutputs } from "./overwrite.js";

interface ValidateOptions extends VoiceOptions {
	salvage?: boolean;
	output?: string;
	json?: boolean;
}

const SCHEMA = "mmreplay/validate/1";
/** Status of bad input: the trace is damaged. */
const DAMAGED = 3;

export function define(command: Command): void {
	withVoice(command)
		.argument("<trace>", "a trace; - for standard input")
		.option("--salvage", "write what is good of the trace to --output")
		.option("-o, --output <trace>", "where --salvage writes; - for standard output")
		.option("--json", "print one JSON document")
		.action(run);
}

function run(path: string, options: ValidateOptions): void {
	if (path !== "-") expectFile(path);
	if (options.salvage === true) save(path, options);
	else if (options.output !== undefined) throw new UsageError("nothing is written without --salvage", { where: "--output" });
	else check(path, options);
}

function placeOf({ offset, block, event }: ValidationReport["problems"][number]): string {
	return [`byte ${offset}`, ...(block === undefined ? [] : [`block ${block}`]), ...(event === undefined ? [] : [`event ${event}`])].join(
		", ",
	);
}

function contents({ blocks, causes, observations, index }: ValidationReport): string {
	return `${plural(blocks, "block")}, ${plural(causes, "cause")}, ${plural(observations, "observation")}, index ${index}`;
}

function check(path: string, options: ValidateOptions): void {
	const report = validate(path);
	const valid = report.problemCount === 0;
	if (options.json === true) writeJson({ schema: SCHEMA, path, valid, ...report });
	else {
		for (const problem of report.problems) writeOut(`${placeOf(problem)}: ${problem.reason}\n`);
		writeOut(`${path}: ${valid ? "good" : plural(report.problemCount, "problem")}; ${contents(report)}\n`);
	}
	if (valid) return;
	const [first] = report.problems;
	writeError(`mmreplay: error: the trace is damaged: ${first?.reason ?? ""} (${path}${first === undefined ? "" : `, ${placeOf(first)}`})`);
	writeError("hint: mmreplay validate --salvage -o FILE keeps every good block");
	process.exitCode = DAMAGED;
}

function save(path: string, options: ValidateOptions): void {
	const { output } = options;
	if (output === undefined) throw new UsageError("--salvage needs a trace to write", { where: "--output", hint: "-o FILE names it" });
	if (output === "-" && options.json === true) {
		throw new UsageError("standard output cannot take both the trace and the report", { where: "--output - --json" });
	}
	expectOwnOutputs([path], [output]);
	const { written, report } = salvageTo(path, output);
	if (options.json === true) {
		writeJson({ schema: SCHEMA, path, output, written, ...report });
		return;
	}
	const say = output === "-" ? writeError : (line: string): void => writeOut(`${line}\n`);
	for (const { from, to, reason } of report.losses) say(`bytes ${from} to ${to} were left out: ${reason}`);
	const lost = `${report.bytesLost} bytes, ${plural(report.causesLost, "cause")} and ${plural(report.badBlocks, "block")} were lost`;
	say(`wrote ${output}: ${plural(report.goodBlocks, "good block")}, ${plural(written.causes, "cause")}; ${lost}`);
}
