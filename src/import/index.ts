// The importer: any kernel-event capture, told by its content, becomes the records and the header of a trace (docs/import.md).
import { statSync } from "node:fs";
import { UsageError } from "../errors.js";
import type { TraceHeader } from "../trace/record.js";
import { type CaptureInput, importCapture } from "./capture.js";
import type { BlockSink } from "./causeblock.js";
import type { DamagedEvents } from "./damaged.js";
import { type Detected, detect, EVENT_FORMATS, HEAD_BYTES } from "./detect.js";
import { DeviceSink, type DeviceSpec, Devices } from "./devices.js";
import type { RecordSink } from "./emit.js";
import type { EventBatch } from "./event.js";
import { openSource } from "./formats.js";
import { readHead } from "./input.js";
import { Intake } from "./intake.js";
import { type KnownVm, readMemslots } from "./knownvm.js";
import { LACKS_NOTHING, Normaliser } from "./normalise.js";
import type { OverlaySpec } from "./overlay.js";
import { NO_DEFINITIONS, type ProbeDefinitions, readDefinitions } from "./probes.js";
import { Recogniser } from "./recognise.js";
import { importRecords } from "./recordlines.js";
import { Scout } from "./scout.js";
import type { EventSource, SourceFacts } from "./source.js";
import { importStream, STREAM_FORMATS } from "./streams.js";
import { judge, type Survey, survey } from "./survey.js";
import { readTogether } from "./together.js";

export interface ImportOptions {
	/** Files of one host: captures of any format, merged by their clock. */
	readonly sources: readonly string[];
	/** Read the sources as this, whatever they look like. */
	readonly from?: string | undefined;
	readonly access?: readonly string[] | undefined;
	readonly stats?: string | undefined;
	/** Definitions of probes. */
	readonly events?: string | undefined;
	readonly memslots?: string | undefined;
	readonly kernel?: string | undefined;
	readonly strategy?: string | undefined;
	readonly lenient: boolean;
	/** KSM events made up over an access stream. */
	readonly overlay?: OverlaySpec | undefined;
	/** Devices that no capture shows. */
	readonly devices?: readonly DeviceSpec[] | undefined;
}

/** All names that --from takes. */
const FORMAT_NAMES: readonly string[] = [...EVENT_FORMATS, ...STREAM_FORMATS.map((format) => format.name)];

async function formatOf(path: string, from: string | undefined): Promise<Detected> {
	const events = EVENT_FORMATS.find((format) => format === from);
	if (events !== undefined) return { kind: "events", format: events };
	const stream = STREAM_FORMATS.find((format) => format.name === from);
	if (stream !== undefined) return { kind: "stream", format: stream };
	if (from !== undefined) throw new UsageError(`unknown format ${from}`, { where: "--from", hint: FORMAT_NAMES.join(", ") });
	if (statSync(path, { throwIfNoEntry: false })?.isDirectory() === true) throw new UsageError("is a directory", { where: path });
	return detect(await readHead(path, HEAD_BYTES), path);
}

/**
 * Import captures of one host into `sink`; the header says what they were.
 * @throws UsageError, BadInputError (unknown, damaged or contradictory input), LimitError
 */
export async function importSources(options: ImportOptions, sink: RecordSink & BlockSink): Promise<TraceHeader> {
	const specs = options.devices ?? [];
	if (specs.length === 0) return await importWith(options, sink, undefined);
	const devices = new Devices(specs);
	const header = await importWith(options, new DeviceSink(sink, devices), devices);
	header.warnings.push(devices.warning);
	return header;
}

async function importWith(options: ImportOptions, sink: RecordSink & BlockSink, devices: Devices | undefined): Promise<TraceHeader> {
	const [first] = options.sources;
	if (first === undefined) throw new UsageError("no source", { where: "import" });
	const sources: EventSource[] = [];
	for (const path of options.sources) {
		const detected = await formatOf(path, options.from);
		if (detected.kind === "records") {
			if (options.sources.length > 1) throw new UsageError("a printed trace cannot be merged with other sources", { where: path });
			return await importRecords(path, sink, options.lenient);
		}
		if (detected.kind === "events") sources.push(openSource(detected.format, path, options.lenient));
		else if (options.sources.length === 1)
			return await importStream(detected.format, path, sink, { lenient: options.lenient, overlay: options.overlay, devices });
		else throw new UsageError(`an access stream (${detected.format.name}) cannot be merged with other sources`, { where: path });
	}
	if (options.overlay !== undefined)
		throw new UsageError("an overlay goes over an access stream; this capture has a kernel's own events", { where: "--overlay" });
	return await importEvents(options, sources, sink);
}

async function importEvents(options: ImportOptions, sources: readonly EventSource[], sink: RecordSink): Promise<TraceHeader> {
	const { access = [], lenient, kernel } = options;
	const where = options.sources.join(", ");
	const definitions = options.events === undefined ? NO_DEFINITIONS : await readDefinitions(options.events);
	const told: KnownVm[] = options.memslots === undefined ? [] : await readMemslots(options.memslots);
	const logged = access.length > 0;
	const found = logged ? null : await survey(sources, { definitions, told, kernel, lenient, where });
	const merged = new MergedSources(sources, definitions, found, kernel);
	const input: CaptureInput = {
		known: found?.known ?? told,
		kvm: found?.kvm ?? true,
		ranges: found?.ranges ?? true,
		batches: (damaged) => merged.batches(damaged),
		facts: () => merged.facts(),
	};
	try {
		return await importCapture({ trace: where, access, stats: options.stats, kernel, strategy: options.strategy, lenient, input }, sink);
	} finally {
		merged.close();
	}
}

