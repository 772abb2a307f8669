// Holds a trace against itself: what a replay under the captured kernel's strategy predicts, against what that kernel was seen to do.
import type { TraceReader } from "../trace/reader.js";
import type { TraceHeader } from "../trace/record.js";
import { observe } from "./observed.js";
import { firstConcurrentPhase, phaseStarts } from "./phases.js";
import { type FidelityRow, fidelityRows, type Predicted } from "./rows.js";

export interface Fidelity {
	readonly strategy: string;
	readonly rows: readonly FidelityRow[];
	/** Every decidable row agrees, there is one, and none differs for want of order or of lost events. */
	readonly exact: boolean;
	readonly decidable: number;
	readonly undecided: number;
	/** Decidable rows that differ. */
	readonly differing: number;
	/** Rows that differ and that the capture leaves open because events were lost or their order is inferred. */
	readonly uncertain: number;
}

/** Null where the trace has no observations: there is nothing to hold it against. */
export function fidelity(trace: TraceReader, header: TraceHeader, strategy: string, predicted: Predicted): Fidelity | null {
	const starts = phaseStarts(trace);
	const observed = observe(trace, starts);
	if (observed.kinds.size === 0) return null;
	const concurrentFrom = header.concurrent ? firstConcurrentPhase(trace, starts) : starts.length;
	const { rows, uncertain } = fidelityRows({ header, starts, concurrentFrom, observed, predicted });
	const decidable = rows.filter((row) => row.decidable);
	const differing = decidable.filter((row) => row.difference !== 0).length;
	return {
		strategy,
		rows,
		exact: decidable.length > 0 && differing === 0 && uncertain === 0,
		decidable: decidable.length,
		undecided: rows.length - decidable.length,
		differing,
		uncertain,
	};
}
