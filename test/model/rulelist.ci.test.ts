// The list of rules against the pages that it is made from, where these are at hand.
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { listedSections } from "./rulelist.js";

const KERNEL = fileURLToPath(new URL("../../../shared/spec/kernel.md", import.meta.url));

describe.skipIf(!existsSync(KERNEL))("the list of rules", () => {
	it("has every subsection of sections 1 and 3, by its title", () => {
		const headings = [...readFileSync(KERNEL, "utf8").matchAll(/^### ([13]\.\d+) (.*)$/gm)].map(
			([, section = "", title = ""]) => `${section} ${title.replace(/( ?\[[^\]]*\])+$/, "")}`,
		);
		expect(headings.length).toBeGreaterThan(20);
		expect(listedSections().map(({ section, title }) => `${section} ${title}`)).toEqual(headings);
	});
});
