// How soon a guest misses what was zapped: a histogram by powers of two, all strategies on one axis.
import { REFAULT_BUCKETS } from "../../counters.js";
import { type Comparison, knowsAccesses } from "../compare.js";
import { short } from "../numbers.js";
import { refaultRows } from "../refaults.js";
import { labelOf } from "../verdict.js";
import { lineChart } from "./lines.js";
import { html, type Markup } from "./markup.js";
import { foldedTable } from "./tables.js";

export function refaultSection({ strategies, trace }: Comparison): Markup {
	const head = html`<h2>From a zap to the refault</h2>`;
	const { first, values, rows } = refaultRows(strategies.map(({ replay }) => replay.counters));
	if (values.length === 0) return html`<section>${head}<p class="dim">No exit missed anything that had been zapped.</p></section>`;
	const end = first + values.length;
	const lines = strategies.map((strategy, place) => {
		const points = values.map((counts, at) => [first + at, counts[place] ?? 0] as const);
		return { name: labelOf(strategy), color: place % 11, points: [...points, [end, points.at(-1)?.[1] ?? 0] as const] };
	});
	const title = "vmexits by guest accesses since the zap";
	const last = REFAULT_BUCKETS[end];
	const seen = knowsAccesses(trace.header) ? "" : " The trace has only the accesses that faulted: distances count those.";
	const table = {
		columns: [
			{ title: "accesses since the zap", align: "left" as const },
			...strategies.map((strategy) => ({ title: labelOf(strategy), align: "right" as const })),
		],
		rows,
	};
	return html`<section>${head}<p>For each vmexit that misses an SPTE which was zapped: how many accesses guests made in between, each step of the axis twice the one before. What is missed soon was in use; what is missed late, or never, cost nothing to zap.${seen}</p>${lineChart(
		{
			title,
			xTitle: "guest accesses since the zap, by powers of two",
			yTitle: "vmexits",
			lines,
			xRange: [first, end],
			steps: true,
			ends: [short(REFAULT_BUCKETS[first] ?? 0), last === undefined ? "and more" : short(last)],
		},
	)}${foldedTable(table, title)}</section>`;
}
