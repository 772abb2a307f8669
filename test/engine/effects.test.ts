// What model.md section 5 counts beside the totals: flushes that took something, by call site, and chains of retries.
import { describe, expect, it } from "vitest";
import { counterIndex, RETRY_CHAINS } from "../../src/counters.js";
import { replayTrace } from "../../src/engine/replay.js";
import { DEFAULT_MACHINE, type SimulatedMachine } from "../../src/machine/machine.js";
import { chainRows, longestChain } from "../../src/report/retries.js";
import { findStrategy } from "../../src/strategies/index.js";
import { Access, FaultFlag, Point } from "../../src/trace/kinds.js";
import { openTrace } from "../../src/trace/reader.js";
import type { TraceRecord } from "../../src/trace/record.js";
import { GUEST, MM, memslot, read } from "../cli/traces.js";
import { expectEqual } from "./compare.js";
import { referenceReplay } from "./reference.js";
import { traceBytes } from "./traces.js";

type Name = Extract<TraceRecord, { kind: "operation" }>["name"];
const op = (name: Name, page: number, ...args: number[]): TraceRecord => ({ kind: "operation", name, agent: MM, page: 256 + page, args });
const zap = (page: number, pages = 1): TraceRecord => op("zap", page, Point.whole, 0, pages, 0);
const filled = op("populate", 0, 8, 1);
const bracket = (point: Point, page: number): TraceRecord => op("invalidate", page, point, 1, 1, 1);
const fault = (gfn: number, point: Point = Point.whole, vcpu = 0): TraceRecord => ({
	kind: "operation",
	name: "fault",
	agent: { ...GUEST, vcpu },
	page: gfn,
	args: [point, Access.guestRead, FaultFlag.deriveCopy],
});

/** The counters under a strategy, the same by the engine and the model. */
function replayed(records: readonly TraceRecord[], strategy = "drop", machine: SimulatedMachine = DEFAULT_MACHINE): BigUint64Array {
	const found = findStrategy(strategy);
	if (found === undefined) throw new Error(strategy);
	const strategies = [found];
	const trace = openTrace(traceBytes(records, false));
	const options = { strategies, machine, check: true };
	const result = replayTrace(trace, options);
	expectEqual(result, referenceReplay(trace, options));
	return result.strategies[0]?.counters ?? new BigUint64Array(0);
}

function some(counters: BigUint64Array, ...paths: string[]): number[] {
	return paths.map((path) => Number(counters[counterIndex(path)]));
}

describe("model.md 5: flushes with and without an effect", () => {
	const FLUSHES = ["flush.guestTlb", "flush.guestTlbEffective", "bySite.zap.flushes", "bySite.zap.flushesEffective"] as const;

	it("1: given a page in a vCPU's TLB, when it is zapped, then the flush takes it", () => {
		expect(some(replayed([memslot(64), filled, read(1), zap(1)]), ...FLUSHES)).toEqual([1, 1, 1, 1]);
	});

	it("2: given TLBs that the flush before has emptied, when another mapped page is zapped, then its flush takes nothing", () => {
		expect(some(replayed([memslot(64), filled, read(1), read(2), zap(1), zap(2)]), ...FLUSHES)).toEqual([2, 1, 2, 1]);
	});

	it("3: given a host that flushes by range, when pages are zapped one by one, then each flush takes its own", () => {
		const ranged: SimulatedMachine = { ...DEFAULT_MACHINE, flush: { guest: "ranged", hostPages: 1 } };
		expect(some(replayed([memslot(64), filled, read(1), read(2), zap(1), zap(2)], "drop", ranged), ...FLUSHES)).toEqual([2, 2, 2, 2]);
	});

	it("4: given SPTEs that only faults without an access log have made, then no TLB is known to have anything", () => {
		expect(some(replayed([memslot(64), filled, fault(1), zap(1)]), ...FLUSHES)).toEqual([1, 0, 1, 0]);
	});

	it("5: given a flush that is deferred, then what it will take counts at the request", () => {
		const merge = op("ksmWriteProtect", 1, Point.whole, 0, 0);
		const SITE = ["bySite.ksmWriteProtect.flushes", "bySite.ksmWriteProtect.flushesEffective"] as const;
		expect(some(replayed([memslot(64), filled, read(1), merge], "fix:deferFlush=true"), ...SITE)).toEqual([1, 1]);
		expect(some(replayed([memslot(64), filled, fault(1), merge], "fix:deferFlush=true"), ...SITE)).toEqual([1, 0]);
	});
});

describe("model.md 5: the longest chain of retries", () => {
	/** Attempts on gfn 1 inside a bracket over its page, then the bracket's end. */
	const spun = (attempts: readonly TraceRecord[]): TraceRecord[] => [
		memslot(64),
		filled,
		bracket(Point.begin, 1),
		...attempts,
		bracket(Point.commit, 1),
		bracket(Point.end, 1),
		fault(1),
	];
	const reached = (counters: BigUint64Array): number[] => {
		const counts = RETRY_CHAINS.map((length) => some(counters, `retriesInARow.${length}`)[0] ?? 0);
		return counts.slice(0, counts.findLastIndex((count) => count > 0) + 1);
	};

	it("1: given no bracket, then there is no chain", () => {
		const counters = replayed([memslot(64), filled, fault(1)]);
		expect([reached(counters), longestChain(counters), chainRows([counters])]).toEqual([[], null, []]);
	});

	it("2: given three attempts that are stale one after the other, then the chain is three long, and ends with the one that is not", () => {
		const counters = replayed(spun([fault(1), fault(1), fault(1)]));
		expect(some(counters, "vmexits", "vmexitsRetried")).toEqual([4, 3]);
		expect(reached(counters)).toEqual([1, 1, 1]);
		expect(longestChain(counters)).toEqual({ atLeast: 3, atMost: 3 });
		expect(chainRows([counters])).toEqual([
			["1", "0"],
			["2", "0"],
			["3", "1"],
		]);
	});

	it("3: given attempts elsewhere in between, then each run of attempts on the page is a chain", () => {
		expect(reached(replayed(spun([fault(1), fault(2), fault(1), fault(1)])))).toEqual([2, 1]);
	});

	it("4: given another vCPU on the same page, then it has a chain of its own", () => {
		expect(reached(replayed(spun([fault(1), fault(1, Point.whole, 1), fault(1)])))).toEqual([2, 1]);
	});

	it("5: given forty attempts, then the longest chain is told by powers of two", () => {
		const counters = replayed(spun(Array.from({ length: 40 }, () => fault(1))));
		expect(longestChain(counters)).toEqual({ atLeast: 32, atMost: 63 });
		expect(chainRows([counters]).at(-1)).toEqual(["32 to 63", "1"]);
		expect(reached(counters)).toEqual(Array.from({ length: 17 }, () => 1));
	});

	it("6 and 3.3: given a copy by the fault itself, then its chain is one long, and none where the fault knows its own copy", () => {
		const write: TraceRecord = { kind: "access", agent: GUEST, page: 1, access: Access.guestWrite };
		const records = [memslot(64), read(1), write];
		expect(reached(replayed(records))).toEqual([1]);
		expect(reached(replayed(records, "drop:ownCowAware=true"))).toEqual([]);
	});
});
