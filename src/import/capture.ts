// One capture in tracefs text, with the access logs and counters that belong to it, becomes the records and the header of a trace.
import { BadInputError } from "../errors.js";
import { DISAGREED } from "../trace/kinds.js";
import type { TraceHeader } from "../trace/record.js";
import { type AccessLog, readAccessLog } from "./accesslog.js";
import { resolveBlindFaults } from "./blindfaults.js";
import { DamagedEvents } from "./damaged.js";
import { DelayLine } from "./delayline.js";
import { Emitter, type RecordSink } from "./emit.js";
import { Code, type EventBatch, type KernelEvent } from "./event.js";
import { type ForeseenPhase, Foresight } from "./foresight.js";
import { CapturedHost, logsByVm } from "./host.js";
import { HostObserver } from "./hostobserver.js";
import type { KnownVm } from "./knownvm.js";
import { LoggedLine } from "./loggedline.js";
import { Places } from "./places.js";
import { rangeCosts } from "./profiles.js";
import { checkSameRun } from "./samerun.js";
import { type PhaseCounters, readStats } from "./stats.js";
import { Timeline } from "./timeline.js";
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
	/** The capture's events; `trace` is only a name for messages. */
	readonly input: CaptureInput;
}

export interface CaptureInput {
	/** VMs whose memslots are not among the events. */
	readonly known: readonly KnownVm[];
	readonly batches: (damaged: DamagedEvents) => AsyncGenerator<EventBatch>;
	/** There may be notifier ranges. */
	readonly ranges: boolean;
	/** There are events of KVM: without them there need be no VM. */
	readonly kvm: boolean;
	/** What the sources told of themselves, once the batches are through. */
	facts(): InputFacts;
}

interface InputFacts extends Pick<TraceHeader, "kernel" | "clock" | "clockResolutionNs" | "losses" | "warnings" | "sources" | "importer"> {
	/** How the kernel's profile was taken. */
	readonly evidence: string[];
}

/** Reads the capture and writes its records to `sink`; returns the header. Throws BadInputError. */
export async function importCapture(sources: CaptureSources, sink: RecordSink): Promise<TraceHeader> {
	const logs: AccessLog[] = [];
	try {
		for (const path of sources.access) logs.push(await readAccessLog(path, sources.lenient));
		logs.sort((a, b) => a.vm - b.vm);
		const twice = logs.find((log, at) => logs[at + 1]?.vm === log.vm);
		if (twice !== undefined) throw new BadInputError(`two access logs of vm ${twice.vm}`, { where: twice.source.name });
		return await importBeside(logs, sources, sink);
	} finally {
		for (const log of logs) log.close();
	}
}

async function importBeside(logs: readonly AccessLog[], sources: CaptureSources, sink: RecordSink): Promise<TraceHeader> {
	const { input } = sources;
	const host = new CapturedHost(logs, input.known);
	const places = new Places();
	const timeline = new Timeline(places, logs.length > 0);
	const tracker = new Tracker(host, timeline);
	const emitter = new Emitter(sink, places.at);
	const flow = new Flow(input, tracker, emitter, places);
	const warnings = logs.flatMap((log) => log.warnings);
	const { facts, losses } = await readInput(input, sources, logs, tracker, places, flow, warnings);
	const left = logs.reduce((sum, { damaged }) => sum + damaged, 0);
	if (left > 0) losses.push({ name: "damaged", count: left });
	tracker.finish();
	checkProbes(sources, tracker, places, warnings, losses);
	const stats = sources.stats === undefined ? null : await readStats(sources.stats);
	warnings.push(...(stats?.warnings ?? []));

	const otherRun = checkSameRun(logs, tracker.vmMarks, host, sources.lenient);
	if (otherRun !== "") warnings.push(otherRun);
	flow.finish();
	const { phases, unmatched } = flow;
	if (unmatched > 0) warnings.push(`${unmatched} observed faults in concurrent phases match no access of the log`);
	if (input.kvm) checkVms(host, tracker, logs, warnings);
	const short = otherRun !== "" || checkPhases(phases, logs, stats?.rows ?? [], warnings) || checkLogs(logs, stats?.rows ?? [], warnings);

	if (emitter.impossible > 0) {
		const what = `${emitter.impossible} events are at addresses that no machine has`;
		if (!sources.lenient) throw new BadInputError(what, { where: sources.trace, hint: "--lenient leaves them out" });
		warnings.push(what);
		losses.push({ name: "damaged", count: emitter.impossible });
	}
	warnings.push(...rangeCosts(emitter.unexplained), ...upkeepCosts(tracker));
	if (stats !== null) counters(stats.rows, sink, places.at(timeline.at));

	const inferred = tracker.evidence.strategy();
	return {
		kernel: sources.kernel ?? facts.kernel,
		strategy: sources.strategy ?? inferred.name,
		strategyEvidence: [...(sources.strategy === undefined ? [] : [`told: ${sources.strategy}`]), ...inferred.evidence, ...facts.evidence],
		clock: facts.clock,
		clockResolutionNs: facts.clockResolutionNs,
		durationNs: places.at(timeline.at),
		access: logs.length > 0 && !short ? "complete" : tracker.faults.faults > 0 ? "inferred" : "none",
		copiesRecorded: tracker.brackets.copiesRecorded,
		concurrent: phases.some(({ nature }) => nature.concurrent) || (logs.length > 0 && emitter.splitOperations > 0),
		host: tracker.evidence.host(),
		losses,
		warnings,
		sources: [
			...facts.sources,
			...logs.map((log) => ({ name: log.source.name, sha256: log.source.sha256, format: "access-log" })),
			...(stats === null ? [] : [{ name: stats.source.name, sha256: stats.source.sha256, format: "stats" }]),
		],
		importer: facts.importer,
		importerVersion: "1",
		vms: host.vms.map((vm) => ({ id: vm.id, mm: vm.mm, vcpus: Math.max(1, vm.vcpus.size), memoryBytes: vm.memoryBytes })),
	};
}

