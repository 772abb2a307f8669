// The first screen: which strategy wins on this trace, by how much, how sure that is, and what it costs.
import { type ComparedStrategy, type Comparison, counterOf, knowsAccesses, violationsOf } from "../compare.js";
import { compareTable } from "../comparetable.js";
import { estimatesOf } from "../cost.js";
import { percent, plural } from "../numbers.js";
import { labelOf, verdictLine } from "../verdict.js";
import { stackedBars } from "./bars.js";
import { html, type Markup } from "./markup.js";
import { tableMarkup } from "./tables.js";

interface Card {
	readonly title: string;
	readonly value: string;
	readonly note: string;
	readonly tone?: "good" | "warn" | "bad";
}

const exits = ({ replay }: ComparedStrategy): number => counterOf(replay.counters, "vmexits");

function winner({ strategies, baseline, deltas }: Comparison): Card {
	const safe = strategies.filter(({ safe: isSafe, name }) => isSafe && name !== baseline.name);
	const [best] = [...safe].sort((a, b) => exits(a) - exits(b));
	if (best === undefined || exits(best) >= exits(baseline)) {
		return { title: "fewest vmexits", value: baseline.name, note: `the baseline, ${plural(exits(baseline), "vmexit")}` };
	}
	const same = safe.filter((strategy) => exits(strategy) === exits(best)).map(({ name }) => name);
	const delta = deltas.find(({ name }) => name === best.name);
	return {
		title: "fewest vmexits, of the safe strategies",
		value: same.join(", "),
		note: `${delta?.vmexitsAvoided ?? 0} of ${exits(baseline)} avoided (${percent(delta?.vmexitsAvoidedPercent ?? null)}) against ${baseline.name}`,
		tone: "good",
	};
}

function cheapest({ strategies, baseline, deltas, settings, trace }: Comparison): Card {
	const total = ({ cycles }: ComparedStrategy): number => cycles.guestCycles + cycles.hostCycles;
	const [best = baseline] = strategies.filter(({ safe }) => safe).sort((a, b) => total(a) - total(b));
	const saved = deltas.find(({ name }) => name === best.name)?.cyclesSavedPercent ?? null;
	const estimates = estimatesOf(settings.costs, knowsAccesses(trace.header)).length;
	return {
		title: "fewest cycles",
		value: best.name,
		note: `${best === baseline ? "the baseline" : `${percent(saved)} saved against ${baseline.name}`}; rests on ${plural(estimates, "estimate")}`,
	};
}

function sureness({ fidelity, strategies }: Comparison): Card {
	const exact = strategies.filter((strategy) => strategy.exact === true).length;
	const counts = `counts exact for ${exact} of ${strategies.length} strategies`;
	if (!("rows" in fidelity)) return { title: "fidelity", value: "not held", note: `${fidelity.reason}; ${counts}`, tone: "warn" };
	if (fidelity.exact) {
		return {
			title: "fidelity",
			value: "exact",
			note: `replay equals the captured kernel in all ${fidelity.decidable} counters; ${counts}`,
			tone: "good",
		};
	}
	if (fidelity.differing > 0) {
		return {
			title: "fidelity",
			value: "NOT exact",
			note: `${fidelity.differing} of ${fidelity.decidable} counters differ; ${counts}`,
			tone: "bad",
		};
	}
	return {
		title: "fidelity",
		value: "open",
		note: `the capture leaves ${plural(fidelity.uncertain, "differing counter")} open; ${counts}`,
		tone: "warn",
	};
}

const GROUNDS = { complete: "complete log", inferred: "inferred from faults", none: "none" } as const;

function accesses({ trace, strategies, checked }: Comparison): Card {
	const violating = strategies.filter(({ replay }) => (violationsOf(replay, checked) ?? 0) > 0);
	const coherent = !checked
		? "coherence not checked"
		: violating.length === 0
			? "no violation of coherence"
			: `violations: ${violating.map(labelOf).join(", ")}`;
	const defect = violating.some(({ safe }) => safe);
	return { title: "accesses", value: GROUNDS[trace.header.access], note: coherent, ...(defect ? { tone: "bad" as const } : {}) };
}

const toneOf = ({ tone }: Card): string => tone ?? "";

export function overview(comparison: Comparison): Markup {
	const { trace, strategies } = comparison;
	const { header, path } = trace;
	const kernel = header.kernel === "" ? "" : `, Linux ${header.kernel}`;
	const cards = [winner(comparison), cheapest(comparison), sureness(comparison), accesses(comparison)];
	const verdict = verdictLine(comparison).replace(/^verdict: (.)/, (_, first: string) => first.toUpperCase());
	const stacks = strategies.map((strategy) => ({ name: labelOf(strategy), values: [exits(strategy)], label: String(exits(strategy)) }));
	return html`<h1>${path.split("/").at(-1) ?? path}${kernel}</h1><p class="verdict">${verdict}</p><div class="cards">${cards.map(
		(card) => html`<div class="card"><span>${card.title}</span><b class="${toneOf(card)}">${card.value}</b><span>${card.note}</span></div>`,
	)}</div>${stackedBars("vmexits", ["vmexits"], stacks)}${tableMarkup(compareTable(comparison, false), "Strategies side by side")}`;
}
