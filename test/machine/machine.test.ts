import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { DEFAULT_COSTS, parseCosts } from "../../src/machine/costs.js";
import { DEFAULT_MACHINE, findMachine, MACHINES, parseMachine, setsOf } from "../../src/machine/machine.js";

interface Schema {
	readonly required: readonly string[];
	readonly properties: Readonly<Record<string, unknown>>;
	readonly $defs: {
		readonly entries: { readonly maximum: number };
		readonly ways: { readonly maximum: number };
		readonly replacement: { readonly enum: readonly string[] };
		readonly level: { readonly properties: { readonly huge: { readonly anyOf: readonly { readonly enum?: readonly string[] }[] } } };
	};
}

const json = (change: object): string => JSON.stringify({ ...DEFAULT_MACHINE, ...change });

const l1 = (change: object): string => json({ tlb: { ...DEFAULT_MACHINE.tlb, l1: { entries: 64, ways: 4, ...change } } });

/** A file from before 2 MiB entries, walk caches and flushes. */
const OLD = {
	name: "old",
	title: "",
	source: [],
	hz: 2e9,
	tlb: { l1: { entries: 64, ways: 4 }, l2: { entries: 1536, ways: 12 } },
	guestLevels: 4,
	hostLevels: 4,
};

describe("a machine", () => {
	it("from an old file is what it was", () => {
		expect(parseMachine(JSON.stringify(OLD), "x")).toEqual(OLD);
	});

	it("has the fields of its schema, and no others", () => {
		const schema = JSON.parse(readFileSync(new URL("../../docs/machine.schema.json", import.meta.url), "utf8")) as Schema;
		for (const machine of MACHINES) expect(Object.keys(schema.properties)).toEqual(expect.arrayContaining(Object.keys(machine)));
		for (const field of Object.keys(schema.properties)) {
			const bad = { ...DEFAULT_MACHINE, [field]: { nobody: 1 } };
			// A field that the parser does not know would be complained of as such.
			const complaint = field.includes("schema") ? "" : field;
			if (complaint !== "")
				expect(() => parseMachine(JSON.stringify(bad), "x")).toThrow(
					new RegExp(`^${complaint}(:|\\.\\w+: (is missing|must be|there is no))`),
				);
		}
		for (const field of schema.required) {
			const { [field]: _, ...rest } = JSON.parse(JSON.stringify(DEFAULT_MACHINE)) as Record<string, unknown>;
			expect(() => parseMachine(JSON.stringify(rest), "x")).toThrow(`${field}: is missing`);
		}
		const { entries, ways, replacement, level } = schema.$defs;
		const accepts = (change: object): void => void parseMachine(l1(change), "x");
		for (const word of replacement.enum) accepts({ replacement: word });
		for (const word of level.properties.huge.anyOf[1]?.enum ?? []) accepts({ huge: word });
		accepts({ entries: entries.maximum, ways: ways.maximum });
		expect(() => accepts({ entries: entries.maximum + 1, ways: 1 })).toThrow("tlb.l1.entries");
	});

	it("has variants, which print as files too", () => {
		const variant = findMachine("zen4:psc=true:flush=ranged:guestPageSize=2m");
		expect(variant).toMatchObject({ name: "zen4:psc=true:flush=ranged:guestPageSize=2m", psc: { used: true }, guestPageSize: "2m" });
		expect(variant?.flush).toEqual({ guest: "ranged", hostPages: 33 });
		expect(parseMachine(JSON.stringify(variant), "x")).toEqual(variant);
		expect(findMachine("zen5:psc=true")).toBeUndefined();
		expect(() => findMachine("zen4:psc=maybe")).toThrow("unknown machine option psc=maybe");
	});

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
		[json({ guestLevels: 2 }), "guestLevels: must be 0 (no table of its own), 3, 4 or 5"],
		[json({ tlb: { ...DEFAULT_MACHINE.tlb, l2: { entries: 1536, ways: 10 } } }), "tlb.l2.ways: 10 ways do not divide 1536 entries"],
		[json({ tlb: { l1: { entries: 0, ways: 1 }, l2: DEFAULT_MACHINE.tlb.l2 } }), "tlb.l1.entries: must be a number from 1"],
		[json({ tlb: { l1: DEFAULT_MACHINE.tlb.l1 } }), "tlb.l2: is missing"],
		[json({ tlbs: 1 }), "tlbs: there is no such field"],
		[json({ guestLevels: 6 }), "guestLevels: must be a number from 0 to 5"],
		[json({ hostLevels: 2 }), "hostLevels: must be a number from 3 to 5"],
		[l1({ replacement: "fifo" }), "tlb.l1.replacement: must be one of lru, tree-plru"],
		[l1({ entries: 65, ways: 65, replacement: "tree-plru" }), "tlb.l1.ways: tree-plru takes up to 64 ways"],
		[l1({ ways: 129, entries: 129 }), "tlb.l1.ways: must be a number from 1 to 128"],
		[l1({ huge: "yes" }), "tlb.l1.huge: must be one of shared, pieces, none"],
		[l1({ huge: 5 }), "tlb.l1.huge: must be an object"],
		[l1({ huge: { entries: 32 } }), "tlb.l1.huge.ways: is missing"],
		[l1({ huge: { entries: 32, ways: 5 } }), "tlb.l1.huge.ways: 5 ways do not divide 32 entries"],
		[json({ psc: { used: true, linear: {} } }), "psc.nested: is missing"],
		[json({ psc: { used: "no", linear: {}, nested: {} } }), "psc.used: must be true or false"],
		[json({ psc: { used: true, linear: { level1: 3 }, nested: {} } }), "psc.linear.level1: there is no such field"],
		[json({ psc: { used: true, linear: { level2: 257 }, nested: {} } }), "psc.linear.level2: must be a number from 0 to 256"],
		[json({ guestPageSize: "1g" }), "guestPageSize: must be one of host, 4k, 2m"],
		[json({ flush: { guest: "some", hostPages: 1 } }), "flush.guest: must be one of all, ranged"],
		[json({ flush: { guest: "all", hostPages: 0 } }), "flush.hostPages: must be a number from 1 to 4096"],
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
