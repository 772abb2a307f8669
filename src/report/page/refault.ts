// How soon a guest misses what was zapped: a histogram by powers of two, all strategies on one axis; in accesses and, where the trace has times, in ns.
import { type Comparison, knowsAccesses } from "../compare.js";
import { short } from "../numbers.js";
import { type Histogram, REFAULTS_IN_ACCESSES, REFAULTS_IN_NS, type RefaultRows, refaultRows } from "../refaults.js";
import { chainRows } from "../retries.js";
import { labelOf } from "../verdict.js";
import { lineChart } from "./lines.js";
import { html, type Markup, NOTHING } from "./markup.js";
import { foldedTable } from "./tables.js";

function columnsOf({ strategies }: Comparison, first: string): { title: string; align: "left" | "right" }[] {
	return [{ title: first, align: "left" }, ...strategies.map((strategy) => ({ title: labelOf(strategy), align: "right" as const }))];
}

function chart(comparison: Comparison, { buckets }: Histogram, { first, values, rows }: RefaultRows, unit: string): Markup {
	const end = first + values.length;
	const lines = comparison.strategies.map((strategy, place) => {
		const points = values.map((counts, at) => [first + at, counts[place] ?? 0] as const);
		return { name: labelOf(strategy), color: place % 11, points: [...points, [end, points.at(-1)?.[1] ?? 0] as const] };
	});
	const title = `vmexits by ${unit} since the zap`;
	const last = buckets[end];
	return html`${lineChart({
		title,
		xTitle: `${unit} since the zap, by powers of two`,
		yTitle: "vmexits",
		lines,
		xRange: [first, end],
		steps: true,
		ends: [short(buckets[first] ?? 0), last === undefined ? "and more" : short(last)],
	})}${foldedTable({ columns: columnsOf(comparison, `${unit} since the zap`), rows }, title)}`;
}

export function refaultSection(comparison: Comparison): Markup {
	const counters = comparison.strategies.map(({ replay }) => replay.counters);
	const head = html`<h2>From a zap to the refault</h2>`;
	const inAccesses = refaultRows(REFAULTS_IN_ACCESSES, counters);
	const inNs = refaultRows(REFAULTS_IN_NS, counters);
	const chains = { columns: columnsOf(comparison, "retries in a row"), rows: chainRows(counters) };
	const retries = foldedTable(chains, "chains of retries by their length");
	if (inAccesses.values.length === 0)
		return html`<section>${head}<p class="dim">No exit missed anything that had been zapped.</p>${retries}</section>`;
	const seen = knowsAccesses(comparison.trace.header) ? "" : " The trace has only the accesses that faulted: distances count those.";
	return html`<section>${head}<p>For each vmexit that misses an SPTE which was zapped: how many accesses guests made in between, each step of the axis twice the one before. What is missed soon was in use; what is missed late, or never, cost nothing to zap.${seen}</p>${chart(comparison, REFAULTS_IN_ACCESSES, inAccesses, "guest accesses")}${inNs.values.length === 0 ? NOTHING : chart(comparison, REFAULTS_IN_NS, inNs, "ns")}${retries}</section>`;
}
