// Columns of an EventBlock as bytes (traces/mmtrace.proto), and the block that a producer has in columns already.
import { type AgentEntry, checkAgent } from "./agents.js";
import { mmreplay } from "./generated/schema.js";
import { AGENT_SHIFT, FIRST_OBSERVATION, OPERATION } from "./kinds.js";
import { OPERATION_BY_CODE } from "./operations.js";
import { Tally } from "./tally.js";
import { VarintBuffer } from "./varint.js";
import { LIMITS, MAX_BASE_PAGE, NO_OFFSET, PAGE_SPAN } from "./wire.js";

/** fixed: read in place; delta: a quarter smaller; auto: whichever is smaller, block by block. */
export type PageEncoding = "fixed" | "delta" | "auto";

/** A payload and what its header and index entry need to know. */
export interface BuiltBlock {
	readonly payload: Uint8Array;
	readonly events: number;
	readonly firstNs: number;
	readonly tally: Tally;
}

/** Many causes at once, for a producer that has them in columns already. */
export interface CauseColumns {
	readonly agents: readonly AgentEntry[];
	readonly strings?: readonly string[];
	/** Kind | index into `agents` << AGENT_SHIFT, one a record. As bytes where all are under 128. */
	readonly op: Uint8Array | Uint32Array;
	/** Page minus the agent's `basePage`. */
	readonly page: Uint32Array;
	/** For each OPERATION in order: code, count, values; indexes into `strings` where an argument is one. */
	readonly argument?: ArrayLike<number>;
	/** Bytes, 0 to 4095; NO_OFFSET where a record has none. */
	readonly offset?: Uint16Array;
	/** ns since the first record of the trace. */
	readonly ns?: Float64Array;
}

export function checkTime(ns: number): void {
	if (!Number.isSafeInteger(ns) || ns < 0) throw new RangeError(`time ${ns} is not a whole number of ns from 0`);
}

export function checkOffset(offset: number): void {
	if (offset >>> 0 !== offset || offset >= NO_OFFSET) throw new RangeError(`offset ${offset} is not within a page`);
}

/** A column of 32-bit words as its bytes on the wire. Node runs on little-endian machines wherever WebAssembly is of use. */
function wordBytes(words: Uint32Array): Uint8Array {
	return new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
}

function pageDeltas(page: Uint32Array): Uint8Array {
	const column = new VarintBuffer(page.length * 2);
	let before = 0;
	for (const value of page) {
		column.signed(value - before);
		before = value;
	}
	return column.view();
}

export function opBytes(op: Uint32Array | Uint8Array, highest: number): Uint8Array {
	if (highest < 128) return op instanceof Uint8Array ? op : new Uint8Array(op);
	const bytes = new Uint8Array(op.length * 5);
	let at = 0;
	for (let index = 0; index < op.length; index++) {
		let rest = op[index];
		for (; rest > 127; rest >>>= 7) bytes[at++] = (rest & 127) | 128;
		bytes[at++] = rest;
	}
	return bytes.subarray(0, at);
}

export function pageColumns(page: Uint32Array, encoding: PageEncoding): { page: Uint8Array } | { pageDelta: Uint8Array } {
	if (encoding === "fixed") return { page: wordBytes(page) };
	const pageDelta = pageDeltas(page);
	return encoding === "delta" || pageDelta.length < page.byteLength ? { pageDelta } : { page: wordBytes(page) };
}

export function agentFields(entries: readonly AgentEntry[]): mmreplay.IAgent[] {
	return entries.map(({ agent, basePage }) => ({
		kind: agent.kind,
		vm: agent.vm,
		vcpu: agent.vcpu,
		mm: agent.mm,
		thread: agent.thread,
		basePage,
	}));
}

function checkStrings(strings: readonly string[]): void {
	for (const text of strings) {
		if (Buffer.byteLength(text) > LIMITS.stringBytes) throw new RangeError(`a text of more than ${LIMITS.stringBytes} bytes`);
	}
}

