// The verdicts as text of 80 columns, and as the JSON of cli.md.
import type { Scenario, Verdict } from "./scenario.js";
import { timelineLines } from "./timeline.js";
import { isExpected, type ScenarioVerdict, type StrategyVerdict } from "./verdict.js";
import { wrapped } from "./wrap.js";

const INDENT = "    ";

const words = (text: string): string[] => text.split(" ").filter((word) => word !== "");

function headLines({ name, title, source }: Scenario): string[] {
	return [...wrapped(`${name}: `, words(title)), ...wrapped(INDENT, words(source))];
}

const range = (values: readonly number[]): string => {
	const [low, high] = [Math.min(...values), Math.max(...values)];
	return low === high ? String(low) : `${low} to ${high}`;
};

function mark(one: StrategyVerdict): string {
	if (one.stuck) return `${one.name} (A THREAD WAITS FOR EVER)`;
	return isExpected(one) ? one.name : `${one.name} (NOT EXPECTED)`;
}

/** One scenario: who allows the outcome, who forbids it; with `witnesses` an execution for each that allows it. */
export function scenarioLines({ scenario, strategies }: ScenarioVerdict, witnesses: boolean): string[] {
	const lines = headLines(scenario);
	for (const verdict of ["allowed", "forbidden"] as const) {
		const those = strategies.filter((one) => one.verdict === verdict);
		if (those.length > 0)
			lines.push(
				...wrapped(
					`${INDENT}${verdict.padEnd(9)} `,
					those.flatMap((one) => words(mark(one))),
				),
			);
	}
	for (const one of strategies) if (one.note !== null) lines.push(...wrapped(INDENT, words(`${one.name}: ${one.note}`)));
	const paths = strategies.flatMap(({ interleavings }) => (interleavings === null ? [] : [Number(interleavings)]));
	lines.push(`${INDENT}states ${range(strategies.map(({ states }) => states))}, interleavings ${range(paths)}`);
	if (!witnesses) return lines;
	const threads = [...scenario.threads.map(({ name }) => name), "flush"];
	const shown = new Map<string, string[]>();
	for (const { name, witness } of strategies) {
		if (witness === null) continue;
		const text = timelineLines(witness, threads).join("\n");
		shown.set(text, [...(shown.get(text) ?? []), name]);
	}
	for (const [text, names] of shown) lines.push("", `${INDENT}under ${names.join(", ")}:`, ...text.split("\n"));
	return lines;
}

export interface MatrixRow {
	readonly name: string;
	readonly cells: readonly { readonly verdict: Verdict; readonly expected: boolean }[];
}

/** One row a scenario, one column a strategy. */
export function matrixRows(verdicts: readonly ScenarioVerdict[]): { strategies: string[]; rows: MatrixRow[] } {
	return {
		strategies: (verdicts[0]?.strategies ?? []).map(({ name }) => name),
		rows: verdicts.map(({ scenario, strategies }) => ({
			name: scenario.name,
			cells: strategies.map((one) => ({ verdict: one.verdict, expected: isExpected(one) })),
		})),
	};
}

export function matrixLines(verdicts: readonly ScenarioVerdict[]): string[] {
	const { strategies, rows } = matrixRows(verdicts);
	const name = Math.max(...rows.map((row) => row.name.length));
	const keys = strategies.map((_, at) => (at < 26 ? String.fromCharCode(65 + at) : String(at)));
	const lines = [`${"".padEnd(name)}  ${keys.map((key) => key.padEnd(2)).join(" ")}`.trimEnd()];
	for (const row of rows) {
		const cells = row.cells.map(({ verdict, expected }) => `${verdict === "allowed" ? "X" : "."}${expected ? " " : "!"}`);
		lines.push(`${row.name.padEnd(name)}  ${cells.join(" ")}`.trimEnd());
	}
	lines.push(
		"",
		...wrapped(
			"",
			strategies.map((strategy, at) => `${keys[at]}\u00a0${strategy}${at + 1 < strategies.length ? "," : ""}`),
		),
	);
	lines.push("X: the forbidden outcome can happen; .: it cannot; !: not as expected.");
	return lines.map((line) => line.replaceAll("\u00a0", " "));
}

/** What all explorations together came to. */
export function totalLine(verdicts: readonly ScenarioVerdict[]): string {
	const all = verdicts.flatMap(({ strategies }) => strategies);
	const sum = (of: (one: StrategyVerdict) => number): number => all.reduce((total, one) => total + of(one), 0);
	const seconds = sum((one) => one.seconds);
	const rate = seconds > 0 ? `, ${(sum((one) => one.states) / seconds / 1e6).toFixed(1)} M states/s` : "";
	const unexpected = all.filter((one) => !isExpected(one)).length;
	const verdict = unexpected === 0 ? "all as expected" : `${unexpected} NOT AS EXPECTED`;
	const states = `${sum((one) => one.states)} states in ${seconds.toFixed(2)} s${rate}`;
	return `${counted(verdicts.length, "scenario")}, ${counted(all.length, "verdict")}, ${verdict}\n${states}`;
}

const counted = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? "" : "s"}`;

/** A count as JSON has it: a decimal string beyond 2^53. */
const count = (value: bigint | null): number | string | null =>
	value === null ? null : value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value.toString();

export function litmusJson(verdicts: readonly ScenarioVerdict[]): object {
	return {
		schema: "mmreplay/litmus/1",
		scenarios: verdicts.map(({ scenario, strategies }) => ({
			name: scenario.name,
			title: scenario.title,
			source: scenario.source,
			strategies: strategies.map((one) => ({
				name: one.name,
				verdict: one.verdict,
				expected: one.expected,
				states: one.states,
				transitions: one.transitions,
				interleavings: count(one.interleavings),
				stuck: one.stuck,
				witness: one.witness === null ? null : one.witness.steps,
				rules: one.witness === null ? [] : one.witness.rules,
				...(one.note === null ? {} : { note: one.note }),
			})),
		})),
	};
}
