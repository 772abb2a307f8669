// The gate's arithmetic on made-up times, where the truth is known: a slower build fails, the same one passes as often as is stated.
import { describe, expect, it } from "vitest";
import { canFail, FALSE_ALARMS, judge, moved, type Ratios } from "../../src/bench/gate.js";
import { chancesOfLarger, median, splitsOf, spread } from "../../src/bench/statistics.js";
import { Random } from "../../src/generate/random.js";

const FIGURES = ["p/engine", "h/engine", "z/engine", "m/engine", "h/replay", "z/replay"];

/** Times of so many rounds: noise of 4%, now and then a round that a neighbour disturbed. `slower`: of the true time. */
function times(random: Random, rounds: number, slower: number): Ratios {
	const uniform = (): number => random.below(2 ** 32) / 2 ** 32;
	const noise = (): number => 0.04 * (uniform() + uniform() + uniform() + uniform() - 2) + (uniform() < 0.05 ? 0.3 * uniform() : 0);
	return Object.fromEntries(FIGURES.map((figure) => [figure, Array.from({ length: rounds }, () => Math.log(slower) + noise())]));
}

const fails = (now: Ratios, before: Ratios): boolean => judge(now, before).some(({ failed }) => failed);

describe("the gate", () => {
	it("lets the same build pass, more often than its stated rate of false alarms", { timeout: 120_000 }, () => {
		const random = new Random(11);
		let alarms = 0;
		for (let run = 0; run < 60; run++) if (fails(times(random, 8, 1), times(random, 8, 1))) alarms++;
		expect(alarms / 60).toBeLessThanOrEqual(FALSE_ALARMS * 2);
	});

	it("stops a build that is slower by a tenth", { timeout: 120_000 }, () => {
		const random = new Random(12);
		for (let run = 0; run < 20; run++) expect(fails(times(random, 8, 1.1), times(random, 8, 1))).toBe(true);
	});

	it("stops one that is half as fast with as few rounds as it says can tell", { timeout: 120_000 }, () => {
		const random = new Random(14);
		const [five, four] = [5, 4].map((rounds) => [times(random, rounds, 2), times(random, rounds, 1)] as const);
		expect(five !== undefined && canFail(...five) && fails(...five)).toBe(true);
		expect(four !== undefined && canFail(...four)).toBe(false);
	});

	it("lets a faster build pass, and one that is slower by less than is tolerated", () => {
		const random = new Random(13);
		for (const slower of [0.8, 1.01]) expect(fails(times(random, 8, slower), times(random, 8, 1))).toBe(false);
	});

	it("names what it compared and by how much, and nothing where runs have nothing in common", () => {
		const [verdict] = judge({ a: [0.1, 0.1, 0.1] }, { a: [0, 0, 0], b: [1] });
		expect(verdict?.figure).toBe("a");
		expect(verdict?.change).toBeCloseTo(Math.exp(0.1));
		expect(judge({ a: [1] }, { b: [1] })).toEqual([]);
	});

	it("sees that an exact figure moved", () => {
		expect(moved({ p: "1", h: "2" }, { p: "1", h: "3", z: "4" })).toEqual(["h"]);
	});
});

describe("statistics", () => {
	it("median and spread", () => {
		expect(median([3, 1, 2])).toBe(2);
		expect(median([4, 1, 2, 3])).toBe(2.5);
		expect(spread([1, 1, 1])).toBe(0);
		expect(spread([0, 0, 0])).toBe(0);
	});

	it("the chance of a difference that is there is small, and of one that is not is anything", () => {
		const [there = 1, not = 0] = chancesOfLarger(
			[
				[2, 2.1, 2.2, 2.3, 2.4, 2.5],
				[1, 2, 3, 1, 2, 3],
			],
			[
				[1, 1.1, 1.2, 1.3, 1.4, 1.5],
				[1, 2, 3, 3, 2, 1],
			],
		);
		expect(there).toBeLessThan(0.005);
		expect(not).toBeGreaterThan(0.3);
	});

	it("ways to split", () => {
		expect([splitsOf(1, 1), splitsOf(5, 5), splitsOf(3, 8)]).toEqual([2, 252, 165]);
	});
});
