// Many more spoiled sources than salvage.test.ts has.
import { describe, it } from "vitest";
import { SPOILED, spoiledEndsCleanly } from "./spoil.js";

describe("spoiled sources", () => {
	it.each(Object.keys(SPOILED))("%s", { timeout: 900_000 }, async (name) => {
		for (let seed = 1000; seed < 1250; seed++) await spoiledEndsCleanly(name, seed);
	});
});
