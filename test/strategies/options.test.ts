// Options of a strategy: variants by name, and what is refused.
import { describe, expect, it } from "vitest";
import { UsageError } from "../../src/errors.js";
import { findStrategy } from "../../src/strategies/index.js";
import { parseStrategy } from "../../src/strategies/json.js";
import { encodeStrategy } from "../../src/strategies/steps.js";

const stepsOf = (name: string): string[] => findStrategy(name)?.operations.cow.map(({ step }) => step) ?? [];

describe("options of a strategy", () => {
	it("leave out a step, or loosen one", () => {
		expect(stepsOf("fix")).toContain("bump-seq");
		expect(stepsOf("fix:seqBump=false")).not.toContain("bump-seq");
		expect(stepsOf("fix:writeProtectStep=false")).not.toContain("make-writable");
		expect(findStrategy("fix:reuseInWindow=true")?.operations.cow).toContainEqual({ step: "set-pte-write-protected", reuse: "allowed" });
		expect(findStrategy("fix:deferFlush=true")?.operations.cow).toContainEqual(
			expect.objectContaining({ step: "change-pte", flush: "deferred" }),
		);
	});

	it("make variants that are named after them, are not safe, and encode and print as any other", () => {
		const variant = findStrategy("fix:deferFlush=true:seqBump=false");
		expect(variant).toMatchObject({ name: "fix:seqBump=false:deferFlush=true", safe: false });
		if (variant === undefined) throw new Error("none");
		expect(encodeStrategy(variant).length).toBeGreaterThan(0);
		expect(parseStrategy(JSON.stringify(variant), "variant.json")).toEqual(variant);
	});

	it.each(["fix:seqBump=true", "fix:seqbump=false", "fix:", "drop:seqBump=false", "drop:deferFlush=true"])("%s is refused", (name) => {
		expect(() => findStrategy(name)).toThrow(UsageError);
	});
});
