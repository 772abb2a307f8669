// The engine's counts on real traces, held against the reference model's, phase by phase.
import { describe, expect, it } from "vitest";
import { COUNTER_PATHS } from "../../src/counters.js";
import { replayTrace } from "../../src/engine/replay.js";
import { DEFAULT_MACHINE } from "../../src/machine/machine.js";
import { STRATEGIES } from "../../src/strategies/index.js";
import { openTrace } from "../../src/trace/reader.js";
import { replayTrace as replayReference } from "./reference-engine.js";
import { fixture } from "./traces.js";

/** Counters that are not 0, by their paths. */
function named(counters: BigUint64Array | undefined): Record<string, bigint> {
	return Object.fromEntries([...(counters ?? [])].flatMap((value, at) => (value === 0n ? [] : [[COUNTER_PATHS[at] ?? "", value]])));
}

describe("the engine equals the reference model", () => {
	it.each(["stock-tiny", "drop-tiny", "fix-tiny", "establish-ro-tiny", "establish-rw-tiny", "linux-6.12-tiny"])("on %s", (name) => {
		const trace = openTrace(fixture(name));
		try {
			const options = { strategies: STRATEGIES, machine: DEFAULT_MACHINE, check: true };
			const engine = replayTrace(trace, options);
			const reference = replayReference(trace, options);
			expect(engine.events).toBe(reference.events);
			engine.strategies.forEach(({ name: strategy, counters }, at) => {
				expect(named(counters), strategy).toEqual(named(reference.strategies[at]?.counters));
			});
			expect(engine.phases.map(({ phase, label }) => ({ phase, label }))).toEqual(
				reference.phases.map(({ phase, label }) => ({ phase, label })),
			);
			engine.phases.forEach(({ phase, counters }, at) => {
				expect(counters.map(named), `phase ${phase}`).toEqual(reference.phases[at]?.counters.map(named));
			});
		} finally {
			trace.close();
		}
	});
});
