// A block's columns for the yardstick in plain JavaScript: arrays over the payload where they can be (traces/mmtrace.proto, EventBlock).
import { VarintReader } from "../src/trace/varint.js";

/** `of`: the vCPU that it is, once it was looked up. */
export interface Agent<V> {
	readonly kind: number;
	readonly vm: number;
	readonly vcpu: number;
	readonly mm: number;
	readonly base: number;
	of: V | undefined;
}

export interface Columns<V> {
	readonly agents: Agent<V>[];
	readonly op: Uint8Array | Uint32Array;
	readonly page: Uint32Array;
	readonly argument: VarintReader;
}

export function decode<V>(payload: Uint8Array, events: number): Columns<V> {
	const fields = new VarintReader(payload);
	const agents: Agent<V>[] = [];
	let op: Uint8Array | Uint32Array = new Uint8Array(0);
	let page: Uint32Array = new Uint32Array(0);
	let argument = new VarintReader(payload, 0, 0);
	while (!fields.done) {
		const tag = fields.uint32();
		if ((tag & 7) === 0) {
			fields.unsigned();
			continue;
		}
		const length = fields.uint32();
		const from = fields.at;
		fields.at += length;
		if (tag >>> 3 === 2) agents.push(agentOf(payload, from, from + length));
		else if (tag >>> 3 === 4) op = length === events ? payload.subarray(from, from + length) : wide(payload, from, from + length, events);
		else if (tag >>> 3 === 5) page = new Uint32Array(payload.slice(from, from + length).buffer);
		else if (tag >>> 3 === 6) page = deltas(payload, from, events);
		else if (tag >>> 3 === 7) argument = new VarintReader(payload, from, from + length);
	}
	return { agents, op, page, argument };
}

function wide(payload: Uint8Array, from: number, to: number, events: number): Uint32Array {
	const reader = new VarintReader(payload, from, to);
	return Uint32Array.from({ length: events }, () => reader.uint32());
}

function deltas(payload: Uint8Array, from: number, events: number): Uint32Array {
	const page = new Uint32Array(events);
	let before = 0;
	let at = from;
	for (let index = 0; index < events; index++) {
		let byte = payload[at++];
		let value = byte & 127;
		for (let scale = 128; byte > 127; scale *= 128) {
			byte = payload[at++];
			value += (byte & 127) * scale;
		}
		before += value % 2 === 0 ? value / 2 : -(value + 1) / 2;
		page[index] = before;
	}
	return page;
}

function agentOf<V>(payload: Uint8Array, from: number, to: number): Agent<V> {
	const reader = new VarintReader(payload, from, to);
	const fields = new Float64Array(8);
	while (!reader.done) {
		const tag = reader.uint32();
		if ((tag & 7) === 0) fields[tag >>> 3] = reader.uint32();
		else {
			fields[6] = new DataView(payload.buffer, payload.byteOffset).getUint32(reader.at + 4, true) * 2 ** 32;
			reader.at += 8;
		}
	}
	const [, kind = 0, vm = 0, vcpu = 0, mm = 0, , base = 0] = fields;
	return { kind, vm, vcpu, mm, base, of: undefined };
}
