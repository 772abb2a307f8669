// A trace replayed under several strategies side by side: one decode, one primary world, counters and final state of each strategy.
import type { Violation } from "../coherence.js";
import { LimitError } from "../errors.js";
import type { SimulatedMachine } from "../machine/machine.js";
import { stateDigest } from "../state.js";
import { OPERATION_KINDS, type Strategy } from "../strategies/steps.js";
import { hostOf, type KvmHost } from "../trace/kvmhost.js";
import type { TraceReader } from "../trace/reader.js";
import type { TraceHeader } from "../trace/record.js";
import { MAX_STRATEGIES } from "./boundary.js";
import { type Build, defaultBuild, Engine, type ExitRange, type Part } from "./engine.js";
import { type FeedListener, feed } from "./feed.js";
import { type IntervalReplay, Intervals } from "./intervals.js";
import type { ReadAhead } from "./readahead.js";

export interface ReplayOptions {
	readonly strategies: readonly Strategy[];
	readonly machine: SimulatedMachine;
	/** KVM's host; by default what the trace tells of its own. */
	readonly host?: KvmHost | undefined;
	/** Hold every access against the primary page table. */
	readonly check: boolean;
	/** Cap of an engine's memory in bytes; 4 GiB by default. */
	readonly memoryBytes?: number | undefined;
	/** By default the one for this machine. */
	readonly build?: Build | undefined;
	/** By default there is one where it pays; null: there is none. */
	readonly ahead?: ReadAhead | null | undefined;
	/** Replay this part only. */
	readonly part?: Part | undefined;
}

export interface StrategyReplay {
	readonly name: string;
	/** In the order of COUNTER_PATHS. */
	readonly counters: BigUint64Array;
	/** What the oracle found, in its order: the first VIOLATIONS_KEPT. */
	readonly violations: readonly Violation[];
	/** sha256 of the counters and the final architectural state (src/state.ts). */
	readonly digest: string;
}

type Undigested = Omit<StrategyReplay, "digest">;
export type UndigestedResult = Omit<ReplayResult, "strategies"> & { readonly strategies: readonly Undigested[] };

/** From a mark that begins a phase to the next one. Records before the first are in the totals only. */
export interface PhaseReplay {
	readonly phase: number;
	readonly label: string;
	/** What the counters grew by, for each strategy. */
	readonly counters: BigUint64Array[];
}

export interface ReplayResult {
	readonly strategies: StrategyReplay[];
	readonly phases: PhaseReplay[];
	/** The whole trace, cut where blocks end. */
	readonly intervals: readonly IntervalReplay[];
	/** Where in the VMs' memory the vmexits happened, by VM and gfn; they sum up to `vmexits`. */
	readonly ranges: readonly ExitRange[];
	readonly events: number;
	/** Reading, decoding and replaying. */
	readonly seconds: number;
	readonly decodeSeconds: number;
	/** Of payloads, after their codecs. */
	readonly bytes: number;
	readonly peakMemoryBytes: number;
	readonly threads: number;
}

/** Every phase keeps its strategies' counters. */
const MAX_PHASES = 1 << 14;

/** Strategies that share an engine. */
export interface Group {
	readonly engine: Engine;
	/** Places in the options' list. */
	readonly members: readonly number[];
}

/** An engine that a replay is done with, for the next one: its module is compiled and its memory touched. */
const idle = new Map<Build, Engine>();
/** One that has grown beyond this is let go. */
const KEPT_BYTES = 256 << 20;

function takeEngine(build: Build): Engine {
	const engine = idle.get(build);
	idle.delete(build);
	return engine ?? new Engine(build);
}

/** For a later replay. */
export function giveBack(engines: readonly Engine[]): void {
	for (const engine of engines) if (engine.memoryBytes <= KEPT_BYTES) idle.set(engine.build, engine);
}

/** Strategies share the primary page table, so what they do to it must be the same: which operations flush its TLB, and which set the PTE. */
function primarySignature(strategy: Strategy): string {
	return OPERATION_KINDS.map((kind) => {
		const steps = strategy.operations[kind].map(({ step }) => step);
		return `${steps.includes("clear-flush") ? "f" : "-"}${steps.includes("set-pte") ? "s" : "-"}`;
	}).join("");
}

/** Engines for the strategies of a replay. */
export function groupsOf(options: ReplayOptions, header: TraceHeader): Group[] {
	const { copiesRecorded } = header;
	const host = options.host ?? hostOf(header.host);
	const chunks: { signature: string; members: number[] }[] = [];
	for (const [place, strategy] of options.strategies.entries()) {
		const signature = primarySignature(strategy);
		const open = chunks.find((chunk) => chunk.signature === signature && chunk.members.length < MAX_STRATEGIES);
		if (open === undefined) chunks.push({ signature, members: [place] });
		else open.members.push(place);
	}
	return chunks.map(({ members }) => {
		const engine = takeEngine(options.build ?? defaultBuild());
		engine.begin({ ...options, host, strategies: options.strategies.filter((_, place) => members.includes(place)), copiesRecorded });
		return { engine, members };
	});
}

/** What the counters were at each mark that begins a phase. */
class Phases {
	readonly #groups: readonly Group[];
	readonly #begins: { phase: number; label: string; counters: BigUint64Array[] }[] = [];
	/** Marks that each group's engine has come to. */
	readonly #reached: number[];

