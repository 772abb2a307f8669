// Every counter of every strategy along each trace: by phase, where the trace has marks, and by interval, where blocks end.
import { COUNTER_PATHS } from "../counters.js";
import { type Comparison, knowsAccesses } from "./compare.js";
import type { Column, Table } from "./table.js";

const left = (title: string): Column => ({ title, align: "left" });
const right = (title: string): Column => ({ title, align: "right" });

/** A line for each trace, stretch and strategy; `event` and `ns` are where an interval begins and empty for phases. */
export function seriesTable(comparisons: readonly Comparison[]): Table {
	const rows: string[][] = [];
	for (const comparison of comparisons) {
		const { result, trace, strategies } = comparison;
		const complete = knowsAccesses(trace.header);
		const add = (head: readonly string[], counters: readonly BigUint64Array[]): void => {
			for (const { name } of strategies) {
				const values = counters[result.strategies.findIndex((replay) => replay.name === name)];
				const cells = COUNTER_PATHS.map((path, at) => (!complete && /^(tlb|hostTlb|walk)\./.test(path) ? "" : String(values?.[at] ?? 0n)));
				rows.push([trace.path, ...head, name, ...cells]);
			}
		};
		for (const { phase, label, counters } of result.phases) add(["phase", String(phase), label, "", "", ""], counters);
		for (const [at, { firstEvent, events, firstNs, counters }] of result.intervals.entries()) {
			add(["interval", String(at), "", String(firstEvent), String(events), String(firstNs)], counters);
		}
	}
	return {
		columns: [...["trace", "kind", "number", "label", "event", "events", "ns", "strategy"].map(left), ...COUNTER_PATHS.map(right)],
		rows,
	};
}
