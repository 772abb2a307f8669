// mmreplay capture: what this host permits to record, the recipe for it, and its run.
import { spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { constants } from "node:os";
import { join } from "node:path";
import { type Command, Option } from "commander";
import { type HostFacts, probeHost } from "../capture/host.js";
import { thisHost } from "../capture/probe.js";
import { type Advice, advise, METHODS } from "../capture/recipe.js";
import type { Method } from "../capture/script.js";
import { UsageError } from "../errors.js";
import { plural } from "../report/numbers.js";
import { type VoiceOptions, withVoice } from "./options.js";
import { writeError, writeJson, writeOut } from "./output.js";

interface CaptureCommandOptions extends VoiceOptions {
	run?: string;
	output: string;
	method?: Method;
	keepNames?: boolean;
	json?: boolean;
}

export function define(command: Command): void {
	withVoice(command)
		.option("--run <time>", "run the recipe for so long (60s, 5m) instead of printing it; needs root")
		.option("-o, --output <dir>", "folder for what is recorded", "mmreplay-capture")
		.addOption(new Option("--method <name>", "the tool to record with, instead of the first that works").choices(METHODS))
		.option("--keep-names", "keep the names of processes in what is recorded")
		.option("--json", "print what was found and the recipe as one JSON document")
		.addHelpText("after", "\nThe recipe goes to standard output, what is said of it to standard error: mmreplay capture > recipe.sh")
		.action(run);
}

/** Seconds of `90`, `90s` or `2m`. @throws UsageError */
export function seconds(time: string): number {
	const match = /^(\d{1,6})(s|m)?$/.exec(time);
	const value = match === null ? 0 : Number(match[1]) * (match[2] === "m" ? 60 : 1);
	if (value < 1) throw new UsageError(`${time} is no time`, { where: "--run", hint: "for example --run 60s, or --run 5m" });
	return value;
}

function run(options: CaptureCommandOptions): void {
	const time = options.run === undefined ? undefined : seconds(options.run);
	const facts = probeHost(thisHost());
	const advice = advise(facts, options.method, options.keepNames === true);
	if (options.json === true && time === undefined) {
		writeJson(document(facts, advice));
		return;
	}
	if (options.quiet !== true) for (const line of explanation(facts, advice)) writeError(line);
	if (time !== undefined) runRecipe(facts, advice, options, time);
	else if (advice.recipe !== null) writeOut(advice.recipe.script);
}

function explanation(facts: HostFacts, { methods, recipe, missing, notes }: Advice): string[] {
	const has = [
		facts.linux ? `Linux ${facts.release}` : "not Linux",
		`lockdown ${facts.lockdown}`,
		facts.types === undefined ? "no type data" : "type data",
		facts.kvm ? `kvm${facts.vms === undefined ? "" : `, ${plural(facts.vms, "VM")} running`}` : "no kvm",
		facts.ksm === undefined ? "no KSM" : `KSM ${facts.ksm.run === "1" ? `on, ${facts.ksm.pages_sharing ?? "?"} pages sharing` : "off"}`,
		facts.root ? "root" : "not root",
	];
	const tried = methods.map(
		({ method, obstacle }) => `${method}: ${obstacle === "" ? (facts.tools[method as "perf"] ?? "works") : obstacle}`,
	);
	const lines = [`host: ${has.join("; ")}`, ...tried, ...notes.map((note) => `note: ${note}`)];
	if (recipe === null)
		return [
			...lines,
			"nothing can be recorded here: docs/capture.md says what each way needs, and what works on any machine (a program's accesses, the rig)",
		];
	const { placed } = recipe.placement;
	return [
		...lines,
		`recipe: ${recipe.method}, ${plural(placed.length, "event")}; needs ${recipe.privilege}`,
		...missing.map((sentence) => `missing: ${sentence}`),
	];
}

function document(facts: HostFacts, { methods, recipe, missing, notes }: Advice): object {
	const { release, root, lockdown, tracefs, kprobes, tools, ksm, kvm, kvmParameters, vms } = facts;
	return {
		schema: "mmreplay/capture/1",
		host: {
			kernel: release,
			root,
			lockdown,
			btf: facts.types !== undefined,
			tracefs: tracefs ?? null,
			kprobes,
			tools,
			ksm: ksm ?? null,
			kvm,
			kvmParameters,
			vms: vms ?? null,
		},
		methods: methods.map(({ method, obstacle }) => ({ method, works: obstacle === "", obstacle })),
		recipe:
			recipe === null
				? null
				: {
						method: recipe.method,
						privilege: recipe.privilege,
						events: recipe.placement.placed.map(({ point, symbol }) => ({ event: point.event, symbol, use: point.use })),
						script: recipe.script,
					},
		missing,
		notes,
	};
}

/** @throws UsageError where it cannot run here, or where it failed: what it said stands above */
function runRecipe(facts: HostFacts, { methods, recipe }: Advice, { output, method }: CaptureCommandOptions, time: number): void {
	if (recipe === null) {
		const why = methods.filter((state) => method === undefined || state.method === method).map((state) => state.obstacle);
		throw new UsageError("nothing can be recorded here", {
			where: [...new Set(why)].join("; "),
			hint: "docs/capture.md says what each way needs",
		});
	}
	if (!facts.root) {
		throw new UsageError(`recording needs ${recipe.privilege}`, {
			where: "--run",
			hint: "without --run the recipe is printed, to be read and run as root",
		});
	}
	mkdirSync(output, { recursive: true });
	const path = join(output, "recipe.sh");
	writeFileSync(path, recipe.script, { mode: 0o700 });
	const { status, signal } = spawnSync("sh", [path, output, String(time)], { stdio: ["ignore", 2, 2] });
	if (signal === "SIGINT" || status === 128 + constants.signals.SIGINT) process.exitCode = 130;
	else if (status !== 0) throw new UsageError("the recipe failed", { where: path, hint: "what it said stands above" });
}
