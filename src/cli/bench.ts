// mmreplay bench: how fast the engine is on this machine, and whether it became slower.
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Command, InvalidArgumentError, Option } from "commander";
import { type Bench, disagreements, type Figure, figuresOf, meets, probesOf, ratiosOf } from "../bench/figures.js";
import { BENCHED, type Benched, startFile, workloadFile } from "../bench/files.js";
import { type Baseline, canFail, FALSE_ALARMS, judge, moved, TOLERATED, type Verdict } from "../bench/gate.js";
import { type Rounds, runRounds } from "../bench/rounds.js";
import { type Start, startup } from "../bench/startup.js";
import { median, spread } from "../bench/statistics.js";
import { IN_CLONE, nativeFloor, plainEngine, type Yardstick } from "../bench/yardsticks.js";
import { BadInputError, UsageError } from "../errors.js";
import { tableLines } from "../report/table.js";
import { save } from "./comparefiles.js";
import { type VoiceOptions, withVoice } from "./options.js";
import { voiceOf, warn, writeError, writeJson, writeOut } from "./output.js";

interface BenchFlags extends VoiceOptions {
	readonly rounds: number;
	readonly events: number;
	readonly only?: readonly Benched[];
	readonly rPages: number;
	readonly quick?: boolean;
	readonly gated?: boolean;
	readonly format: "table" | "json" | "github-action-benchmark";
	readonly json?: boolean;
	readonly baseline?: string;
	readonly writeBaseline?: string;
	readonly cache?: string;
	readonly slowed?: number;
}

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const CACHE = IN_CLONE ? join(ROOT, ".bench") : join(tmpdir(), "mmreplay-bench");
const SMALL_EVENTS = 300_000;
/** Starts that are timed, at least; milliseconds that one may take. */
const STARTS = 5;
const STARTUP = 60;

function within(least: number, most: number): (text: string) => number {
	return (text) => {
		const value = Number(text);
		if (!/^\d+$/.test(text) || value < least || value > most)
			throw new InvalidArgumentError(`It must be a whole number from ${least} to ${most}.`);
		return value;
	};
}

function isBenched(word: string): word is Benched {
	return BENCHED.some((name) => name === word);
}

function chosen(list: string): Benched[] {
	const words = list.split(",").map((word) => word.trim());
	const known = words.filter(isBenched);
	if (known.length !== words.length || new Set(words).size !== words.length)
		throw new InvalidArgumentError(`It must be some of ${BENCHED.join(",")}.`);
	return known;
}

export function define(command: Command): void {
	withVoice(command)
		.option("--rounds <count>", "runs of every measurement, each a fresh process, in turn", within(1, 1000), 5)
		.option("--events <count>", "events of each that are timed", within(100_000, 1e10), 10_000_000)
		.option("--only <list>", `workloads: ${BENCHED.join(",")}`, chosen)
		.option("--r-pages <count>", "pages of r", within(1 << 16, 1 << 24), 1 << 24)
		.option("--quick", "without r, with 2 million events unless told otherwise")
		.option("--gated", "only what a baseline is held against: the engine, whole replays, four strategies, the yardstick")
		.addOption(new Option("--format <format>", "what to print").choices(["table", "json", "github-action-benchmark"]).default("table"))
		.option("--json", "as --format json")
		.option("--write-baseline <file>", "record this run for later ones")
		.option(
			"--baseline <file>",
			`hold this run against a recorded one: status 1 where something is more than ${TOLERATED * 100}% slower, or a counter moved`,
		)
		.option("--cache <folder>", "where workload files stay")
		.option("--slowed <percent>", "make the engine slower by so much, to try the gate on", within(1, 1000))
		.action(bench);
}

function readBaseline(path: string): Baseline {
	if (!existsSync(path)) throw new UsageError("no such file", { where: path, hint: "mmreplay bench --write-baseline FILE makes one" });
	try {
		const read = JSON.parse(readFileSync(path, "utf8")) as Partial<Baseline>;
		const numbers = (value: unknown): boolean => Array.isArray(value) && value.length > 0 && value.every((each) => Number.isFinite(each));
		const { schema, cpu, yardstick, ratios, exact } = read;
		if (schema !== "mmreplay/bench-baseline/1" || typeof cpu !== "string" || typeof yardstick !== "string")
			throw new Error("another schema");
		if (typeof ratios !== "object" || typeof exact !== "object" || !Object.values(ratios).every(numbers)) throw new Error("no ratios");
		return { schema, cpu, yardstick, ratios, exact };
	} catch (cause) {
		throw new BadInputError("not a baseline of the benchmark", {
			where: path,
			hint: "mmreplay bench --write-baseline FILE makes one",
			cause,
		});
	}
}