	constructor(groups: readonly Group[]) {
		this.#groups = groups;
		this.#reached = groups.map(() => 0);
	}

	mark(place: number, where: string): void {
		const group = this.#groups[place];
		const ordinal = this.#reached[place];
		if (group === undefined || ordinal === undefined) throw new RangeError(`no engine ${place}`);
		if (ordinal >= MAX_PHASES) throw new LimitError(`more than ${MAX_PHASES} phases`, { where });
		this.#reached[place] = ordinal + 1;
		const begin = this.#begins[ordinal] ?? { ...group.engine.mark(where), counters: [] };
		this.#begins[ordinal] = begin;
		placeCounters(group, begin.counters);
	}

	/** The growth within each phase; `final`: the counters at the end of the trace. */
	finish(final: readonly BigUint64Array[]): PhaseReplay[] {
		return this.#begins.map(({ phase, label, counters }, ordinal) => {
			const after = this.#begins[ordinal + 1]?.counters ?? final;
			return { phase, label, counters: counters.map((before, strategy) => difference(after[strategy] ?? before, before)) };
		});
	}
}

/** Each member's counters as they are now to its place in a list of all strategies. */
function placeCounters(group: Group, into: BigUint64Array[]): void {
	for (const [index, counters] of group.engine.counters().entries()) into[group.members[index] ?? 0] = counters;
}

function difference(after: BigUint64Array, before: BigUint64Array): BigUint64Array {
	return after.map((value, index) => value - (before[index] ?? 0n));
}

function strategyReplays(options: ReplayOptions, groups: readonly Group[], final: readonly BigUint64Array[]): Undigested[] {
	return options.strategies.map(({ name }, place) => {
		const counters = final[place];
		if (counters === undefined) throw new RangeError(`strategy ${name} was not replayed`);
		const { engine, index } = memberOf(groups, place);
		return { name, counters, violations: engine.violations(index) };
	});
}

/** The engine of the strategy at a place in the options' list, and its place there. */
export function memberOf(groups: readonly Group[], place: number): { engine: Engine; index: number } {
	const group = groups.find(({ members }) => members.includes(place));
	if (group === undefined) throw new RangeError(`no engine has strategy ${place}`);
	return { engine: group.engine, index: group.members.indexOf(place) };
}

/** The groups' ranges as one list. */
function rangesOf(groups: readonly Group[], strategies: number): ExitRange[] {
	const found = new Map<string, { vm: number; gfn: number; pages: number; vmexits: number[] }>();
	for (const { engine, members } of groups) {
		for (const { vm, gfn, pages, vmexits } of engine.exitRanges()) {
			const key = `${vm}.${gfn}`;
			const known = found.get(key) ?? { vm, gfn, pages, vmexits: new Array<number>(strategies).fill(0) };
			for (const [index, place] of members.entries()) known.vmexits[place] = vmexits[index] ?? 0;
			found.set(key, known);
		}
	}
	return [...found.values()].sort((a, b) => a.vm - b.vm || a.gfn - b.gfn);
}

export type OnProgress = (events: number, bytes: number) => void;

/**
 * Replay a trace. `onProgress` is told after each block how many events and bytes of payloads are done.
 * @throws BadInputError on a damaged block, LimitError beyond the memory
 */
export function replayTrace(trace: TraceReader, options: ReplayOptions, onProgress?: OnProgress): ReplayResult {
	const { result, groups } = replayGroups(trace, options, onProgress);
	const strategies = result.strategies.map((strategy, place) => {
		const { engine, index } = memberOf(groups, place);
		return { ...strategy, digest: stateDigest(engine.state(index)) };
	});
	giveBack(groups.map(({ engine }) => engine));
	return { ...result, strategies };
}

/** A result whose final states are still in the engines. @throws as replayTrace, and CannotSplit where a part cannot be one */
export function replayGroups(
	trace: TraceReader,
	options: ReplayOptions,
	onProgress?: OnProgress,
): { result: UndigestedResult; groups: readonly Group[] } {
	const started = performance.now();
	const groups = groupsOf(options, trace.header);
	const engines = groups.map(({ engine }) => engine);
	const phases = new Phases(groups);
	const intervals = new Intervals();
	const countersNow = (): BigUint64Array[] => {
		const now: BigUint64Array[] = [];
		for (const group of groups) placeCounters(group, now);
		return now;
	};
	const listener: FeedListener = {
		mark: (place, where) => phases.mark(place, where),
		block: ({ events, bytes }, block) => {
			intervals.block(block, events, countersNow);
			onProgress?.(events, bytes);
		},
	};
	const fed = feed(trace, engines, listener, options.ahead);
	const seconds = (performance.now() - started) / 1000;
	const final = countersNow();
	const strategies = strategyReplays(options, groups, final);
	const ranges = rangesOf(groups, options.strategies.length);
	const peakMemoryBytes = engines.reduce((sum, engine) => sum + engine.memoryBytes, 0);
	const result: UndigestedResult = {
		strategies,
		phases: phases.finish(final),
		intervals: intervals.finish(final, fed.events),
		ranges,
		events: fed.events,
		seconds,
		decodeSeconds: fed.decodeSeconds,
		bytes: fed.bytes,
		peakMemoryBytes,
		threads: 1,
	};
	return { result, groups };
}
