// Rules of TLBs, walks and flushes as numbered scenarios, by engine and model alike. The number is kernel.md's section.
import { describe, expect, it } from "vitest";
import { counterIndex } from "../../src/counters.js";
import { replayTrace } from "../../src/engine/replay.js";
import type { SimulatedMachine } from "../../src/machine/machine.js";
import { findStrategy } from "../../src/strategies/index.js";
import { Access, AgentKind, Point } from "../../src/trace/kinds.js";
import { openTrace } from "../../src/trace/reader.js";
import type { Agent, TraceRecord } from "../../src/trace/record.js";
import { expectEqual } from "../engine/compare.js";
import { referenceReplay } from "../engine/reference.js";
import { traceBytes } from "../engine/traces.js";

const guest: Agent = { kind: AgentKind.guest, vm: 0, vcpu: 0, mm: 0, thread: 0 };
const host: Agent = { ...guest, kind: AgentKind.host, thread: 1 };
const mm: Agent = { ...guest, kind: AgentKind.mm };
const vm: Agent = { ...guest, kind: AgentKind.vm };
const PAGES = 2048;
/** hva pages lie as the gfns do, so that huge pages can be mapped. */
const BASE = 1 << 20;

type Name = Extract<TraceRecord, { kind: "operation" }>["name"];
const op = (name: Name, agent: Agent, page: number, ...args: number[]): TraceRecord => ({ kind: "operation", name, agent, page, args });
const slot = op("memslot", vm, BASE, 0, 0, 0, PAGES, 0);
/** Private pages, writable: small ones, or huge ones. */
const small = op("populate", mm, BASE, PAGES, 1);
const huge = op("populate", mm, BASE, PAGES, 3);
const read = (gfn: number): TraceRecord => ({ kind: "access", access: Access.guestRead, agent: guest, page: gfn });
const write = (gfn: number): TraceRecord => ({ kind: "access", access: Access.guestWrite, agent: guest, page: gfn });
const hostRead = (page: number): TraceRecord => ({ kind: "access", access: Access.hostRead, agent: host, page: BASE + page });
const hostWrite = (page: number): TraceRecord => ({ kind: "access", access: Access.hostWrite, agent: host, page: BASE + page });
const zap = (page: number, pages: number): TraceRecord => op("zap", mm, BASE + page, Point.whole, 0, pages, 0);
const writeProtect = (page: number): TraceRecord => op("ksmWriteProtect", mm, BASE + page, Point.whole, 0, 0);

const ARRAYS = { l1: { entries: 8, ways: 4 }, l2: { entries: 32, ways: 8 } };
const OWN = { entries: 4, ways: 4 };
const PLAIN: SimulatedMachine = { tlb: ARRAYS, guestLevels: 4, hostLevels: 4 };
const HUGE: SimulatedMachine = { ...PLAIN, tlb: { l1: { ...ARRAYS.l1, huge: OWN }, l2: { ...ARRAYS.l2, huge: "shared" } } };
/** Keys of the page and of four tables of the guest fit a level. */
const SIZES = { level2: 8, level3: 2, level4: 1, level5: 1 };
const CACHED: SimulatedMachine = { ...PLAIN, psc: { used: true, linear: SIZES, nested: SIZES } };

/** What counters grew by from `before`'s end on. */
function grown(machine: SimulatedMachine, before: readonly TraceRecord[], records: readonly TraceRecord[], strategy = "drop") {
	const found = findStrategy(strategy);
	if (found === undefined) throw new Error(strategy);
	const options = { strategies: [found], machine, check: true };
	const [first, both] = [before, [...before, ...records]].map((list) => {
		const bytes = traceBytes(list, false);
		const result = replayTrace(openTrace(bytes), options);
		expectEqual(result, referenceReplay(openTrace(bytes), options));
		return result.strategies[0]?.counters;
	});
	return (...paths: string[]): number[] =>
		paths.map((path) => Number((both?.[counterIndex(path)] ?? 0n) - (first?.[counterIndex(path)] ?? 0n)));
}

const touched = (records: readonly TraceRecord[], ...gfns: number[]): TraceRecord[] => [slot, ...records, ...gfns.map(read)];

