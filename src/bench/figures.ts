// The table of the benchmark: which probes there are, and what figures come of their medians. Targets: docs/performance.md.
import type { Measured } from "./child.js";
import type { Benched, WorkloadFile } from "./files.js";
import type { Ratios } from "./gate.js";
import { type Probe, type Rounds, taskProbe, yardstickProbe } from "./rounds.js";
import { median, spread } from "./statistics.js";
import type { Yardstick } from "./yardsticks.js";

export interface Figure {
	readonly name: string;
	readonly value: number;
	readonly unit: string;
	/** Half the distance between the quartiles over the rounds, as a fraction. */
	readonly spread: number;
	/** At most, or at least where `more` is better. */
	readonly target: number | undefined;
	readonly more: boolean;
}

export interface Bench {
	readonly files: readonly WorkloadFile[];
	readonly varint: readonly WorkloadFile[];
	/** Small ones, for what is slow. */
	readonly small: readonly WorkloadFile[];
	readonly floor: Yardstick | undefined;
	readonly plain: Yardstick | undefined;
	/** Task.slowed of the figures that are gated. */
	readonly slowed: number | undefined;
	/** Nothing but what the gate compares. */
	readonly gated: boolean;
}

const FOUR = ["drop", "wrapped", "fix", "establish-map"] as const;
const ONE = ["drop"] as const;
/** The yardsticks know what a generated workload has, not what a capture may. */
const onlyEngine = (name: Benched): boolean => name === "k";

/** m and r have one VM, and the capture has files. */
const severalVms = (name: Benched): boolean => name === "p" || name === "h" || name === "z";

const GATED = ["engine", "replay", "four"];

export function probesOf(bench: Bench): Probe[] {
	const probes = allProbes(bench);
	const yardstick = bench.floor === undefined ? "plain" : "floor";
	return bench.gated ? probes.filter(({ name }) => [...GATED, yardstick].includes(name.split("/")[1] ?? "")) : probes;
}

function allProbes({ files, varint, small, floor, plain, slowed }: Bench): Probe[] {
	const probes: Probe[] = [];
	for (const { name, path, skip } of files) {
		const task = { trace: path, skip, check: false, strategies: ONE, ...(slowed === undefined ? {} : { slowed }) };
		probes.push(taskProbe(`${name}/engine`, { ...task, mode: "engine" }));
		if (floor !== undefined && !onlyEngine(name)) {
			probes.push(yardstickProbe(`${name}/floor`, floor, path, skip));
			if (name === "r") probes.push(yardstickProbe("r/prefetching floor", floor, path, skip, "prefetch"));
		}
		if (plain !== undefined && !onlyEngine(name)) probes.push(yardstickProbe(`${name}/plain`, plain, path, skip));
		probes.push(taskProbe(`${name}/replay`, { ...task, mode: "replay" }));
		if (severalVms(name)) probes.push(taskProbe(`${name}/threads`, { ...task, skip: 0, mode: "threads" }));
		if (severalVms(name)) probes.push(taskProbe(`${name}/thread`, { ...task, skip: 0, mode: "replay" }));
		probes.push(taskProbe(`${name}/checked`, { ...task, mode: "replay", check: true }));
		probes.push(taskProbe(`${name}/four`, { ...task, mode: "replay", strategies: FOUR }));
		probes.push(taskProbe(`${name}/scalar`, { ...task, mode: "engine", build: "scalar" }));
	}
	for (const { name, path, skip } of varint)
		probes.push(taskProbe(`${name}/varint`, { trace: path, skip, check: false, strategies: ONE, mode: "replay" }));
	for (const { name, path, skip } of small) {
		probes.push(taskProbe(`${name}/small`, { trace: path, skip, check: false, strategies: ONE, mode: "replay" }));
		probes.push(taskProbe(`${name}/model`, { trace: path, skip, check: false, strategies: ONE, mode: "model" }));
	}
	return probes;
}

type Part = (measured: Measured) => number;
const cpu: Part = ({ cpuSeconds, events }) => (cpuSeconds / events) * 1e9;
const wall: Part = ({ seconds, events }) => (seconds / events) * 1e9;
const engine: Part = ({ engineSeconds, events }) => (engineSeconds / events) * 1e9;
/** On the replay's own thread; waiting is waiting, whatever the processor does meanwhile. */
const read: Part = ({ readSeconds, waitSeconds, events }) => ((readSeconds + waitSeconds) / events) * 1e9;
const wait: Part = ({ waitSeconds, events }) => (waitSeconds / events) * 1e9;
/** The thread reads what warms up as well, so that short runs make it dearer than it is. */
const reader: Part = ({ readerSeconds, events }) => (readerSeconds / events) * 1e9;
const decode: Part = ({ decodeSeconds, events }) => (decodeSeconds / events) * 1e9;

/** Of section 8: engine over floor, and events/s from end to end on a quiet machine. */
const OVER_FLOOR: Partial<Record<Benched, number>> = { p: 1.45, h: 1.3, z: 1.2, m: 1.12, r: 1.1 };
const RATES: Partial<Record<Benched, number>> = { h: 150e6, z: 75e6, m: 50e6, r: 25e6 };
const OVER_PREFETCH = 1.5;
const FOUR_OVER_ONE = 2.2;
const CHECKED = 1.1;
const READING = 0.6;
const TWO_OVER_ONE = 1.85;
const PLAIN_OVER = 2.5;
const MODEL_OVER = 20;

