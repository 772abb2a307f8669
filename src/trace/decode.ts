// The payload of an EVENTS or OBSERVATIONS block to columns, every rule of the format checked (docs/trace-format.md, "What is checked").
// The slow path: the engine decodes the same bytes inside WebAssembly.
import { type AgentEntry, checkAgent } from "./agents.js";
import { mmreplay } from "./generated/schema.js";
import { exact } from "./header.js";
import { AGENT_SHIFT, type AgentKind } from "./kinds.js";
import { countVarints, VarintError, VarintReader } from "./varint.js";
import { BlockType, type Limits, MAX_BASE_PAGE, NO_OFFSET, PAGE_SPAN } from "./wire.js";

/** Something that is wrong with a payload. `at`: byte offset in it; `event`: the record, where one is to blame. */
export interface Flaw {
	readonly at: number;
	readonly event?: number | undefined;
	readonly reason: string;
}

/** Told of each flaw; a reader throws, `validate` collects and goes on as far as that makes sense. */
export type Complain = (flaw: Flaw) => void;

/** What of a block's header its payload is held against. */
export interface BlockFacts {
	readonly type: number;
	readonly events: number;
	readonly firstSequence: number;
	readonly firstNs: number;
}

export interface EventColumns {
	readonly events: number;
	readonly agents: readonly AgentEntry[];
	readonly strings: readonly string[];
	readonly op: Uint32Array;
	/** Without the agent's base. */
	readonly page: Uint32Array;
	/** Bytes of the argument column within `payload`. */
	readonly argument: { readonly from: number; readonly to: number };
	readonly payload: Uint8Array;
	readonly offset: Uint32Array | undefined;
	/** ns since the first record of the trace. */
	readonly ns: Float64Array | undefined;
	/** Causes before each record in the trace (OBSERVATIONS). */
	readonly position: Float64Array | undefined;
}

interface Chunk {
	readonly from: number;
	readonly to: number;
}

/** Fields of EventBlock by number. */
const Field = { events: 1, agent: 2, strings: 3, op: 4, page: 5, pageDelta: 6, argument: 7, offset: 8, time: 9, position: 10 } as const;
const COLUMN_NAMES: readonly string[] = [
	"",
	"events",
	"agent",
	"strings",
	"op",
	"page",
	"page_delta",
	"argument",
	"offset",
	"time",
	"position",
];
const UTF8 = new TextDecoder("utf-8", { fatal: true });

interface Fields {
	events: number | undefined;
	readonly agents: AgentEntry[];
	readonly strings: string[];
	/** By field number. */
	readonly columns: (Chunk | undefined)[];
}

/** Top-level fields of the message. Unknown ones are skipped: a newer minor version may add some. */
class FieldWalk {
	readonly #payload: Uint8Array;
	readonly #limits: Limits;
	readonly #complain: Complain;
	readonly #fields: Fields = { events: undefined, agents: [], strings: [], columns: [] };

	constructor(payload: Uint8Array, limits: Limits, complain: Complain) {
		this.#payload = payload;
		this.#limits = limits;
		this.#complain = complain;
	}

	/** undefined where the message cannot be walked to its end. */
	run(): Fields | undefined {
		const reader = new VarintReader(this.#payload);
		try {
			while (!reader.done) if (!this.#field(reader)) return undefined;
		} catch (error) {
			if (!(error instanceof VarintError)) throw error;
			this.#complain({ at: error.at, reason: `the block ${error.message}` });
			return undefined;
		}
		return this.#fields;
	}

	#field(reader: VarintReader): boolean {
		const at = reader.at;
		const tag = reader.uint32();
		const field = tag >>> 3;
		switch (tag & 7) {
			case 0: {
				const value = field === Field.events ? reader.uint32() : reader.unsigned();
				if (field === Field.events) this.#events(at, value);
				else this.#expectUnknown(field, at);
				return true;
			}
			case 1:
			case 5:
				this.#expectUnknown(field, at);
				reader.at += (tag & 7) === 1 ? 8 : 4;
				break;
			case 2: {
				const length = reader.uint32();
				const from = reader.at;
				reader.at += length;
				if (reader.at <= reader.end) this.#chunk(field, at, { from, to: reader.at });
				break;
			}
			default:
				this.#complain({ at, reason: `wire type ${tag & 7} in an EventBlock` });
				return false;
		}
		if (reader.at <= reader.end) return true;
		this.#complain({ at, reason: "a field goes beyond the block's end" });
		return false;
	}

	#expectUnknown(field: number, at: number): void {
		if (field === 0 || field < COLUMN_NAMES.length)
			this.#complain({ at, reason: `field ${field} (${COLUMN_NAMES[field] || "none"}) with the wrong wire type` });
	}

