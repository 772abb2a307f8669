// Holds an engine's result against the reference model's: the first counter that differs is named.
import { expect } from "vitest";
import { COUNTER_PATHS } from "../../src/counters.js";
import type { ReplayResult } from "../../src/engine/replay.js";

type Comparable = Pick<ReplayResult, "strategies" | "phases" | "ranges" | "events">;

/** Counters that are not 0, by path. */
function named(counters: BigUint64Array | undefined): Record<string, bigint> {
	return Object.fromEntries(
		COUNTER_PATHS.map((path, index) => [path, counters?.[index] ?? 0n] as const).filter(([, value]) => value !== 0n),
	);
}

export function expectEqual(engine: Comparable, reference: Comparable): void {
	expect(engine.events).toBe(reference.events);
	for (const [index, expected] of reference.strategies.entries()) {
		const found = engine.strategies[index];
		const same = found?.counters.every((value, counter) => value === expected.counters[counter]);
		if (!same) expect(named(found?.counters), expected.name).toEqual(named(expected.counters));
		expect(found?.violations, expected.name).toEqual(expected.violations);
		expect(found?.digest, `state of ${expected.name}`).toBe(expected.digest);
	}
	expect(engine.ranges).toEqual(reference.ranges);
	expect(engine.phases.map(({ phase, label }) => `${phase} ${label}`)).toEqual(
		reference.phases.map(({ phase, label }) => `${phase} ${label}`),
	);
	for (const [at, phase] of reference.phases.entries()) {
		for (const [index, expected] of phase.counters.entries()) {
			const found = engine.phases[at]?.counters[index];
			const same = found?.every((value, counter) => value === expected[counter]) === true;
			if (!same) expect(named(found), `phase ${phase.phase}`).toEqual(named(expected));
		}
	}
}
