// Bars and sparklines of a comparison for a terminal.
import { counterIndex } from "../counters.js";
import { type Comparison, counterOf } from "./compare.js";
import { labelOf } from "./verdict.js";

/** Eighths of a cell. */
const EIGHTHS = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"] as const;
const LEVELS = ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"] as const;
const BAR_CELLS = 40;
/** Narrower than this there is no room beside the table. */
const MIN_COLUMNS = 60;

/** `share` (0 to 1) of `cells`. */
export function bar(share: number, cells: number): string {
	const eighths = Math.round(Math.min(1, Math.max(0, share)) * cells * 8);
	return "█".repeat(eighths >> 3) + (EIGHTHS[eighths & 7] ?? "");
}

/** One character a value; nothing at all is a space. */
export function sparkline(values: readonly number[], highest: number): string {
	return values
		.map((value) => (value === 0 || highest === 0 ? " " : (LEVELS[Math.min(7, Math.floor((8 * value) / highest))] ?? "")))
		.join("");
}

/** Neighbours summed up until there are at most `cells` values. */
function fitted(values: readonly number[], cells: number): number[] {
	const by = Math.ceil(values.length / cells);
	const sums: number[] = [];
	for (let at = 0; at < values.length; at += by) sums.push(values.slice(at, at + by).reduce((sum, value) => sum + value, 0));
	return sums;
}

function series({ result }: Comparison): { what: string; counters: (readonly BigUint64Array[])[] } | undefined {
	if (result.phases.length > 1) return { what: "phase by phase", counters: result.phases.map(({ counters }) => counters) };
	if (result.intervals.length > 1) return { what: "along the trace", counters: result.intervals.map(({ counters }) => counters) };
	return undefined;
}

/** vmexits as bars and, where the trace has phases or several blocks, along it. Nothing where the terminal is too narrow or not UTF-8. */
export function terminalLines(comparison: Comparison, columns: number | undefined, unicode: boolean): string[] {
	if (columns === undefined || columns < MIN_COLUMNS || !unicode) return [];
	const { strategies, result } = comparison;
	const width = Math.max(...strategies.map((strategy) => labelOf(strategy).length));
	const counts = strategies.map(({ replay }) => counterOf(replay.counters, "vmexits"));
	const most = Math.max(1, ...counts);
	const digits = String(most).length;
	const along = series(comparison);
	const room = columns - width - digits - 4;
	const barCells = Math.min(BAR_CELLS, along === undefined ? room : Math.floor(room / 2));
	const place = counterIndex("vmexits");
	const lines = strategies.map((strategy) => {
		const index = result.strategies.findIndex(({ name }) => name === strategy.name);
		return fitted(along?.counters.map((counters) => Number(counters[index]?.[place] ?? 0n)) ?? [], Math.max(1, room - barCells - 2));
	});
	const highest = Math.max(0, ...lines.flat());
	return [
		`vmexits${along === undefined ? "" : `, and ${along.what}`}`,
		...strategies.map((strategy, at) => {
			const count = counts[at] ?? 0;
			return `${labelOf(strategy).padEnd(width)}  ${String(count).padStart(digits)} ${bar(count / most, barCells).padEnd(barCells)}  ${sparkline(lines[at] ?? [], highest)}`.trimEnd();
		}),
	];
}
