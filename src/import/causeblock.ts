// Causes on their way into blocks, as columns: what a source that brings millions of accesses a second writes with, instead of records.
import { AgentTable } from "../trace/agents.js";
import type { CauseColumns } from "../trace/columns.js";
import { type Access, AGENT_SHIFT, OPERATION, Operation, type OperationName } from "../trace/kinds.js";
import type { Agent } from "../trace/record.js";
import { NO_OFFSET, PAGE_SPAN } from "../trace/wire.js";

/** Where blocks go: a TraceWriter. */
export interface BlockSink {
	block(columns: CauseColumns): void;
}

/** As TraceWriter has it. */
const CAUSES_PER_BLOCK = 8192;
/** Agents with which a byte holds an agent and a kind. */
const BYTE_AGENTS = 16;
/** A power of two. */
const KNOWN = 32;

export class CauseBlocks {
	readonly #sink: BlockSink;
	readonly #agents = new AgentTable();
	readonly #op = new Uint32Array(CAUSES_PER_BLOCK);
	readonly #bytes = new Uint8Array(CAUSES_PER_BLOCK);
	readonly #page = new Uint32Array(CAUSES_PER_BLOCK);
	readonly #offset = new Uint16Array(CAUSES_PER_BLOCK);
	readonly #ns = new Float64Array(CAUSES_PER_BLOCK);
	readonly #timed: boolean;
	readonly #argument: number[] = [];
	#at = 0;
	#written = 0;
	/** Indexes at hand, by agent and span of pages: a stream goes to and fro between a few. */
	readonly #known: { agent: Agent | null; span: number; index: number }[] = Array.from({ length: KNOWN }, () => ({
		agent: null,
		span: 0,
		index: 0,
	}));
	/** Time of the causes that follow, in ns from the first. */
	ns = 0;

	/** `timed`: the source has times. */
	constructor(sink: BlockSink, timed: boolean) {
		this.#sink = sink;
		this.#timed = timed;
	}

	/** Causes so far. */
	get count(): number {
		return this.#written + this.#at;
	}

	access(agent: Agent, access: Access, page: number, offset: number): void {
		this.#append(agent, access, page, offset);
	}

	operation(agent: Agent, name: OperationName, page: number, args: readonly number[]): void {
		this.#append(agent, OPERATION, page, NO_OFFSET);
		this.#argument.push(Operation[name].code, args.length, ...args);
	}

	#append(agent: Agent, kind: number, page: number, offset: number): void {
		if (this.#at === CAUSES_PER_BLOCK) this.flush();
		const span = page < PAGE_SPAN ? 0 : Math.floor(page / PAGE_SPAN);
		const known = this.#known[(agent.kind + agent.vcpu * 4 + span) & (KNOWN - 1)];
		if (known.agent !== agent || known.span !== span) {
			known.index = this.#agents.indexOf(agent, page);
			known.agent = agent;
			known.span = span;
		}
		const at = this.#at++;
		this.#op[at] = kind | (known.index << AGENT_SHIFT);
		this.#page[at] = page;
		this.#offset[at] = offset;
		this.#ns[at] = this.ns;
	}

	flush(): void {
		const events = this.#at;
		if (events === 0) return;
		const wide = this.#op.subarray(0, events);
		this.#sink.block({
			agents: this.#agents.entries,
			op: this.#agents.entries.length <= BYTE_AGENTS ? this.#narrowed(events) : wide,
			page: this.#page.subarray(0, events),
			offset: this.#offset.subarray(0, events),
			...(this.#timed ? { ns: this.#ns.subarray(0, events) } : {}),
			argument: this.#argument,
		});
		this.#written += events;
		this.#at = 0;
		this.#argument.length = 0;
		this.#agents.clear();
		for (const known of this.#known) known.agent = null;
	}

	#narrowed(events: number): Uint8Array {
		const wide = this.#op;
		const bytes = this.#bytes;
		for (let at = 0; at < events; at++) bytes[at] = wide[at];
		return bytes.subarray(0, events);
	}
}
