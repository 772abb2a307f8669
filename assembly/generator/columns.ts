// The columns of a block under construction, as they are on the wire (traces/mmtrace.proto, EventBlock).
//
//	op            varints, up to 3 bytes each        ends at opEnd
//	page          32-bit words
//	argument      varints                            ends at argumentEnd
//	delta         page's differences as zigzag varints, made where they are asked for
import { AGENT_SHIFT, ARITY, OPERATION } from "../generated/constants";

// @ts-ignore: decorator
@inline
const OP_BYTES: usize = 3;
/** Of an operation: code, number of arguments, up to five of them of 32 bits. */
// @ts-ignore: decorator
@inline
const ARGUMENT_BYTES: usize = 2 + 5 * 5;
// @ts-ignore: decorator
@inline
const DELTA_BYTES: usize = 5;
// @ts-ignore: decorator
@inline
const CODES: usize = 64;

let op: usize = 0;
export let page: usize = 0;
let argument: usize = 0;
let delta: usize = 0;
export let opEnd: usize = 0;
let argumentEnd: usize = 0;
let deltaEnd: usize = 0;
/** Operations of the block by code. */
const totals: usize = memory.data(64 * 4, 16);

/** Bytes of the columns of so many records. */
export function columnBytes(records: usize): usize {
	return records * (OP_BYTES + 4 + ARGUMENT_BYTES + DELTA_BYTES) + 16;
}

export function columnsAt(at: usize, records: usize): void {
	page = at;
	op = page + (records << 2);
	argument = op + records * OP_BYTES;
	delta = argument + records * ARGUMENT_BYTES;
}

export function clear(): void {
	opEnd = op;
	argumentEnd = argument;
	memory.fill(totals, 0, CODES << 2);
}

// @ts-ignore: decorator
@inline
export function opsEndAt(at: usize): void {
	opEnd = at;
}

/** @returns the address behind it */
// @ts-ignore: decorator
@inline
export function varint(at: usize, value: u32): usize {
	let rest = value;
	let to = at;
	for (; rest > 127; rest >>>= 7) store<u8>(to++, (rest & 127) | 128);
	store<u8>(to, rest);
	return to + 1;
}

/** Record `at`: who does what, and its page. */
// @ts-ignore: decorator
@inline
export function record(at: u32, kind: u32, agent: u32, which: u32): void {
	opEnd = varint(opEnd, kind | (agent << AGENT_SHIFT));
	store<u32>(page + ((<usize>at) << 2), which);
}

/** Record `at` is an operation; `value` for each of its arguments follows. */
export function operation(at: u32, agent: u32, which: u32, code: u32): void {
	record(at, OPERATION, agent, which);
	store<u32>(totals + (code << 2), load<u32>(totals + (code << 2)) + 1);
	value(code);
	value(load<u8>(ARITY + code));
}

// @ts-ignore: decorator
@inline
export function value(word: u32): void {
	argumentEnd = varint(argumentEnd, word);
}

/** Make the column of differences. */
export function differences(records: u32): void {
	let before: u32 = 0;
	let to = delta;
	for (let at: u32 = 0; at < records; at++) {
		const value = load<u32>(page + ((<usize>at) << 2));
		const difference = <i32>(value - before);
		to = varint(to, (difference << 1) ^ (difference >> 31));
		before = value;
	}
	deltaEnd = to;
}

export function opColumn(): usize {
	return op;
}

export function opBytes(): usize {
	return opEnd - op;
}

export function pageColumn(): usize {
	return page;
}

export function argumentColumn(): usize {
	return argument;
}

export function argumentBytes(): usize {
	return argumentEnd - argument;
}

export function deltaColumn(): usize {
	return delta;
}

export function deltaBytes(): usize {
	return deltaEnd - delta;
}

/** Words, one a code. */
export function operationTotals(): usize {
	return totals;
}
