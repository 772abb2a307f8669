// What a comparison stands on: TLB and walk figures, coherence, fidelity, and how it was made.
import { COST_NAMES } from "../../machine/costs.js";
import { type Comparison, counterOf, eventsPerSecond, knowsAccesses, violationsOf } from "../compare.js";
import { exactnessLines, speedLine } from "../comparetable.js";
import { differingRows, rowsTable } from "../fidelitylines.js";
import { bytes, short } from "../numbers.js";
import type { Made } from "../savedrun.js";
import type { Table } from "../table.js";
import { caveatLines, fidelityLine, labelOf, loopLines } from "../verdict.js";
import { html, type Markup, NOTHING } from "./markup.js";
import { foldedTable, tableMarkup } from "./tables.js";

const TLB = [
	["tlb.l1Hit", "first-level TLB hits"],
	["tlb.l1Miss", "first-level TLB misses"],
	["tlb.l2Hit", "second-level TLB hits"],
	["tlb.l2Miss", "second-level TLB misses"],
	["walk.count", "walks"],
	["walk.memoryReferences", "memory references of walks"],
	["walk.pscHits", "paging-structure cache hits"],
] as const;

export function tlbSection({ strategies, trace, settings }: Comparison): Markup {
	const head = html`<h2>TLB and walks</h2>`;
	if (!knowsAccesses(trace.header)) {
		return html`<section>${head}<p>Not known: the trace has ${trace.header.access === "none" ? "no accesses" : "only the accesses that faulted"}, and these figures need every one.</p></section>`;
	}
	const table: Table = {
		columns: [{ title: "guest", align: "left" }, ...strategies.map((strategy) => ({ title: labelOf(strategy), align: "right" as const }))],
		rows: TLB.map(([path, title]) => [title, ...strategies.map(({ replay }) => String(counterOf(replay.counters, path)))]),
	};
	const { machine } = settings;
	const { l1, l2 } = machine.tlb;
	return html`<section>${head}<p>${machine.title}: ${l1.entries} entries in ${l1.ways} ways, then ${l2.entries} in ${l2.ways}; ${machine.guestLevels} levels in the guest and ${machine.hostLevels} in the host.</p>${tableMarkup(table, "TLB and walk figures")}</section>`;
}

/** kernel.md section 6. */
const RULES: Readonly<Record<string, string>> = {
	"I-1": "no SPTE or live TLB entry points to a freed page",
	"I-2": "a present SPTE has the page of a present PTE",
	"I-3": "a writable SPTE has a writable PTE",
};

export function coherenceSection(comparison: Comparison): Markup {
	const { strategies, checked } = comparison;
	const head = html`<h2>Coherence</h2>`;
	if (!checked) return html`<section>${head}<p>Nobody looked: the trace was replayed without --check.</p></section>`;
	const table: Table = {
		columns: ["strategy", "violations", "first: rule", "event", "agent", "address"].map((title, at) => ({
			title,
			align: at === 1 ? "right" : "left",
		})),
		rows: strategies.map((strategy) => {
			const [violation] = strategy.replay.violations;
			const count = String(violationsOf(strategy.replay, checked) ?? 0);
			if (violation === undefined) return [labelOf(strategy), count, "-", "-", "-", "-"];
			const { rule, event, agent, address } = violation;
			return [
				labelOf(strategy),
				count,
				`${rule}${RULES[rule] === undefined ? "" : `: ${RULES[rule]}`}`,
				String(event),
				agent,
				`0x${address.toString(16)}`,
			];
		}),
	};
	return html`<section>${head}<p>Every access was held against the primary page table. Under an unsafe strategy a violation is a result; under a safe one it is a defect of mmreplay.</p>${tableMarkup(table, "Violations of coherence")}</section>`;
}

export function fidelitySection(comparison: Comparison): Markup {
	const { fidelity } = comparison;
	const rows = "rows" in fidelity ? differingRows(fidelity) : [];
	const notes = [...exactnessLines(comparison), ...loopLines(comparison), ...caveatLines(comparison)];
	return html`<section><h2>How far to believe it</h2><p>${fidelityLine(fidelity)}.</p>${notes.map((note) => html`<p>${note}</p>`)}${rows.length === 0 ? NOTHING : foldedTable(rowsTable(rows.slice(0, 500)), `Counters that differ from what the captured kernel did, and whether the capture decides them${rows.length > 500 ? `, the first 500 of ${rows.length}` : ""}`)}</section>`;
}

function pairs(items: readonly (readonly [string, string | Markup])[]): Markup {
	return html`<dl>${items.filter(([, value]) => value !== "").map(([name, value]) => html`<dt>${name}</dt><dd>${value}</dd>`)}</dl>`;
}

export function madeSection(comparison: Comparison, made: Made | null): Markup {
	const { trace, settings, strategies, result } = comparison;
	const { header } = trace;
	const digests: Table = {
		columns: ["strategy", "digest of its counters and final state"].map((title) => ({ title, align: "left" as const })),
		rows: strategies.map((strategy) => [labelOf(strategy), strategy.replay.digest]),
	};
	const costs: Table = {
		columns: ["cost", "cycles", "estimate", "source"].map((title, at) => ({ title, align: at === 1 ? "right" : "left" })),
		rows: COST_NAMES.map((name) => {
			const { cycles, estimate, source } = settings.costs.items[name];
			return [name, String(cycles), estimate ? "yes" : "no", source];
		}),
	};
	return html`<section><h2>How it was made</h2>${pairs([
		["mmreplay", made?.version ?? ""],
		["command", made === null || made.command === "" ? "" : html`<code>${made.command}</code>`],
		["run on", made === null ? "" : [made.runtime, made.platform].filter((word) => word !== "").join(", ")],
		["at", made?.at ?? ""],
		["trace", `${trace.path.split("/").at(-1) ?? trace.path}, ${bytes(trace.bytes)}, ${result.events} events`],
		["its digest", html`<code>${trace.digest}</code>`],
		["captured kernel", header.kernel],
		["which runs", header.strategy === "" ? "" : `${header.strategy} (${header.strategyEvidence.join("; ")})`],
		["clock", header.clock],
		["imported by", header.importer === "" ? "" : `${header.importer} ${header.importerVersion}`],
		["from", header.sources.map(({ name, format }) => `${name} (${format})`).join(", ")],
		["simulated machine", `${settings.machine.name}: ${settings.machine.title}`],
		["speed", `${speedLine(comparison)}, ${short(eventsPerSecond(result))} events/s`],
	])}${foldedTable(digests, "Digests: equal on every machine, in every run")}${foldedTable(costs, "The cost vector and its sources")}</section>`;
}