describe("kernel.md 8: a walk's memory references", () => {
	it.each([
		[4, 4, 24],
		[5, 5, 35],
		[4, 5, 29],
		[3, 3, 15],
		[0, 4, 4],
		[0, 5, 5],
	] as const)(
		"8.1 given %i levels in the guest and %i in the host, when a 4 KiB page is walked to, then %i",
		(guestLevels, hostLevels, references) => {
			const counters = grown({ ...PLAIN, guestLevels, hostLevels }, touched([small], 0), [zap(1, 1), read(0)]);
			expect(counters("walk.count", "walk.memoryReferences")).toEqual([0, 0]);
			const again = grown({ ...PLAIN, guestLevels, hostLevels }, touched([small], 0, 1), [zap(1, 1), read(0)]);
			expect(again("walk.count", "walk.memoryReferences")).toEqual([1, references]);
		},
	);

	it.each([
		["host", 15],
		["4k", 19],
		["2m", 15],
	] as const)(
		"8.2 given a 2 MiB leaf and a guest with pages of %s, when it is walked to, then each 2 MiB leaf saves a level: %i",
		(guestPageSize, references) => {
			// Another page of the leaf, after a flush for a page of another leaf.
			const counters = grown({ ...HUGE, guestPageSize }, touched([huge], 0, 600), [zap(600, 1), read(1)]);
			expect(counters("vmexits", "walk.count", "walk.memoryReferences")).toEqual([0, 1, references]);
		},
	);

	it("8.3 given a guest that maps 2 MiB over 4 KiB leaves, then only its own dimension is shorter", () => {
		const counters = grown({ ...HUGE, guestPageSize: "2m" }, touched([small], 0, 600), [zap(600, 1), read(0)]);
		expect(counters("walk.memoryReferences")).toEqual([19]);
	});

	it("8.4 given walk caches, when a page is walked to that was pushed out of the TLB, then one reference a dimension is left", () => {
		const counters = grown(CACHED, touched([small], 0, ...Array.from({ length: 40 }, (_, at) => at * 2)), [read(0)]);
		expect(counters("vmexits", "walk.count", "walk.memoryReferences", "walk.pscHits")).toEqual([0, 1, 2, 2]);
	});

	it("8.4 given walk caches, when an access exits, then what they have of its page is gone", () => {
		// 1 + 1 up to the exit. Then a reference to each of the guest's four tables, which were found by one each; and four to the page.
		const counters = grown(CACHED, touched([small], 0, 1), [read(2)]);
		expect(counters("vmexits", "walk.count", "walk.memoryReferences")).toEqual([1, 2, 2 + 4 * 2 + 4]);
	});

	it("8.5 given a host thread, when it walks its own table, then 4 references, 3 for a huge PMD", () => {
		expect(grown(PLAIN, [slot, small], [hostRead(0), hostRead(0)])("hostWalk.count", "hostWalk.memoryReferences")).toEqual([1, 4]);
		expect(grown(PLAIN, [slot, huge], [hostRead(0)])("hostWalk.memoryReferences")).toEqual([3]);
		expect(grown(CACHED, [slot, small, hostRead(0)], [hostRead(1)])("hostWalk.memoryReferences", "hostWalk.pscHits")).toEqual([1, 1]);
	});
});

describe("kernel.md 3.6: pages of 2 MiB in TLBs", () => {
	it("3.6.1 given a 2 MiB leaf, when its pages are read, then one entry serves them all", () => {
		const counters = grown(HUGE, touched([huge], 0), [read(1), read(511), write(200)]);
		expect(counters("tlb.l1Hit", "walk.count")).toEqual([3, 0]);
	});

	it("3.6.2 given a guest with 4 KiB pages, or a TLB without 2 MiB entries, then each page has its own", () => {
		for (const machine of [PLAIN, { ...HUGE, guestPageSize: "4k" }] as const) {
			const counters = grown(machine, touched([huge], 0), [read(1), read(511)]);
			expect(counters("vmexits", "tlb.l2Miss")).toEqual([0, 2]);
		}
	});

	it("3.6.3 given a first level without 2 MiB entries, then the second serves the pages, and holds them in one", () => {
		const tlb = { l1: { ...ARRAYS.l1, huge: "none" }, l2: { ...ARRAYS.l2, huge: OWN } } as const;
		const counters = grown({ ...PLAIN, tlb }, touched([huge], 0), [read(1), read(1)]);
		expect(counters("tlb.l1Hit", "tlb.l2Hit")).toEqual([0, 2]);
	});

	it("3.6.4 given an array that both sizes share, when 2 MiB pages come, then they push 4 KiB ones out", () => {
		const tlb = { l1: { entries: 1, ways: 1, huge: "shared" }, l2: { entries: 2, ways: 2, huge: "shared" } } as const;
		const halves = [op("populate", mm, BASE, 512, 3), op("populate", mm, BASE + 512, 512, 3), op("populate", mm, BASE + 1024, 512, 1)];
		const counters = grown({ ...PLAIN, tlb }, touched(halves, 1024, 0, 512), [read(1024)]);
		expect(counters("vmexits", "tlb.l2Miss")).toEqual([0, 1]);
		const twoMiB = grown({ ...PLAIN, tlb }, touched(halves, 1024, 0, 512), [read(0)]);
		expect(twoMiB("tlb.l2Hit")).toEqual([1]);
	});

	it("1.15 given a huge page whose PMD is split, then its 2 MiB entry is gone with the leaf", () => {
		const counters = grown(HUGE, touched([huge], 0, 1), [writeProtect(5), read(1)]);
		expect(counters("vmexits", "flush.guestTlb")).toEqual([1, 1]);
	});

	it("1.15 given a huge PMD, when a host thread touches its pages, then one entry serves them", () => {
		expect(grown(HUGE, [slot, huge, hostWrite(0)], [hostWrite(511), hostRead(7)])("hostTlb.l1Hit")).toEqual([2]);
	});
});

