// vmexits by VM and by where in its memory they happened: a strip for each strategy, stronger in colour where there are more.
import type { Comparison } from "../compare.js";
import { short } from "../numbers.js";
import { type Island, islandsOf, rangesByVm, type VmRanges } from "../ranges.js";
import type { Table } from "../table.js";
import { labelOf } from "../verdict.js";
import { html, type Markup, NOTHING } from "./markup.js";
import { foldedTable, tableMarkup } from "./tables.js";

const PAGE_BYTES = 4096;
/** VMs that have strips; all of them are in the tables. */
const MAX_VMS = 16;
/** Stretches of addresses that a caption names. */
const MAX_STRETCHES = 6;

const sizeOf = (pages: number): string => `${(pages * PAGE_BYTES) / 2 ** 20} MiB`;
const address = (gfn: number): string => `0x${(gfn * PAGE_BYTES).toString(16)}`;

/** Few and many are both to be seen: the root of the share. */
const shade = (count: number, most: number): string => (0.12 + 0.88 * Math.sqrt(count / most)).toFixed(2);

function strip({ ranges, pages }: VmRanges, islands: readonly Island[], strategy: number, most: number, label: string): Markup {
	const last = islands.at(-1);
	const places = last === undefined ? 1 : last.at + (last.end - last.gfn) / pages;
	const x = (gfn: number): number => {
		const island = islands.find(({ end }) => gfn < end);
		return island === undefined ? 0 : island.at + (gfn - island.gfn) / pages;
	};
	const holes = islands.slice(1).map(({ at }) => html`<rect class="hole" x="${at - 1}" width="1" height="1"/>`);
	return html`<svg role="img" aria-label="${label}" viewBox="0 0 ${places} 1" preserveAspectRatio="none">${holes}${ranges.map(
		({ gfn, vmexits }) => {
			const count = vmexits[strategy] ?? 0;
			if (count === 0) return NOTHING;
			return html`<rect x="${x(gfn)}" width="1" height="1" fill-opacity="${shade(count, most)}"><title>${address(gfn)}: ${count}</title></rect>`;
		},
	)}</svg>`;
}

function vmTable({ ranges, pages }: VmRanges, names: readonly string[]): Table {
	return {
		columns: [{ title: `from, ${sizeOf(pages)} each`, align: "left" }, ...names.map((title) => ({ title, align: "right" as const }))],
		rows: ranges.map(({ gfn, vmexits }) => [address(gfn), ...vmexits.map(String)]),
	};
}

function vmFigure(vm: VmRanges, names: readonly string[], most: number): Markup {
	const { pages } = vm;
	const islands = islandsOf(vm);
	const title = `vmexits in the memory of VM ${vm.vm}`;
	const stretches = islands.map(({ gfn, end }) => `${address(gfn)} to ${address(end)}`);
	const shown = stretches.length > MAX_STRETCHES ? [...stretches.slice(0, MAX_STRETCHES), "…"] : stretches;
	return html`<figure class="bars heatmap"><figcaption>VM ${vm.vm}: guest-physical ${shown.join(", ")}, in pieces of ${sizeOf(pages)}${islands.length > 1 ? "; what lies between is left out" : ""}</figcaption>${names.map(
		(name, at) =>
			html`<div class="row"><span class="name">${name}</span><span class="track">${strip(vm, islands, at, most, `${title} under ${name}: ${vm.vmexits[at] ?? 0} in all`)}</span><span class="sum">${vm.vmexits[at] ?? 0}</span></div>`,
	)}</figure>${foldedTable(vmTable(vm, names), title)}`;
}

export function heatSection(comparison: Comparison): Markup {
	const vms = rangesByVm(comparison);
	const head = html`<h2>Where in the guests' memory</h2>`;
	if (vms.length === 0) {
		const none = comparison.result.ranges.length === 0 && comparison.baseline.replay.counters.some((count) => count > 0n);
		return html`<section>${head}<p class="dim">${none ? "No vmexit, or this run was saved without their places." : "No vmexit."}</p></section>`;
	}
	const names = comparison.strategies.map(labelOf);
	const most = vms.flatMap(({ ranges }) => ranges.flatMap(({ vmexits }) => vmexits)).reduce((a, b) => Math.max(a, b), 1);
	const byVm: Table = {
		columns: [{ title: "VM", align: "left" }, ...names.map((title) => ({ title, align: "right" as const }))],
		rows: vms.map(({ vm, vmexits }) => [String(vm), ...vmexits.map(String)]),
	};
	return html`<section>${head}<p>The stronger the colour, the more vmexits a piece of guest memory took; the strongest stands for ${short(most)}. All strips share one scale.</p>${vms.length > 1 ? tableMarkup(byVm, "vmexits by VM") : NOTHING}${vms
		.slice(0, MAX_VMS)
		.map((vm) =>
			vmFigure(vm, names, most),
		)}${vms.length > MAX_VMS ? html`<p class="dim">The first ${MAX_VMS} of ${vms.length} VMs.</p>` : NOTHING}</section>`;
}
