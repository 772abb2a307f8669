// The histograms of zap-to-refault distances (model.md section 5): guest accesses, and nanoseconds, from a zap to the first exit that misses it.
import { describe, expect, it } from "vitest";
import { counterIndex, REFAULT_BUCKETS, REFAULT_NS_BUCKETS } from "../../src/counters.js";
import { replayTrace } from "../../src/engine/replay.js";
import { DEFAULT_MACHINE } from "../../src/machine/machine.js";
import { findStrategy } from "../../src/strategies/index.js";
import { openTrace } from "../../src/trace/reader.js";
import type { TraceRecord } from "../../src/trace/record.js";
import { MM, memslot, read } from "../cli/traces.js";
import { expectEqual } from "./compare.js";
import { referenceReplay } from "./reference.js";
import { traceBytes } from "./traces.js";

/** madvise(MADV_DONTNEED) on the page behind a gfn: memslot() begins at page 256. */
const zap = (gfn: number): TraceRecord => ({ kind: "operation", name: "zap", agent: MM, page: 256 + gfn, args: [0, 0, 1, 0] });

/** Buckets that are not empty. */
function histogram(records: readonly TraceRecord[], path = "refaultAccesses", buckets = REFAULT_BUCKETS): Record<string, number> {
	const drop = findStrategy("drop");
	if (drop === undefined) throw new Error("no drop");
	const trace = openTrace(traceBytes(records, false));
	const options = { strategies: [drop], machine: DEFAULT_MACHINE, check: true };
	const result = replayTrace(trace, options);
	expectEqual(result, referenceReplay(trace, options));
	const counters = result.strategies[0]?.counters ?? new BigUint64Array(0);
	return Object.fromEntries(
		buckets.map((from) => [from, Number(counters[counterIndex(`${path}.${from}`)])] as const).filter(([, count]) => count > 0),
	);
}

const others = (count: number): TraceRecord[] => Array.from({ length: count }, (_, at) => read(10 + (at % 3)));

describe("model.md 5: from a zap to the refault", () => {
	it("1: given a zapped page, when its guest reads it next, then the distance is one access", () => {
		expect(histogram([memslot(64), read(1), zap(1), read(1)])).toEqual({ 1: 1 });
	});

	it.each([
		[2, 2],
		[3, 4],
		[6, 4],
		[7, 8],
		[1022, 512],
		[1023, 1024],
	])("2: given a zapped page, when %i accesses go elsewhere first, then the bucket begins at %i", (count, from) => {
		expect(histogram([memslot(64), read(1), zap(1), ...others(count), read(1)])).toEqual({ [from]: 1 });
	});

	it("3: given a page that was never touched or never missed, then nothing is counted", () => {
		expect(histogram([memslot(64), zap(1), read(1), zap(2), ...others(5)])).toEqual({});
	});

	it("4: given a page that is zapped twice, then each exit has the distance from its own zap", () => {
		expect(histogram([memslot(64), read(1), zap(1), ...others(9), read(1), read(1), zap(1), read(1)])).toEqual({ 1: 1, 8: 1 });
	});
});

describe("model.md 5: from a zap to the refault, in ns", () => {
	const timed = (records: readonly (readonly [ns: number | undefined, record: TraceRecord])[]): TraceRecord[] =>
		records.map(([ns, record]) => (ns === undefined ? record : { ...record, ns }));
	const ns = (...records: Parameters<typeof timed>[0]): Record<string, number> =>
		histogram(timed(records), "refaultNs", REFAULT_NS_BUCKETS);

	it.each([
		[0, 0],
		[1, 1],
		[1023, 512],
		[1024, 1024],
		[2 ** 41, 2 ** 40],
	])("1: given a zapped page, when its guest misses it %i ns later, then the bucket begins at %i", (later, from) => {
		expect(ns([5, memslot(64)], [5, read(1)], [9, zap(1)], [9 + later, read(1)])).toEqual({ [from]: 1 });
	});

	it("2: given accesses that hit in between, then their times count too", () => {
		expect(ns([0, memslot(64)], [1, read(1)], [2, read(2)], [10, zap(1)], [11, read(2)], [500, read(2)], [1010, read(1)])).toEqual({
			512: 1,
		});
	});

	it("3: given sources whose clocks run a little apart, when the exit is timed before its zap, then the distance is 0", () => {
		expect(ns([0, memslot(64)], [1, read(1)], [50, zap(1)], [40, read(1)])).toEqual({ 0: 1 });
	});

	it("4: given no times at the zap, or at the exit, then nothing is counted", () => {
		expect(ns([undefined, memslot(64)], [undefined, read(1)], [undefined, zap(1)], [7, read(1)])).toEqual({});
		expect(ns([1, memslot(64)], [1, read(1)], [1, zap(1)], [undefined, read(1)])).toEqual({});
	});

	it("5: given a zap without a time behind one with, then the first one's time is not its own", () => {
		const first = [
			[1, memslot(64)],
			[1, read(1)],
			[2, zap(1)],
			[3, read(1)],
		] as const;
		expect(ns(...first, [undefined, zap(1)], [100, read(1)])).toEqual({ 1: 1 });
	});
});
