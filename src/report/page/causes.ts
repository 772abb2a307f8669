// Where vmexits come from: by cause, and by the operation that took the mapping away.
import { SITES } from "../../counters.js";
import { VMEXIT_CAUSES } from "../../trace/kinds.js";
import { type Comparison, counterOf, knowsAccesses } from "../compare.js";
import { causeTable } from "../markdown.js";
import { labelOf } from "../verdict.js";
import { stackedBars } from "./bars.js";
import { html, type Markup, NOTHING } from "./markup.js";
import { foldedTable } from "./tables.js";

const WORDS: Readonly<Record<string, string>> = {
	firstTouch: "first touch",
	ksm: "after a KSM step",
	cow: "after a COW",
	readOnlySpte: "write to a read-only SPTE",
	accessTrack: "access-track SPTE, after ageing",
	retryAfterCow: "retry after its own COW",
	retryInProgress: "retry while a bracket is open",
	retryOther: "other retry",
	hugeSplit: "after a huge page was split",
	kvmZap: "after KVM's own zap",
	notifier: "after another notifier range",
	other: "other",
};

export function causesSection(comparison: Comparison): Markup {
	const { strategies } = comparison;
	const stacks = strategies.map((strategy) => ({
		name: labelOf(strategy),
		values: VMEXIT_CAUSES.map((cause) =>
			["read", "write", "fetch"].reduce((sum, access) => sum + counterOf(strategy.replay.counters, `vmexitsByCause.${cause}.${access}`), 0),
		),
		label: String(counterOf(strategy.replay.counters, "vmexits")),
	}));
	const layers = VMEXIT_CAUSES.map((cause) => WORDS[cause] ?? cause);
	return html`<section><h2>vmexits by cause</h2>${stackedBars("vmexits by cause", layers, stacks)}${foldedTable(causeTable(comparison), "vmexits by cause")}</section>`;
}

const SITE_WORDS = {
	exitsCaused: "vmexits that it caused",
	count: "how often it ran",
	sptePresent: "SPTEs present when it ran",
	spteRebuilt: "SPTEs that had to be built again",
	flushes: "flushes of guest TLBs",
	flushesEffective: "flushes that took something from a guest TLB",
	mmuLockWrite: "mmu_lock taken for writing",
} as const;

/** Call site by strategy for one counter, shaded by size; sites that never ran are left out. */
function siteMatrix({ strategies }: Comparison, counter: keyof typeof SITE_WORDS): Markup {
	const rows = SITES.map((site) => ({
		site,
		values: strategies.map(({ replay }) => counterOf(replay.counters, `bySite.${site}.${counter}`)),
	})).filter(({ values }) => values.some((value) => value > 0));
	if (rows.length === 0) return html`<p class="dim">${SITE_WORDS[counter]}: none.</p>`;
	const most = Math.max(...rows.flatMap(({ values }) => values));
	const caption = `Call site by strategy: ${SITE_WORDS[counter]}`;
	return html`<div class="scroll" tabindex="0" role="region" aria-label="${caption}"><table><caption>${caption}</caption><thead><tr><th scope="col">call site</th>${strategies.map(
		(strategy) => html`<th scope="col" class="n">${labelOf(strategy)}</th>`,
	)}</tr></thead><tbody>${rows.map(
		({ site, values }) =>
			html`<tr><th scope="row">${site}</th>${values.map(
				(value) =>
					html`<td class="n heat" style="${`background:color-mix(in srgb,var(--p1) ${Math.round((35 * value) / most)}%,transparent)`}">${value}</td>`,
			)}</tr>`,
	)}</tbody></table></div>`;
}

export function sitesSection(comparison: Comparison): Markup {
	const counters = ["count", "sptePresent", "spteRebuilt", "flushes", "flushesEffective", "mmuLockWrite"] as const;
	const more = counters
		.filter((counter) => counter !== "flushesEffective" || knowsAccesses(comparison.trace.header))
		.map((counter) => siteMatrix(comparison, counter));
	return html`<section><h2>Where they come from</h2><p>Each call site is an operation of the kernel on a page that the guest has mapped.</p>${siteMatrix(comparison, "exitsCaused")}<details><summary>More by call site</summary>${more}</details>${NOTHING}</section>`;
}
