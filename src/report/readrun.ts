// Reads a saved run (savedrun.ts), or the document of `compare --json`, which has no phases and intervals.

import { RULES, type Violation } from "../coherence.js";
import { COUNTER_PATHS } from "../counters.js";
import type { ExitRange } from "../engine/engine.js";
import type { IntervalReplay } from "../engine/intervals.js";
import type { PhaseReplay, ReplayResult } from "../engine/replay.js";
import type { Fidelity } from "../fidelity/fidelity.js";
import type { FidelityRow } from "../fidelity/rows.js";
import { parseCosts } from "../machine/costs.js";
import { type FieldReader, readDocument } from "../machine/fields.js";
import { parseMachine } from "../machine/machine.js";
import { emptyHeader } from "../trace/header.js";
import { DEFAULT_HOST, type KvmHost, MMUS } from "../trace/kvmhost.js";
import type { TraceHeader } from "../trace/record.js";
import { type ComparedStrategy, type Comparison, compared, type NoFidelity, type TraceFacts } from "./compare.js";
import { cyclesOf } from "./cost.js";
import { LITMUS_SCHEMA, type LitmusRun, readLitmus } from "./litmusrun.js";
import { type Made, RUN_SCHEMA } from "./savedrun.js";

export interface Run {
	readonly made: Made | null;
	readonly comparisons: readonly Comparison[];
	readonly litmus: LitmusRun | null;
}

const MAX = Number.MAX_SAFE_INTEGER;
const PLACES = new Map(COUNTER_PATHS.map((path, at) => [path, at]));
const U64_END = 1n << 64n;

/** An integer, or a decimal string beyond 2^53. */
function counterValue(value: unknown): bigint | undefined {
	if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) return BigInt(value);
	if (typeof value !== "string" || !/^\d{1,20}$/.test(value)) return undefined;
	const big = BigInt(value);
	return big < U64_END ? big : undefined;
}

/** Counters nested or flat. Names that this version does not know are left out: a newer one wrote them. */
function readCounters(
	fields: FieldReader,
	into: BigUint64Array<ArrayBuffer> = new BigUint64Array(COUNTER_PATHS.length),
	prefix = "",
): BigUint64Array<ArrayBuffer> {
	for (const name of fields.names()) {
		const value = fields.optional(name);
		if (value === null) continue;
		const path = `${prefix}${name}`;
		if (typeof value === "object" && prefix.split(".").length <= 3) readCounters(fields.object(name), into, `${path}.`);
		else {
			const count = counterValue(value);
			if (count === undefined) fields.fail(name, "must be a counter: a whole number, or a string of digits");
			const place = PLACES.get(path);
			if (place !== undefined) into[place] = count;
		}
	}
	return into;
}

function each<T>(fields: FieldReader, name: string, read: (item: FieldReader) => T): T[] {
	return fields.has(name) ? fields.items(name).map((value, at) => read(fields.item(name, at, value))) : [];
}

const textOf = (fields: FieldReader, name: string): string => (fields.has(name) ? fields.text(name) : "");

/** A number that is null, or missing, where it means nothing. */
function numberOr<T>(fields: FieldReader, name: string, otherwise: T): number | T {
	const value = fields.optional(name);
	return value === undefined || value === null ? otherwise : fields.number(name, -MAX, MAX);
}

function readHeader(trace: FieldReader, provenance: FieldReader | undefined): TraceHeader {
	return {
		...emptyHeader(),
		kernel: textOf(trace, "kernel"),
		strategy: textOf(trace, "strategy"),
		strategyEvidence: trace.has("strategyEvidence") ? trace.texts("strategyEvidence") : [],
		access: trace.word("access", ["complete", "inferred", "none"]),
		concurrent: trace.has("concurrent") && trace.boolean("concurrent"),
		losses: each(trace, "losses", (loss) => ({ name: loss.text("name"), count: loss.integer("count", 0, MAX) })),
		warnings: trace.has("warnings") ? trace.texts("warnings") : [],
		vms: each(trace, "vms", (vm) => ({
			id: vm.integer("id", 0, MAX),
			mm: vm.integer("mm", 0, MAX),
			vcpus: vm.integer("vcpus", 0, MAX),
			memoryBytes: vm.number("memoryBytes", 0, MAX),
		})),
		durationNs: trace.has("durationNs") ? trace.number("durationNs", 0, MAX) : 0,
		...(provenance === undefined
			? {}
			: {
					clock: textOf(provenance, "clock"),
					importer: textOf(provenance, "importer"),
					importerVersion: textOf(provenance, "importerVersion"),
					sources: each(provenance, "sources", (source) => ({
						name: source.text("name"),
						sha256: source.text("sha256"),
						format: source.text("format"),
					})),
				}),
	};
}

