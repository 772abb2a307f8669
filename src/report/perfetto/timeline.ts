// A trace and its replays for ui.perfetto.dev: what was captured (a track for each vCPU, host thread, device and mm, and what the kernel was seen to
// do), and below it each strategy's answer.
import { LimitError } from "../../errors.js";
import type { Machine } from "../../machine/machine.js";
import type { Strategy } from "../../strategies/steps.js";
import { AgentKind, FIRST_OBSERVATION, Operation, VMEXIT_CAUSES } from "../../trace/kinds.js";
import type { TraceReader } from "../../trace/reader.js";
import type { Agent, TraceHeader, TraceRecord } from "../../trace/record.js";
import { records } from "../../trace/records.js";
import { type PacketSink, PacketWriter } from "./packets.js";
import { FlowNumbers, StrategyTracks } from "./strategytracks.js";

/** Packets beyond it make a file that ui.perfetto.dev does not open in a browser. */
const MAX_EVENTS = 5_000_000;

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

/**
 * Write the packets of a trace. The reference model replays each strategy, which is some hundred times slower than the engine.
 * @returns each strategy's counters at the end, which equal the engine's
 * @throws LimitError beyond MAX_EVENTS
 */
export function perfettoTrace(
	trace: TraceReader,
	header: TraceHeader,
	strategies: readonly Strategy[],
	machine: Machine,
	sink: PacketSink,
	onProgress?: (events: number) => void,
): BigUint64Array[] {
	const writer = new PacketWriter(sink);
	const captured = new CapturedTracks(writer, header);
	const flows = new FlowNumbers();
	const tracks = strategies.map((strategy) => new StrategyTracks(writer, strategy, machine, header, flows));
	let last = 0;
	for (const { record, sequence } of records(trace)) {
		const ns = record.ns ?? sequence * NO_CLOCK_NS;
		last = Math.max(last, ns);
		captured.record(record, ns);
		const isCause = record.kind === "access" || Operation[record.name].code < FIRST_OBSERVATION;
		if (isCause) for (const one of tracks) one.replay(record, sequence, ns);
		if (writer.events > MAX_EVENTS) {
			throw new LimitError(`more than ${MAX_EVENTS} events for Perfetto`, {
				where: trace.name,
				hint: "fewer strategies, or a part of the trace",
			});
		}
		if (sequence % 4096 === 0) onProgress?.(sequence);
	}
	captured.endPhase(last);
	return tracks.map(({ counters }) => counters);
}
