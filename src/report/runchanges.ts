// A comparison held against a saved run: what changed since. Counts of the same trace are exact integers and must be equal; another trace may differ.
import { COUNTER_PATHS, needsEveryAccess } from "../counters.js";
import { type Comparison, counterOf } from "./compare.js";
import { percent, plural } from "./numbers.js";
import type { Run } from "./readrun.js";

export interface RunChanges {
	readonly lines: readonly string[];
	/** The same trace counts differently: the engine, a strategy or the machine changed. */
	readonly differs: boolean;
}

/** Counters named in a line. */
const NAMED = 4;

function changedPaths(before: BigUint64Array, now: BigUint64Array): string[] {
	return COUNTER_PATHS.filter((_, at) => before[at] !== now[at]);
}

function sameTrace(before: Comparison, now: Comparison): { lines: string[]; differs: boolean } {
	// Counters that a geometry changes are not held against each other where the machine is another.
	const sameMachine = JSON.stringify(before.settings.machine) === JSON.stringify(now.settings.machine);
	const lines: string[] = [];
	let equal = 0;
	let differs = false;
	for (const { name, replay } of now.strategies) {
		const was = before.strategies.find((strategy) => strategy.name === name);
		if (was === undefined) continue;
		const changed = changedPaths(was.replay.counters, replay.counters).filter(
			(path) => (sameMachine || !needsEveryAccess(path)) && (path !== "coherence.violations" || before.checked === now.checked),
		);
		if (changed.length === 0) {
			equal++;
			continue;
		}
		differs = true;
		const shown = changed
			.slice(0, NAMED)
			.map((path) => `${path} ${counterOf(was.replay.counters, path)} -> ${counterOf(replay.counters, path)}`);
		const more = changed.length > NAMED ? `, and ${changed.length - NAMED} more` : "";
		lines.push(`baseline run: ${name} DIFFERS in ${plural(changed.length, "counter")}: ${shown.join(", ")}${more}`);
	}
	const kept = equal === 0 ? [] : [`baseline run: ${plural(equal, "strategy", "strategies")} as before, counter for counter`];
	return {
		lines: [...kept, ...lines, ...(sameMachine ? [] : ["baseline run: another machine: TLB and walk figures are not held against it"])],
		differs,
	};
}

function otherTrace(before: Comparison, now: Comparison): string[] {
	return now.strategies.flatMap(({ name, replay }) => {
		const was = before.strategies.find((strategy) => strategy.name === name);
		if (was === undefined) return [];
		const [a, b] = [counterOf(was.replay.counters, "vmexits"), counterOf(replay.counters, "vmexits")];
		const change = a === 0 ? "" : ` (${b > a ? "+" : ""}${percent((100 * (b - a)) / a)})`;
		return [`baseline run, of another trace (${before.trace.path}): ${name} ${a} -> ${b} vmexits${change}`];
	});
}

/** A trace is held against the saved one with its digest, or else against the one in its place. */
export function runChanges(run: Run, comparisons: readonly Comparison[]): RunChanges {
	const lines: string[] = [];
	let differs = false;
	for (const [place, now] of comparisons.entries()) {
		const same = run.comparisons.find(({ trace }) => trace.digest === now.trace.digest);
		if (same !== undefined) {
			const found = sameTrace(same, now);
			lines.push(...found.lines);
			differs ||= found.differs;
			continue;
		}
		const other = run.comparisons[place];
		lines.push(...(other === undefined ? [`baseline run: it has no trace to hold ${now.trace.path} against`] : otherTrace(other, now)));
	}
	return { lines, differs };
}