describe("kernel.md 3.8: what flushes drop", () => {
	const RANGED: SimulatedMachine = { ...HUGE, flush: { guest: "ranged", hostPages: 33 } };

	it("3.8.1 given a whole-VM flush, when one page is zapped, then every page is walked to again", () => {
		const counters = grown(HUGE, touched([small], 0, 1, 2), [zap(1, 1), read(0), read(2)]);
		expect(counters("flush.guestTlb", "tlb.flushed", "walk.count")).toEqual([1, 6, 2]);
	});

	it("3.8.2 given a ranged flush, then only the zapped page is, and there are as many flushes", () => {
		const counters = grown(RANGED, touched([small], 0, 1, 2), [zap(1, 1), read(0), read(2)]);
		expect(counters("flush.guestTlb", "tlb.flushed", "walk.count")).toEqual([1, 2, 0]);
	});

	it("3.2 given a 2 MiB leaf that a zapped page lies in, then a ranged flush takes all of it", () => {
		const counters = grown({ ...RANGED, guestPageSize: "4k" }, touched([huge], 0, 7, 600), [zap(3, 1), read(600), read(7)]);
		expect(counters("flush.guestTlb", "vmexits", "tlb.l1Hit")).toEqual([1, 1, 1]);
	});

	it("1.12 given 33 pages and a ceiling of 33, then the host's flush leaves the other pages, and with 34 it does not", () => {
		const machine: SimulatedMachine = { ...PLAIN, flush: { guest: "all", hostPages: 33 } };
		const before = [slot, small, hostRead(0), hostRead(100)];
		expect(grown(machine, before, [zap(0, 33), hostRead(100)])("hostTlb.flushed", "hostTlb.l1Hit")).toEqual([2, 1]);
		expect(grown(machine, before, [zap(0, 34), hostRead(100)])("hostTlb.flushed", "hostTlb.l1Hit")).toEqual([4, 0]);
	});

	it("3.8.3 given walk caches, when the VM is flushed, then the next walk goes all the way", () => {
		const counters = grown(CACHED, touched([small], 0, 1), [zap(1, 1), read(0)]);
		expect(counters("walk.memoryReferences", "walk.pscHits")).toEqual([24, 0]);
	});
});

describe("who leaves a full set", () => {
	const one = (ways: number, replacement: "lru" | "tree-plru"): SimulatedMachine => ({
		...PLAIN,
		tlb: { l1: { entries: ways, ways, replacement }, l2: { entries: 1, ways: 1 } },
	});
	// Four pages, then the first again: LRU forgets the second. The tree points away from 0 to the right half, and there to the way before 3.
	const before = touched([small], 0, 1, 2, 3, 0, 4);

	it("LRU: the one whose use is the longest ago", () => {
		expect(grown(one(4, "lru"), before, [read(0), read(2), read(3), read(4)])("tlb.l1Hit")).toEqual([4]);
	});

	it("tree-PLRU: the one that the bits point at", () => {
		expect(grown(one(4, "tree-plru"), before, [read(0), read(1), read(3), read(4)])("tlb.l1Hit")).toEqual([4]);
	});

	it("tree-PLRU of three ways: two on the left, one on the right", () => {
		// After 0, 1, 2 the root points left, and there at 0.
		expect(grown(one(3, "tree-plru"), touched([small], 0, 1, 2, 3), [read(1), read(2), read(3)])("tlb.l1Hit")).toEqual([3]);
		// 0 again: the root points right, at 2.
		expect(grown(one(3, "tree-plru"), touched([small], 0, 1, 2, 0, 3), [read(0), read(1), read(3)])("tlb.l1Hit")).toEqual([3]);
	});
});
