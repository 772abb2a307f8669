// Predicted against observed: one row a counter and phase. A row says whether the capture decides it, and why not where it does not.
import { COUNTER_PATHS, counterIndex } from "../counters.js";
import { DISAGREED, VMEXIT_CAUSES, ZAP_CAUSES } from "../trace/kinds.js";
import type { TraceHeader } from "../trace/record.js";
import { KERNEL_COUNTERS, type Observed, type Sums, WIDE_RANGES } from "./observed.js";
import type { PhaseStart } from "./phases.js";

export interface FidelityRow {
	/** Number of the phase in the capture; null over the whole trace. */
	readonly phase: number | null;
	/** Path of a compare counter; one that has counters below it stands for their sum. */
	readonly counter: string;
	/** What the observed value was read from: `events`, or a counter of the kernel's own. */
	readonly source: string;
	readonly predicted: number;
	readonly observed: number;
	/** predicted - observed. */
	readonly difference: number;
	readonly decidable: boolean;
	readonly why: string;
}

/** What a replay under the captured strategy counted. */
export interface Predicted {
	readonly total: BigUint64Array;
	/** Growth within each phase, in order. */
	readonly phases: readonly BigUint64Array[];
	/** The oracle looked. */
	readonly checked: boolean;
}

/** The observation that each counter is read from; without a single one in the trace the capture does not record it. */
const COMPARED: ReadonlyMap<string, string> = new Map([
	...["vmexits", "vmexitsRead", "vmexitsWrite", "vmexitsNotPresent", "vmexitsProtection"].map((path) => [path, "vmexit"] as const),
	...VMEXIT_CAUSES.flatMap((cause) => ["read", "write", "fetch"].map((access) => [`vmexitsByCause.${cause}.${access}`, "vmexit"] as const)),
	["flush.guestTlb", "flush"],
	...["spteInstalled", "spteZapped", "spteChanged"].map((path) => [path, "spteChanged"] as const),
	...ZAP_CAUSES.map((cause) => [`spteZappedByCause.${cause}`, "spteChanged"] as const),
	["notifier.rangeStart", "rangeStart"],
	["notifier.rangeEnd", "rangeEnd"],
	// Probed together with the ranges: none seen means none called.
	["notifier.changePte", "rangeStart"],
	["ksmMerges", "ksmMerge"],
	["cowCopies", "cowCopy"],
	["hostFaults", "hostFault"],
]);

/** Counters that a row is written for even where both sides are 0. */
const ALWAYS = new Set(["vmexits", "flush.guestTlb"]);

const SUMS: ReadonlyMap<string, readonly number[]> = new Map(
	[...COMPARED.keys(), ...Object.values(KERNEL_COUNTERS)].map((path) => [
		path,
		COUNTER_PATHS.includes(path)
			? [counterIndex(path)]
			: COUNTER_PATHS.flatMap((candidate, index) => (candidate.startsWith(`${path}.`) ? [index] : [])),
	]),
);

function predictedValue(counters: BigUint64Array, path: string): number {
	let sum = 0n;
	for (const index of SUMS.get(path) ?? []) sum += counters[index] ?? 0n;
	return Number(sum);
}

const STALE = ["I-1", "I-2", "I-3", "I-5"].map((rule) => counterIndex(`coherence.byRule.${rule}`));

/** pf_taken also counts faults outside every memslot, except those with the reserved bit (model.md section 3, rule 8). */
function predictedPfTaken(counters: BigUint64Array): { value: number; mmio: number } {
	const at = (path: string): number => Number(counters[counterIndex(path)] ?? 0n);
	const mmio = at("mmio.read") + at("mmio.write") - at("mmio.reserved");
	return { value: at("vmexits") + mmio, mmio };
}

/** What the whole capture leaves open, whatever the counter; null: nothing. */
function undecidedBy(header: TraceHeader): string | null {
	const [loss] = header.losses;
	if (loss !== undefined) return `the capture lost events (${loss.name}: ${loss.count})`;
	return null;
}

export interface RowInput {
	readonly header: TraceHeader;
	readonly starts: readonly PhaseStart[];
	/** Place (in `starts`) of the first phase whose order of events the importer inferred; every later one starts from a state that it left. */
	readonly concurrentFrom: number;
	readonly observed: Observed;
	readonly predicted: Predicted;
}

const CONCURRENT = "accesses and kernel events ran at the same time, in this phase or before: their order is inferred from the faults";
/** tdp_mmu_zap_leafs flushes before it drops mmu_lock in the middle of a range. */
const YIELDS = "the MMU may have yielded inside a range of several pages: each time it flushes once more";
/** kernel.md 3.5, 7: what finds its mapping sets accessed bits, and leaves no event. */
const AGED = "pages were aged, and accesses that find their mapping are not recorded: which of them were young again is not known";
/** What ageing changes. */
const AGEINGS = counterIndex("bySite.age.count");
const BY_AGE: ReadonlySet<string> = new Set(["spteChanged", "flush.guestTlb"]);
const UNSEEN = "the check saw no difference: what a freed page contains when it is looked at, or used again by then, is not in the trace";
const OTHER_THREADS = "faults of threads that no access log covers are among the observed";

class RowBuilder {
	readonly rows: FidelityRow[] = [];
	uncertain = 0;
	readonly #input: RowInput;
	readonly #lost: string | null;

	constructor(input: RowInput) {
		this.#input = input;
		this.#lost = undecidedBy(input.header);
	}

