// Fidelity for people and as JSON.
import type { Fidelity } from "../fidelity/fidelity.js";
import type { FidelityRow } from "../fidelity/rows.js";
import type { NoFidelity, TraceFacts } from "./compare.js";
import type { Table } from "./table.js";

export interface HeldTrace {
	readonly trace: TraceFacts;
	readonly held: Fidelity | NoFidelity;
}

export function fidelityTraceJson({ trace, held }: HeldTrace): object {
	const { path, header, host } = trace;
	const { kernel, losses, warnings } = header;
	if (!("rows" in held))
		return { path, kernel, strategy: header.strategy, host, rows: [], exact: false, why: held.reason, losses, warnings };
	const { strategy, rows, exact, decidable, undecided, differing } = held;
	return { path, kernel, strategy, host, rows, exact, decidable, undecided, differing, losses, warnings };
}

/** Rows that differ, those that the capture decides first. */
export function differingRows(held: Fidelity): FidelityRow[] {
	const differing = held.rows.filter((row) => row.difference !== 0);
	return [...differing.filter((row) => row.decidable), ...differing.filter((row) => !row.decidable)];
}

export function rowsTable(rows: readonly FidelityRow[]): Table {
	return {
		columns: [
			{ title: "phase", align: "left" },
			{ title: "counter", align: "left" },
			{ title: "source", align: "left" },
			{ title: "predicted", align: "right" },
			{ title: "observed", align: "right" },
			{ title: "difference", align: "right" },
			{ title: "decided", align: "left" },
			{ title: "why", align: "left" },
		],
		rows: rows.map((row) => [
			row.phase === null ? "all" : String(row.phase),
			row.counter,
			row.source,
			String(row.predicted),
			String(row.observed),
			`${row.difference > 0 ? "+" : ""}${row.difference}`,
			row.decidable ? "yes" : "no",
			row.why,
		]),
	};
}
