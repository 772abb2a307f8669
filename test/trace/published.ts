// An independent reading of a trace: protobufjs reflection on the published schema, and nothing of src/trace but the list of operations.
import { inflateRawSync } from "node:zlib";
import protobuf from "protobufjs";
import { Operation } from "../../src/trace/kinds.js";

const root = protobuf.loadSync(new URL("../../traces/mmtrace.proto", import.meta.url).pathname);
const Trace = root.lookupType("mmreplay.Trace");
const EventBlock = root.lookupType("mmreplay.EventBlock");

interface Agent {
	kind: number;
	vm: number;
	vcpu: number;
	mm: number;
	thread: number;
	basePage: number;
}

interface PlainBlock {
	header: { type: number; codec: number; events: number; firstSequence: number; firstNs: number };
	payload: Uint8Array;
}

interface PlainEvents {
	events: number;
	agent: Agent[];
	strings: string[];
	op: number[];
	page: number[];
	pageDelta: number[];
	argument: number[];
	offset: number[];
	time: number[];
	position: number[];
}

interface Read {
	sequence: number;
	record: Record<string, unknown>;
}

function plain(type: protobuf.Type, bytes: Uint8Array): Record<string, unknown> {
	return type.toObject(type.decode(bytes), { longs: Number, arrays: true });
}

/** Everything of a file as plain objects. */
export function decodeTrace(bytes: Uint8Array): Record<string, unknown> {
	return plain(Trace, bytes);
}

/** The block as plain objects. */
export function decodeEvents({ header, payload }: PlainBlock): PlainEvents {
	return plain(EventBlock, header.codec === 1 ? inflateRawSync(payload) : payload) as unknown as PlainEvents;
}

export function blocksOf(bytes: Uint8Array): PlainBlock[] {
	return decodeTrace(bytes).block as PlainBlock[];
}

const names = Object.entries(Operation);

function recordsOf(block: PlainBlock): Read[] {
	const columns = decodeEvents(block);
	let word = 0;
	let ns = block.header.firstNs;
	let argument = 0;
	let position = block.header.firstSequence;
	return columns.op.map((op, at) => {
		const { basePage, ...agent } = columns.agent[op >>> 3];
		word = columns.page.length > 0 ? columns.page[at] : word + columns.pageDelta[at];
		const record: Record<string, unknown> = { agent, page: basePage + word };
		if (columns.time.length > 0) {
			ns += columns.time[at];
			record.ns = ns;
		}
		if (columns.offset.length > 0 && columns.offset[at] < 4096) record.offset = columns.offset[at];
		if (columns.position.length > 0) position += columns.position[at];
		const sequence = columns.position.length > 0 ? position : block.header.firstSequence + at;
		if ((op & 7) < 7) return { sequence, record: { kind: "access", access: op & 7, ...record } };
		const [code, count] = columns.argument.slice(argument);
		const args = columns.argument.slice(argument + 2, argument + 2 + count);
		argument += 2 + count;
		const name = names.find(([, operation]) => operation.code === code)?.[0];
		const label = name === "mark" ? 2 : name === "counters" ? 1 : undefined;
		if (label === undefined) return { sequence, record: { kind: "operation", name, args, ...record } };
		const text = columns.strings[args[label]];
		args[label] = 0;
		return { sequence, record: { kind: "operation", name, args, text, ...record } };
	});
}

/** Causes and observations, each in order; merging them is the reader's. */
export function readPublished(bytes: Uint8Array): { causes: Read[]; observations: Read[] } {
	const blocks = blocksOf(bytes);
	const of = (type: number) => blocks.filter(({ header }) => header.type === type).flatMap(recordsOf);
	return { causes: of(1), observations: of(2) };
}
