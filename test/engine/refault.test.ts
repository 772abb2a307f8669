// The histogram of zap-to-refault distances (model.md section 5): guest accesses from a zap to the first exit that misses it.
import { describe, expect, it } from "vitest";
import { counterIndex, REFAULT_BUCKETS } from "../../src/counters.js";
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
function histogram(records: readonly TraceRecord[]): Record<string, number> {
	const drop = findStrategy("drop");
	if (drop === undefined) throw new Error("no drop");
	const trace = openTrace(traceBytes(records, false));
	const options = { strategies: [drop], machine: DEFAULT_MACHINE, check: true };
	const result = replayTrace(trace, options);
	expectEqual(result, referenceReplay(trace, options));
	const counters = result.strategies[0]?.counters ?? new BigUint64Array(0);
	return Object.fromEntries(
		REFAULT_BUCKETS.map((from) => [from, Number(counters[counterIndex(`refaultAccesses.${from}`)])] as const).filter(
			([, count]) => count > 0,
		),
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
