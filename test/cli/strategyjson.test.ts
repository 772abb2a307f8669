// A user's own strategy: what is printed is what is taken, and the published schema says the same as the code.
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { STRATEGIES } from "../../src/strategies/index.js";
import { parseStrategy } from "../../src/strategies/json.js";
import { OPERATION_KINDS, STEP_CODES } from "../../src/strategies/steps.js";

interface Schema {
	properties: { operations: { required: string[]; properties: object } };
	$defs: {
		plain: { properties: { step: { enum: string[] } } };
		bracket: { properties: { step: { enum: string[] } } };
		allocCopy: { properties: { step: { const: string } } };
		writeProtected: { properties: { step: { const: string } } };
		changePte: { properties: { step: { const: string } } };
	};
}

describe("a strategy as JSON", () => {
	it.each(STRATEGIES.map((strategy) => [strategy.name, strategy] as const))("%s printed is %s read", (_name, strategy) => {
		expect(parseStrategy(JSON.stringify({ schema: "mmreplay/strategies/1", ...strategy }), "x")).toEqual(strategy);
	});

	const [first] = STRATEGIES;
	const change = (
		edit: (copy: { operations: Record<string, { step: string; [key: string]: unknown }[]>; [key: string]: unknown }) => void,
	): string => {
		const copy = JSON.parse(JSON.stringify(first));
		edit(copy);
		return JSON.stringify(copy);
	};
	it.each([
		[
			change((copy) => {
				delete copy.operations.cow;
			}),
			"operations.cow: is missing",
		],
		[
			change((copy) => {
				copy.operations.cwo = [];
			}),
			"operations.cwo: there is no such field",
		],
		[
			change((copy) => {
				copy.operations.zap?.pop();
				copy.operations.zap?.pop();
			}),
			"operations.zap: range-start and range-end must stand once each",
		],
		[
			change((copy) => {
				copy.operations.fork = [];
			}),
			"operations.fork: set-pte must stand once",
		],
		[
			change((copy) => {
				copy.operations.fork?.unshift({ step: "change-pte", mode: "update", writable: "maybe" });
			}),
			"operations.fork[0].writable: must be one of zap, map, refuse",
		],
		[
			change((copy) => {
				copy.option = 4;
			}),
			"option: must be 1, 2, 3 or null",
		],
		[
			change((copy) => {
				copy.name = "Mine!";
			}),
			"name: must be",
		],
	])("%# is refused by its field", (text, reason) => {
		expect(() => parseStrategy(text, "mine.json")).toThrow(reason);
	});

	it("has a schema with the same operations and steps", () => {
		const schema = JSON.parse(readFileSync(new URL("../../docs/strategy.schema.json", import.meta.url), "utf8")) as Schema;
		// The other sites may be left out: they are then as in today's kernel.
		expect(schema.properties.operations.required).toEqual(OPERATION_KINDS.slice(0, OPERATION_KINDS.indexOf("thp-split")));
		expect(Object.keys(schema.properties.operations.properties)).toEqual([...OPERATION_KINDS]);
		const { plain, allocCopy, writeProtected, bracket, changePte } = schema.$defs;
		const steps = [
			...plain.properties.step.enum,
			allocCopy.properties.step.const,
			writeProtected.properties.step.const,
			...bracket.properties.step.enum,
			changePte.properties.step.const,
		];
		expect(steps.sort()).toEqual(Object.keys(STEP_CODES).sort());
	});
});
