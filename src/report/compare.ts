// The comparison of one trace under several strategies: the document that `compare --json` prints, and what tables and sentences are made of.
import { RULES } from "../coherence.js";
import { type CounterTree, counterIndex, counterTree, needsEveryAccess } from "../counters.js";
import type { ReplayResult, StrategyReplay } from "../engine/replay.js";
import type { Fidelity } from "../fidelity/fidelity.js";
import type { Costs } from "../machine/costs.js";
import type { Machine } from "../machine/machine.js";
import type { Strategy } from "../strategies/steps.js";
import type { KvmHost } from "../trace/kvmhost.js";
import type { TraceHeader } from "../trace/record.js";
import { breakEvenVmexitCycles, type Cycles, cyclesOf, type SensitivityRow, savedPercent, sensitivity } from "./cost.js";
import { type Exactness, exactness } from "./exactness.js";
import { rangesByVm } from "./ranges.js";
import { longestChain } from "./retries.js";

export interface TraceFacts {
	readonly path: string;
	/** Over the block checksums. */
	readonly digest: string;
	readonly bytes: number;
	readonly header: TraceHeader;
	/** KVM's host that the replay assumed. */
	readonly host: KvmHost;
}

/** Why a trace was not held against itself. */
export interface NoFidelity {
	readonly reason: string;
}

/** What the figures depend on beside the trace. */
interface Terms {
	readonly baseline: string;
	readonly machine: Machine;
	readonly costs: Costs;
}

export interface Settings extends Terms {
	/** Those compared, in order; the replay may hold more. */
	readonly strategies: readonly Strategy[];
	readonly builtIn: ReadonlySet<string>;
	readonly sensitivity: boolean;
}

export interface ComparedStrategy extends Exactness {
	readonly name: string;
	readonly option: 1 | 2 | 3 | null;
	readonly safe: boolean;
	readonly replay: StrategyReplay;
	readonly cycles: Cycles;
}

interface Delta {
	readonly name: string;
	readonly vmexitsAvoided: number;
	readonly vmexitsAvoidedPercent: number | null;
	readonly cyclesSavedPercent: number | null;
	readonly breakEvenVmexitCycles: number | null;
}

export interface Comparison {
	readonly trace: TraceFacts;
	readonly settings: Terms;
	readonly fidelity: Fidelity | NoFidelity;
	readonly strategies: readonly ComparedStrategy[];
	readonly baseline: ComparedStrategy;
	/** One for each strategy but the baseline. */
	readonly deltas: readonly Delta[];
	readonly sensitivity: readonly SensitivityRow[] | null;
	/** Every access was checked for coherence. */
	readonly checked: boolean;
	readonly result: ReplayResult;
}

export function counterOf(counters: BigUint64Array, path: string): number {
	return Number(counters[counterIndex(path)] ?? 0n);
}

/** Every access is in the trace: TLB, walks and cycles an access mean something. */
export function knowsAccesses(header: TraceHeader): boolean {
	return header.access === "complete";
}

/** A trace that does not reproduce its own kernel proves nothing exactly about others. */
function believed(found: Exactness, held: Fidelity | NoFidelity): Exactness {
	if (found.exact === false || !("rows" in held) || held.exact) return found;
	const doubt = `the trace does not reproduce its own kernel exactly (${held.differing + held.uncertain} of ${held.rows.length} counters differ)`;
	return { exact: found.exact === true ? false : found.exact, why: `${found.why}; ${doubt}` };
}

export function comparison(
	trace: TraceFacts,
	settings: Settings,
	result: ReplayResult,
	held: Fidelity | NoFidelity,
	checked: boolean,
): Comparison {
	const { costs, machine } = settings;
	const complete = knowsAccesses(trace.header);
	const strategies = settings.strategies.map((strategy): ComparedStrategy => {
		const replay = result.strategies.find(({ name }) => name === strategy.name);
		if (replay === undefined) throw new RangeError(`strategy ${strategy.name} was not replayed`);
		return {
			name: strategy.name,
			option: strategy.option,
			safe: strategy.safe,
			...believed(exactness(trace.header, strategy.name, settings.builtIn.has(strategy.name), trace.host), held),
			replay,
			cycles: cyclesOf(replay.counters, costs, complete, machine.hz),
		};
	});
	return compared({ trace, settings, fidelity: held, strategies, checked, result }, settings.sensitivity);
}