/** Events between two looks at what can be written: few, so that what they leave is gone before the collector looks at it. */
const STEP = 1024;

/** From the tracker into the trace: while the capture is read, where what has been seen of it allows that; otherwise at its end. */
class Flow {
	/** Those of a capture with access logs. */
	phases: readonly ForeseenPhase[] = [];
	readonly #input: CaptureInput;
	readonly #tracker: Tracker;
	readonly #emitter: Emitter;
	readonly #places: Places;
	#line: DelayLine | LoggedLine | null = null;

	constructor(input: CaptureInput, tracker: Tracker, emitter: Emitter, places: Places) {
		this.#input = input;
		this.#tracker = tracker;
		this.#emitter = emitter;
		this.#places = places;
	}

	/** Observed faults that match no access of the log. */
	get unmatched(): number {
		return this.#line instanceof LoggedLine ? this.#line.unmatched : 0;
	}

	/** Begins where all is known beforehand that must be. */
	beginWith({ host, brackets, phases }: Foresight, logs: readonly AccessLog[]): void {
		this.#emitter.deriveCopies = !brackets;
		this.#emitter.before(host.vms, true, this.#input.known.length > 0);
		this.#places.forget();
		this.#line = new LoggedLine(this.#tracker, this.#emitter, phases, logsByVm(logs, this.#tracker.host));
		this.phases = phases;
	}

	/** What is said of all faults must be known of the first: whether SPTEs are recorded, and brackets. */
	#decided(): boolean {
		const { faults, brackets } = this.#tracker;
		return !this.#input.kvm || (faults.sptes && (brackets.any || !this.#input.ranges));
	}

	advance(): void {
		if (this.#line === null) {
			if (!this.#decided()) return;
			this.#line = this.#begin();
		}
		this.#line.advance();
	}

	#begin(): DelayLine {
		this.#emitter.deriveCopies = !this.#tracker.brackets.any;
		this.#emitter.before(this.#tracker.host.vms, false, this.#input.known.length > 0);
		return new DelayLine(this.#tracker, this.#emitter, this.#places);
	}

	/** After Tracker.finish(). */
	finish(): void {
		if (this.#line === null && this.#input.kvm && !this.#tracker.faults.sptes) {
			const { items } = this.#tracker.timeline;
			resolveBlindFaults(items);
			this.#places.recount(items);
		}
		this.#line ??= this.#begin();
		this.#line.finish();
	}
}

