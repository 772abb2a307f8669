// Litmus verdicts: scenario by strategy, and an execution for each bad outcome that can happen.
import { type LitmusRun, type LitmusScenario, type LitmusVerdict, litmusAsExpected, litmusLine, litmusStrategies } from "../litmusrun.js";
import { plural } from "../numbers.js";
import type { Table } from "../table.js";
import { html, type Markup, NOTHING } from "./markup.js";
import { foldedTable } from "./tables.js";

function cell(found: LitmusVerdict | undefined): Markup {
	if (found === undefined) return html`<td></td>`;
	const bad = found.verdict === "allowed";
	const words = `${bad ? "bad" : "ok"}${litmusAsExpected(found) ? "" : found.stuck ? ", waits for ever" : ", not expected"}`;
	return html`<td class="${bad ? "bad" : "good"}">${words}</td>`;
}

function matrix(run: LitmusRun): Markup {
	const names = litmusStrategies(run);
	const caption = "Litmus verdicts: bad where the forbidden outcome can happen";
	return html`<div class="scroll" tabindex="0" role="region" aria-label="${caption}"><table><caption>${caption}</caption><thead><tr><th scope="col">scenario</th>${names.map(
		(name) => html`<th scope="col">${name}</th>`,
	)}</tr></thead><tbody>${run.scenarios.map(
		({ name, title, strategies }) =>
			html`<tr><th scope="row" title="${title}">${name}</th>${names.map((strategy) => cell(strategies.find((one) => one.name === strategy)))}</tr>`,
	)}</tbody></table></div>`;
}

function witnessTable({ witness }: LitmusVerdict): Table {
	const steps = witness ?? [];
	const threads = [...new Set(steps.map(({ thread }) => thread))];
	const tables = [...new Set(steps.flatMap((step) => Object.keys(step.tables)))];
	return {
		columns: [{ title: "step", align: "right" }, ...[...threads, ...tables].map((title) => ({ title, align: "left" as const }))],
		rows: steps.map((step, at) => [
			`${step.breaks ? "* " : ""}${at + 1}`,
			...threads.map((thread) => (thread === step.thread ? step.does : "")),
			...tables.map((table) => step.tables[table] ?? ""),
		]),
	};
}

/** Strategies with the same execution share its table. */
function witnesses({ name, title, source, strategies }: LitmusScenario): Markup {
	const groups = new Map<string, { one: LitmusVerdict; names: string[] }>();
	for (const one of strategies) {
		if (one.witness === null) continue;
		const key = JSON.stringify(one.witness);
		const known = groups.get(key);
		if (known === undefined) groups.set(key, { one, names: [one.name] });
		else known.names.push(one.name);
	}
	if (groups.size === 0) return NOTHING;
	const tables = [...groups.values()].map(({ one, names }) => {
		const rules = one.rules.length === 0 ? "" : ` (${one.rules.join("; ")})`;
		return foldedTable(witnessTable(one), `${name} under ${names.join(", ")}: from the step with * on the outcome is certain${rules}`);
	});
	return html`<h3>${name}</h3><p>${title} <span class="dim">${source}</span></p>${tables}`;
}

/** A section of its own: it speaks of strategies, not of a trace. */
export function litmusSection(run: LitmusRun): Markup {
	const line = litmusLine(run).replace(/^litmus: (.)/, (_, first: string) => first.toUpperCase());
	const allowed = run.scenarios.filter(({ strategies }) => strategies.some(({ witness }) => witness !== null));
	const states = run.scenarios.flatMap(({ strategies }) => strategies).reduce((sum, one) => sum + one.states, 0);
	return html`<section id="litmus"><h2>Litmus verdicts</h2><p>${line}. Every interleaving of each scenario was explored, ${plural(states, "state")} in all; no trace is needed for it.</p>${matrix(run)}${
		allowed.length === 0
			? NOTHING
			: html`<details><summary>How it goes wrong: an execution for each</summary>${allowed.map(witnesses)}</details>`
	}</section>`;
}
