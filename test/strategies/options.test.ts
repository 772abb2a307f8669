// Options of a strategy: variants by name, and what is refused.
import { readFileSync } from "node:fs";
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

	it("leave what is safe safe where they only tell more or retry less", () => {
		for (const name of ["drop:ownCowAware=true", "wrapped:archFlush=true"]) expect(findStrategy(name)?.safe).toBe(true);
		expect(findStrategy("fix:ownCowAware=true:seqBump=false")?.safe).toBe(false);
		const told = findStrategy("wrapped:archFlush=true")?.operations["ksm-write-protect"].map(({ step }) => step) ?? [];
		expect(told.indexOf("notify-secondary-tlb")).toBe(told.indexOf("clear-flush") + 1);
	});

	it("read the worked example, and say what is wrong with one", () => {
		const text = readFileSync(new URL("../../docs/fix-at-ksm.json", import.meta.url), "utf8");
		const { operations } = parseStrategy(text, "fix-at-ksm.json");
		expect(operations["ksm-replace"]).toEqual(findStrategy("fix")?.operations["ksm-replace"]);
		expect(operations.cow).toEqual(findStrategy("drop")?.operations.cow);
		const wrong = text.replace('"alloc-copy"', '"alloc-copy", "retry": "never"');
		expect(() => parseStrategy(wrong, "mine.json")).toThrow(/operations\.cow\[0\]\.retry/);
	});

	it.each(["fix:seqBump=true", "fix:seqbump=false", "fix:", "drop:seqBump=false", "drop:deferFlush=true"])("%s is refused", (name) => {
		expect(() => findStrategy(name)).toThrow(UsageError);
	});
});
