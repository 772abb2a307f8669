// The regression gate: ratios to a yardstick that ran in the same minutes, held against those of a recorded baseline. Times by themselves are never
// compared: noise moves them by half. Exact figures are: a counter that moved fails whatever the times say.
import { chancesOfLarger, median, splitsOf } from "./statistics.js";

/** A gated figure: the logarithm of its time over the yardstick's, one a round. */
export type Ratios = Readonly<Record<string, readonly number[]>>;

export interface Baseline {
	readonly schema: "mmreplay/bench-baseline/1";
	/** Of the machine that recorded it: ratios carry over to others only roughly. */
	readonly cpu: string;
	readonly yardstick: string;
	readonly ratios: Ratios;
	/** Checksum of each workload's bytes and counters. */
	readonly exact: Readonly<Record<string, string>>;
}

/** Less than this is not called slower, whatever the test says: two machines' days differ as much. */
export const TOLERATED = 0.03;
/** Of a whole run, all figures together. */
export const FALSE_ALARMS = 0.01;

export interface Verdict {
	readonly figure: string;
	/** Time now over time then, each over its yardstick. */
	readonly change: number;
	/** How likely it is that any figure is by chance so much larger than tolerated. */
	readonly chance: number;
	readonly failed: boolean;
}

/** Each figure alone, and all together: the mean of their logarithms round by round, in which noise of single figures averages out. */
function withAll(ratios: Ratios, figures: readonly string[]): Ratios {
	const rounds = Math.min(...figures.map((figure) => ratios[figure]?.length ?? 0));
	const all = Array.from({ length: rounds }, (_, round) => {
		return figures.reduce((sum, figure) => sum + (ratios[figure]?.[round] ?? 0), 0) / figures.length;
	});
	return { ...ratios, all };
}

export function judge(now: Ratios, baseline: Ratios): Verdict[] {
	const common = Object.keys(now).filter((figure) => baseline[figure] !== undefined);
	if (common.length === 0) return [];
	const [ours, theirs] = [withAll(now, common), withAll(baseline, common)];
	const figures = [...common, "all"];
	const after = figures.map((figure) => ours[figure] ?? []);
	const before = figures.map((figure) => theirs[figure] ?? []);
	const tolerated = after.map((values) => values.map((value) => value - Math.log(1 + TOLERATED)));
	const chances = chancesOfLarger(tolerated, before);
	return figures.map((figure, at) => {
		const chance = chances[at] ?? 1;
		return { figure, change: Math.exp(median(after[at] ?? []) - median(before[at] ?? [])), chance, failed: chance < FALSE_ALARMS };
	});
}

/** Whether so many rounds can show anything: with few there are too few ways to split them. */
export function canFail(now: Ratios, baseline: Ratios): boolean {
	const roundsOf = (ratios: Ratios): number => Math.min(...Object.values(ratios).map((values) => values.length));
	return splitsOf(roundsOf(now), roundsOf(baseline)) > 1 / FALSE_ALARMS;
}

/** Workloads whose exact figures are not the recorded ones. */
export function moved(now: Readonly<Record<string, string>>, baseline: Readonly<Record<string, string>>): string[] {
	return Object.keys(now).filter((workload) => baseline[workload] !== undefined && baseline[workload] !== now[workload]);
}
