// Litmus verdicts beside a comparison: the document of `mmreplay litmus --json` (cli.md), read back, and what it comes to in a sentence.
import { RULE_TEXT } from "../litmus/rules.js";
import type { FieldReader } from "../machine/fields.js";
import { listed, plural } from "./numbers.js";

export const LITMUS_SCHEMA = "mmreplay/litmus/1";

/** One step of a witness. What the tables say of its page afterwards is by table: `PTE`, `SPTE`, `TLB`, …. */
interface LitmusStep {
	readonly thread: string;
	readonly does: string;
	/** From here on the outcome is certain. */
	readonly breaks: boolean;
	readonly tables: Readonly<Record<string, string>>;
}

export interface LitmusVerdict {
	readonly name: string;
	/** allowed: the bad outcome can happen. */
	readonly verdict: "allowed" | "forbidden";
	readonly expected: "allowed" | "forbidden";
	/** Some execution leaves a thread waiting for ever. */
	readonly stuck: boolean;
	readonly states: number;
	/** Broken at the end of the witness, with what they say. */
	readonly rules: readonly string[];
	readonly witness: readonly LitmusStep[] | null;
}

export interface LitmusScenario {
	readonly name: string;
	readonly title: string;
	readonly source: string;
	readonly strategies: readonly LitmusVerdict[];
}

export interface LitmusRun {
	readonly scenarios: readonly LitmusScenario[];
}

const MAX = Number.MAX_SAFE_INTEGER;
const VERDICTS = ["allowed", "forbidden"] as const;
/** Tables of a step's view, by the document's names. */
const TABLES = [
	["pte", "PTE"],
	["spte", "SPTE"],
	["mirror", "mirror"],
	["device", "device"],
] as const;

function each<T>(fields: FieldReader, name: string, read: (item: FieldReader) => T): T[] {
	return fields.items(name).map((value, at) => read(fields.item(name, at, value)));
}

const optionalText = (fields: FieldReader, name: string): string => (fields.has(name) ? fields.text(name) : "");

function readStep(step: FieldReader): LitmusStep {
	const view = step.object("view");
	const tables: Record<string, string> = {};
	for (const [name, title] of TABLES) if (view.has(name)) tables[title] = view.text(name);
	const tlbs = view.has("tlb") ? view.texts("tlb") : [];
	for (const [at, entry] of tlbs.entries()) tables[tlbs.length > 1 ? `TLB ${at}` : "TLB"] = entry;
	return { thread: step.text("thread"), does: step.text("does"), breaks: step.boolean("breaks"), tables };
}

const ruleTexts: ReadonlyMap<string, string> = new Map(Object.entries(RULE_TEXT));

function readVerdict(one: FieldReader): LitmusVerdict {
	const rules = one.has("rules") ? one.texts("rules") : [];
	const witness = one.optional("witness");
	return {
		name: one.text("name"),
		verdict: one.word("verdict", VERDICTS),
		expected: one.word("expected", VERDICTS),
		stuck: one.has("stuck") && one.boolean("stuck"),
		states: one.integer("states", 0, MAX),
		rules: rules.map((rule) => `${rule}${ruleTexts.has(rule) ? `, ${ruleTexts.get(rule)}` : ""}`),
		witness: witness === null || witness === undefined ? null : each(one, "witness", readStep),
	};
}

/** @throws BadInputError that names the field */
export function readLitmus(fields: FieldReader): LitmusRun {
	return {
		scenarios: each(fields, "scenarios", (scenario) => ({
			name: scenario.text("name"),
			title: optionalText(scenario, "title"),
			source: optionalText(scenario, "source"),
			strategies: each(scenario, "strategies", readVerdict),
		})),
	};
}

export const litmusAsExpected = ({ verdict, expected, stuck }: LitmusVerdict): boolean => verdict === expected && !stuck;

/** The strategies of a run, in the order of their appearance. */
export function litmusStrategies({ scenarios }: LitmusRun): string[] {
	return [...new Set(scenarios.flatMap(({ strategies }) => strategies.map(({ name }) => name)))];
}

/** Which strategies can go wrong, and in how many scenarios; verdicts that nobody expected are told first. */
export function litmusLine(run: LitmusRun): string {
	const all = run.scenarios.flatMap(({ strategies }) => strategies);
	const unexpected = all.filter((one) => !litmusAsExpected(one)).length;
	const bad = litmusStrategies(run).flatMap((name) => {
		const count = all.filter((one) => one.name === name && one.verdict === "allowed").length;
		return count === 0 ? [] : [`${name} (${count})`];
	});
	const where = bad.length === 0 ? "no strategy lets a bad outcome happen" : `a bad outcome can happen under ${listed(bad)}`;
	return `litmus: ${plural(run.scenarios.length, "scenario")}: ${where}; ${unexpected === 0 ? "all as expected" : `${plural(unexpected, "verdict")} NOT AS EXPECTED`}`;
}
