import { describe, expect, it } from "vitest";
import { DEFAULT_COSTS, parseCosts } from "../../src/machine/costs.js";
import { DEFAULT_MACHINE, MACHINES, parseMachine, setsOf } from "../../src/machine/machine.js";

const json = (change: object): string => JSON.stringify({ ...DEFAULT_MACHINE, ...change });

describe("a machine", () => {
	it("printed is a machine read", () => {
		for (const machine of MACHINES)
			expect(parseMachine(JSON.stringify({ schema: "mmreplay/machines/1", ...machine }), "x")).toEqual(machine);
	});

	it("has whole sets", () => {
		expect(setsOf(DEFAULT_MACHINE.tlb.l1)).toBe(16);
		expect(setsOf(DEFAULT_MACHINE.tlb.l2)).toBe(128);
	});

	it.each([
		["[]", "the document: must be an object"],
		["{", "not JSON"],
		[json({ name: "" }), "name: is empty"],
		[json({ hz: "fast" }), "hz: must be a number"],
		[json({ guestLevels: 3 }), "guestLevels: must be a number from 4 to 5"],
		[json({ tlb: { ...DEFAULT_MACHINE.tlb, l2: { entries: 1536, ways: 10 } } }), "tlb.l2.ways: 10 ways do not divide 1536 entries"],
		[json({ tlb: { l1: { entries: 0, ways: 1 }, l2: DEFAULT_MACHINE.tlb.l2 } }), "tlb.l1.entries: must be a number from 1"],
		[json({ tlb: { l1: DEFAULT_MACHINE.tlb.l1 } }), "tlb.l2: is missing"],
		[json({ tlbs: 1 }), "tlbs: there is no such field"],
	])("%s is refused", (text, reason) => {
		expect(() => parseMachine(text, "m.json")).toThrow(reason);
	});
});

describe("costs", () => {
	it("printed are costs read", () => {
		expect(parseCosts(JSON.stringify(DEFAULT_COSTS), "x")).toEqual(DEFAULT_COSTS);
	});

	it("that a user gives are no estimates unless he says so", () => {
		const { items } = parseCosts('{"items":{"vmexit":5200,"hostFault":{"cycles":2000,"source":"perf","estimate":true}}}', "mine.json");
		expect(items.vmexit).toMatchObject({ cycles: 5200, estimate: false, source: "mine.json" });
		expect(items.hostFault).toMatchObject({ cycles: 2000, estimate: true, source: "perf" });
		expect(items.cowCopy).toEqual(DEFAULT_COSTS.items.cowCopy);
	});

	it.each([
		['{"items":{"exit":1}}', "items.exit: there is no such field"],
		['{"items":{"vmexit":-1}}', "items.vmexit: must be a number"],
		['{"items":{"vmexit":{"cycle":1}}}', "items.vmexit.cycles: is missing"],
		['{"vmexit":1}', "items: is missing"],
	])("%s is refused", (text, reason) => {
		expect(() => parseCosts(text, "c.json")).toThrow(reason);
	});
});
