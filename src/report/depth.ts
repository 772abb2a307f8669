// One replay in depth, for people: where its vmexits come from, by call site, by VM, phase by phase, and every counter.
import { COUNTER_PATHS, needsEveryAccess, SITES } from "../counters.js";
import type { PhaseReplay, ReplayResult, StrategyReplay } from "../engine/replay.js";
import { VMEXIT_CAUSES } from "../trace/kinds.js";
import { counterOf } from "./compare.js";
import { islandsOf, rangesByVm, type VmRanges } from "./ranges.js";
import { type Histogram, REFAULTS_IN_ACCESSES, REFAULTS_IN_NS, refaultRows } from "./refaults.js";
import { chainRows } from "./retries.js";
import { type Column, type Table, tableLines } from "./table.js";
import { bar } from "./terminal.js";

/** How the terminal is; without columns there is none, and tables are TSV. */
export interface Canvas {
	readonly columns: number | undefined;
	readonly color: boolean;
	readonly unicode: boolean;
}

export interface Depth {
	readonly result: ReplayResult;
	readonly strategy: StrategyReplay;
	/** Every access is in the trace. */
	readonly complete: boolean;
}

const left = (title: string): Column => ({ title, align: "left" });
const right = (title: string): Column => ({ title, align: "right" });

const BAR_CELLS = 24;
const ACCESSES = ["read", "write", "fetch"] as const;

/** A last column of bars where they can be shown. */
function withBars(table: Table, values: readonly number[], canvas: Canvas): Table {
	if (canvas.columns === undefined || !canvas.unicode) return table;
	const most = Math.max(1, ...values);
	return {
		columns: [...table.columns, left("")],
		rows: table.rows.map((row, at) => [...row, bar((values[at] ?? 0) / most, BAR_CELLS)]),
	};
}

function causes({ counters }: StrategyReplay, canvas: Canvas): Table {
	const rows = VMEXIT_CAUSES.map((cause) => ({
		cause,
		values: ACCESSES.map((access) => counterOf(counters, `vmexitsByCause.${cause}.${access}`)),
	}))
		.map(({ cause, values }) => ({ cause, values, sum: values.reduce((sum, value) => sum + value, 0) }))
		.filter(({ sum }) => sum > 0);
	const table = {
		columns: [left("vmexits by cause"), ...ACCESSES.map(right), right("all")],
		rows: rows.map(({ cause, values, sum }) => [cause, ...values.map(String), String(sum)]),
	};
	return withBars(
		table,
		rows.map(({ sum }) => sum),
		canvas,
	);
}

const SITE_COLUMNS = [
	["count", "times"],
	["sptePresent", "SPTEs present"],
	["spteRebuilt", "SPTEs rebuilt"],
	["exitsCaused", "vmexits caused"],
	["flushes", "guest TLB flushes"],
	["flushesEffective", "with effect"],
	["mmuLockWrite", "mmu_lock writes"],
] as const;

/** Whether a flush takes anything is known only where every access is. */
function sites({ counters }: StrategyReplay, complete: boolean): Table {
	const shown = SITE_COLUMNS.filter(([counter]) => complete || counter !== "flushesEffective");
	return {
		columns: [left("call site"), ...shown.map(([, title]) => right(title))],
		rows: SITES.flatMap((site) => {
			const values = shown.map(([counter]) => counterOf(counters, `bySite.${site}.${counter}`));
			return values.every((value) => value === 0) ? [] : [[site, ...values.map(String)]];
		}),
	};
}

const SHADES = ["·", "░", "▒", "▓", "█"] as const;
const STRIP_CELLS = 64;

/** vmexits along a VM's memory, a character a stretch; holes are spaces. */
function strip(vm: VmRanges, cells: number): string {
	const islands = islandsOf(vm);
	const last = islands.at(-1);
	if (last === undefined) return "";
	const places = last.at + (last.end - last.gfn) / vm.pages;
	const width = Math.min(cells, places);
	const sums = new Array<number | undefined>(width).fill(undefined);
	const cellOf = (place: number): number => Math.min(width - 1, Math.floor((place * width) / places));
	for (const { gfn, end, at } of islands) for (let place = at; place < at + (end - gfn) / vm.pages; place++) sums[cellOf(place)] ??= 0;
	for (const { gfn, vmexits } of vm.ranges) {
		const island = islands.find(({ end }) => gfn < end);
		if (island === undefined) continue;
		const cell = cellOf(island.at + (gfn - island.gfn) / vm.pages);
		sums[cell] = (sums[cell] ?? 0) + (vmexits[0] ?? 0);
	}
	const most = sums.reduce<number>((a, b) => Math.max(a, b ?? 0), 1);
	return sums
		.map((sum) =>
			sum === undefined ? " " : sum === 0 ? SHADES[0] : (SHADES[1 + Math.min(3, Math.floor(4 * Math.sqrt(sum / most)))] ?? "█"),
		)
		.join("")
		.trimEnd();
}

