import { describe, expect, it } from "vitest";
import { didYouMean } from "../../src/cli/suggest.js";

describe("didYouMean", () => {
	const names = ["wrapped", "drop", "fix", "fix-map", "establish", "establish-map"];
	it.each([
		["dorp", "drop"],
		["fxi", "fix"],
		["estab", "establish"],
		["fix_map", "fix-map"],
		["establsh", "establish"],
	])("%s means %s", (word, meant) => {
		expect(didYouMean(word, names, "all")).toBe(`did you mean ${meant}? all`);
	});

	it("says nothing of a word like none", () => {
		expect(didYouMean("xyzzy", names, "all")).toBe("all");
		expect(didYouMean("a", names, "all")).toBe("all");
	});
});