/** Counts the records by kind and holds the arguments against the operations. */
function encodeArguments(operations: number, argument: ArrayLike<number>, strings: number, tally: Tally): Uint8Array {
	const column = ARGUMENTS;
	column.clear();
	let at = 0;
	for (let index = 0; index < operations; index++) {
		const code = argument[at];
		const shape = OPERATION_BY_CODE[code];
		if (shape === undefined || code >= FIRST_OBSERVATION) throw new RangeError(`operation code ${code}`);
		const end = at + 2 + shape.args.length;
		if (argument[at + 1] !== shape.args.length || end > argument.length) throw new RangeError(`${shape.name}: arguments`);
		for (let value = at + 2; value < end; value++) {
			const max = value - at - 2 === shape.text ? strings - 1 : shape.max[value - at - 2];
			if (!Number.isSafeInteger(argument[value]) || argument[value] < 0 || argument[value] > max) {
				throw new RangeError(`${shape.name}: ${shape.args[value - at - 2]} ${argument[value]}`);
			}
		}
		for (; at < end; at++) column.unsigned(argument[at]);
		tally.totals[code]++;
	}
	if (at !== argument.length) throw new RangeError(`${argument.length - at} arguments are left over`);
	return column.view();
}

/** @throws RangeError where the columns do not fit together */
export function buildFromColumns(columns: CauseColumns, encoding: PageEncoding): BuiltBlock {
	const { agents, op, page, offset, ns } = columns;
	const strings = columns.strings ?? [];
	const events = op.length;
	if (events === 0 || events > LIMITS.events) throw new RangeError(`${events} records in a block`);
	if (page.length !== events || (offset ?? op).length !== events || (ns ?? op).length !== events)
		throw new RangeError("columns of unequal length");
	checkStrings(strings);
	const tally = new Tally();
	for (const { agent, basePage } of agents) {
		checkAgent(agent);
		if (!(basePage >= 0 && basePage <= MAX_BASE_PAGE && basePage % PAGE_SPAN === 0)) throw new RangeError(`base page ${basePage}`);
		tally.agent(agent);
	}
	let highest = 0;
	let operations = 0;
	for (let at = 0; at < events; at++) {
		const value = op[at];
		if (value > highest) highest = value;
		// A compare is a flag, not a branch: which records are operations is not predictable.
		operations += (value & OPERATION) === OPERATION ? 1 : 0;
	}
	if (highest >>> AGENT_SHIFT >= agents.length) throw new RangeError(`agent index ${highest >>> AGENT_SHIFT} of ${agents.length}`);
	tally.totals[0] = events - operations;
	const argument = encodeArguments(operations, columns.argument ?? [], strings.length, tally);
	const message: mmreplay.IEventBlock = {
		events,
		agent: agentFields(agents),
		strings: [...strings],
		op: opBytes(op, highest),
		...pageColumns(page, encoding),
	};
	if (argument.length > 0) message.argument = argument;
	if (offset !== undefined) message.offset = offsetBytes(offset);
	if (ns !== undefined) message.time = timeBytes(ns, tally);
	return { payload: mmreplay.EventBlock.encode(message).finish(), events, firstNs: ns?.[0] ?? 0, tally };
}

/** Columns of the block that is being built: it copies them, so that the next one can have their memory. */
const OFFSETS = new VarintBuffer();
const TIMES = new VarintBuffer();
const ARGUMENTS = new VarintBuffer();

function offsetBytes(offset: Uint16Array): Uint8Array {
	const column = OFFSETS;
	column.clear();
	for (const value of offset) {
		if (value !== NO_OFFSET) checkOffset(value);
		column.unsigned(value);
	}
	return column.view();
}

function timeBytes(ns: Float64Array, tally: Tally): Uint8Array {
	const column = TIMES;
	column.clear();
	let before = ns[0];
	for (const value of ns) {
		checkTime(value);
		column.signed(value - before);
		before = value;
		if (value > tally.lastNs) tally.lastNs = value;
	}
	return column.view();
}
