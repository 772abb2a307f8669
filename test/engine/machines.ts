// Random machines, small and odd: what worlds are replayed on.
import fc from "fast-check";
import type { HugeEntries, Psc, PscLevels, Replacement, SimulatedMachine, TlbArray, TlbLevel } from "../../src/machine/machine.js";

const replacement: fc.Arbitrary<{ replacement?: Replacement }> = fc.constantFrom<{ replacement?: Replacement }[]>(
	{},
	{ replacement: "lru" },
	{ replacement: "tree-plru" },
);

/** Few entries, so that they are fought for; now and then more ways than any order of the engine's but the last. */
const array: fc.Arbitrary<TlbArray> = fc
	.tuple(
		fc.constantFrom(1, 2, 3, 5, 16),
		fc.oneof({ weight: 8, arbitrary: fc.integer({ min: 1, max: 6 }) }, fc.constantFrom(12, 16, 17, 24, 64)),
		replacement,
	)
	.map(([sets, ways, order]) => ({ entries: sets * ways, ways, ...order }));

const huge: fc.Arbitrary<HugeEntries | undefined> = fc.oneof(
	array,
	fc.constantFrom<(HugeEntries | undefined)[]>("shared", "pieces", "none", undefined),
);
const level: fc.Arbitrary<TlbLevel> = fc
	.tuple(array, huge)
	.map(([small, pages]) => (pages === undefined ? small : { ...small, huge: pages }));

const levels: fc.Arbitrary<PscLevels> = fc.record({
	level2: fc.nat(4),
	level3: fc.nat(2),
	level4: fc.nat(2),
	level5: fc.nat(1),
});
const psc: fc.Arbitrary<Psc> = fc.record({ used: fc.boolean(), linear: levels, nested: levels });

/** Fields that may be left out are, now and then. */
export const machines: fc.Arbitrary<SimulatedMachine> = fc
	.record({
		tlb: fc.record({ l1: level, l2: level }),
		guestLevels: fc.constantFrom<SimulatedMachine["guestLevels"][]>(0, 3, 4, 5),
		hostLevels: fc.constantFrom<SimulatedMachine["hostLevels"][]>(3, 4, 5),
	})
	.chain((machine) =>
		fc
			.record(
				{
					psc,
					guestPageSize: fc.constantFrom("host", "4k", "2m"),
					flush: fc.record({ guest: fc.constantFrom("all", "ranged"), hostPages: fc.constantFrom(1, 3, 33, 600) }),
				},
				{ requiredKeys: [] },
			)
			.map((more) => ({ ...machine, ...more })),
	);
