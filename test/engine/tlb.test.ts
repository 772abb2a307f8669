// The TLBs of the engine and of the reference model against an LRU that shares nothing with either: any number of sets and ways.
import fc from "fast-check";
import { expect, it } from "vitest";
import { counterIndex } from "../../src/counters.js";
import { replayTrace } from "../../src/engine/replay.js";
import { setsOf, type TlbLevel } from "../../src/machine/machine.js";
import { Tlb } from "../../src/model/tlb.js";
import { drop } from "../../src/strategies/drop.js";
import { Access } from "../../src/trace/kinds.js";
import { openTrace } from "../../src/trace/reader.js";
import type { Agent, TraceRecord } from "../../src/trace/record.js";
import { misses } from "../machine/lru.js";
import { traceBytes } from "./traces.js";

const level: fc.Arbitrary<TlbLevel> = fc
	.record({ sets: fc.oneof(fc.integer({ min: 1, max: 9 }), fc.constantFrom(16, 24, 128)), ways: fc.integer({ min: 1, max: 12 }) })
	.map(({ sets, ways }) => ({ entries: sets * ways, ways }));

/** Walks over a window that grows and jumps: hits in both levels, and misses of both. */
const walk = fc
	.array(fc.tuple(fc.nat(4000), fc.integer({ min: 1, max: 24 }), fc.integer({ min: 1, max: 60 })), { minLength: 1, maxLength: 12 })
	.map((runs) => runs.flatMap(([from, width, steps]) => Array.from({ length: steps }, (_, at) => from + ((at * 7) % width))));

const HIGH = 0x7_f000_0000;
const agents: Record<"guest" | "host", Agent> = {
	guest: { kind: 1, vm: 0, vcpu: 0, mm: 0, thread: 0 },
	host: { kind: 2, vm: 0, vcpu: 0, mm: 0, thread: 0 },
};
const setUp: TraceRecord[] = [
	{ kind: "operation", name: "memslot", agent: { ...agents.guest, kind: 4 }, page: HIGH, args: [0, 0, 0, 8192, 0] },
	{ kind: "operation", name: "populate", agent: { ...agents.guest, kind: 3 }, page: HIGH, args: [8192, 1] },
];

it("the model's TLB misses where an LRU does", () => {
	fc.assert(
		fc.property(level, level, walk, (l1, l2, pages) => {
			const tlb = new Tlb({ l1: { sets: setsOf(l1), ways: l1.ways }, l2: { sets: setsOf(l2), ways: l2.ways } });
			const found = { l1: 0, l2: 0 };
			for (const page of pages) {
				const { level } = tlb.lookup(0, page, false);
				if (level !== 1) found.l1++;
				if (level === 0) {
					found.l2++;
					tlb.fill(0, page, page, true);
				}
			}
			expect(found).toEqual(misses(l1, l2, pages));
		}),
		{ seed: 30, numRuns: 300 },
	);
});

it.each(["guest", "host"] as const)("the engine's TLB of a %s misses where an LRU does", (who) => {
	const access = who === "guest" ? Access.guestRead : Access.hostRead;
	const base = who === "guest" ? 0 : HIGH;
	const prefix = who === "guest" ? "tlb" : "hostTlb";
	fc.assert(
		fc.property(level, level, walk, (l1, l2, pages) => {
			const accesses = pages.map((page): TraceRecord => ({ kind: "access", access, agent: agents[who], page: base + page }));
			// Touched first in another order by another vCPU or thread, so that every walk afterwards ends well.
			const touched = [...new Set(pages)].map(
				(page): TraceRecord => ({ kind: "access", access, agent: { ...agents[who], vcpu: 1, thread: 1 }, page: base + page }),
			);
			const machine = { tlb: { l1, l2 }, guestLevels: 4, hostLevels: 4 } as const;
			const [warm, both] = [touched, [...touched, ...accesses]].map((records) => {
				const trace = openTrace(traceBytes([...setUp, ...records], false));
				const { counters } = replayTrace(trace, { strategies: [drop], machine, check: true }).strategies[0] ?? { counters: [] };
				return ["l1Miss", "l2Miss"].map((counter) => Number(counters[counterIndex(`${prefix}.${counter}`)]));
			});
			const [l1Miss = 0, l2Miss = 0] = both?.map((value, at) => value - (warm?.[at] ?? 0)) ?? [];
			expect({ l1: l1Miss, l2: l2Miss }).toEqual(misses(l1, l2, pages));
		}),
		{ seed: 31, numRuns: 200 },
	);
});