/** The sources' events, recognised, merged and completed; and what the sources told on the way. */
class MergedSources {
	readonly #sources: readonly EventSource[];
	readonly #definitions: ProbeDefinitions;
	readonly #survey: Survey | null;
	/** Looks on where the survey did not. */
	readonly #scout: Scout | null;
	readonly #normaliser: Normaliser;
	readonly #kernel: string | undefined;
	#facts: readonly SourceFacts[] = [];
	readonly #recognisers: readonly Recogniser[];

	constructor(sources: readonly EventSource[], definitions: ProbeDefinitions, found: Survey | null, kernel: string | undefined) {
		this.#sources = sources;
		this.#definitions = definitions;
		this.#survey = found;
		this.#scout = found === null || found.judgement === null ? new Scout(null) : null;
		this.#kernel = kernel;
		this.#normaliser = new Normaliser(found?.lacking ?? LACKS_NOTHING);
		this.#recognisers = found?.read?.recognisers ?? sources.map((source) => new Recogniser(definitions, source.path));
	}

	async *batches(damaged: DamagedEvents): AsyncGenerator<EventBatch> {
		const scout = this.#scout;
		const normaliser = this.#normaliser;
		for await (const batch of this.#read(damaged))
			yield {
				each: (visit) =>
					batch.each((event) => {
						scout?.look(event);
						normaliser.push(event, visit);
					}),
			};
	}

	/** What the survey has read, or the sources. */
	#read(damaged: DamagedEvents): AsyncGenerator<EventBatch> | Generator<EventBatch> {
		const read = this.#survey?.read ?? null;
		if (read !== null) {
			this.#facts = read.facts;
			damaged.count += read.damaged.count;
			return read.spool.batches();
		}
		const intakes = this.#recognisers.map((recogniser) => new Intake(recogniser, this.#scout, damaged));
		const { facts, batches } = readTogether(this.#sources, intakes);
		this.#facts = facts;
		return batches;
	}

	close(): void {
		this.#survey?.read?.spool.close();
	}

	facts(): ReturnType<CaptureInput["facts"]> {
		const losses = new Map<string, number>();
		const warnings: string[] = [];
		for (const facts of this.#facts) {
			for (const [name, count] of facts.losses) losses.set(name, (losses.get(name) ?? 0) + count);
			warnings.push(...facts.warnings.map((warning) => (this.#facts.length > 1 ? `${facts.digest.name}: ${warning}` : warning)));
		}
		warnings.push(...askedFor(this.#recognisers), ...(this.#survey?.warnings ?? []));
		let judgement = this.#survey?.judgement ?? null;
		if (this.#scout !== null) {
			judgement = judge(this.#scout, this.#recognisers, this.#facts, this.#definitions, this.#kernel);
			// With access logs the rig's recipe is known, and what it lacks on each kernel.
			warnings.push(...judgement.contradictions, ...(this.#survey === null ? [] : judgement.costs));
		}
		const clocks = new Set(this.#facts.map((facts) => facts.clock).filter((clock) => clock !== ""));
		return {
			kernel: this.#facts.find((facts) => facts.kernel !== "")?.kernel ?? "",
			clock: [...clocks].join("+") || (this.#sources[0]?.format ?? ""),
			clockResolutionNs: Math.max(...this.#facts.map((facts) => facts.resolutionNs)),
			losses: [...losses].map(([name, count]) => ({ name, count })),
			warnings,
			evidence: judgement === null ? [] : [judgement.evidence],
			sources: this.#facts.map((facts, at) => ({ ...facts.digest, format: this.#sources[at]?.format ?? "" })),
			importer: this.#sources[0]?.format ?? "",
		};
	}
}

const listed = (counts: ReadonlyMap<string, number>): string =>
	[...counts]
		.sort(([, a], [, b]) => b - a)
		.slice(0, 8)
		.map(([name, count]) => `${name} (${count})`)
		.join(", ");

/** Probes and tracepoints that nothing explains. @throws never: an error of missing ranges is the survey's */
function askedFor(recognisers: readonly Recogniser[]): string[] {
	const warnings: string[] = [];
	for (const { asked, unknown, byName } of recognisers) {
		if (asked.size > 0)
			warnings.push(`probes whose function nothing tells were left out: ${listed(asked)}; --events FILE with their definitions tells`);
		if (unknown.size > 0) warnings.push(`events without a meaning here were left out: ${listed(unknown)}`);
		if (byName.size > 0)
			warnings.push(
				`probes are taken by the names of mmreplay's own recipes, since the capture shows no symbols: ${[...byName].sort().join(", ")}; --events FILE settles it`,
			);
	}
	return warnings;
}