async function readInput(
	input: CaptureInput,
	{ trace: where, lenient }: CaptureSources,
	logs: readonly AccessLog[],
	tracker: Tracker,
	places: Places,
	flow: Flow,
	warnings: string[],
): Promise<{ facts: InputFacts; losses: { name: string; count: number }[] }> {
	const { timeline } = tracker;
	const host = input.kvm ? null : new HostObserver(timeline);
	const damaged = new DamagedEvents(lenient, where);
	const visit = (event: KernelEvent): void => {
		timeline.at = places.push(event.ns);
		if (event.code === Code.mark) tracker.mark(event.text);
		else if (host === null) tracker.feed(event);
		else host.feed(event);
		if (timeline.at % STEP === STEP - 1) flow.advance();
	};
	if (logs.length === 0) for await (const batch of input.batches(damaged)) batch.each(visit);
	else await readForeseen(new Foresight(logs, input.known), input.batches(damaged), (foresight) => flow.beginWith(foresight, logs), visit);
	if (timeline.at < 0) throw new BadInputError("none of the events has a meaning here", { where });
	const facts = input.facts();
	warnings.push(...facts.warnings);
	for (const { name, count } of facts.losses)
		warnings.push(
			name === "damaged"
				? `${count} lines, packets or pages are damaged and were left out: counts are lower bounds`
				: `${count} events were ${name} while the capture ran: counts are lower bounds`,
		);
	const losses = [...facts.losses];
	if (damaged.count > 0) {
		warnings.push(`${damaged.count} damaged events were left out`);
		losses.push({ name: "damaged", count: damaged.count });
	}
	return { facts, losses };
}

/** Looks at all events, then reads them. */
async function readForeseen(
	foresight: Foresight,
	batches: AsyncGenerator<EventBatch>,
	begin: (foresight: Foresight) => void,
	visit: (event: KernelEvent) => void,
): Promise<void> {
	try {
		for await (const batch of batches) foresight.read(batch);
		foresight.end();
		begin(foresight);
		for await (const batch of foresight.again()) batch.each(visit);
	} finally {
		foresight.close();
	}
}

/** Probes that fetch from wrong places, and clocks that do not agree. */
function checkProbes(
	sources: CaptureSources,
	tracker: Tracker,
	clock: Places,
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
	if (tracker.faults.strays > 0) warnings.push(`${tracker.faults.strays} times a kvm_page_fault by a task that belongs to no known VM`);
	for (const vm of host.vms)
		if (logs.length > 0 && !logs.some((log) => log.vm === vm.id))
			warnings.push(`vm ${vm.id} has no access log: its faults are inferred accesses`);
	if (host.vms.length === 0)
		throw new BadInputError("no memslots: the capture has neither kvm_set_memory_region events nor an access log with slots", {
			where: "the whole file",
			hint: "add the access logs with --access, or capture with the kprobe on __kvm_set_memory_region",
		});
}

/** Work on guest memory that no cause could be made of. */
function upkeepCosts({ upkeep }: Tracker): string[] {
	const { ambiguous, largePins } = upkeep;
	return [
		...(ambiguous === 0
			? []
			: [
					`${ambiguous} ageings or dirty pages that several VMs or memslots can have meant were left out (__mmu_notifier_clear_young tells the mm)`,
				]),
		...(largePins === 0
			? []
			: [`${largePins} calls that pin more pages than a request does were left out: a device's; --device tells of it`]),
	];
}

/** Phases that the logs or the counters have and the trace does not reach; true where there are any. */
function checkPhases(
	phases: readonly ForeseenPhase[],
	logs: readonly AccessLog[],
	rows: readonly PhaseCounters[],
	warnings: string[],
): boolean {
	const reached = new Set(phases.map(({ span }) => span.number));
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
	if (logs.some(({ damaged }) => damaged > 0)) return true;
	const shorts = rows.filter((row) => {
		if (!LOGGED_KIND.test(row.kind)) return false;
		const phases = logs.filter((log) => row.vm < 0 || log.vm === row.vm).map((log) => log.phases.get(row.phase));
		const count = (actor: "guest" | "host"): number => phases.reduce((sum, phase) => sum + (phase?.[actor]?.length ?? 0), 0);
		return count("guest") < row.guestAccesses || count("host") < row.hostAccesses;
	});
	const [first] = shorts;
	if (first !== undefined)
		warnings.push(
			`the access logs have fewer accesses than the rig made in ${shorts.length} phases (the first: ${first.phase}): a log is missing or cut off`,
		);
	return warnings.length > before;
}

function counters(rows: readonly PhaseCounters[], sink: RecordSink, ns: number): void {
	const agent = { kind: 3, vm: 0, vcpu: 0, mm: 0, thread: 0 } as const;
	for (const row of rows) {
		// Of phases in which nobody disagreed nothing is said.
		const all = row.ok ? [...row.growth] : [...row.growth, [DISAGREED, 1] as const];
		for (const [text, value] of all)
			sink.observe({ kind: "operation", name: "counters", agent, page: 0, args: [row.phase, 0, value], ns, text });
	}
}
