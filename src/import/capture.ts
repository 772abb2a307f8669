// One capture in tracefs text, with the access logs and counters that belong to it, becomes the records and the header of a trace.
import { BadInputError } from "../errors.js";
import type { TraceHeader } from "../trace/record.js";
import { type AccessLog, readAccessLog } from "./accesslog.js";
import { complete, HostObserver } from "./completion.js";
import { DamagedEvents } from "./damaged.js";
import { accessOf, Emitter, type RecordSink } from "./emit.js";
import { CapturedHost, type CapturedVm } from "./host.js";
import { readLines, type SourceDigest } from "./input.js";
import type { FaultItem, ObservedItem } from "./items.js";
import type { KnownVm } from "./knownvm.js";
import { applyLoggedOperations } from "./loggedops.js";
import { type PhaseSpan, phaseSpans, placeAccesses } from "./phases.js";
import { type PhaseCounters, readStats } from "./stats.js";
import { parseTracefsLine, type TracefsEvent } from "./tracefs.js";
import { Tracker } from "./tracker.js";

export interface CaptureSources {
	readonly trace: string;
	readonly access: readonly string[];
	readonly stats?: string | undefined;
	/** Told by the user; otherwise inferred. */
	readonly kernel?: string | undefined;
	readonly strategy?: string | undefined;
	/** Take what can be taken of a capture with lost events or wrong probes. */
	readonly lenient: boolean;
	/** Events of another format, or of several sources, in the tracker's words; `trace` is then only a name for messages. */
	readonly input?: CaptureInput | undefined;
}

export interface CaptureInput {
	/** VMs whose memslots are not among the events. */
	readonly known: readonly KnownVm[];
	readonly batches: AsyncGenerator<TracefsEvent[]>;
	/** There are events of KVM: without them there need be no VM. */
	readonly kvm: boolean;
	/** What the sources told of themselves, once the batches are through. */
	facts(): InputFacts;
}

interface InputFacts extends Pick<TraceHeader, "kernel" | "clock" | "clockResolutionNs" | "losses" | "warnings" | "sources" | "importer"> {
	/** How the kernel's profile was taken. */
	readonly evidence: string[];
}

const IMPORTER = "tracefs";

/** Event places and their times: ns since the first event. */
class Clock {
	#ns = new Float64Array(1 << 16);
	#count = 0;
	#first = 0;
	#backwards = 0;

