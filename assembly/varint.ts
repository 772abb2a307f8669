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
	if (ASC_FEATURE_SIMD) {
		let continued: u32 = 0;
		for (; at + 16 <= to; at += 16) continued += popcnt<u32>(i8x16.bitmask(v128.load(at)));
		count = <u32>(at - from) - continued;
	} else for (; at + 8 <= to; at += 8) count += <u32>popcnt<u64>(~load<u64>(at) & 0x8080_8080_8080_8080);
	for (; at < to; at++) count += load<u8>(at) < 128 ? 1 : 0;
	return count;
}

/** Whether all bytes are below a limit. */
export function allBelow(from: usize, to: usize, limit: u32): bool {
	let highest: u32 = 0;
	let at = from;
	if (ASC_FEATURE_SIMD) {
		let high = i8x16.splat(0);
		for (; at + 16 <= to; at += 16) high = i8x16.max_u(high, v128.load(at));
		if (limit < 256 && v128.any_true(i8x16.ge_u(high, i8x16.splat(<i8>limit)))) return false;
	}
	for (; at < to; at++) highest = max<u32>(highest, load<u8>(at));
	return highest < limit;
}

/**
 * Deltas (zigzag) from the cursor on made the 32-bit words that they lead to from the one `before`, up to the word `last`; moves the cursor. Returns the
 * word to go on with one by one: fewer than four are left, or one near it has more than four bytes or leaves 32 bits. Loads up to 64 bytes behind.
 *
 * Where values end is a bit of a mask; four values at a time are masked to their ends, their sevens of bits moved together, and summed up.
 */
export function widenDeltas(from: usize, last: usize, previous: u32): usize {
	let word = from;
	if (ASC_FEATURE_SIMD) {
		const end = from + ((last - from) & ~15);
		const ends = i32x4.splat(<i32>0x8080_8080);
		const zero = i32x4.splat(0);
		let before = i32x4.splat(<i32>previous);
		let start = cursor;
		while (word < end && start < limit) {
			const chunk = start;
			let mask = terminators(chunk);
			const first = word;
			while (word < end && popcnt<u64>(mask) >= 4) {
				const second = chunk + <usize>ctz<u64>(mask) + 1;
				const rest = mask & (mask - 1);
				const third = chunk + <usize>ctz<u64>(rest) + 1;
				const rest2 = rest & (rest - 1);
				const fourth = chunk + <usize>ctz<u64>(rest2) + 1;
				const rest3 = rest2 & (rest2 - 1);
				let value = v128.load32_zero(start);
				value = v128.load_lane<u32>(second, value, 1);
				value = v128.load_lane<u32>(third, value, 2);
				value = v128.load_lane<u32>(fourth, value, 3);
				const ending = v128.andnot(ends, value);
				if (!i32x4.all_true(ending)) break;
				value = v128.and(value, v128.xor(ending, i32x4.sub(ending, i32x4.splat(1))));
				value = v128.or(v128.and(value, i32x4.splat(0x007f_007f)), i32x4.shr_u(v128.and(value, i32x4.splat(0x7f00_7f00)), 1));
				value = v128.or(v128.and(value, i32x4.splat(0x0000_3fff)), i32x4.shr_u(v128.and(value, i32x4.splat(0x3fff_0000)), 2));
				let sum = v128.xor(i32x4.shr_u(value, 1), i32x4.sub(zero, v128.and(value, i32x4.splat(1))));
				sum = i32x4.add(sum, v128.shuffle<u32>(zero, sum, 0, 4, 5, 6));
				sum = i32x4.add(sum, v128.shuffle<u32>(zero, sum, 0, 1, 4, 5));
				const pages = i32x4.add(before, sum);
				// Without leaving 32 bits a page is above the one before exactly where the sum of deltas is not negative.
				if (v128.any_true(v128.xor(i32x4.ge_u(pages, before), i32x4.ge_s(sum, zero)))) break;
				v128.store(word, pages);
				before = v128.shuffle<u32>(pages, pages, 3, 3, 3, 3);
				start = chunk + <usize>ctz<u64>(rest3) + 1;
				mask = rest3 & (rest3 - 1);
				word += 16;
			}
			if (word == first) break;
		}
		cursor = start;
	}
	return word;
}

/** Which of the 64 bytes at an address end a value. */
// @ts-ignore: decorator
@inline
function terminators(at: usize): u64 {
	const low = <u64>(<u32>i8x16.bitmask(v128.load(at)) | ((<u32>i8x16.bitmask(v128.load(at, 16))) << 16));
	const high = <u64>(<u32>i8x16.bitmask(v128.load(at, 32)) | ((<u32>i8x16.bitmask(v128.load(at, 48))) << 16));
	return ~(low | (high << 32));
}