	#events(at: number, value: number): void {
		if (this.#fields.events !== undefined) this.#complain({ at, reason: "a second events field" });
		this.#fields.events = value;
	}

	#chunk(field: number, at: number, chunk: Chunk): void {
		const { agents, strings, columns } = this.#fields;
		if (field === Field.agent) {
			if (agents.length >= this.#limits.entries) this.#complain({ at, reason: `more than ${this.#limits.entries} agents` });
			else agents.push(this.#agent(at, chunk));
		} else if (field === Field.strings) {
			if (strings.length >= this.#limits.entries) this.#complain({ at, reason: `more than ${this.#limits.entries} strings` });
			else strings.push(this.#string(at, chunk));
		} else if (field === Field.events || field === 0) this.#expectUnknown(field, at);
		else if (field < COLUMN_NAMES.length) {
			if (columns[field] !== undefined) this.#complain({ at, reason: `a second chunk of column ${COLUMN_NAMES[field]}` });
			columns[field] = chunk;
		}
	}

	#agent(at: number, { from, to }: Chunk): AgentEntry {
		try {
			const { kind, vm, vcpu, mm, thread, basePage } = mmreplay.Agent.decode(this.#payload.subarray(from, to));
			const agent = { kind: kind as AgentKind, vm, vcpu, mm, thread };
			checkAgent(agent);
			const base = exact(basePage, "base_page", "agent");
			if (base % PAGE_SPAN !== 0 || base > MAX_BASE_PAGE) throw new RangeError(`base_page ${base}`);
			return { agent, basePage: base };
		} catch (error) {
			this.#complain({ at, reason: `agent ${this.#fields.agents.length}: ${error instanceof Error ? error.message : "damaged"}` });
			return { agent: { kind: 3, vm: 0, vcpu: 0, mm: 0, thread: 0 }, basePage: 0 };
		}
	}

	#string(at: number, { from, to }: Chunk): string {
		if (to - from > this.#limits.stringBytes) {
			this.#complain({ at, reason: `a string of ${to - from} bytes, more than ${this.#limits.stringBytes}` });
			return "";
		}
		try {
			return UTF8.decode(this.#payload.subarray(from, to));
		} catch {
			this.#complain({ at, reason: `string ${this.#fields.strings.length} is not UTF-8` });
			return "";
		}
	}
}

/** Columns of varints, one value a record. */
class ColumnReader {
	readonly #payload: Uint8Array;
	readonly #events: number;
	readonly #complain: Complain;
	ok = true;

	constructor(payload: Uint8Array, events: number, complain: Complain) {
		this.#payload = payload;
		this.#events = events;
		this.#complain = complain;
	}

	flaw(at: number, reason: string, event?: number): void {
		this.ok = false;
		this.#complain({ at, event, reason });
	}

	/** Calls `take` once a record, unless the column has another number of values. `take` returns what is wrong with its value, if anything. */
	each(name: string, { from, to }: Chunk, read: (reader: VarintReader, event: number) => string | undefined): void {
		const values = countVarints(this.#payload, from, to);
		if (values !== this.#events || (to > from && this.#payload[to - 1] > 127)) {
			const inPlace = name === "op" && to - from === this.#events;
			this.flaw(
				from,
				inPlace
					? "a continuation bit in column op, which has one byte a record"
					: `column ${name} has ${values} values for ${this.#events} records`,
			);
			return;
		}
		const reader = new VarintReader(this.#payload, from, to);
		for (let event = 0; event < this.#events; event++) {
			const at = reader.at;
			let reason: string | undefined;
			try {
				reason = read(reader, event);
			} catch (error) {
				if (!(error instanceof VarintError)) throw error;
				reason = error.message;
			}
			if (reason !== undefined) {
				this.flaw(at, `column ${name} ${reason}`, event);
				return;
			}
		}
	}
}

function readPages(payload: Uint8Array, chunks: readonly (Chunk | undefined)[], page: Uint32Array, columns: ColumnReader): void {
	const fixed = chunks[Field.page];
	const delta = chunks[Field.pageDelta];
	if (fixed !== undefined && delta !== undefined) columns.flaw(delta.from, "both page and page_delta");
	else if (fixed !== undefined) {
		if (fixed.to - fixed.from !== page.length * 4)
			columns.flaw(fixed.from, `column page has ${fixed.to - fixed.from} bytes for ${page.length} records`);
		else new Uint8Array(page.buffer).set(payload.subarray(fixed.from, fixed.to));
	} else if (delta !== undefined) {
		let value = 0;
		columns.each("page_delta", delta, (reader, event) => {
			value += reader.signed();
			page[event] = value;
			return page[event] === value ? undefined : "leaves 32 bits";
		});
	} else if (page.length > 0) columns.flaw(0, "neither page nor page_delta");
}

/** undefined after a complaint that leaves no columns to go on with. */
export function decodeColumns(payload: Uint8Array, facts: BlockFacts, limits: Limits, complain: Complain): EventColumns | undefined {
	const fields = new FieldWalk(payload, limits, complain).run();
	if (fields === undefined) return undefined;
	const { events } = facts;
	const chunks = fields.columns;
	const columns = new ColumnReader(payload, events, complain);
	if (fields.events !== events) columns.flaw(0, `the block has ${fields.events ?? "no number of"} events, its header ${events}`);
	const none: Chunk = { from: payload.length, to: payload.length };

	const opChunk = chunks[Field.op] ?? none;
	// A record takes a byte at least: a header that promises more is not believed, and nothing is allocated for it.
	if (opChunk.to - opChunk.from < events) {
		columns.flaw(opChunk.from, `column op has ${opChunk.to - opChunk.from} bytes for ${events} records`);
		return undefined;
	}
	const op = new Uint32Array(events);
	columns.each("op", opChunk, (reader, event) => {
		op[event] = reader.uint32();
		return op[event] >>> AGENT_SHIFT < fields.agents.length
			? undefined
			: `names agent ${op[event] >>> AGENT_SHIFT} of ${fields.agents.length}`;
	});
	const page = new Uint32Array(events);
	readPages(payload, chunks, page, columns);

	const offsetChunk = chunks[Field.offset];
	const offset = offsetChunk && new Uint32Array(events);
	if (offset !== undefined && offsetChunk !== undefined) {
		columns.each("offset", offsetChunk, (reader, event) => {
			offset[event] = reader.uint32();
			return offset[event] <= NO_OFFSET ? undefined : `has the offset ${offset[event]}`;
		});
	}
	const timeChunk = chunks[Field.time];
	const ns = timeChunk && new Float64Array(events);
	if (ns !== undefined && timeChunk !== undefined) {
		let time = facts.firstNs;
		columns.each("time", timeChunk, (reader, event) => {
			time += reader.signed();
			ns[event] = time;
			return Number.isSafeInteger(time) && time >= 0 ? undefined : "leaves 53 bits";
		});
	}
	const isObservations = facts.type === BlockType.observations;
	const positionChunk = chunks[Field.position];
	if (!isObservations && positionChunk !== undefined) columns.flaw(positionChunk.from, "column position among causes");
	if (isObservations && positionChunk === undefined && events > 0) columns.flaw(0, "observations without column position");
	const position = isObservations ? new Float64Array(events) : undefined;
	if (position !== undefined && positionChunk !== undefined) {
		let before = facts.firstSequence;
		columns.each("position", positionChunk, (reader, event) => {
			before += reader.uint32();
			position[event] = before;
			return Number.isSafeInteger(before) ? undefined : "leaves 53 bits";
		});
	}
	if (!columns.ok) return undefined;
	const argument = chunks[Field.argument] ?? none;
	return { events, agents: fields.agents, strings: fields.strings, op, page, argument, payload, offset, ns, position };
}
