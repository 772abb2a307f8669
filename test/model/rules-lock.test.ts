// What is seen within the page-table lock, where a trace cuts a commit behind its set-pte (kernel.md 2.2, 5 (a), (g)).
import { describe, expect, it } from "vitest";
import { OpFlag, Point } from "../../src/trace/kinds.js";
import type { TraceRecord } from "../../src/trace/record.js";
import {
	ALL,
	each,
	filled,
	hostRead,
	hostWrite,
	merge,
	modelAfter,
	onPage,
	op,
	promote,
	read,
	replayed,
	SLOT_PAGE,
	slot,
} from "./scenario.js";

const cow = (point: Point): TraceRecord => op("cow", 0, [point, 3, 0]);
/** A KSM page that the guest reads, and a copy of it that has its new PTE but has told nobody. */
const upToSet = [slot(), filled(), ...merge(0, 7), read(), cow(Point.begin), cow(Point.set)];
const EARLY = ["legacy-2.6.32", "legacy-3.6"];
/** How often I-2 is broken: a translation to a page that is not the host's. */
const stale = (strategy: string, records: readonly TraceRecord[]): number =>
	modelAfter(strategy, records).world.violations.filter(({ rule }) => rule === "I-2").length;

describe("a commit in two parts", () => {
	it("5 (g) given set_pte before change_pte, when a thread stores to the new page in between, then the guest reads the old one: I-2", () => {
		const records = [...upToSet, hostWrite(), read(), cow(Point.commit), cow(Point.end), read()];
		expect(EARLY.map((strategy) => stale(strategy, records))).toEqual([1, 0]);
		expect(each(ALL, records, "coherence.violations")).toEqual(ALL.map(() => 0));
	});

	it("2.2 given no store in between, then the guest's read is of the same content", () => {
		expect(stale("legacy-2.6.32", [...upToSet, read(), cow(Point.commit), cow(Point.end), read()])).toBe(0);
	});

	it("2.2 given the new PTE, then the primary TLB is flushed; change_pte comes with the rest, once", () => {
		const rest = [cow(Point.commit), cow(Point.end)];
		const path = ["notifier.changePte", "flush.primaryTlb", "cowCopies.ksm"];
		const counts = (records: readonly TraceRecord[]): number[] => path.map((one) => replayed("legacy-2.6.32", records)(one));
		const before = counts(upToSet.slice(0, -1));
		const grown = (records: readonly TraceRecord[]): number[] => counts(records).map((count, at) => count - (before[at] ?? 0));
		expect(grown(upToSet)).toEqual([0, 1, 1]);
		expect(grown([...upToSet, ...rest])).toEqual([1, 1, 1]);
		expect(grown([...upToSet, cow(Point.set), ...rest])).toEqual([1, 1, 1]);
		// Whoever comes to the end has let go of the lock.
		expect(grown([...upToSet, cow(Point.end)])).toEqual([1, 1, 1]);
	});

	it("3.4 given change_pte before set_pte, then all of it is in the first part", () => {
		const told = (records: readonly TraceRecord[]): number => replayed("legacy-3.6", records)("notifier.changePteEffective");
		expect(told(upToSet)).toBe(told(upToSet.slice(0, -1)) + 1);
		expect(told([...upToSet, cow(Point.commit)])).toBe(told(upToSet));
	});

	it("a commit in two parts with nobody between them counts what one piece does", () => {
		const others = [read(), hostRead(), hostWrite()];
		const [whole, parts] = [[cow(Point.commit)], [cow(Point.set), cow(Point.commit)]].map((commit) => [
			...upToSet.slice(0, -1),
			...commit,
			...others,
			cow(Point.end),
			...others,
		]);
		for (const strategy of [...ALL, ...EARLY, "range-after-unlock", "establish-naive"])
			expect(modelAfter(strategy, parts ?? []).world.counters).toEqual(modelAfter(strategy, whole ?? []).world.counters);
	});

	it("I-18 given the new page unmapped in between, then it is not freed before change_pte has been told of it", () => {
		const { world } = modelAfter("legacy-2.6.32", upToSet);
		const fresh = world.mm(0).get(SLOT_PAGE)?.frame.id ?? -1;
		const zap = op("zap", 0, [Point.whole, 0, 1, 1]);
		const freed = (records: readonly TraceRecord[]): boolean => modelAfter("legacy-2.6.32", records).world.frames.get(fresh).freed;
		expect(freed([...upToSet, zap])).toBe(false);
		expect(freed([...upToSet, zap, cow(Point.commit)])).toBe(true);
	});

	it("1.4 given a write-protect that gives up, then nothing of it is left for the rest", () => {
		const protect = (point: Point): TraceRecord => op("ksmWriteProtect", 0, [point, 3, OpFlag.failed]);
		const records = [slot(), filled(), read(), protect(Point.begin), protect(Point.set), protect(Point.commit), protect(Point.end)];
		expect(replayed("legacy-2.6.32", records)("notifier.changePte")).toBe(0);
		expect(modelAfter("legacy-2.6.32", records).world.mm(0).get(SLOT_PAGE)?.writable).toBe(true);
		expect(replayed("legacy-2.6.32", [...records, ...promote(), onPage("cow")])("notifier.changePte")).toBeGreaterThan(0);
	});
});
