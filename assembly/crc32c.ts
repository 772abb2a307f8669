// CRC-32C (Castagnoli; RFC 3720 section 12.1) of bytes in memory: the checksum of payloads (docs/trace-format.md), as src/trace/crc32c.ts has it.
//
// With SIMD, 64 bytes at a time. CRC is linear, so the words of a message can be taken as sixteen interleaved streams, word j of each 64 bytes being
// stream j's: its state goes on by Z(state) ^ word, where Z is what 64 zero bytes do to a register. The states at the end, as the 64 bytes that they
// are, have the checksum register of the message. Z is a sum of eight functions of four bits each: table look-ups in a register (i8x16.swizzle).
//
//	states and words by planes: plane b has byte b of all sixteen        table of plane b and nibble n: byte b of Z(value << 4n) for 16 values

// @ts-ignore: decorator
@inline
const POLYNOMIAL: u32 = 0x82f6_3b78;
/** Eight tables of 256 words (slicing-by-8), then 32 of 16 bytes. */
const tables: usize = memory.data(8 * 1024 + 32 * 16, 16);
// @ts-ignore: decorator
@inline
const NIBBLES: usize = 8 * 1024;
const states: usize = memory.data(64, 16);
let ready: bool = false;

function prepare(): void {
	for (let byte: u32 = 0; byte < 256; byte++) {
		let crc = byte;
		for (let bit = 0; bit < 8; bit++) crc = (crc & 1) != 0 ? (crc >>> 1) ^ POLYNOMIAL : crc >>> 1;
		store<u32>(tables + ((<usize>byte) << 2), crc);
	}
	for (let at: usize = 1024; at < 8 * 1024; at += 4) {
		const before = load<u32>(tables + at - 1024);
		store<u32>(tables + at, (before >>> 8) ^ load<u32>(tables + ((<usize>(before & 255)) << 2)));
	}
	for (let nibble: u32 = 0; nibble < 8; nibble++) {
		for (let value: u32 = 0; value < 16; value++) {
			let crc = value << (4 * nibble);
			for (let zero = 0; zero < 64; zero++) crc = (crc >>> 8) ^ load<u32>(tables + ((<usize>(crc & 255)) << 2));
			for (let plane: u32 = 0; plane < 4; plane++) {
				store<u8>(tables + NIBBLES + ((<usize>(plane * 8 + nibble)) << 4) + value, <u8>(crc >>> (8 * plane)));
			}
		}
	}
	ready = true;
}

// @ts-ignore: decorator
@inline
function entry(table: usize, index: u32): u32 {
	return load<u32>(tables + (table << 10) + ((<usize>(index & 255)) << 2));
}

function register(from: usize, to: usize, start: u32): u32 {
	let crc = start;
	let at = from;
	for (; at + 8 <= to; at += 8) {
		const low = crc ^ load<u32>(at);
		const high = load<u32>(at, 4);
		crc =
			entry(7, low) ^
			entry(6, low >>> 8) ^
			entry(5, low >>> 16) ^
			entry(4, low >>> 24) ^
			entry(3, high) ^
			entry(2, high >>> 8) ^
			entry(1, high >>> 16) ^
			entry(0, high >>> 24);
	}
	for (; at < to; at++) crc = (crc >>> 8) ^ entry(0, crc ^ <u32>load<u8>(at));
	return crc;
}

/** Byte `plane` of Z(state), of all sixteen. */
// @ts-ignore: decorator
@inline
function advanced(plane: usize, n0: v128, n1: v128, n2: v128, n3: v128, n4: v128, n5: v128, n6: v128, n7: v128): v128 {
	const table = tables + NIBBLES + (plane << 7);
	const low = v128.xor(
		v128.xor(i8x16.swizzle(v128.load(table), n0), i8x16.swizzle(v128.load(table, 16), n1)),
		v128.xor(i8x16.swizzle(v128.load(table, 32), n2), i8x16.swizzle(v128.load(table, 48), n3)),
	);
	const high = v128.xor(
		v128.xor(i8x16.swizzle(v128.load(table, 64), n4), i8x16.swizzle(v128.load(table, 80), n5)),
		v128.xor(i8x16.swizzle(v128.load(table, 96), n6), i8x16.swizzle(v128.load(table, 112), n7)),
	);
	return v128.xor(low, high);
}

