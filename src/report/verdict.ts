// The sentences above the table: does the trace reproduce its own kernel, which strategy avoids how much, and how sure that is.
import type { Fidelity } from "../fidelity/fidelity.js";
import type { FidelityRow } from "../fidelity/rows.js";
import { type ComparedStrategy, type Comparison, counterOf, knowsAccesses, type NoFidelity } from "./compare.js";
import { estimatesOf } from "./cost.js";
import { listed, percent, plural } from "./numbers.js";

const phaseOf = (row: FidelityRow): string => (row.phase === null ? "in all" : `in phase ${row.phase}`);

/** One difference in words. */
function rowText(row: FidelityRow): string {
	return `${row.counter} ${phaseOf(row)}: ${row.predicted} predicted, ${row.observed} observed${row.source === "events" ? "" : ` (${row.source})`}`;
}

/** Counters that were observed to differ, and that the capture does not decide: how far the kernel goes there is not in the causes. */
function openCounters(held: Fidelity | NoFidelity): { counter: string; why: string }[] {
	if (!("rows" in held)) return [];
	const rows = held.rows.filter((row) => !row.decidable && row.difference !== 0 && row.observed !== 0);
	return [...new Map(rows.map(({ counter, why }) => [counter, { counter, why }])).values()];
}

/** What an exact fidelity leaves open. */
function openLine(held: Fidelity): string {
	const open = openCounters(held);
	if (open.length === 0) return "";
	const reasons = [...new Set(open.map(({ why }) => why))].map(
		(reason) =>
			`${open
				.filter(({ why }) => why === reason)
				.map(({ counter }) => counter)
				.join(", ")} (${reason})`,
	);
	return `; not decided by the capture, and observed otherwise: ${reasons.join("; ")}`;
}

/** One line on a trace held against itself. */
export function fidelityLine(held: Fidelity | NoFidelity): string {
	if (!("rows" in held)) return `fidelity: not held against itself: ${held.reason}`;
	const { strategy, exact, decidable, differing, uncertain, rows } = held;
	if (exact)
		return `fidelity: exact: the replay under ${strategy} equals what the captured kernel did in all ${decidable} counters compared${openLine(held)}`;
	const first = rows.find((row) => row.difference !== 0 && row.decidable) ?? rows.find((row) => row.difference !== 0);
	const example = first === undefined ? "" : `; ${rowText(first)}`;
	if (differing > 0)
		return `fidelity: NOT exact: the replay under ${strategy} differs from what the captured kernel did in ${differing} of ${decidable} counters${example}`;
	if (uncertain > 0)
		return `fidelity: open: the replay under ${strategy} agrees in the ${decidable} counters that the capture decides and differs in ${uncertain} that it does not (${first?.why ?? ""})${example}`;
	return `fidelity: open: the capture decides none of the counters (${rows[0]?.why ?? "it observes nothing that is counted"})`;
}

const exits = (strategy: ComparedStrategy): number => counterOf(strategy.replay.counters, "vmexits");

/** An unsafe strategy is never named without saying so. */
export function labelOf({ name, safe }: ComparedStrategy): string {
	return safe ? name : `${name} (unsafe)`;
}

/** What each strategy avoids; names with the same count are told together. */
function avoided(baseline: ComparedStrategy, others: readonly ComparedStrategy[]): string {
	const groups = new Map<number, string[]>();
	for (const strategy of others) groups.set(exits(strategy), [...(groups.get(exits(strategy)) ?? []), labelOf(strategy)]);
	const base = exits(baseline);
	const parts = [...groups].map(([count, names]) => {
		const verb = (one: string, several: string): string => `${listed(names)} ${names.length > 1 ? several : one}`;
		if (count > base) return `${verb("takes", "take")} ${count - base} more`;
		return `${verb("avoids", "avoid")} ${count === base ? "none" : `${base - count} (${percent((100 * (base - count)) / base)})`}`;
	});
	return parts.join(", ");
}

const SURENESS = [
	[true, "exact"],
	["lowerBound", "a lower bound"],
	[false, "not exact"],
] as const;

/** Which counts are exact. */
function certainty({ strategies, fidelity }: Comparison): string {
	const groups = SURENESS.flatMap(([exact, words]) => {
		const names = strategies.filter((strategy) => strategy.exact === exact).map(({ name }) => name);
		return names.length === 0 ? [] : [{ words, names }];
	});
	const open = openCounters(fidelity).map(({ counter }) => counter);
	const but = open.length > 0 && groups.some(({ words }) => words === "exact") ? ` but ${listed(open)}` : "";
	const [only] = groups;
	if (only !== undefined && groups.length === 1) return `all counts ${only.words}${but}`;
	return `counts ${groups.map(({ words, names }) => `${words}${words === "exact" ? but : ""} for ${listed(names)}`).join(", ")}`;
}

const GROUNDS = {
	complete: "from a complete access log",
	inferred: "from accesses inferred from faults",
	none: "without any access",
} as const;

/** One sentence: which strategy avoids how many vmexits against the baseline, and how sure that is. */
export function verdictLine(comparison: Comparison): string {
	const { baseline, strategies, settings, trace } = comparison;
	const others = strategies.filter((strategy) => strategy !== baseline).sort((a, b) => exits(a) - exits(b));
	const estimates = estimatesOf(settings.costs, knowsAccesses(trace.header)).length;
	const counts = `${certainty(comparison)}, ${GROUNDS[trace.header.access]}`;
	const parts = [
		`verdict: of ${plural(exits(baseline), "vmexit")} under ${baseline.name}${others.length === 0 ? "" : `, ${avoided(baseline, others)}`}`,
		counts,
		...(estimates === 0 ? [] : [`cycles rest on ${plural(estimates, "estimate")}`]),
	];
	return `${parts.join("; ")}.`;
}

/** Exits in loops, where a bracket stays open: time, not state (model.md section 3). */
export function loopLines({ strategies }: Comparison): string[] {
	const parts = strategies.flatMap(({ name, replay }) => {
		const looped = ["read", "write", "fetch"].reduce(
			(sum, access) => sum + counterOf(replay.counters, `vmexitsByCause.retryInProgress.${access}`),
			0,
		);
		if (looped === 0) return [];
		const loops = counterOf(replay.counters, "inProgressLoops");
		const without = counterOf(replay.counters, "vmexits") - looped;
		return [`${name} ${looped} in ${plural(loops, "loop")}, ${without} vmexits without`];
	});
	return parts.length === 0
		? []
		: [`retries while a bracket is in progress: ${parts.join("; ")}. How often a vCPU spins is time, which is not simulated.`];
}

/** What the capture lost, and what its importer warned of: in every report. */
export function caveatLines({ trace }: Pick<Comparison, "trace">): string[] {
	const { losses, warnings } = trace.header;
	return [...losses.map(({ name, count }) => `lost: ${count} (${name})`), ...warnings.map((warning) => `warning: ${warning}`)];
}
