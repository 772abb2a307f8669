// One trace, replayed under some strategies and held against itself: what compare, replay and fidelity begin with.
import { type ReplayResult, replayTrace } from "../engine/replay.js";
import { type Fidelity, fidelity } from "../fidelity/fidelity.js";
import type { Machine } from "../machine/machine.js";
import type { NoFidelity, TraceFacts } from "../report/compare.js";
import { findStrategy } from "../strategies/index.js";
import type { Strategy } from "../strategies/steps.js";
import type { OpenedInput } from "./input.js";
import type { Voice } from "./output.js";
import { Progress } from "./progress.js";

export interface Replayed {
	readonly facts: TraceFacts;
	/** Every access was checked for coherence. */
	readonly checked: boolean;
	readonly result: ReplayResult;
	/** Of the captured strategy's replay with the observations. */
	readonly held: Fidelity | NoFidelity;
}

/** Traces up to this many causes are checked without being asked: it costs no time that anybody notices. */
const CHECKED_EVENTS = 1 << 22;

function causesOf({ trace }: OpenedInput): number {
	return trace.index().entries.reduce((sum, { causes }) => sum + causes, 0);
}

/** Replay `strategies` and, in the same pass, the strategy of the kernel that was captured. */
export function replayHeld(
	input: OpenedInput,
	options: { readonly strategies: readonly Strategy[]; readonly machine: Machine; readonly check: boolean | undefined },
	voice: Voice,
): Replayed {
	const { trace, header } = input;
	const captured = header.strategy === "" ? undefined : findStrategy(header.strategy);
	const isExtra = captured !== undefined && !options.strategies.some(({ name }) => name === captured.name);
	const strategies = isExtra ? [...options.strategies, captured] : options.strategies;
	const checked = options.check ?? causesOf(input) <= CHECKED_EVENTS;
	const progress = new Progress(voice, input.path, trace.bytes ?? 0);
	let result: ReplayResult;
	try {
		result = replayTrace(trace, { machine: options.machine, check: checked, strategies }, progress.update);
	} finally {
		progress.done();
	}
	const facts = { path: input.path, digest: trace.digest(), bytes: trace.bytes ?? 0, header };
	return { facts, checked, result, held: captured === undefined ? unheld(header.strategy) : hold(input, captured, result) };
}

function unheld(name: string): NoFidelity {
	return {
		reason: name === "" ? "which strategy the captured kernel ran is not known" : `the captured kernel's strategy ${name} is none of ours`,
	};
}

function hold({ trace, header }: OpenedInput, captured: Strategy, result: ReplayResult): Fidelity | NoFidelity {
	const at = result.strategies.findIndex(({ name }) => name === captured.name);
	const total = result.strategies[at]?.counters;
	if (total === undefined) throw new RangeError(`strategy ${captured.name} was not replayed`);
	const phases = result.phases.map(({ counters }) => counters[at] ?? new BigUint64Array(0));
	return fidelity(trace, header, captured.name, { total, phases }) ?? { reason: "the trace has no observations" };
}
