// A trace and its replays for ui.perfetto.dev: what was captured (a track for each vCPU, host thread, device and mm, and what the kernel was seen to
// do), and below it each strategy's answer.
import { EventLog, type LogListener } from "../../engine/eventlog.js";
import { LimitError } from "../../errors.js";
import type { Machine } from "../../machine/machine.js";
import type { Strategy } from "../../strategies/steps.js";
import { AgentKind, FIRST_OBSERVATION, Operation, VMEXIT_CAUSES } from "../../trace/kinds.js";
import type { KvmHost } from "../../trace/kvmhost.js";
import type { TraceReader } from "../../trace/reader.js";
import type { Agent, TraceHeader, TraceRecord } from "../../trace/record.js";
import { records } from "../../trace/records.js";
import { type PacketSink, PacketWriter } from "./packets.js";
import { FlowNumbers, StrategyTracks } from "./strategytracks.js";

/** Some 30 bytes each: beyond it the file is larger than what ui.perfetto.dev opens in a browser. */
const MAX_EVENTS = 50_000_000;

/** Where the trace has no times a record takes this long, so that its order is seen. */
const NO_CLOCK_NS = 1000;

function agentName({ kind, vm, vcpu, mm, thread }: Agent): string {
	switch (kind) {
		case AgentKind.guest:
			return `vm${vm} vcpu${vcpu}`;
		case AgentKind.host:
			return `mm${mm} host thread ${thread}`;
		case AgentKind.device:
			return `device ${thread}`;
		case AgentKind.mm:
			return `mm${mm}: kernel`;
		default:
			return `vm${vm}: memslots`;
	}
}

const KSMD: ReadonlySet<string> = new Set(["ksmWriteProtect", "ksmReplace", "ksmPromote", "ksmMerge"]);

/** What was captured. */
class CapturedTracks {
	readonly #writer: PacketWriter;
	readonly #causes: number;
	readonly #observed: number;
	readonly #tracks = new Map<string, number>();
	readonly #phases: number;
	#inPhase = false;

	constructor(writer: PacketWriter, header: TraceHeader) {
		this.#writer = writer;
		const kernel = header.kernel === "" ? "captured" : `captured, Linux ${header.kernel}`;
		this.#causes = writer.process(`${kernel}: causes`);
		this.#phases = writer.track(this.#causes, "phases");
		this.#observed = writer.process(`${kernel}: what its kernel was seen to do`);
	}

	record(record: TraceRecord, ns: number): void {
		// Accesses are the bulk of a trace and say nothing by themselves; those that exit are on the strategies' tracks.
		if (record.kind === "access" || record.name === "access" || record.name === "counters") return;
		if (record.name === "mark") {
			this.#mark(record.args[1] ?? 0, record.text ?? "", ns);
			return;
		}
		const observed = Operation[record.name].code >= FIRST_OBSERVATION;
		const name = record.name === "vmexit" ? `vmexit: ${VMEXIT_CAUSES[record.args[2] ?? 0] ?? "other"}` : record.name;
		const track = this.#track(observed, KSMD.has(record.name) ? "ksmd" : agentName(record.agent));
		this.#writer.instant(track, ns, name, observed ? "observation" : "cause", { annotations: { page: record.page } });
	}

	#mark(edge: number, label: string, ns: number): void {
		if (edge === 2) this.#writer.instant(this.#phases, ns, label, "phase");
		else this.endPhase(ns);
		if (edge !== 0) return;
		this.#writer.begin(this.#phases, ns, label, "phase");
		this.#inPhase = true;
	}

	endPhase(ns: number): void {
		if (this.#inPhase) this.#writer.end(this.#phases, ns);
		this.#inPhase = false;
	}

	#track(observed: boolean, name: string): number {
		const key = `${observed ? "o" : "c"}${name}`;
		const known = this.#tracks.get(key);
		if (known !== undefined) return known;
		const made = this.#writer.track(observed ? this.#observed : this.#causes, name);
		this.#tracks.set(key, made);
		return made;
	}
}

export interface TimelineOptions {
	readonly strategies: readonly Strategy[];
	readonly machine: Machine;
	/** Hold every access against the primary page table, so that violations are on the tracks. */
	readonly check: boolean;
	/** By default the captured one. */
	readonly host?: KvmHost;
}

/**
 * Write the packets of a trace, in bounded memory: the engine replays it once more and tells what happens at each record.
 * @returns each strategy's counters at the end, which are those of any replay
 * @throws BadInputError; LimitError beyond MAX_EVENTS
 */
export function perfettoTrace(
	trace: TraceReader,
	header: TraceHeader,
	options: TimelineOptions,
	sink: PacketSink,
	onProgress?: (events: number) => void,
): BigUint64Array[] {
	const writer = new PacketWriter(sink);
	const captured = new CapturedTracks(writer, header);
	const flows = new FlowNumbers();
	const tracks = options.strategies.map((strategy, place) => new StrategyTracks(writer, strategy, place, flows));
	const log = new EventLog(trace, options);
	const listener: LogListener = {
		exit: (strategy, ...rest) => tracks[strategy]?.exit(...rest),
		zap: (strategy, vm, gfn) => tracks[strategy]?.zap(vm, gfn),
		growth: (strategy, counter, by) => tracks[strategy]?.growth(counter, by),
	};
	let last = 0;
	for (const { record, sequence } of records(trace)) {
		const ns = record.ns ?? sequence * NO_CLOCK_NS;
		last = Math.max(last, ns);
		captured.record(record, ns);
		if (record.kind === "access" || Operation[record.name].code < FIRST_OBSERVATION) {
			for (const one of tracks) one.begin(record, ns);
			log.tell(sequence, listener);
			for (const one of tracks) one.end();
		}
		if (writer.events > MAX_EVENTS) {
			throw new LimitError(`more than ${MAX_EVENTS} events for Perfetto`, {
				where: trace.name,
				hint: "fewer strategies, or a part of the trace",
			});
		}
		if (sequence % 4096 === 0) onProgress?.(sequence);
	}
	captured.endPhase(last);
	for (const one of tracks) one.close(last);
	writer.flush();
	return log.finish();
}
