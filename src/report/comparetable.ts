// The comparison as tables: one for people, one with every counter.
import { COUNTER_PATHS, needsEveryAccess } from "../counters.js";
import { COST_NAMES, type CostName } from "../machine/costs.js";
import { type ComparedStrategy, type Comparison, counterOf, eventsPerSecond, knowsAccesses, violationsOf } from "./compare.js";
import { listed, percent, plural, short } from "./numbers.js";
import type { Column, Table } from "./table.js";
import { labelOf } from "./verdict.js";

const NOTIFIER_CALLS = ["notifier.rangeStart", "notifier.rangeEnd", "notifier.changePte", "notifier.invalidateSecondaryTlb"] as const;

const right = (title: string): Column => ({ title, align: "right" });

/** Titles of the comparison's table. */
export const COMPARE_COLUMNS: readonly string[] = [
	"vmexits",
	"avoided",
	"avoided %",
	"retried",
	"COW breaks",
	"guest TLB flushes",
	"notifier calls",
	"mmu_lock writes",
	"cycles",
	"accesses/s",
	"violations",
];

/** `>=` before a lower bound, `~` before what is not exact. */
function marked(strategy: ComparedStrategy, text: string, plain: boolean): string {
	if (plain || strategy.exact === true) return text;
	return `${strategy.exact === "lowerBound" ? ">=" : "~"}${text}`;
}

/**
 * For a kernel developer: a line a strategy.
 * @param plain figures as they are, without marks and units (TSV); how exact they are has its own column
 */
export function compareTable(comparison: Comparison, plain: boolean): Table {
	const { strategies, deltas, baseline } = comparison;
	const number = (value: number | null): string => (value === null ? (plain ? "" : "-") : plain ? String(value) : short(value));
	return {
		columns: [
			{ title: "strategy", align: "left" },
			...(plain ? [{ title: "exact", align: "left" } as const] : []),
			...COMPARE_COLUMNS.map(right),
		],
		rows: strategies.map((strategy) => {
			const { counters } = strategy.replay;
			const at = (path: string): number => counterOf(counters, path);
			const delta = deltas.find(({ name }) => name === strategy.name);
			const isBaseline = strategy === baseline;
			const violations = violationsOf(strategy.replay, comparison.checked);
			const avoidedPercent = delta?.vmexitsAvoidedPercent ?? null;
			return [
				plain ? strategy.name : isBaseline ? `${labelOf(strategy)} (baseline)` : labelOf(strategy),
				...(plain ? [String(strategy.exact)] : []),
				marked(strategy, String(at("vmexits")), plain),
				isBaseline ? (plain ? "0" : "-") : String(delta?.vmexitsAvoided ?? 0),
				plain ? (avoidedPercent === null ? "" : avoidedPercent.toFixed(2)) : percent(avoidedPercent),
				String(at("vmexitsRetried")),
				String(at("cowBreaks")),
				String(at("flush.guestTlb")),
				String(NOTIFIER_CALLS.reduce((sum, path) => sum + at(path), 0)),
				String(at("mmuLockWrite")),
				number(strategy.cycles.guestCycles + strategy.cycles.hostCycles),
				number(strategy.cycles.simulatedAccessesPerSecond === null ? null : Math.round(strategy.cycles.simulatedAccessesPerSecond)),
				violations === null ? (plain ? "" : "-") : String(violations),
			];
		}),
	};
}

/** The replay's own speed. The captured kernel's strategy is replayed too where it is not among those compared. */
export function speedLine({ result, strategies }: Comparison): string {
	const { events, seconds, threads } = result;
	const extra = result.strategies.filter((replay) => !strategies.some(({ name }) => name === replay.name)).map(({ name }) => name);
	const under = `${plural(strategies.length, "strategy", "strategies")}${extra.length === 0 ? "" : ` (and ${listed(extra)}, which was captured)`}`;
	return `replayed ${events} events under ${under} in ${seconds.toFixed(seconds < 10 ? 3 : 1)} s: ${short(eventsPerSecond({ ...result, events }))} events/s on ${threads} thread${threads === 1 ? "" : "s"}`;
}

/** What the marks of the table mean, where there are any; strategies with the same reason share a line. */
export function exactnessLines({ strategies }: Comparison): string[] {
	const reasons = new Map<string, string[]>();
	for (const { name, exact, why } of strategies) {
		if (exact === true) continue;
		const reason = exact === "lowerBound" ? `>= a lower bound: ${why}` : `~ not exact: ${why}`;
		reasons.set(reason, [...(reasons.get(reason) ?? []), name]);
	}
	return [...reasons].map(([reason, names]) => `${reason} (${names.join(", ")})`);
}

/** Every counter of every strategy and trace: for CSV. */
export function counterTable(comparisons: readonly Comparison[]): Table {
	return {
		columns: [
			...["trace", "strategy", "baseline", "exact"].map((title): Column => ({ title, align: "left" })),
			...["vmexitsAvoided", "guestCycles", "hostCycles", "cyclesPerAccess", "simulatedAccessesPerSecond"].map(right),
			...COUNTER_PATHS.map(right),
		],
		rows: comparisons.flatMap((comparison) => {
			const complete = knowsAccesses(comparison.trace.header);
			return comparison.strategies.map((strategy) => [
				comparison.trace.path,
				strategy.name,
				comparison.settings.baseline,
				String(strategy.exact),
				String(comparison.deltas.find(({ name }) => name === strategy.name)?.vmexitsAvoided ?? 0),
				String(strategy.cycles.guestCycles),
				String(strategy.cycles.hostCycles),
				String(strategy.cycles.cyclesPerAccess ?? ""),
				String(strategy.cycles.simulatedAccessesPerSecond ?? ""),
				...COUNTER_PATHS.map((path) =>
					!complete && needsEveryAccess(path) ? "" : String(strategy.replay.counters[COUNTER_PATHS.indexOf(path)] ?? 0n),
				),
			]);
		}),
	};
}

/** How much of the cycles saved hangs on each cost. */
export function sensitivityTable(comparison: Comparison): Table {
	const { strategies, baseline, sensitivity, settings, deltas } = comparison;
	const others = strategies.map((strategy, at) => ({ strategy, at })).filter(({ strategy }) => strategy !== baseline);
	const saved = (values: (name: string, at: number) => number | null): string[] =>
		others.map(({ strategy, at }) => percent(values(strategy.name, at)));
	const label = (cost: CostName, factor: number): string[] => [cost, `x${factor}`, String(settings.costs.items[cost].cycles * factor)];
	const used = COST_NAMES.filter((cost) => sensitivity?.some((row) => row.cost === cost));
	return {
		columns: [
			{ title: "cycles saved, cost", align: "left" },
			right("factor"),
			right("cycles"),
			...others.map(({ strategy }) => right(strategy.name)),
		],
		rows: [
			["(as given)", "x1", "", ...saved((name) => deltas.find((delta) => delta.name === name)?.cyclesSavedPercent ?? null)],
			...used.flatMap((cost) =>
				(sensitivity ?? [])
					.filter((row) => row.cost === cost)
					.map((row) => [...label(cost, row.factor), ...saved((_, at) => row.cyclesSavedPercent[at] ?? null)]),
			),
			[
				"break-even vmexit",
				"",
				"",
				...others.map(({ strategy }) => {
					const cycles = deltas.find((delta) => delta.name === strategy.name)?.breakEvenVmexitCycles ?? null;
					return cycles === null ? "none" : Math.round(cycles).toString();
				}),
			],
		],
	};
}