export function figuresOf(rounds: Rounds): Figure[] {
	const figures: Figure[] = [];
	const series = (probe: string, part: Part): number[] => (rounds.get(probe) ?? []).map(part);
	const add = (name: string, values: readonly number[], unit: string, target?: number, more = false): void => {
		if (values.length > 0) figures.push({ name, value: median(values), unit, spread: spread(values), target, more });
	};
	const ratio = (name: string, above: number[], below: number[], target?: number, more = false): void => {
		if (above.length > 0 && below.length > 0)
			add(
				name,
				above.map((value, round) => value / (below[round] ?? Number.NaN)),
				"x",
				target,
				more,
			);
	};
	for (const name of ["p", "h", "z", "m", "r", "k"] as const) {
		const one = series(`${name}/replay`, cpu);
		add(`${name}: engine`, series(`${name}/engine`, engine), "ns/event");
		ratio(`${name}: engine over native floor`, series(`${name}/engine`, engine), series(`${name}/floor`, engine), OVER_FLOOR[name]);
		ratio(
			`${name}: engine over prefetching floor with huge pages`,
			series(`${name}/engine`, engine),
			series(`${name}/prefetching floor`, engine),
			OVER_PREFETCH,
		);
		ratio(`${name}: scalar build over SIMD build`, series(`${name}/scalar`, engine), series(`${name}/engine`, engine));
		add(`${name}: read, checksum, framing: on the replay's thread`, series(`${name}/engine`, read), "ns/event", READING);
		add(`${name}: of it, waiting for the reader's thread`, series(`${name}/engine`, wait), "ns/event");
		add(`${name}: processor time of the reader's thread`, series(`${name}/engine`, reader), "ns/event");
		add(`${name}: decode`, series(`${name}/engine`, decode), "ns/event");
		add(
			`${name}: end to end, by the clock`,
			series(`${name}/replay`, wall).map((ns) => 1e9 / ns),
			"events/s",
			RATES[name],
			true,
		);
		add(
			`${name}: end to end, by processor time`,
			one.map((ns) => 1e9 / ns),
			"events/s",
			RATES[name],
			true,
		);
		ratio(`${name}: end to end, varint over fixed`, series(`${name}/varint`, cpu), one);
		ratio(`${name}: four strategies over one`, series(`${name}/four`, cpu), one, FOUR_OVER_ONE);
		ratio(`${name}: with coherence checked over without`, series(`${name}/checked`, cpu), one, CHECKED);
		ratio(
			`${name}: one thread over two, by the clock`,
			series(`${name}/thread`, wall),
			series(`${name}/threads`, wall),
			TWO_OVER_ONE,
			true,
		);
		ratio(`${name}: processor time of two threads over one's`, series(`${name}/threads`, cpu), series(`${name}/thread`, cpu));
		ratio(`${name}: plain JavaScript over engine`, series(`${name}/plain`, cpu), one, PLAIN_OVER, true);
		ratio(`${name}: reference model over engine`, series(`${name}/model`, cpu), series(`${name}/small`, cpu), MODEL_OVER, true);
	}
	return figures;
}

export function meets({ value, target, more }: Figure): boolean | undefined {
	return target === undefined ? undefined : more ? value >= target : value <= target;
}

/** What the gate compares: logarithms of times over the yardstick's, round by round. */
export function ratiosOf(rounds: Rounds, yardstick: "floor" | "plain"): Ratios {
	const ratios: Record<string, number[]> = {};
	for (const [probe, runs] of rounds) {
		const [workload = "", what = ""] = probe.split("/");
		const beside = rounds.get(`${workload}/${yardstick}`);
		if (beside === undefined || !GATED.includes(what)) continue;
		const part = what === "engine" ? engine : cpu;
		const below = what === "engine" && yardstick === "floor" ? engine : cpu;
		ratios[probe] = runs.map((run, round) => {
			const other = beside[round];
			return other === undefined ? Number.NaN : Math.log(part(run) / below(other));
		});
	}
	return ratios;
}

/** Counters that a yardstick has and the engine does not agree with: a defect of one of them. */
export function disagreements(rounds: Rounds): string[] {
	const wrong: string[] = [];
	for (const [probe, [run]] of rounds) {
		const [workload = "", what = ""] = probe.split("/");
		const [engineRun] = rounds.get(`${workload}/engine`) ?? [];
		if (
			run === undefined ||
			engineRun === undefined ||
			!["floor", "plain", "replay", "thread", "threads", "four", "scalar", "checked"].includes(what)
		)
			continue;
		for (const [name, value] of Object.entries(run.counters)) {
			if (engineRun.counters[name] !== value) wrong.push(`${probe}: ${name} ${value}, engine ${engineRun.counters[name] ?? 0}`);
		}
		const [four] = rounds.get(`${workload}/four`) ?? [];
		for (const [name, digest] of what === "replay" ? Object.entries(run.digests ?? {}) : []) {
			if (four?.digests !== undefined && four.digests[name] !== digest) wrong.push(`${probe}: digest of ${name} alone and among four`);
		}
	}
	return wrong;
}