	add(phase: number | null, counter: string, source: string, predicted: number, observed: number, open: string | null, note = ""): void {
		const why = this.#lost ?? open;
		if (predicted !== observed && why !== null && (why === this.#lost || why === CONCURRENT)) this.uncertain++;
		this.rows.push({
			phase,
			counter,
			source,
			predicted,
			observed,
			difference: predicted - observed,
			decidable: why === null,
			why: why ?? note,
		});
	}

	events(phase: number | null, counters: BigUint64Array, sums: Sums, concurrent: boolean): void {
		const { header } = this.#input;
		const { kinds } = this.#input.observed;
		for (const [counter, kind] of COMPARED) {
			const predicted = predictedValue(counters, counter);
			const observed = sums.get(counter) ?? 0;
			if (predicted === 0 && observed === 0 && !ALWAYS.has(counter)) continue;
			let open = counter === "hostFaults" ? OTHER_THREADS : openQuestion(concurrent);
			if (predicted !== observed && BY_AGE.has(counter) && header.access !== "complete" && (counters[AGEINGS] ?? 0n) > 0n) open ??= AGED;
			const more = observed - predicted;
			if (counter === "flush.guestTlb" && more > 0 && more <= (sums.get(WIDE_RANGES) ?? 0)) open ??= YIELDS;
			this.add(phase, counter, "events", predicted, observed, kinds.has(kind) ? open : `the capture has no ${kind} events`);
		}
	}

	/** Phases whose guest met a page that the host no longer had, by the VMM's own check: 0 or 1 for a phase, how many over all of them. */
	stale(starts: readonly PhaseStart[]): void {
		const { observed, predicted } = this.#input;
		const rows = starts.flatMap(({ phase }, at) => {
			const sums = observed.kernel.get(phase);
			return sums === undefined || !predicted.checked
				? []
				: [{ phase, seen: sums.get(DISAGREED) ?? 0, left: leftStale(predicted.phases[at] ?? new BigUint64Array(0)) ? 1 : 0 }];
		});
		const met = rows.filter(({ seen, left }) => seen + left > 0);
		if (met.length === 0) return;
		const sum = (of: (row: (typeof rows)[number]) => number): number => met.reduce((all, row) => all + of(row), 0);
		const unseen = met.some(({ seen, left }) => left > seen);
		const counter = "coherence.violations";
		this.add(
			null,
			counter,
			"ok",
			sum(({ left }) => left),
			sum(({ seen }) => seen),
			unseen ? UNSEEN : null,
			"phases with any",
		);
		for (const { phase, seen, left } of met)
			this.add(phase, counter, "ok", left, seen, left > seen ? UNSEEN : null, "whether there is any");
	}

	kernel(phase: number | null, counters: BigUint64Array, sums: Sums, concurrent: boolean): void {
		for (const [name, observed] of sums) {
			const counter = KERNEL_COUNTERS[name];
			if (counter === undefined) continue;
			const taken = name === "pf_taken" ? predictedPfTaken(counters) : { value: predictedValue(counters, counter), mmio: 0 };
			if (taken.value === 0 && observed === 0) continue;
			const note = taken.mmio > 0 ? `pf_taken, with ${taken.mmio} faults outside every memslot` : name;
			this.add(phase, counter, name, taken.value, observed, openQuestion(concurrent), note);
		}
	}
}

/** Whether an SPTE was stale when nothing was in progress, or met so by an access. */
function leftStale(counters: BigUint64Array): boolean {
	return STALE.some((index) => (counters[index] ?? 0n) > 0n);
}

function openQuestion(concurrent: boolean): string | null {
	return concurrent ? CONCURRENT : null;
}

function sumOf(counters: readonly BigUint64Array[]): BigUint64Array {
	const sum = new BigUint64Array(COUNTER_PATHS.length);
	for (const one of counters) for (let index = 0; index < sum.length; index++) sum[index] = (sum[index] ?? 0n) + (one[index] ?? 0n);
	return sum;
}

export interface FidelityRows {
	/** The whole trace first, then phase by phase. */
	readonly rows: readonly FidelityRow[];
	/** Rows that differ where events were lost or their order is inferred: neither right nor wrong. */
	readonly uncertain: number;
}

export function fidelityRows(input: RowInput): FidelityRows {
	const { starts, observed, predicted, concurrentFrom } = input;
	const builder = new RowBuilder(input);
	const anyConcurrent = concurrentFrom < starts.length;
	builder.events(null, predicted.total, observed.total, anyConcurrent);
	// The kernel's counters are read at the ends of phases: their total is that of the phases they were read for.
	const counted = starts.flatMap((start, at) => (observed.kernel.has(start.phase) ? [predicted.phases[at] ?? new BigUint64Array(0)] : []));
	const kernelTotal: Sums = new Map();
	for (const { phase } of starts)
		for (const [name, value] of observed.kernel.get(phase) ?? []) kernelTotal.set(name, (kernelTotal.get(name) ?? 0) + value);
	builder.kernel(null, sumOf(counted), kernelTotal, anyConcurrent);
	builder.stale(starts);
	starts.forEach((start, at) => {
		const counters = predicted.phases[at];
		if (counters === undefined) return;
		builder.events(start.phase, counters, observed.phases[at] ?? new Map(), at >= concurrentFrom);
		builder.kernel(start.phase, counters, observed.kernel.get(start.phase) ?? new Map(), at >= concurrentFrom);
	});
	return { rows: builder.rows, uncertain: builder.uncertain };
}