/** Hold strategies against the baseline: counts, cycles, and what each cost does to them. */
export function compared(
	parts: Pick<Comparison, "trace" | "settings" | "fidelity" | "strategies" | "checked" | "result">,
	withSensitivity: boolean,
): Comparison {
	const { trace, settings, strategies } = parts;
	const { costs } = settings;
	const complete = knowsAccesses(trace.header);
	const baseline = strategies.find(({ name }) => name === settings.baseline);
	if (baseline === undefined) throw new RangeError(`baseline ${settings.baseline} was not replayed`);
	const base = baseline.replay.counters;
	const total = ({ guestCycles, hostCycles }: Cycles): number => guestCycles + hostCycles;
	const deltas = strategies
		.filter((strategy) => strategy !== baseline)
		.map(({ name, replay, cycles }): Delta => {
			const avoided = counterOf(base, "vmexits") - counterOf(replay.counters, "vmexits");
			return {
				name,
				vmexitsAvoided: avoided,
				vmexitsAvoidedPercent: counterOf(base, "vmexits") === 0 ? null : (100 * avoided) / counterOf(base, "vmexits"),
				cyclesSavedPercent: savedPercent(total(cycles), total(baseline.cycles)),
				breakEvenVmexitCycles: breakEvenVmexitCycles(replay.counters, base, costs, complete),
			};
		});
	const rows = withSensitivity
		? sensitivity(
				strategies.map(({ replay }) => replay.counters),
				base,
				costs,
				complete,
			)
		: null;
	return { ...parts, baseline, deltas, sensitivity: rows };
}

/** Counters as the contract nests them; what needs every access is null without a complete access log. */
export function countersJson(counters: BigUint64Array, complete: boolean): object {
	const tree: CounterTree = counterTree(counters, (path) => complete || !needsEveryAccess(path));
	const { coherence: _, tlb, hostTlb, walk, hostWalk, ...rest } = tree;
	return complete ? { ...rest, tlb, hostTlb, walk, hostWalk } : { ...rest, tlb: null, hostTlb: null, walk: null, hostWalk: null };
}

/** Violations of a replay; null where nobody looked. */
export function violationsOf(replay: StrategyReplay, checked: boolean): number | null {
	return checked ? counterOf(replay.counters, "coherence.violations") : null;
}

/** Violations by rule, of rules that have any. */
function byRule(counters: BigUint64Array): object {
	const counts = RULES.map((rule) => [rule, counterOf(counters, `coherence.byRule.${rule}`)] as const);
	return Object.fromEntries(counts.filter(([, count]) => count > 0));
}

/** Of a phase. */
export function phaseCoherenceJson(counters: BigUint64Array, checked: boolean): object {
	return { violations: checked ? counterOf(counters, "coherence.violations") : null, byRule: byRule(counters) };
}

export function coherenceJson(replay: StrategyReplay, checked: boolean): object {
	return {
		checked,
		violations: violationsOf(replay, checked),
		byRule: byRule(replay.counters),
		first: replay.violations[0] ?? null,
		list: replay.violations,
	};
}

function fidelityJson(held: Fidelity | NoFidelity): object {
	if (!("rows" in held)) return { exact: null, why: held.reason };
	const { strategy, exact, decidable, undecided, differing } = held;
	return { strategy, exact, decidable, undecided, differing, rows: held.rows.filter((row) => row.difference !== 0) };
}

export function eventsPerSecond(result: ReplayResult): number {
	return result.seconds > 0 ? result.events / result.seconds : 0;
}

export function replayJson(result: ReplayResult): object {
	const { seconds, decodeSeconds, bytes, peakMemoryBytes, threads } = result;
	return {
		seconds,
		decodeSeconds,
		eventsPerSecond: eventsPerSecond(result),
		bytesPerSecond: seconds > 0 ? bytes / seconds : 0,
		peakMemoryBytes,
		threads,
	};
}

export function traceJson({ path, digest, bytes, header }: TraceFacts, events: number): object {
	const { kernel, strategy, strategyEvidence, access, concurrent, losses, warnings, vms, durationNs } = header;
	return {
		path,
		digest,
		events,
		bytes,
		kernel,
		strategy,
		strategyEvidence,
		access,
		concurrent,
		vms,
		durationNs,
		complete: true,
		losses,
		warnings,
	};
}

/** The document of cli.md, without its schema. */
export function comparisonJson(comparison: Comparison): object {
	const { trace, settings, strategies, deltas, result } = comparison;
	const complete = knowsAccesses(trace.header);
	const replay = { seconds: result.seconds, eventsPerSecond: eventsPerSecond(result) };
	return {
		trace: traceJson(trace, result.events),
		fidelity: fidelityJson(comparison.fidelity),
		machine: settings.machine,
		host: trace.host,
		costs: settings.costs,
		baseline: settings.baseline,
		strategies: strategies.map(({ name, option, safe, exact, why, replay: replayed, cycles }) => ({
			name,
			option,
			safe,
			exact,
			why,
			counters: countersJson(replayed.counters, complete),
			longestRetryChain: longestChain(replayed.counters),
			cost: cycles,
			coherence: coherenceJson(replayed, comparison.checked),
			digest: replayed.digest,
			// All strategies are replayed in one pass: these are the pass's.
			replay,
		})),
		delta: deltas,
		byVm: rangesByVm(comparison).map(({ vm, vmexits }) => ({ vm, vmexits })),
		...(comparison.sensitivity === null ? {} : { sensitivity: sensitivityJson(comparison) }),
		replay: replayJson(result),
	};
}

function sensitivityJson({ sensitivity: rows, strategies }: Comparison): object[] {
	return (rows ?? []).map(({ cost, factor, cyclesSavedPercent }) => ({
		cost,
		factor,
		strategies: strategies.map(({ name }, at) => ({ name, cyclesSavedPercent: cyclesSavedPercent[at] ?? null })),
	}));
}
