// How long the safe strategies survive. Not among the unit tests: it takes a minute.
import { describe, expect, it } from "vitest";
import { search } from "../../src/litmus/search.js";
import { STRATEGIES } from "../../src/strategies/index.js";

describe("the explorer", () => {
	it("finds nothing under the safe strategies in 60 s", { timeout: 90_000 }, () => {
		const safe = STRATEGIES.filter((strategy) => strategy.safe);
		expect(search(safe, { seed: 1, seconds: 60 }).finds).toEqual([]);
	});
});