function vms({ result, strategy }: Depth, canvas: Canvas): Table {
	const found = rangesByVm({ result, strategies: [strategy] });
	const strips = canvas.columns !== undefined && canvas.unicode;
	const room = Math.min(STRIP_CELLS, (canvas.columns ?? 0) - 16);
	return {
		columns: [left("VM"), right("vmexits"), ...(strips && room > 8 ? [left("along its memory")] : [])],
		rows: found.map((vm) => [String(vm.vm), String(vm.vmexits[0] ?? 0), ...(strips && room > 8 ? [strip(vm, room)] : [])]),
	};
}

function refaults({ counters }: StrategyReplay, histogram: Histogram, unit: string, canvas: Canvas): Table {
	const { rows, values } = refaultRows(histogram, [counters]);
	const table = { columns: [left(`${unit} from a zap to the exit that misses it`), right("vmexits")], rows };
	return withBars(
		table,
		values.map(([count]) => count ?? 0),
		canvas,
	);
}

/** Of each chain the length that it came to. */
function chains({ counters }: StrategyReplay): Table {
	return { columns: [left("retries in a row"), right("chains")], rows: chainRows([counters]) };
}

const PHASE_COLUMNS = [
	["vmexits", "vmexits"],
	["vmexitsFixed", "fixed"],
	["vmexitsRetried", "retried"],
	["cowBreaks", "COW breaks"],
	["ksmMerges", "KSM merges"],
	["flush.guestTlb", "guest TLB flushes"],
	["spteZapped", "SPTEs zapped"],
	["mmuLockWrite", "mmu_lock writes"],
] as const;

function phases(found: readonly PhaseReplay[], place: number, plain: boolean): Table {
	return {
		columns: [right("phase"), left("label"), ...PHASE_COLUMNS.map(([path, title]) => right(plain ? path : title))],
		rows: found.map(({ phase, label, counters }) => [
			String(phase),
			label,
			...PHASE_COLUMNS.map(([path]) => String(counterOf(counters[place] ?? new BigUint64Array(0), path))),
		]),
	};
}

/** Every counter that is not 0. */
function totals({ counters }: StrategyReplay, complete: boolean): Table {
	return {
		columns: [left("counter"), right("value")],
		rows: COUNTER_PATHS.flatMap((path, at) => {
			const value = counters[at] ?? 0n;
			return value === 0n || (!complete && needsEveryAccess(path)) ? [] : [[path, value.toString()]];
		}),
	};
}

/** Those that are kept; the counter has them all. */
function violations({ violations: found }: StrategyReplay): Table {
	return {
		columns: [right("event"), left("rule"), left("agent"), right("address")],
		rows: found.map(({ event, rule, agent, address }) => [String(event), rule, agent, `0x${address.toString(16)}`]),
	};
}

/** Tables one below the other: every counter first where no terminal is, since scripts read those. */
export function depthLines(depth: Depth, canvas: Canvas): string[] {
	const { result, strategy, complete } = depth;
	const plain = canvas.columns === undefined;
	const place = result.strategies.indexOf(strategy);
	const all = totals(strategy, complete);
	const more = [
		causes(strategy, canvas),
		sites(strategy, complete),
		vms(depth, canvas),
		refaults(strategy, REFAULTS_IN_ACCESSES, "guest accesses", canvas),
		refaults(strategy, REFAULTS_IN_NS, "ns", canvas),
		chains(strategy),
	];
	const phased = phases(result.phases, place, plain);
	const wrong = violations(strategy);
	const tables = plain ? [all, phased, wrong, ...more] : [...more, wrong, phased, all];
	return tables
		.filter(({ rows }) => rows.length > 0)
		.flatMap((table, at) => [...(at === 0 ? [] : [""]), ...tableLines(table, canvas.columns, canvas.color)]);
}
