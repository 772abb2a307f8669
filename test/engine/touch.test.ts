// Tables that outgrow the caches, whose records are loaded ahead (assembly/touch.ts): the same results wherever a block's windows begin and end.
import { describe, expect, it } from "vitest";
import { EventLog } from "../../src/engine/eventlog.js";
import { type ReplayOptions, replayTrace } from "../../src/engine/replay.js";
import { DEFAULT_MACHINE } from "../../src/machine/machine.js";
import { STRATEGIES } from "../../src/strategies/index.js";
import { Access } from "../../src/trace/kinds.js";
import { openTrace } from "../../src/trace/reader.js";
import type { TraceRecord } from "../../src/trace/record.js";
import { GUEST, mark, memslot } from "../cli/traces.js";
import { expectEqual } from "./compare.js";
import { referenceReplay } from "./reference.js";
import { traceBytes } from "./traces.js";

const PAGES = 200_000;
const options: ReplayOptions = { strategies: STRATEGIES.slice(0, 1), machine: DEFAULT_MACHINE, check: false };

/** Writes all over a large VM; a phase begins after every so many. */
function scattered(writes: number, phase: number): TraceRecord[] {
	const records: TraceRecord[] = [memslot(PAGES)];
	for (let index = 0, gfn = 1; index < writes; index++) {
		gfn = (gfn * 69_069 + 12_345) % PAGES;
		records.push({ kind: "access", agent: GUEST, page: gfn, access: Access.guestWrite });
		if (index % phase === phase - 1) records.push(mark(Math.floor(index / phase), 0));
	}
	return records;
}

describe("a table that outgrows the caches", () => {
	it("is replayed as the model does, with phases that begin anywhere in a block", { timeout: 60_000 }, () => {
		const trace = openTrace(traceBytes(scattered(40_000, 997), false, { causesPerBlock: 4096 }));
		const result = replayTrace(trace, options);
		expectEqual(result, referenceReplay(trace, options));
		// Replayed again by the engine that is there.
		expectEqual(replayTrace(trace, options), result);
	});

	it("is told record by record", () => {
		const trace = openTrace(traceBytes(scattered(40_000, 9973), false, { causesPerBlock: 4096 }));
		const { strategies, events } = replayTrace(trace, options);
		const log = new EventLog(trace, options);
		let exits = 0;
		for (let sequence = 0; sequence < events; sequence++)
			log.tell(sequence, { exit: () => exits++, zap: () => undefined, growth: () => undefined });
		expect(log.finish()).toEqual(strategies.map(({ counters }) => counters));
		expect(exits).toBeGreaterThan(30_000);
	});
});