const shownCpu = (): string => cpus()[0]?.model.trim() ?? "unknown";

async function bench(flags: BenchFlags, command: Command): Promise<void> {
	const voice = voiceOf(flags);
	const baseline = flags.baseline === undefined ? undefined : readBaseline(flags.baseline);
	const cache = flags.cache ?? CACHE;
	const quick = flags.quick === true;
	const events = quick && command.getOptionValueSource("events") === "default" ? 2_000_000 : flags.events;
	const names = flags.only ?? BENCHED.filter((name) => (!quick || name !== "r") && (name !== "k" || IN_CLONE));
	const floor = nativeFloor(cache);
	const gated = flags.gated === true;
	const plain = gated && typeof floor !== "string" ? "not asked for" : plainEngine(cache);
	if (typeof floor === "string") warn(voice, `no native floor: ${floor}`);
	if (typeof plain === "string" && !gated) warn(voice, `no engine in plain JavaScript: ${plain}`);
	const made: Bench = {
		files: await each(names, (name) => workloadFile(cache, name, events, "fixed", flags.rPages)),
		varint: await each(
			names.filter((name) => name !== "k" && !gated),
			(name) => workloadFile(cache, name, events, "delta", flags.rPages),
		),
		small: await each(
			names.filter((name) => (name === "h" || name === "z") && !gated),
			(name) => workloadFile(cache, name, SMALL_EVENTS, "fixed"),
		),
		floor: typeof floor === "string" ? undefined : floor,
		plain: typeof plain === "string" ? undefined : plain,
		slowed: flags.slowed === undefined ? undefined : flags.slowed / 100,
		gated,
	};
	const rounds = await runRounds(probesOf(made), flags.rounds, (round, probe) => {
		if (voice.progress) writeError(`round ${round + 1} of ${flags.rounds}: ${probe}`);
	});
	const starts = gated ? [] : startup(cache, await startFile(cache), Math.max(flags.rounds, STARTS));
	const start = (name: string, part: (start: Start) => number): Figure => {
		const values = starts.map(part);
		return { name, value: median(values), unit: "ms", spread: spread(values), target: STARTUP, more: false };
	};
	const figures = [
		...figuresOf(rounds),
		...(gated
			? []
			: [
					start("start-up of replay above an empty node, by the clock", ({ clock }) => clock),
					start("start-up of replay above an empty node, processor time", ({ cpu }) => cpu),
				]),
	];
	conclude(flags, made, rounds, figures, baseline);
}

async function each<T, U>(values: readonly T[], make: (value: T) => Promise<U>): Promise<U[]> {
	const all: U[] = [];
	for (const value of values) all.push(await make(value));
	return all;
}

/** Of each workload its bytes, all counters of a replay, and of four strategies the digests of their counters and states. */
function exactOf(made: Bench, rounds: Rounds): Record<string, string> {
	return Object.fromEntries(
		made.files.map(({ name, sha256, events }) => {
			const counters = rounds.get(`${name}/engine`)?.[0]?.counters ?? {};
			const digests = rounds.get(`${name}/four`)?.[0]?.digests ?? {};
			const sorted = (values: object): unknown => Object.entries(values).sort(([a], [b]) => (a < b ? -1 : 1));
			const text = JSON.stringify([sorted(counters), sorted(digests)]);
			return [`${name} of ${events} events`, createHash("sha256").update(`${sha256} ${text}`).digest("hex")];
		}),
	);
}

