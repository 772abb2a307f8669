// A comparison as Markdown for a cover letter or a pull request: the answer first, then what it stands on, then how to get it again.

import { VMEXIT_CAUSES } from "../trace/kinds.js";
import { type Comparison, counterOf, knowsAccesses } from "./compare.js";
import { compareTable, exactnessLines } from "./comparetable.js";
import { estimatesOf } from "./cost.js";
import { type LitmusRun, litmusLine } from "./litmusrun.js";
import { listed, plural, short } from "./numbers.js";
import { markdownTable, type Table } from "./table.js";
import { caveatLines, fidelityLine, loopLines, verdictLine } from "./verdict.js";

const sentence = (line: string): string =>
	line.replace(/^([\w-]+): /, (_, word: string) => `**${word[0]?.toUpperCase() ?? ""}${word.slice(1)}:** `);

/** vmexits by cause, a column a strategy; causes that no strategy has are left out. */
export function causeTable({ strategies }: Comparison): Table {
	const counts = (cause: string): number[] =>
		strategies.map(({ replay }) =>
			["read", "write", "fetch"].reduce((sum, access) => sum + counterOf(replay.counters, `vmexitsByCause.${cause}.${access}`), 0),
		);
	return {
		columns: [{ title: "vmexits by cause", align: "left" }, ...strategies.map(({ name }) => ({ title: name, align: "right" as const }))],
		rows: VMEXIT_CAUSES.flatMap((cause) => {
			const row = counts(cause);
			return row.every((count) => count === 0) ? [] : [[cause, ...row.map(String)]];
		}),
	};
}

/** Break-even costs in a sentence; nothing where no strategy ties. */
function breakEvenLines({ deltas, baseline, settings }: Comparison): string[] {
	const { cycles, estimate } = settings.costs.items.vmexit;
	const parts = deltas.flatMap(({ name, breakEvenVmexitCycles: at }) =>
		at === null ? [] : [`${name} at ${short(Math.round(at))} cycles`],
	);
	if (parts.length === 0) return [];
	return [
		`break-even: against ${baseline.name}, ${listed(parts)} a vmexit; taken here: ${cycles} cycles${estimate ? ", an estimate" : ""}.`,
	];
}

/** Lines, without one at the end. */
export function markdownSummary(comparison: Comparison): string[] {
	const { trace, settings, result } = comparison;
	const { path, header, digest } = trace;
	const estimates = estimatesOf(settings.costs, knowsAccesses(header));
	const kernel = header.kernel === "" ? "" : ` (Linux ${header.kernel}${header.strategy === "" ? "" : `, which runs ${header.strategy}`})`;
	const notes = [...exactnessLines(comparison), ...loopLines(comparison), ...caveatLines(comparison)];
	return [
		`### ${path.split("/").at(-1) ?? path}${kernel}`,
		"",
		sentence(verdictLine(comparison)),
		"",
		sentence(fidelityLine(comparison.fidelity)),
		"",
		...markdownTable(compareTable(comparison, false)),
		"",
		...markdownTable(causeTable(comparison)),
		...breakEvenLines(comparison).flatMap((line) => ["", sentence(line)]),
		...notes.flatMap((line) => ["", `> ${line}`]),
		"",
		`<details><summary>How it was made</summary>`,
		"",
		`- trace: ${plural(result.events, "event")}, digest \`${digest.slice(0, 16)}\``,
		`- strategies: ${comparison.strategies.map(({ name, replay }) => `${name} \`${replay.digest.slice(0, 12)}\``).join(", ")}`,
		`- machine: ${settings.machine.name}; costs: ${settings.costs.name}${estimates.length === 0 ? "" : ` (estimates: ${estimates.join(", ")})`}`,
		"- made with mmreplay; counts are exact integers and equal on every machine",
		"",
		"</details>",
	];
}

/** Lines, without one at the end. */
export function litmusMarkdown(run: LitmusRun): string[] {
	const bad = run.scenarios.flatMap(({ name, title, strategies }) => {
		const names = strategies.filter(({ verdict }) => verdict === "allowed").map((one) => one.name);
		return names.length === 0 ? [] : [[name, title, names.join(", ")]];
	});
	const columns = ["scenario", "", "the bad outcome can happen under"].map((title) => ({ title, align: "left" as const }));
	return [`${sentence(litmusLine(run))}.`, ...(bad.length === 0 ? [] : ["", ...markdownTable({ columns, rows: bad })])];
}
