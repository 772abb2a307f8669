// The arguments of an operation's record, checked before use (src/trace/kinds.ts, Operation).
import { argumentEnd, payload } from "./decode";
import { refuse } from "./failure";
import { ARITY, Failure, MAXIMA } from "./generated/constants";
import { bad, cursor, readVarint, startReading } from "./varint";

// @ts-ignore: decorator
@inline
const MAX_ARGUMENTS: u32 = 8;

/** The arguments of the record at hand, u64 each. */
const values: usize = memory.data(64);

/** The code of the record that `operate` took last, and its mark's phase and label. */
export let code: u32 = 0;

// @ts-ignore: decorator
@inline
export function argument(index: u32): u64 {
	return load<u64>(values + ((<usize>index) << 3));
}

/** Read code and arguments at an address of the argument column; the address behind them, or 0 where they are not valid. */
export function readArguments(from: usize): usize {
	const at = <u32>(from - payload);
	startReading(from, argumentEnd);
	const number = readVarint();
	if (bad != 0) return fail(Failure.argumentsEnd, 0, at);
	const arity: u32 = number < 64 ? load<u8>(ARITY + <usize>number) : 255;
	if (arity == 255) return fail(Failure.operationCode, number, at);
	code = <u32>number;
	if (readVarint() != arity || bad != 0) return fail(Failure.argumentCount, number, at);
	for (let index: u32 = 0; index < arity; index++) {
		const value = readVarint();
		const maximum: u32 = load<u8>(MAXIMA + <usize>code * MAX_ARGUMENTS + index);
		if (bad != 0 || value >> 53 != 0 || (maximum != 255 && value > maximum)) return fail(Failure.argumentValue, number * 8 + index, at);
		store<u64>(values + ((<usize>index) << 3), value);
	}
	return cursor;
}

function fail(failure: u32, detail: u64, at: u32): usize {
	refuse(failure, detail, at);
	return 0;
}