function readRow(row: FieldReader): FidelityRow {
	return {
		phase: numberOr(row, "phase", null),
		counter: row.text("counter"),
		source: row.text("source"),
		predicted: row.number("predicted", 0, MAX),
		observed: row.number("observed", 0, MAX),
		difference: row.number("difference", -MAX, MAX),
		decidable: row.boolean("decidable"),
		why: row.text("why"),
	};
}

function readFidelity(fields: FieldReader): Fidelity | NoFidelity {
	if (!fields.has("strategy")) return { reason: textOf(fields, "why") };
	const rows = each(fields, "rows", readRow);
	return {
		strategy: fields.text("strategy"),
		exact: fields.boolean("exact"),
		decidable: fields.integer("decidable", 0, MAX),
		undecided: fields.integer("undecided", 0, MAX),
		differing: fields.integer("differing", 0, MAX),
		uncertain: fields.has("uncertain") ? fields.integer("uncertain", 0, MAX) : rows.filter((row) => !row.decidable).length,
		rows,
	};
}

function readViolation(fields: FieldReader): Violation {
	return {
		event: fields.integer("event", 0, MAX),
		rule: fields.text("rule"),
		agent: fields.text("agent"),
		address: fields.number("address", 0, MAX),
	};
}

type Strategies = { strategies: ComparedStrategy[]; checked: boolean };

function readStrategies(fields: FieldReader, terms: Pick<Comparison, "settings">["settings"], complete: boolean): Strategies {
	let checked = false;
	const strategies = each(fields, "strategies", (one): ComparedStrategy => {
		const name = one.text("name");
		const coherence = one.object("coherence");
		const first = coherence.optional("first");
		checked ||= coherence.has("checked") ? coherence.boolean("checked") : coherence.optional("violations") !== null;
		const counters = readCounters(one.object("counters"));
		// The nested counters leave the coherence group out; its count stands beside them.
		const violations = counterValue(coherence.optional("violations"));
		const put = (path: string, value: bigint | undefined): void => {
			const place = PLACES.get(path);
			if (value !== undefined && place !== undefined) counters[place] = value;
		};
		put("coherence.violations", violations);
		if (coherence.has("byRule")) {
			const byRule = coherence.object("byRule");
			for (const rule of RULES) put(`coherence.byRule.${rule}`, counterValue(byRule.optional(rule)));
		}
		const exact = one.optional("exact");
		const option = one.optional("option");
		return {
			name,
			option: option === 1 || option === 2 || option === 3 ? option : null,
			safe: !one.has("safe") || one.boolean("safe"),
			exact: exact === "lowerBound" ? "lowerBound" : exact === true,
			why: textOf(one, "why"),
			replay: {
				name,
				counters,
				violations: coherence.has("list")
					? each(coherence, "list", readViolation)
					: first === null || first === undefined
						? []
						: [readViolation(coherence.object("first"))],
				digest: one.text("digest"),
			},
			cycles: cyclesOf(counters, terms.costs, complete, terms.machine.hz),
		};
	});
	return { strategies, checked };
}

const grown = (fields: FieldReader): BigUint64Array[] => each(fields, "strategies", (one) => readCounters(one));

function readPhase(fields: FieldReader): PhaseReplay {
	return { phase: fields.integer("phase", 0, MAX), label: fields.text("label"), counters: grown(fields) };
}

function readInterval(fields: FieldReader): IntervalReplay {
	return {
		firstEvent: fields.integer("firstEvent", 0, MAX),
		events: fields.integer("events", 0, MAX),
		firstNs: fields.number("firstNs", 0, MAX),
		counters: grown(fields),
	};
}

