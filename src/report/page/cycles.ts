// What the counts cost: cycles by cost, the cost of a vmexit at which strategies tie, and how much hangs on each cost.
import { COST_NAMES, type CostName } from "../../machine/costs.js";
import { type Comparison, compared, knowsAccesses } from "../compare.js";
import { sensitivityTable } from "../comparetable.js";
import { cyclesByCost, NEEDS_ACCESSES, savedPercent } from "../cost.js";
import { short } from "../numbers.js";
import type { Table } from "../table.js";
import { labelOf } from "../verdict.js";
import { stackedBars } from "./bars.js";
import { lineChart } from "./lines.js";
import { html, jsonMarkup, type Markup, NOTHING } from "./markup.js";
import { foldedTable, tableMarkup } from "./tables.js";

const POINTS = 40;

/** Cycles of each strategy as a line over the cost of a vmexit: `rest + exits * cost`. */
interface Terms {
	readonly name: string;
	readonly exits: number;
	readonly rest: number;
}

function termsOf({ strategies, settings, trace }: Comparison): Terms[] {
	return strategies.map((strategy) => {
		const byCost = cyclesByCost(strategy.replay.counters, settings.costs, knowsAccesses(trace.header));
		const rest = byCost.filter(({ name }) => name !== "vmexit").reduce((sum, { cycles }) => sum + cycles, 0);
		return { name: labelOf(strategy), exits: byCost.find(({ name }) => name === "vmexit")?.count ?? 0, rest };
	});
}

const savedAt = (of: Terms, base: Terms, cost: number): number | null =>
	savedPercent(of.rest + of.exits * cost, base.rest + base.exits * cost);

function breakEven(comparison: Comparison, id: string): Markup {
	const { deltas, settings, baseline } = comparison;
	const cost = settings.costs.items.vmexit;
	const terms = termsOf(comparison);
	const base = terms.find(({ name }) => name === labelOf(baseline));
	const others = terms.map((each, color) => ({ ...each, color })).filter(({ name }) => name !== base?.name);
	if (base === undefined || others.length === 0) return NOTHING;
	const ties = deltas.flatMap(({ breakEvenVmexitCycles: at }) => (at === null ? [] : [at]));
	const end =
		Math.ceil(Math.max(2 * cost.cycles, ...ties.filter((at) => at < 20 * Math.max(cost.cycles, 1)).map((at) => 1.3 * at), 1000) / 1000) *
		1000;
	const lines = others.map((one) => ({
		name: one.name,
		color: one.color % 11,
		points: Array.from({ length: POINTS + 1 }, (_, at) => {
			const x = (end * at) / POINTS;
			return [x, savedAt(one, base, x) ?? 0] as const;
		}),
	}));
	const table: Table = {
		columns: ["strategy", "ties at (cycles a vmexit)", "saved at the cost taken"].map((title, at) => ({
			title,
			align: at === 0 ? "left" : "right",
		})),
		rows: others.map((one) => {
			const tie =
				deltas.find(({ name }) => one.name.startsWith(name) && (one.name === name || one.name[name.length] === " "))
					?.breakEvenVmexitCycles ?? null;
			const saved = savedAt(one, base, cost.cycles);
			return [one.name, tie === null ? "never" : String(Math.round(tie)), saved === null ? "-" : `${saved.toFixed(1)}%`];
		}),
	};
	const source = `${cost.cycles} cycles${cost.estimate ? ", an estimate" : ""}`;
	return html`<section><h2>Break-even</h2><p>Cycles saved against ${labelOf(baseline)} for every cost of a vmexit. Where a line crosses zero, the strategy ties. The dotted upright marks the cost taken: ${source} (${cost.source}).</p>${lineChart(
		{
			title: `Cycles saved against ${labelOf(baseline)}, in percent`,
			xTitle: "cycles a vmexit costs",
			yTitle: "percent",
			lines,
			xRange: [0, end],
			mark: { x: cost.cycles, text: `marked: ${short(cost.cycles)}`, id: `${id}-mark` },
		},
	)}<div class="tools" data-breakeven="${id}" hidden><label for="${id}-cost">A vmexit costs</label><input id="${id}-cost" type="range" min="0" max="${end}" step="1" value="${cost.cycles}"><output for="${id}-cost"></output></div><script type="application/json" id="${id}-terms">${jsonMarkup({ base, others, end })}</script>${tableMarkup(table, "Where each strategy ties with the baseline")}</section>`;
}

function cyclesByCostSection(comparison: Comparison): Markup {
	const { strategies, settings, trace } = comparison;
	const complete = knowsAccesses(trace.header);
	const rows = strategies.map((strategy) => ({
		name: labelOf(strategy),
		items: cyclesByCost(strategy.replay.counters, settings.costs, complete),
	}));
	const of = (items: (typeof rows)[number]["items"], name: CostName): number => items.find((item) => item.name === name)?.cycles ?? 0;
	const stacks = rows.map(({ name, items }) => ({ name, values: COST_NAMES.map((cost) => of(items, cost)) }));
	const table: Table = {
		columns: [
			{ title: "cycles for", align: "left" },
			{ title: "each", align: "right" },
			{ title: "whose time", align: "left" },
			...rows.map(({ name }) => ({ title: name, align: "right" as const })),
		],
		rows: COST_NAMES.filter((name) => complete || !NEEDS_ACCESSES.has(name)).map((name) => {
			const { cycles, side, estimate } = settings.costs.items[name];
			return [name, `${cycles}${estimate ? " (estimate)" : ""}`, side, ...rows.map(({ items }) => String(of(items, name)))];
		}),
	};
	return html`<section><h2>Cycles</h2><p>Counts times the cost vector ${settings.costs.name}. Nothing here is measured; the counts are${complete ? "" : ". Accesses, TLB hits and walks are left out: they need a complete access log"}.</p>${stackedBars("Cycles by cost", COST_NAMES, stacks)}${foldedTable(table, "Cycles by cost")}${foldedTable(
		sensitivityTable(compared(comparison, true)),
		"Cycles saved with each cost halved and doubled",
	)}</section>`;
}

export function cyclesSections(comparison: Comparison, id: string): Markup {
	return html`${breakEven(comparison, id)}${cyclesByCostSection(comparison)}`;
}
