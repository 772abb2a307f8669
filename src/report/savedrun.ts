// A saved run: the comparison's JSON document with what a report also needs, phases and intervals and how it was made. `readrun.ts` reads it back.
import { COUNTER_PATHS, type CounterValue } from "../counters.js";
import { type Comparison, comparisonJson } from "./compare.js";
import { exactnessLines } from "./comparetable.js";
import { rangesByVm } from "./ranges.js";
import { caveatLines, fidelityLine, loopLines, verdictLine } from "./verdict.js";

/** How a run was made. Nothing that names a person or a host. */
export interface Made {
	/** mmreplay's version. */
	readonly version: string;
	/** The command line, as given. */
	readonly command: string;
	/** Runtime, and what it ran on. */
	readonly runtime: string;
	readonly platform: string;
	/** ISO 8601, UTC. */
	readonly at: string;
}

export const RUN_SCHEMA = "mmreplay/compare/1";

/** Counters that are not 0, by their paths. */
function sparse(counters: BigUint64Array): Record<string, CounterValue> {
	const found: Record<string, CounterValue> = {};
	COUNTER_PATHS.forEach((path, at) => {
		const value = counters[at] ?? 0n;
		if (value !== 0n) found[path] = value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value.toString();
	});
	return found;
}

/** The sentences of a comparison, for those who read the document without us. */
function summary(comparison: Comparison): object {
	return {
		fidelity: fidelityLine(comparison.fidelity),
		verdict: verdictLine(comparison),
		caveats: caveatLines(comparison),
		notes: [...exactnessLines(comparison), ...loopLines(comparison)],
	};
}

/** One comparison with its phases and intervals; `strategies` of both are in the order of the comparison's. */
function savedTrace(comparison: Comparison): object {
	const { result, strategies, fidelity, trace } = comparison;
	const places = strategies.map(({ name }) => result.strategies.findIndex((replay) => replay.name === name));
	const grown = (counters: readonly BigUint64Array[]): object[] => places.map((place) => sparse(counters[place] ?? new BigUint64Array(0)));
	const { copiesRecorded, clock, clockResolutionNs, sources, importer, importerVersion } = trace.header;
	const document = comparisonJson(comparison);
	return {
		...document,
		...("rows" in fidelity
			? { fidelity: { ...("fidelity" in document ? Object(document.fidelity) : {}), uncertain: fidelity.uncertain } }
			: {}),
		summary: summary(comparison),
		provenance: { copiesRecorded, clock, clockResolutionNs, sources, importer, importerVersion },
		phases: result.phases.map(({ phase, label, counters }) => ({ phase, label, strategies: grown(counters) })),
		ranges: rangesByVm(comparison).flatMap(({ ranges }) => ranges),
		intervals: result.intervals.map(({ firstEvent, events, firstNs, counters }) => ({
			firstEvent,
			events,
			firstNs,
			strategies: grown(counters),
		})),
	};
}

/** The document of one trace, or of several. `litmus`: the verdicts on the strategies, as `mmreplay litmus --json` prints them. */
export function savedRun(comparisons: readonly Comparison[], made: Made, litmus: object | null): object {
	const [first] = comparisons;
	const beside = litmus === null ? {} : { litmus };
	if (first !== undefined && comparisons.length === 1) return { schema: RUN_SCHEMA, made, ...savedTrace(first), ...beside };
	return { schema: RUN_SCHEMA, made, traces: comparisons.map(savedTrace), ...beside };
}
