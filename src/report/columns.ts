// Which columns the comparison's table has: ours, or the user's choice of titles and counters.
import { COUNTER_PATHS } from "../counters.js";
import { UsageError } from "../errors.js";
import { type Comparison, counterOf } from "./compare.js";
import { COMPARE_COLUMNS, compareTable } from "./comparetable.js";
import type { Table } from "./table.js";

/** The titles and counters of a list; a group of counters (`vmexitsByCause.ksm`) is their sum. */
function wordsOf(list: string): string[] {
	return list
		.split(",")
		.map((word) => word.trim())
		.filter((word) => word !== "");
}

function pathsOf(word: string): string[] {
	return COUNTER_PATHS.filter((path) => path === word || path.startsWith(`${word}.`));
}

/** @throws UsageError on a column that there is not */
export function checkColumns(list: string | undefined): void {
	for (const word of wordsOf(list ?? "")) {
		if (!COMPARE_COLUMNS.includes(word) && pathsOf(word).length === 0) {
			throw new UsageError(`no column ${word}`, {
				where: "--columns",
				hint: `${COMPARE_COLUMNS.join(", ")}, or a counter of docs/counters.md such as vmexitsByCause.ksm`,
			});
		}
	}
}

/** @param list as --columns has it; undefined for ours */
export function chosenTable(comparison: Comparison, list: string | undefined, plain: boolean): Table {
	const ours = compareTable(comparison, plain);
	if (list === undefined) return ours;
	const words = wordsOf(list);
	const [first] = ours.columns;
	return {
		columns: [first ?? { title: "strategy", align: "left" }, ...words.map((title) => ({ title, align: "right" as const }))],
		rows: ours.rows.map((row, at) => {
			const counters = comparison.strategies[at]?.replay.counters ?? new BigUint64Array(0);
			return [
				row[0] ?? "",
				...words.map((word) => {
					const place = ours.columns.findIndex(({ title }) => title === word);
					if (place > 0) return row[place] ?? "";
					return String(pathsOf(word).reduce((sum, path) => sum + counterOf(counters, path), 0));
				}),
			];
		}),
	};
}
