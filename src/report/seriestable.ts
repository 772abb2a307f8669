// Every counter of every strategy along each trace: by phase, where the trace has marks, and by interval, where blocks end.
import { COUNTER_PATHS, needsEveryAccess } from "../counters.js";
import { type Comparison, knowsAccesses } from "./compare.js";
import type { Column, Table } from "./table.js";

/** One stretch of a trace under one strategy. */
export interface SeriesRow {
	readonly trace: string;
	readonly kind: "phase" | "interval";
	readonly number: number;
	/** Of a phase; empty for intervals. */
	readonly label: string;
	/** Where an interval begins, in causes, how many it has, and when it begins; null for phases. */
	readonly event: number | null;
	readonly events: number | null;
	readonly ns: number | null;
	readonly strategy: string;
	/** What each counter grew by, in the order of COUNTER_PATHS; null where the trace does not decide it. */
	readonly counters: readonly (bigint | null)[];
}

const NEEDS_EVERY_ACCESS = COUNTER_PATHS.map(needsEveryAccess);

/** Phases first, then intervals, trace by trace. */
export function* seriesRows(comparisons: readonly Comparison[]): Generator<SeriesRow> {
	for (const { result, trace, strategies } of comparisons) {
		const complete = knowsAccesses(trace.header);
		const places = strategies.map(({ name }) => ({
			strategy: name,
			place: result.strategies.findIndex((replay) => replay.name === name),
		}));
		const values = (counters: BigUint64Array | undefined): (bigint | null)[] =>
			COUNTER_PATHS.map((_, at) => (!complete && NEEDS_EVERY_ACCESS[at] === true ? null : (counters?.[at] ?? 0n)));
		for (const { phase, label, counters } of result.phases) {
			for (const { strategy, place } of places) {
				const head = { trace: trace.path, kind: "phase", number: phase, label, event: null, events: null, ns: null } as const;
				yield { ...head, strategy, counters: values(counters[place]) };
			}
		}
		for (const [number, { firstEvent, events, firstNs, counters }] of result.intervals.entries()) {
			for (const { strategy, place } of places) {
				const head = { trace: trace.path, kind: "interval", number, label: "", event: firstEvent, events, ns: firstNs } as const;
				yield { ...head, strategy, counters: values(counters[place]) };
			}
		}
	}
}

const left = (title: string): Column => ({ title, align: "left" });
const right = (title: string): Column => ({ title, align: "right" });
const text = (value: bigint | number | null): string => (value === null ? "" : String(value));

/** A line for each row; what a row does not know is empty. */
export function seriesTable(comparisons: readonly Comparison[]): Table {
	return {
		columns: [...["trace", "kind", "number", "label", "event", "events", "ns", "strategy"].map(left), ...COUNTER_PATHS.map(right)],
		rows: [...seriesRows(comparisons)].map(({ trace, kind, number, label, event, events, ns, strategy, counters }) => [
			trace,
			kind,
			String(number),
			label,
			...[event, events, ns].map(text),
			strategy,
			...counters.map(text),
		]),
	};
}
