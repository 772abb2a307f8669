// The list of kernel.md's rules (rules.json), and the names of the scenarios that are numbered after its sections.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

interface RuleOfKernel {
	readonly rule: string;
	/** Part of the scenario's name. */
	readonly scenario?: string;
	/** The section that the scenario is numbered after, where that is another one. */
	readonly under?: string;
	/** Why there is none. */
	readonly notModelled?: string;
}

interface SectionOfKernel {
	readonly section: string;
	/** As its heading has it, without what stands in brackets behind. */
	readonly title: string;
	readonly rules: readonly RuleOfKernel[];
}

interface Scenario {
	/** Sections that its name begins with. */
	readonly sections: readonly string[];
	readonly name: string;
}

const TESTS = fileURLToPath(new URL("../", import.meta.url));

export function listedSections(): readonly SectionOfKernel[] {
	const { sections } = JSON.parse(readFileSync(join(TESTS, "model/rules.json"), "utf8")) as { sections: SectionOfKernel[] };
	return sections;
}

/** Tests whose names are numbers of sections, "given" and the rest. */
export function numberedScenarios(): Scenario[] {
	return readdirSync(TESTS, { recursive: true, encoding: "utf8" })
		.filter((path) => path.endsWith(".test.ts"))
		.flatMap((path) => {
			const names = readFileSync(join(TESTS, path), "utf8").matchAll(/^\s*(?:it|\]\))\(\s*"((?:[^"\\]|\\.)* given (?:[^"\\]|\\.)*)"/gm);
			return [...names].map(([, name = ""]) => {
				const [numbers = ""] = name.split(" given ");
				return { sections: numbers.match(/(?<![\d.])\d+(?:\.\d+)?/g) ?? [], name };
			});
		});
}
