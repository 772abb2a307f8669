// Generated traces: a workload's records, or a capture's over and over, as many as asked for, written as they are made.
import { BadInputError } from "../errors.js";
import { BlockBuilder } from "../trace/build.js";
import type { BuiltBlock, PageEncoding } from "../trace/columns.js";
import { emptyHeader } from "../trace/header.js";
import { AgentKind, NotifyEvent, Point } from "../trace/kinds.js";
import { openTrace } from "../trace/reader.js";
import type { Agent, TraceHeader, TraceRecord } from "../trace/record.js";
import { records } from "../trace/records.js";
import type { TraceWriter } from "../trace/writer.js";
import { Stream } from "./stream.js";
import type { Workload } from "./workload.js";

/** Raised when the same parameters begin to give other bytes. */
export const GENERATOR_VERSION = "1";

/** Blocks between two turns of the event loop, where an interrupt is seen. */
const BLOCKS_A_TURN = 256;

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** A header that says how the trace was made. `description`: the parameters, the seed among them. */
export function generatedHeader(description: string, { vms, vcpus, pages }: Workload): TraceHeader {
	return {
		...emptyHeader(),
		access: "complete",
		sources: [{ name: description, sha256: "", format: "generated" }],
		importer: "generate",
		importerVersion: GENERATOR_VERSION,
		vms: Array.from({ length: Math.min(vms, 64) }, (_, vm) => ({ id: vm, mm: vm, vcpus, memoryBytes: pages * 4096 })),
	};
}

/** Write `events` records of a workload. */
export async function generateInto(
	writer: TraceWriter,
	workload: Workload,
	options: { readonly events: number; readonly seed: number; readonly blockEvents: number },
	onProgress?: (events: number) => void,
): Promise<void> {
	const stream = new Stream(workload, options.seed, writer.pages, Math.min(options.blockEvents, options.events));
	let blocks = 0;
	for (let done = 0; done < options.events; ) {
		const count = Math.min(options.blockEvents, options.events - done);
		writer.built(stream.take(count));
		done += count;
		onProgress?.(done);
		if (++blocks % BLOCKS_A_TURN === 0) await turn();
	}
}

/** The causes of a capture, to be written again and again. */
export class Repetition {
	readonly header: TraceHeader;
	/** Of one round, what clears up behind it included. */
	readonly #round: readonly TraceRecord[];
	readonly #blocks: readonly BuiltBlock[];

	/** @throws BadInputError, LimitError, UsageError */
	constructor(path: string, description: string, blockEvents: number, pages: PageEncoding) {
		const trace = openTrace(path);
		try {
			const causes: TraceRecord[] = [];
			for (const { record } of records(trace, { observations: false })) causes.push(timeless(record));
			if (causes.length === 0) throw new BadInputError("no causes to repeat", { where: path });
			this.#round = [...causes, ...clearing(causes)];
			this.#blocks = blocksOf(this.#round, blockEvents, pages);
			this.header = {
				...trace.header,
				clock: "",
				durationNs: 0,
				sources: [...trace.header.sources, { name: description, sha256: "", format: "generated" }],
			};
		} finally {
			trace.close();
		}
	}

	/** Records of one round. */
	get events(): number {
		return this.#round.length;
	}

	async writeInto(writer: TraceWriter, events: number, onProgress?: (events: number) => void): Promise<void> {
		let done = 0;
		for (; done + this.#round.length <= events; done += this.#round.length) {
			for (const block of this.#blocks) writer.built(block);
			onProgress?.(done);
			await turn();
		}
		for (const record of this.#round.slice(0, events - done)) writer.cause(record);
	}
}

function timeless(record: TraceRecord): TraceRecord {
	const { ns: _, offset: __, ...rest } = record;
	return rest;
}

/** What leaves the host as it was before the first record: memory unmapped, memslots deleted, mms gone. */
function clearing(causes: readonly TraceRecord[]): TraceRecord[] {
	const slots = new Map<string, { agent: Agent; slot: number; as: number; gfn: number; page: number; pages: number }>();
	const mms = new Map<number, Agent>();
	for (const record of causes) {
		const { agent } = record;
		const mm: Agent = { kind: AgentKind.mm, vm: 0, vcpu: 0, mm: agent.mm, thread: 0 };
		mms.set(agent.mm, mm);
		if (record.kind !== "operation" || record.name !== "memslot") continue;
		const [slot = 0, as = 0, gfn = 0, pages = 0] = record.args;
		const key = `${agent.vm} ${as} ${slot}`;
		if (pages === 0) slots.delete(key);
		else slots.set(key, { agent, slot, as, gfn, page: record.page, pages });
	}
	const operation = (name: "zap" | "memslot" | "exit", agent: Agent, page: number, args: readonly number[]): TraceRecord => {
		return { kind: "operation", name, agent, page, args };
	};
	const known = [...slots.values()];
	return [
		...known.flatMap(({ agent, page, pages }) => {
			const mm = mms.get(agent.mm);
			return mm === undefined ? [] : [operation("zap", mm, page, [Point.whole, 0, pages, NotifyEvent.unmap])];
		}),
		...known.map(({ agent, slot, as, gfn }) => operation("memslot", agent, 0, [slot, as, gfn, 0, 0])),
		...[...mms.values()].map((mm) => operation("exit", mm, 0, [])),
	];
}

function blocksOf(round: readonly TraceRecord[], blockEvents: number, pages: PageEncoding): BuiltBlock[] {
	const built: BuiltBlock[] = [];
	for (let from = 0; from < round.length; from += blockEvents) {
		const builder = new BlockBuilder(false);
		for (const record of round.slice(from, from + blockEvents)) builder.add(record);
		built.push(builder.build(pages));
	}
	return built;
}