function readRange(fields: FieldReader): ExitRange {
	return {
		vm: fields.integer("vm", 0, MAX),
		gfn: fields.integer("gfn", 0, MAX),
		pages: fields.integer("pages", 1, MAX),
		vmexits: fields.items("vmexits").map((value, at) => {
			const count = counterValue(value);
			return count === undefined
				? fields.fail(`vmexits[${at}]`, "must be a counter: a whole number, or a string of digits")
				: Number(count);
		}),
	};
}

function readResult(fields: FieldReader, trace: FieldReader, strategies: readonly ComparedStrategy[]): ReplayResult {
	const replay = fields.object("replay");
	const seconds = replay.number("seconds", 0, MAX);
	return {
		strategies: strategies.map((strategy) => strategy.replay),
		phases: each(fields, "phases", readPhase),
		intervals: each(fields, "intervals", readInterval),
		ranges: each(fields, "ranges", readRange),
		events: trace.integer("events", 0, MAX),
		seconds,
		decodeSeconds: replay.number("decodeSeconds", 0, MAX),
		bytes: Math.round(replay.number("bytesPerSecond", 0, MAX) * seconds),
		peakMemoryBytes: replay.number("peakMemoryBytes", 0, MAX),
		threads: replay.integer("threads", 1, MAX),
	};
}

/** Runs that were saved before there was a choice assumed the default. */
function readHost(fields: FieldReader): KvmHost {
	if (!fields.has("host")) return DEFAULT_HOST;
	const host = fields.object("host");
	return { mmu: host.word("mmu", MMUS), eptAd: host.boolean("eptAd"), pml: host.boolean("pml") };
}

function readTrace(fields: FieldReader, where: string): Comparison {
	const trace = fields.object("trace");
	const header = readHeader(trace, fields.has("provenance") ? fields.object("provenance") : undefined);
	const facts: TraceFacts = {
		path: trace.text("path"),
		digest: trace.text("digest"),
		bytes: trace.number("bytes", 0, MAX),
		header,
		host: readHost(fields),
	};
	const settings = {
		baseline: fields.text("baseline"),
		machine: parseMachine(JSON.stringify(fields.optional("machine") ?? null), where),
		costs: parseCosts(JSON.stringify(fields.optional("costs") ?? null), where),
	};
	const { strategies, checked } = readStrategies(fields, settings, header.access === "complete");
	if (!strategies.some(({ name }) => name === settings.baseline))
		fields.fail("baseline", `${settings.baseline} is not among the strategies`);
	const fidelity = readFidelity(fields.object("fidelity"));
	const result = readResult(fields, trace, strategies);
	return compared({ trace: facts, settings, fidelity, strategies, checked, result }, fields.has("sensitivity"));
}

function readMade(fields: FieldReader): Made {
	const of = (name: string): string => textOf(fields, name);
	return { version: of("version"), command: of("command"), runtime: of("runtime"), platform: of("platform"), at: of("at") };
}

/** @throws BadInputError that names the field */
export function readRun(text: string, where: string): Run {
	const fields = readDocument(text, where, "a saved run");
	const schema = textOf(fields, "schema");
	if (schema !== RUN_SCHEMA)
		fields.fail("schema", schema === "" ? `must be ${RUN_SCHEMA}: mmreplay compare -o writes it` : `is ${schema}, not ${RUN_SCHEMA}`);
	const made = fields.has("made") ? readMade(fields.object("made")) : null;
	const comparisons = fields.has("traces") ? each(fields, "traces", (one) => readTrace(one, where)) : [readTrace(fields, where)];
	return { made, comparisons, litmus: fields.has("litmus") ? readLitmus(fields.object("litmus")) : null };
}

/** A saved run, or the verdicts that `mmreplay litmus --json` prints. @throws BadInputError that names the field */
export function readRunOrLitmus(text: string, where: string): Run {
	const fields = readDocument(text, where, "a saved run");
	return fields.optional("schema") === LITMUS_SCHEMA ? { made: null, comparisons: [], litmus: readLitmus(fields) } : readRun(text, where);
}
