// The engine's log of what happens at each record: it sums up to the counters, of any replay, and its zaps are the ones that exits miss.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { counterIndex } from "../../src/counters.js";
import { LOGGED_COUNTERS } from "../../src/engine/boundary.js";
import { EventLog } from "../../src/engine/eventlog.js";
import { type ReplayOptions, replayTrace } from "../../src/engine/replay.js";
import { DEFAULT_MACHINE } from "../../src/machine/machine.js";
import { openTrace, type TraceReader } from "../../src/trace/reader.js";
import type { TraceRecord } from "../../src/trace/record.js";
import { memslot, read } from "../cli/traces.js";
import { MANY, traceBytes } from "./traces.js";
import { randomWorld } from "./worlds.js";

interface Told {
	readonly exits: Map<string, number>[];
	readonly growth: Map<string, number>[];
	readonly zaps: number[];
	/** Exits that miss a zap which nobody told of. */
	orphans: number;
}

function tell(trace: TraceReader, options: ReplayOptions, causes: number): Told & { counters: BigUint64Array[] } {
	const told: Told = {
		exits: options.strategies.map(() => new Map()),
		growth: options.strategies.map(() => new Map()),
		zaps: options.strategies.map(() => 0),
		orphans: 0,
	};
	const add = (map: Map<string, number> | undefined, key: string, by: number): void => void map?.set(key, (map.get(key) ?? 0) + by);
	const absent = new Set<string>();
	const log = new EventLog(trace, options);
	// Record by record, as a time line asks.
	for (let sequence = 0; sequence < causes; sequence++) {
		log.tell(sequence, {
			exit: (strategy, vm, _vcpu, gfn, cause, zapped) => {
				add(told.exits[strategy], cause, 1);
				if (zapped && !absent.delete(`${strategy}.${vm}.${gfn}`)) told.orphans++;
			},
			zap: (strategy, vm, gfn) => {
				told.zaps[strategy] = (told.zaps[strategy] ?? 0) + 1;
				absent.add(`${strategy}.${vm}.${gfn}`);
			},
			growth: (strategy, counter, by) => add(told.growth[strategy], counter, by),
		});
	}
	return { ...told, counters: log.finish() };
}

function expectSums(trace: TraceReader, options: ReplayOptions): Told {
	const { strategies, events } = replayTrace(trace, options);
	const told = tell(trace, options, events);
	for (const [at, { counters }] of strategies.entries()) {
		expect(told.counters[at]).toEqual(counters);
		const of = (path: string): number => Number(counters[counterIndex(path)]);
		for (const [cause, count] of told.exits[at] ?? []) expect(count, cause).toBe(of(`vmexitsByCause.${cause}`));
		expect([...(told.exits[at]?.values() ?? [])].reduce((sum, count) => sum + count, 0)).toBe(of("vmexits"));
		for (const counter of LOGGED_COUNTERS) expect(told.growth[at]?.get(counter) ?? 0, counter).toBe(of(counter));
	}
	expect(told.orphans).toBe(0);
	return told;
}

describe("the log", () => {
	it("sums up to the counters on random worlds", () => {
		let zaps = 0;
		fc.assert(
			fc.property(randomWorld, fc.shuffledSubarray([...MANY], { minLength: 1, maxLength: 8 }), (world, strategies) => {
				const trace = openTrace(traceBytes(world.records, world.copiesRecorded, { causesPerBlock: 17 }));
				const told = expectSums(trace, { strategies, machine: world.machine, check: true });
				zaps += told.zaps.reduce((sum, count) => sum + count, 0);
			}),
			{ seed: 11, numRuns: 150 },
		);
		expect(zaps).toBeGreaterThan(100);
	});

	it("that is full in the middle of a block goes on where it stopped", () => {
		const pages = 20_000;
		const records: TraceRecord[] = [memslot(pages), ...Array.from({ length: pages }, (_, gfn) => read(gfn))];
		const trace = openTrace(traceBytes(records, false, { causesPerBlock: pages + 1 }));
		const [one] = MANY;
		if (one === undefined) throw new Error("no strategy");
		const told = expectSums(trace, { strategies: MANY.slice(0, 8), machine: DEFAULT_MACHINE, check: false });
		expect(told.exits[0]?.get("firstTouch.read")).toBe(pages);
	});
});
