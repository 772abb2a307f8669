// Cycles: counts x cost vector. Nothing here is measured; the counts are.
import { COUNTER_PATHS } from "../counters.js";
import { COST_NAMES, type Cost, type CostName, type Costs } from "../machine/costs.js";

/** Costs that need to know every access. */
export const NEEDS_ACCESSES: ReadonlySet<CostName> = new Set(["access", "tlbL2Hit", "walkReference"]);

export interface Cycles {
	/** On the guest's way: accesses, walks, exits. Without a complete access log only the exits. */
	readonly guestCycles: number;
	/** The host's own work: copies, flushes, locks, brackets. */
	readonly hostCycles: number;
	/** Both, by guest access; null without a complete access log. */
	readonly cyclesPerAccess: number | null;
	readonly simulatedAccessesPerSecond: number | null;
}

const indexes = new Map<string, readonly number[]>();

function countersOf(pattern: string): readonly number[] {
	const known = indexes.get(pattern);
	if (known !== undefined) return known;
	const prefix = pattern.endsWith(".*") ? pattern.slice(0, -1) : null;
	const found = COUNTER_PATHS.flatMap((path, at) => (path === pattern || (prefix !== null && path.startsWith(prefix)) ? [at] : []));
	indexes.set(pattern, found);
	return found;
}

function counted(counters: BigUint64Array, cost: Cost): number {
	let sum = 0n;
	for (const pattern of cost.counters) for (const at of countersOf(pattern)) sum += counters[at] ?? 0n;
	return Number(sum);
}

/** Cycles of one strategy, each cost times its counts; `scaled` multiplies one of them. */
function totalCycles(
	counters: BigUint64Array,
	costs: Costs,
	complete: boolean,
	scaled?: { readonly name: CostName; readonly factor: number },
): { guest: number; host: number } {
	const sums = { guest: 0, host: 0 };
	for (const name of COST_NAMES) {
		if (!complete && NEEDS_ACCESSES.has(name)) continue;
		const cost = costs.items[name];
		sums[cost.side] += counted(counters, cost) * cost.cycles * (scaled?.name === name ? scaled.factor : 1);
	}
	return sums;
}

/** Each cost that applies: how often, and the cycles that makes. */
export function cyclesByCost(
	counters: BigUint64Array,
	costs: Costs,
	complete: boolean,
): { name: CostName; count: number; cycles: number }[] {
	return COST_NAMES.filter((name) => complete || !NEEDS_ACCESSES.has(name)).map((name) => {
		const count = counted(counters, costs.items[name]);
		return { name, count, cycles: count * costs.items[name].cycles };
	});
}

/** @param hz cycles a second of the machine */
export function cyclesOf(counters: BigUint64Array, costs: Costs, complete: boolean, hz: number): Cycles {
	const { guest, host } = totalCycles(counters, costs, complete);
	const accesses = counted(counters, costs.items.access);
	const cyclesPerAccess = complete && accesses > 0 ? (guest + host) / accesses : null;
	return {
		guestCycles: guest,
		hostCycles: host,
		cyclesPerAccess,
		simulatedAccessesPerSecond: cyclesPerAccess === null || cyclesPerAccess === 0 ? null : hz / cyclesPerAccess,
	};
}

/** The cost of an exit at which two strategies tie; null where none does: one of them is ahead whatever an exit costs. */
export function breakEvenVmexitCycles(strategy: BigUint64Array, baseline: BigUint64Array, costs: Costs, complete: boolean): number | null {
	const exits = (counters: BigUint64Array): number => counted(counters, costs.items.vmexit);
	const rest = (counters: BigUint64Array): number => {
		const { guest, host } = totalCycles(counters, costs, complete, { name: "vmexit", factor: 0 });
		return guest + host;
	};
	const avoided = exits(baseline) - exits(strategy);
	if (avoided === 0) return null;
	const cost = (rest(strategy) - rest(baseline)) / avoided;
	return cost >= 0 ? cost : null;
}

/** Names of the costs in use that are estimates. */
export function estimatesOf(costs: Costs, complete: boolean): CostName[] {
	return COST_NAMES.filter((name) => costs.items[name].estimate && (complete || !NEEDS_ACCESSES.has(name)));
}

export interface SensitivityRow {
	readonly cost: CostName;
	readonly factor: number;
	/** Cycles saved against the baseline in percent, a strategy each. */
	readonly cyclesSavedPercent: readonly (number | null)[];
}

const FACTORS = [0.5, 2] as const;

export function savedPercent(strategy: number, baseline: number): number | null {
	return baseline === 0 ? null : (100 * (baseline - strategy)) / baseline;
}

/** Each cost halved and doubled: how much of the result hangs on it. */
export function sensitivity(
	strategies: readonly BigUint64Array[],
	baseline: BigUint64Array,
	costs: Costs,
	complete: boolean,
): SensitivityRow[] {
	const rows: SensitivityRow[] = [];
	for (const name of COST_NAMES) {
		if (!complete && NEEDS_ACCESSES.has(name)) continue;
		for (const factor of FACTORS) {
			const cycles = (counters: BigUint64Array): number => {
				const { guest, host } = totalCycles(counters, costs, complete, { name, factor });
				return guest + host;
			};
			const base = cycles(baseline);
			rows.push({ cost: name, factor, cyclesSavedPercent: strategies.map((counters) => savedPercent(cycles(counters), base)) });
		}
	}
	return rows;
}
