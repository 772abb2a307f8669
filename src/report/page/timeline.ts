// Counts along the trace: phase by phase where it has marks, otherwise from block to block. All strategies on one axis, all charts zoomed together.
import { counterIndex } from "../../counters.js";
import type { Comparison } from "../compare.js";
import type { Table } from "../table.js";
import { labelOf } from "../verdict.js";
import { lineChart } from "./lines.js";
import { html, type Markup } from "./markup.js";
import { foldedTable } from "./tables.js";

const SHOWN = [
	["vmexits", "vmexits"],
	["ksmMerges", "KSM merges"],
	["cowBreaks", "COW breaks of KSM pages"],
] as const;
const MORE = [
	["vmexitsRetried", "vmexits retried"],
	["flush.guestTlb", "guest TLB flushes"],
	["spteZapped", "SPTEs zapped"],
] as const;

/** Rows of a table; beyond it neighbours are summed up. */
const MAX_ROWS = 64;

interface Stretch {
	readonly title: string;
	readonly from: number;
	readonly counters: readonly BigUint64Array[];
}

interface Stretches {
	readonly kind: "phase" | "event";
	readonly end: number;
	readonly items: readonly Stretch[];
}

function stretchesOf({ result }: Comparison): Stretches | undefined {
	const { phases, intervals, events } = result;
	if (phases.length > 1) {
		return {
			kind: "phase",
			end: phases.length,
			items: phases.map(({ phase, label, counters }, from) => ({ title: `${phase} ${label}`.trim(), from, counters })),
		};
	}
	if (intervals.length < 2) return undefined;
	return {
		kind: "event",
		end: events,
		items: intervals.map(({ firstEvent, counters }) => ({ title: `from event ${firstEvent}`, from: firstEvent, counters })),
	};
}

function valuesOf(stretches: Stretches, strategy: number, path: string): number[] {
	const place = counterIndex(path);
	return stretches.items.map(({ counters }) => Number(counters[strategy]?.[place] ?? 0n));
}

function tableOf(comparison: Comparison, stretches: Stretches, path: string, places: readonly number[]): Table {
	const columns = places.map((place) => valuesOf(stretches, place, path));
	const by = Math.ceil(stretches.items.length / MAX_ROWS);
	const rows: string[][] = [];
	for (let at = 0; at < stretches.items.length; at += by) {
		rows.push([
			stretches.items[at]?.title ?? "",
			...columns.map((values) => String(values.slice(at, at + by).reduce((sum, value) => sum + value, 0))),
		]);
	}
	return {
		columns: [
			{ title: stretches.kind === "phase" ? "phase" : by > 1 ? `interval (${by} of the chart's)` : "interval", align: "left" },
			...comparison.strategies.map((strategy) => ({ title: labelOf(strategy), align: "right" as const })),
		],
		rows,
	};
}

export function timelineSection(comparison: Comparison, id: string): Markup {
	const stretches = stretchesOf(comparison);
	const { strategies, result } = comparison;
	if (stretches === undefined) {
		return html`<section><h2>Time line</h2><p class="dim">The trace has no phases and is a single block, or this run was saved without them (mmreplay compare -o saves them).</p></section>`;
	}
	const places = strategies.map(({ name }) => result.strategies.findIndex((replay) => replay.name === name));
	const chart = ([path, title]: readonly [string, string]): Markup => {
		const all = places.map((place) => valuesOf(stretches, place, path));
		if (all.every((values) => values.every((value) => value === 0))) return html`<p class="dim">${title}: none.</p>`;
		const lines = strategies.map((strategy, at) => {
			const values = all[at] ?? [];
			const points = values.map((value, index) => [stretches.items[index]?.from ?? 0, value] as const);
			return { name: labelOf(strategy), color: at % 11, points: [...points, [stretches.end, values.at(-1) ?? 0] as const] };
		});
		const name = `${title} ${stretches.kind === "phase" ? "in each phase" : "in each interval"}`;
		const drawn = lineChart({
			title: name,
			xTitle: stretches.kind === "phase" ? "phases" : "events of the trace",
			yTitle: title,
			lines,
			xRange: [stretches.items[0]?.from ?? 0, stretches.end],
			steps: true,
			zoom: id,
		});
		return html`${drawn}${foldedTable(tableOf(comparison, stretches, path, places), name)}`;
	};
	const why =
		stretches.kind === "phase"
			? "A phase begins at a mark of the trace; what comes before the first is in the totals only."
			: "An interval is one block of the trace or several.";
	return html`<section><h2>Time line</h2><p>${why} Strategies whose lines coincide count the same.</p><div class="tools" data-zoom-tools="${id}" hidden><button type="button" data-zoom-by="0.5">Zoom in</button><button type="button" data-zoom-by="2">Zoom out</button><button type="button" data-move="-0.5" aria-label="Earlier">◀</button><button type="button" data-move="0.5" aria-label="Later">▶</button><button type="button" data-zoom-by="0">All</button><span aria-live="polite" data-zoom-range></span></div>${SHOWN.map(chart)}<details><summary>More along the trace</summary>${MORE.map(chart)}</details></section>`;
}
