// Protobuf varints (encoding guide, "Base 128 Varints") between two addresses. A bad one leaves `bad` set, and the caller says where.
import { Failure } from "./generated/constants";

/** Address of the next byte; moved by `readVarint`. */
export let cursor: usize = 0;
let limit: usize = 0;
/** Failure.truncated or Failure.tooWide; 0 while all is well. */
export let bad: u32 = 0;

export function startReading(from: usize, to: usize): void {
	cursor = from;
	limit = to;
	bad = 0;
}

// @ts-ignore: decorator
@inline
export function atEnd(): bool {
	return cursor >= limit;
}

export function skipBytes(count: u64): void {
	if (count > <u64>(limit - cursor)) bad = Failure.truncated;
	else cursor += <usize>count;
}

export function readVarint(): u64 {
	if (cursor < limit) {
		const byte = load<u8>(cursor);
		if (byte < 128) {
			cursor++;
			return byte;
		}
	}
	return readLong();
}

function readLong(): u64 {
	let value: u64 = 0;
	let shift: u64 = 0;
	let at = cursor;
	while (true) {
		if (at >= limit) {
			bad = Failure.truncated;
			return 0;
		}
		const byte: u64 = load<u8>(at++);
		// The tenth byte has one bit left to give.
		if (shift == 63 && byte > 1) {
			bad = Failure.tooWide;
			return 0;
		}
		value |= (byte & 127) << shift;
		if (byte < 128) {
			cursor = at;
			return value;
		}
		shift += 7;
	}
}

// @ts-ignore: decorator
@inline
export function unzigzag(value: u64): i64 {
	return <i64>(value >> 1) ^ -(<i64>(value & 1));
}

/** Values between two addresses: bytes without a continuation bit. */
export function countVarints(from: usize, to: usize): u32 {
	let count: u32 = 0;
	let at = from;
	for (; at + 8 <= to; at += 8) count += <u32>popcnt<u64>(~load<u64>(at) & 0x8080_8080_8080_8080);
	for (; at < to; at++) count += load<u8>(at) < 128 ? 1 : 0;
	return count;
}

/** Whether any byte has its continuation bit. */
export function hasContinuation(from: usize, to: usize): bool {
	let any: u64 = 0;
	let at = from;
	for (; at + 8 <= to; at += 8) any |= load<u64>(at);
	for (; at < to; at++) any |= load<u8>(at);
	return (any & 0x8080_8080_8080_8080) != 0;
}