function conclude(flags: BenchFlags, made: Bench, rounds: Rounds, figures: readonly Figure[], baseline: Baseline | undefined): void {
	const voice = voiceOf(flags);
	const yardstick: Yardstick["name"] =
		baseline?.yardstick === "plain JavaScript" || made.floor === undefined ? "plain JavaScript" : "native floor";
	const ratios = ratiosOf(rounds, yardstick === "native floor" ? "floor" : "plain");
	const exact = exactOf(made, rounds);
	const wrong = disagreements(rounds);
	const verdicts = baseline === undefined ? [] : judge(ratios, baseline.ratios);
	const changed = baseline === undefined ? [] : moved(exact, baseline.exact);
	if (baseline !== undefined && verdicts.length === 0) {
		throw new UsageError("the baseline has no figure of this run", {
			where: flags.baseline,
			hint: "the same workloads and the same yardstick",
		});
	}
	if (baseline !== undefined && !canFail(ratios, baseline.ratios))
		warn(voice, "too few rounds, here or in the baseline, to tell a slower build: five of each can");
	if (baseline !== undefined && Object.keys(exact).every((name) => baseline.exact[name] === undefined))
		warn(voice, "the baseline is of other numbers of events: no counter is compared, and times only roughly");
	if (baseline !== undefined && baseline.cpu !== shownCpu()) warn(voice, `the baseline is of another processor: ${baseline.cpu}`);
	if (flags.writeBaseline !== undefined) {
		const recorded: Baseline = { schema: "mmreplay/bench-baseline/1", cpu: shownCpu(), yardstick, ratios, exact };
		save(flags.writeBaseline, `${JSON.stringify(recorded, null, "\t")}\n`);
	}
	print(flags, figures, verdicts, wrong, changed);
	for (const each of wrong) writeError(`mmreplay: counters differ: ${each}`);
	for (const each of changed) writeError(`mmreplay: exact figures moved: ${each}`);
	for (const { figure, change } of verdicts.filter(({ failed }) => failed))
		writeError(`mmreplay: slower: ${figure} by ${((change - 1) * 100).toFixed(1)}%`);
	if (wrong.length > 0 || changed.length > 0 || verdicts.some(({ failed }) => failed)) process.exitCode = 1;
}

function print(
	flags: BenchFlags,
	figures: readonly Figure[],
	verdicts: readonly Verdict[],
	wrong: readonly string[],
	changed: readonly string[],
): void {
	if (flags.json === true || flags.format === "json") {
		const facts = { cpu: shownCpu(), runtime: `Node ${process.versions.node}`, rounds: flags.rounds };
		const gate = flags.baseline === undefined ? null : { falseAlarms: FALSE_ALARMS, tolerated: TOLERATED, verdicts, moved: changed };
		const shown = figures.map((figure) => ({ ...figure, target: figure.target ?? null, met: meets(figure) ?? null }));
		writeJson({ schema: "mmreplay/bench/1", ...facts, figures: shown, disagreements: wrong, gate });
	} else if (flags.format === "github-action-benchmark") {
		// customSmallerIsBetter: rates are left out.
		const smaller = figures.filter(({ more }) => !more);
		writeOut(
			`${JSON.stringify(
				smaller.map(({ name, unit, value, spread: range }) => ({ name, unit, value, range: `± ${(range * 100).toFixed(1)}%` })),
				null,
				"\t",
			)}\n`,
		);
	} else {
		const voice = voiceOf(flags);
		const table = (rows: string[][], titles: readonly string[]): string[] => {
			const columns = titles.map((title, at) => ({ title, align: at === 0 ? ("left" as const) : ("right" as const) }));
			return tableLines({ columns, rows }, voice.columns, voice.color);
		};
		const rows = figures.map((figure) => {
			const { name, value, unit, target, more, spread: range } = figure;
			const met = meets(figure);
			return [
				name,
				`${shown(value, unit)}`,
				`± ${(range * 100).toFixed(1)}%`,
				target === undefined ? "" : `${more ? ">=" : "<="} ${shown(target, unit)}`,
				met === undefined ? "" : met ? "met" : "missed",
			];
		});
		const gate = verdicts.map(({ figure, change, chance, failed }) => [
			figure,
			`${((change - 1) * 100).toFixed(1)}%`,
			chance.toPrecision(2),
			failed ? "SLOWER" : "ok",
		]);
		const parts = [
			...table(rows, ["figure", "median", "spread", "target", ""]),
			...(gate.length === 0 ? [] : ["", ...table(gate, ["against the baseline", "change", "chance", ""])]),
		];
		writeOut(`${parts.join("\n")}\n`);
	}
}

function shown(value: number, unit: string): string {
	return unit === "events/s" ? `${(value / 1e6).toFixed(1)} M events/s` : `${value.toFixed(2)} ${unit}`;
}
