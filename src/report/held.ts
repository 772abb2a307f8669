// One trace, replayed under some strategies and held against itself: what compare, replay, fidelity and the page in a browser begin with.
import { type ReplayResult, replayTrace } from "../engine/replay.js";
import { replayThreads, type ThreadedResult } from "../engine/threads.js";
import { type Fidelity, fidelity } from "../fidelity/fidelity.js";
import type { Machine } from "../machine/machine.js";
import { findStrategy } from "../strategies/index.js";
import type { Strategy } from "../strategies/steps.js";
import { hostOf, isSameHost, type RecordedHost } from "../trace/kvmhost.js";
import type { TraceReader } from "../trace/reader.js";
import type { TraceHeader } from "../trace/record.js";
import type { NoFidelity, TraceFacts } from "./compare.js";

export interface Replayed {
	readonly facts: TraceFacts;
	/** Every access was checked for coherence. */
	readonly checked: boolean;
	readonly result: ThreadedResult;
	/** Of the captured strategy's replay with the observations. */
	readonly held: Fidelity | NoFidelity;
}

/** A trace that is open. */
export interface Source {
	/** As the user named it. */
	readonly path: string;
	readonly trace: TraceReader;
	/** The trace's header, with what the user tells of the capture. */
	readonly header: TraceHeader;
}

export interface HeldOptions {
	readonly strategies: readonly Strategy[];
	readonly machine: Machine;
	/** By default, where it costs no time that anybody notices. */
	readonly check: boolean | undefined;
	/** KVM's host as the user tells it; by default the one that was captured. */
	readonly host?: RecordedHost | undefined;
	/** 1 by default. */
	readonly threads?: number | undefined;
}

/** Traces up to this many causes are checked without being asked. */
const CHECKED_EVENTS = 1 << 22;

function causesOf({ trace }: Source): number {
	return trace.index().entries.reduce((sum, { causes }) => sum + causes, 0);
}

/**
 * Replay `strategies` and, in the same pass, the strategy of the kernel that was captured; on another host than the captured one that takes a pass of its
 * own. @throws BadInputError, LimitError
 */
export function replayHeld(source: Source, options: HeldOptions, onProgress?: (events: number, bytes: number) => void): Replayed {
	const { trace, header } = source;
	const captured = header.strategy === "" ? undefined : findStrategy(header.strategy);
	const host = hostOf(options.host ?? {}, header.host);
	const isOwnHost = isSameHost(host, hostOf(header.host));
	const isExtra = captured !== undefined && isOwnHost && !options.strategies.some(({ name }) => name === captured.name);
	const strategies = isExtra ? [...options.strategies, captured] : options.strategies;
	const checked = options.check ?? causesOf(source) <= CHECKED_EVENTS;
	const result = replayThreads(trace, { machine: options.machine, check: checked, strategies, host }, options.threads ?? 1, onProgress);
	const facts = { path: source.path, digest: trace.digest(), bytes: trace.bytes ?? 0, header, host };
	if (captured === undefined) return { facts, checked, result, held: unheld(header.strategy) };
	const own = isOwnHost ? result : replayTrace(trace, { machine: options.machine, check: checked, strategies: [captured] });
	return { facts, checked, result, held: hold(source, captured, own, checked) };
}

function unheld(name: string): NoFidelity {
	return {
		reason: name === "" ? "which strategy the captured kernel ran is not known" : `the captured kernel's strategy ${name} is none of ours`,
	};
}

function hold({ trace, header }: Source, captured: Strategy, result: ReplayResult, checked: boolean): Fidelity | NoFidelity {
	const at = result.strategies.findIndex(({ name }) => name === captured.name);
	const total = result.strategies[at]?.counters;
	if (total === undefined) throw new RangeError(`strategy ${captured.name} was not replayed`);
	const phases = result.phases.map(({ counters }) => counters[at] ?? new BigUint64Array(0));
	return fidelity(trace, header, captured.name, { total, phases, checked }) ?? { reason: "the trace has no observations" };
}