/** The register after the bytes, a multiple of 64 and not none. */
function registerOfBlocks(from: usize, to: usize, start: u32): u32 {
	const four = i8x16.splat(15);
	let p0 = i8x16.splat(0);
	let p1 = i8x16.splat(0);
	let p2 = i8x16.splat(0);
	let p3 = i8x16.splat(0);
	let first = i32x4.replace_lane(i32x4.splat(0), 0, start);
	for (let at = from; at < to; at += 64) {
		const a = v128.xor(v128.load(at), first);
		const b = v128.load(at, 16);
		const c = v128.load(at, 32);
		const d = v128.load(at, 48);
		first = i32x4.splat(0);
		const ab01 = i8x16.shuffle(a, b, 0, 4, 8, 12, 16, 20, 24, 28, 1, 5, 9, 13, 17, 21, 25, 29);
		const ab23 = i8x16.shuffle(a, b, 2, 6, 10, 14, 18, 22, 26, 30, 3, 7, 11, 15, 19, 23, 27, 31);
		const cd01 = i8x16.shuffle(c, d, 0, 4, 8, 12, 16, 20, 24, 28, 1, 5, 9, 13, 17, 21, 25, 29);
		const cd23 = i8x16.shuffle(c, d, 2, 6, 10, 14, 18, 22, 26, 30, 3, 7, 11, 15, 19, 23, 27, 31);
		const n0 = v128.and(p0, four);
		const n1 = i8x16.shr_u(p0, 4);
		const n2 = v128.and(p1, four);
		const n3 = i8x16.shr_u(p1, 4);
		const n4 = v128.and(p2, four);
		const n5 = i8x16.shr_u(p2, 4);
		const n6 = v128.and(p3, four);
		const n7 = i8x16.shr_u(p3, 4);
		p0 = v128.xor(advanced(0, n0, n1, n2, n3, n4, n5, n6, n7), v128.shuffle<u64>(ab01, cd01, 0, 2));
		p1 = v128.xor(advanced(1, n0, n1, n2, n3, n4, n5, n6, n7), v128.shuffle<u64>(ab01, cd01, 1, 3));
		p2 = v128.xor(advanced(2, n0, n1, n2, n3, n4, n5, n6, n7), v128.shuffle<u64>(ab23, cd23, 0, 2));
		p3 = v128.xor(advanced(3, n0, n1, n2, n3, n4, n5, n6, n7), v128.shuffle<u64>(ab23, cd23, 1, 3));
	}
	// Planes back to words.
	const low01 = i8x16.shuffle(p0, p1, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
	const high01 = i8x16.shuffle(p0, p1, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
	const low23 = i8x16.shuffle(p2, p3, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
	const high23 = i8x16.shuffle(p2, p3, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
	v128.store(states, v128.shuffle<u16>(low01, low23, 0, 8, 1, 9, 2, 10, 3, 11));
	v128.store(states, v128.shuffle<u16>(low01, low23, 4, 12, 5, 13, 6, 14, 7, 15), 16);
	v128.store(states, v128.shuffle<u16>(high01, high23, 0, 8, 1, 9, 2, 10, 3, 11), 32);
	v128.store(states, v128.shuffle<u16>(high01, high23, 4, 12, 5, 13, 6, 14, 7, 15), 48);
	return register(states, states + 64, 0);
}

/** Checksum of the bytes at an address. */
export function crc32c(from: usize, bytes: usize): u32 {
	if (!ready) prepare();
	let crc: u32 = 0xffff_ffff;
	let at = from;
	if (ASC_FEATURE_SIMD) {
		const blocks = bytes & ~63;
		if (blocks != 0) {
			crc = registerOfBlocks(at, at + blocks, crc);
			at += blocks;
		}
	}
	return ~register(at, from + bytes, crc);
}