	push(ns: number): void {
		if (this.#count === 0) this.#first = ns;
		if (this.#count === this.#ns.length) {
			const grown = new Float64Array(this.#ns.length * 2);
			grown.set(this.#ns);
			this.#ns = grown;
		}
		const since = ns - this.#first;
		if (this.#count > 0 && since < (this.#ns[this.#count - 1] ?? 0) - 1e9) this.#backwards++;
		this.#ns[this.#count++] = since;
	}

	/** Steps back of more than a second: two clocks in one file, or per-CPU buffers put end to end. */
	get backwards(): number {
		return this.#backwards;
	}

	readonly at = (place: number): number => Math.max(0, this.#ns[Math.min(place, this.#count - 1)] ?? 0);
}

/** Reads the capture and writes its records to `sink`; returns the header. Throws BadInputError. */
export async function importCapture(sources: CaptureSources, sink: RecordSink): Promise<TraceHeader> {
	const logs: AccessLog[] = [];
	for (const path of sources.access) logs.push(await readAccessLog(path));
	logs.sort((a, b) => a.vm - b.vm);
	const twice = logs.find((log, at) => logs[at + 1]?.vm === log.vm);
	if (twice !== undefined) throw new BadInputError(`two access logs of vm ${twice.vm}`, { where: twice.source.name });
	const { input } = sources;
	const host = new CapturedHost(logs, input?.known);
	const tracker = new Tracker(host);
	const clock = new Clock();
	const traceSource: SourceDigest = { name: "", sha256: "" };
	const warnings = logs.flatMap((log) => log.warnings);
	const { facts, losses } =
		input === undefined
			? { facts: undefined, losses: await readEvents(sources, tracker, clock, traceSource, warnings) }
			: await readInput(input, sources, tracker, clock, warnings);
	tracker.finish();
	if (input?.kvm === true && logs.length === 0) complete(tracker);
	checkProbes(sources, tracker, clock, warnings, losses);
	const stats = sources.stats === undefined ? null : await readStats(sources.stats);
	warnings.push(...(stats?.warnings ?? []));

	const logOf = new Map<CapturedVm, AccessLog>();
	for (const log of logs) {
		const vm = host.vms.find((candidate) => candidate.id === log.vm);
		if (vm !== undefined) logOf.set(vm, log);
	}
	const spans = phaseSpans(tracker.items, tracker.at);
	applyLoggedOperations(tracker.items, tracker.observed, tracker.childCopies, spans, logOf);
	const phased = placeAccesses(spans, tracker.items, tracker.hostFaults, logOf);
	if (phased.unmatched > 0) warnings.push(`${phased.unmatched} observed faults in concurrent phases match no access of the log`);
	if (input?.kvm !== false) checkVms(host, tracker, logs, warnings);
	const short = checkPhases(spans, logs, stats?.rows ?? [], warnings) || checkLogs(logs, stats?.rows ?? [], warnings);

	const emitter = new Emitter(sink, clock.at, !tracker.items.some((item) => item.kind === "bracket"));
	emitter.before(host.vms, logs.length > 0, (input?.known.length ?? 0) > 0);
	emitter.add(tracker.items, phased.explained, phased.placed);
	const observed = [...tracker.observed, ...vmexits(tracker)].sort((a, b) => a.at - b.at);
	emitter.finish(observed);
	if (stats !== null) counters(stats.rows, sink, clock.at(tracker.at));

	const inferred = tracker.evidence.strategy();
	return {
		kernel: sources.kernel ?? facts?.kernel ?? "",
		strategy: sources.strategy ?? inferred.name,
		strategyEvidence: [
			...(sources.strategy === undefined ? [] : [`told: ${sources.strategy}`]),
			...inferred.evidence,
			...(facts?.evidence ?? []),
		],
		clock: facts?.clock ?? "tracefs",
		clockResolutionNs: facts?.clockResolutionNs ?? 1000,
		durationNs: clock.at(tracker.at),
		access: logs.length > 0 && !short ? "complete" : tracker.items.some((item) => item.kind === "fault") ? "inferred" : "none",
		copiesRecorded: tracker.copiesRecorded,
		concurrent: phased.concurrent.length > 0 || (logs.length > 0 && emitter.splitOperations > 0),
		losses,
		warnings,
		sources: [
			...(facts?.sources ?? [{ name: traceSource.name, sha256: traceSource.sha256, format: "tracefs" }]),
			...logs.map((log) => ({ name: log.source.name, sha256: log.source.sha256, format: "access-log" })),
			...(stats === null ? [] : [{ name: stats.source.name, sha256: stats.source.sha256, format: "stats" }]),
		],
		importer: facts?.importer ?? IMPORTER,
		importerVersion: "1",
		vms: host.vms.map((vm) => ({ id: vm.id, mm: vm.mm, vcpus: Math.max(1, vm.vcpus.size), memoryBytes: vm.memoryBytes })),
	};
}

async function readInput(
	input: CaptureInput,
	{ trace: where, lenient }: CaptureSources,
	tracker: Tracker,
	clock: Clock,
	warnings: string[],
): Promise<{ facts: InputFacts; losses: { name: string; count: number }[] }> {
	let events = 0;
	const host = input.kvm ? null : new HostObserver(tracker);
	const damaged = new DamagedEvents(lenient, where);
	for await (const batch of input.batches) {
		for (const event of batch) {
			if (!damaged.accepts(event)) continue;
			clock.push(event.ns);
			tracker.at = events++;
			if (event.name === "tracing_mark_write") tracker.mark(event.text);
			else (host ?? tracker).feed(event);
		}
	}
	if (events === 0) throw new BadInputError("none of the events has a meaning here", { where });
	const facts = input.facts();
	warnings.push(...facts.warnings);
	for (const { name, count } of facts.losses) warnings.push(`${count} events were ${name} while the capture ran: counts are lower bounds`);
	const losses = [...facts.losses];
	if (damaged.count > 0) {
		warnings.push(`${damaged.count} damaged events were left out`);
		losses.push({ name: "damaged", count: damaged.count });
	}
	return { facts, losses };
}

async function readEvents(
	sources: CaptureSources,
	tracker: Tracker,
	clock: Clock,
	source: SourceDigest,
	warnings: string[],
): Promise<{ name: string; count: number }[]> {
	let lost = 0;
	let overwritten = 0;
	let events = 0;
	const skipped: string[] = [];
	for await (const lines of readLines(sources.trace, source)) {
		for (const line of lines) {
			const parsed = parseTracefsLine(line.text);
			if (parsed.kind === "event" && line.complete) {
				clock.push(parsed.event.ns);
				tracker.at = events++;
				if (parsed.event.name === "tracing_mark_write") tracker.mark(parsed.event.text);
				else tracker.feed(parsed.event);
			} else if (parsed.kind === "lost") lost += parsed.events;
			else if (parsed.kind === "written") overwritten = Math.max(overwritten, parsed.written - parsed.inBuffer);
			else if (!line.complete) warnings.push(`the trace is cut off in line ${line.number}: that line was left out`);
			else if (parsed.kind === "foreign") {
				skipped.push(`line ${line.number}`);
				if (skipped.length > 20 && skipped.length > events / 10)
					throw new BadInputError(`not tracefs text: ${skipped.length} of the first ${line.number} lines are no trace lines`, {
						where: `${sources.trace}, ${skipped[0] ?? ""}`,
						hint: "this importer reads the text of /sys/kernel/tracing/trace",
					});
			}
		}
	}
	if (events === 0)
		throw new BadInputError("no trace events in the file", {
			where: sources.trace,
			hint: "is this the text of /sys/kernel/tracing/trace?",
		});
	if (skipped.length > 0) warnings.push(`${skipped.length} lines are no trace lines and were left out, the first at ${skipped[0] ?? ""}`);
	const losses = [];
	if (lost > 0) losses.push({ name: "lost", count: lost });
	if (overwritten > 0) losses.push({ name: "overwritten", count: overwritten });
	for (const { name, count } of losses) warnings.push(`${count} events were ${name} while the capture ran: counts are lower bounds`);
	return losses;
}

/** Probes that fetch from wrong places, and clocks that do not agree. */
function checkProbes(
	sources: CaptureSources,
	tracker: Tracker,
	clock: Clock,
	warnings: string[],
	losses: { name: string; count: number }[],
): void {
	const bad = tracker.evidence.badRanges;
	if (bad.count > 0) {
		const what = `${bad.count} of ${bad.of} notifier ranges are impossible (start >= end, or not page aligned; the first: ${bad.first})`;
		const hint = "the probe reads struct mmu_notifier_range at the wrong offset for this kernel; capture again with the right one";
		if (!sources.lenient || bad.count === bad.of) throw new BadInputError(what, { where: sources.trace, hint: hint });
		warnings.push(what);
		losses.push({ name: "badRanges", count: bad.count });
	}
	if (clock.backwards > 0) {
		const what = `time runs backwards by more than a second at ${clock.backwards} places: mixed clocks, or buffers put end to end`;
		if (!sources.lenient)
			throw new BadInputError(what, { where: sources.trace, hint: "record with one clock, or pass --lenient to keep the file's order" });
		warnings.push(what);
	}
}

function checkVms(host: CapturedHost, tracker: Tracker, logs: readonly AccessLog[], warnings: string[]): void {
	const [problem] = tracker.problems;
	if (problem !== undefined) warnings.push(`${tracker.problems.length} times ${problem}`);
	for (const vm of host.vms)
		if (logs.length > 0 && !logs.some((log) => log.vm === vm.id))
			warnings.push(`vm ${vm.id} has no access log: its faults are inferred accesses`);
	if (host.vms.length === 0)
		throw new BadInputError("no memslots: the capture has neither kvm_set_memory_region events nor an access log with slots", {
			where: "the whole file",
			hint: "add the access logs with --access, or capture with the kprobe on __kvm_set_memory_region",
		});
}

/** Phases that the logs or the counters have and the trace does not reach; true where there are any. */
function checkPhases(spans: readonly PhaseSpan[], logs: readonly AccessLog[], rows: readonly PhaseCounters[], warnings: string[]): boolean {
	const reached = new Set(spans.map((span) => span.number));
	const logged = [...new Set([...logs.flatMap((log) => [...log.phases.keys()]), ...rows.map((row) => row.phase)])];
	const missing = logged.filter((phase) => !reached.has(phase)).sort((a, b) => a - b);
	const [first] = missing;
	if (first === undefined) return false;
	warnings.push(
		`the trace does not reach ${missing.length} phases of the logs (the first: ${first}): it is cut off or has no marks; their accesses were left out`,
	);
	return true;
}

/** Kinds of phase whose accesses are all in the logs: guest, host, both; others pass over pages by the rig's own loops (data page). */
const LOGGED_KIND = /^[GHB]/;

/** Accesses that the logs should have and do not: lines out of their numbering, phases with fewer than the rig made; true where any. */
function checkLogs(logs: readonly AccessLog[], rows: readonly PhaseCounters[], warnings: string[]): boolean {
	const before = warnings.length;
	for (const log of logs)
		if (log.gaps > 0)
			warnings.push(
				`${log.source.name}: ${log.gaps} lines are not at the place that they number: lines before them are missing or doubled`,
			);
	if (logs.length === 0) return false;
	const shorts = rows.filter((row) => {
		if (!LOGGED_KIND.test(row.kind)) return false;
		const phases = logs.filter((log) => row.vm < 0 || log.vm === row.vm).map((log) => log.phases.get(row.phase));
		const count = (actor: "guest" | "host"): number => phases.reduce((sum, phase) => sum + (phase?.[actor].length ?? 0), 0);
		return count("guest") < row.guestAccesses || count("host") < row.hostAccesses;
	});
	const [first] = shorts;
	if (first !== undefined)
		warnings.push(
			`the access logs have fewer accesses than the rig made in ${shorts.length} phases (the first: ${first.phase}): a log is missing or cut off`,
		);
	return warnings.length > before;
}

/** One observation a recorded fault, with the class that the capture's own SPTEs give it. */
function vmexits(tracker: Tracker): ObservedItem[] {
	return tracker.items
		.filter((item): item is FaultItem => item.kind === "fault")
		.map((fault) => ({
			at: fault.begin,
			name: fault.mmio ? "mmioFault" : "vmexit",
			vm: fault.vm,
			vcpu: fault.vcpu,
			page: Math.floor(fault.gpa / 4096),
			args: fault.mmio
				? [accessOf(fault.errorCode), (fault.errorCode & 8) >> 3]
				: [accessOf(fault.errorCode), fault.errorCode & 1, fault.cause],
		}));
}

function counters(rows: readonly PhaseCounters[], sink: RecordSink, ns: number): void {
	const agent = { kind: 3, vm: 0, vcpu: 0, mm: 0, thread: 0 } as const;
	for (const row of rows)
		for (const [text, value] of row.growth)
			sink.observe({ kind: "operation", name: "counters", agent, page: 0, args: [row.phase, 0, value], ns, text });
}
