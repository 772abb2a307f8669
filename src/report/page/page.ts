// The report as one HTML document: no network, no framework; charts are drawn here, a small script only zooms and moves the cost of a vmexit.
import { type Comparison, counterOf } from "../compare.js";
import type { Run } from "../readrun.js";
import type { Made } from "../savedrun.js";
import type { Table } from "../table.js";
import { labelOf } from "../verdict.js";
import { causesSection, sitesSection } from "./causes.js";
import { cyclesSections } from "./cycles.js";
import { coherenceSection, fidelitySection, madeSection, tlbSection } from "./facts.js";
import { heatSection } from "./heat.js";
import { litmusSection } from "./litmus.js";
import { html, Markup, NOTHING } from "./markup.js";
import { overview } from "./overview.js";
import { refaultSection } from "./refault.js";
import { STYLE } from "./style.js";
import { tableMarkup } from "./tables.js";
import { timelineSection } from "./timeline.js";

/** One trace's comparison; `id` is its own on the page. */
export function comparisonMarkup(comparison: Comparison, made: Made | null, id: string): Markup {
	return html`<article id="${id}">${overview(comparison)}${causesSection(comparison)}${sitesSection(comparison)}${heatSection(comparison)}${refaultSection(comparison)}${timelineSection(comparison, id)}${cyclesSections(comparison, id)}${tlbSection(comparison)}${coherenceSection(comparison)}${fidelitySection(comparison)}${madeSection(comparison, made)}</article>`;
}

const idOf = (at: number): string => `trace-${at + 1}`;

/** vmexits of each trace under each strategy; nothing for a single trace. */
function contents(comparisons: readonly Comparison[]): Markup {
	if (comparisons.length < 2) return NOTHING;
	const names = [...new Set(comparisons.flatMap(({ strategies }) => strategies.map(labelOf)))];
	const table: Table = {
		columns: [{ title: "trace", align: "left" }, ...names.map((title) => ({ title, align: "right" as const }))],
		rows: comparisons.map(({ trace, strategies }) => [
			trace.path,
			...names.map((name) => {
				const found = strategies.find((strategy) => labelOf(strategy) === name);
				return found === undefined ? "-" : String(counterOf(found.replay.counters, "vmexits"));
			}),
		]),
	};
	return html`<nav aria-label="Traces"><h2>Traces</h2><ul>${comparisons.map(({ trace }, at) => html`<li><a href="#${idOf(at)}">${trace.path}</a></li>`)}</ul></nav>${tableMarkup(table, "vmexits of each trace")}`;
}

interface Shell {
	readonly title: string;
	readonly body: Markup;
	/** Run when the page has been read. */
	readonly script: string;
	/** The page starts a worker of its own, which compiles WebAssembly. */
	readonly allow?: { readonly worker: true };
}

/** A whole document. A script must not hold `</script`, which no JavaScript of ours needs. */
export function documentText({ title, body, script, allow }: Shell): string {
	if (/<\/script|<!--/i.test(script)) throw new RangeError("a script that ends itself");
	const policy = `default-src 'none';style-src 'unsafe-inline';script-src 'unsafe-inline'${allow === undefined ? "" : " 'wasm-unsafe-eval'"};${allow === undefined ? "" : "worker-src blob:;"}img-src data:;base-uri 'none';form-action 'none'`;
	return `<!doctype html>\n${
		html`<html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="${policy}"><meta name="viewport" content="width=device-width,initial-scale=1"><title>${title}</title><link rel="icon" href="data:,"><style>${new Markup(STYLE)}</style></head><body><a class="skip" href="#content">To the content</a><header><strong>mmreplay</strong><button type="button" data-scheme-switch hidden>Light or dark</button></header><main id="content">${body}</main><footer><p>Made by mmreplay. Counts are exact integers, equal on every machine; cycles are counts times a cost vector.</p></footer><script>${new Markup(script)}</script></body></html>`
			.text
	}\n`;
}

/** @param script what enlivens the page (src/web/report.ts, built) */
export function reportText(runs: readonly Run[], script: string): string {
	const all = runs.flatMap(({ comparisons, made }) => comparisons.map((comparison) => ({ comparison, made })));
	const litmus = runs.flatMap((run) => (run.litmus === null ? [] : [run.litmus]));
	const [first] = all;
	const name = first?.comparison.trace.path.split("/").at(-1) ?? "litmus verdicts";
	return documentText({
		title: `mmreplay: ${all.length > 1 ? `${all.length} traces` : name}`,
		body: html`${contents(all.map(({ comparison }) => comparison))}${all.map(({ comparison, made }, at) => comparisonMarkup(comparison, made, idOf(at)))}${litmus.map(litmusSection)}`,
		script,
	});
}
