// CRC-32C (Castagnoli; RFC 3720 section 12.1), slicing-by-8: Kounavis and Berry, "A Systematic Approach to Building High
// Performance Software-Based CRC Generators" (2005). Node's zlib.crc32 is the other polynomial.

/** 0x1EDC6F41, bits reversed. */
const POLYNOMIAL = 0x82f63b78;

const TABLE = new Int32Array(8 * 256);
for (let byte = 0; byte < 256; byte++) {
	let crc = byte;
	for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ POLYNOMIAL : crc >>> 1;
	TABLE[byte] = crc;
}
for (let at = 256; at < TABLE.length; at++) {
	const before = TABLE[at - 256];
	TABLE[at] = (before >>> 8) ^ TABLE[before & 0xff];
}

function oneByOne(bytes: Uint8Array, from: number, to: number, start: number): number {
	let crc = start;
	for (let at = from; at < to; at++) crc = (crc >>> 8) ^ TABLE[(crc ^ bytes[at]) & 0xff];
	return crc;
}

/** Checksum of bytes[from, to), as an unsigned 32-bit number. `seed`: the checksum of the bytes before them. */
export function crc32c(bytes: Uint8Array, from = 0, to = bytes.length, seed = 0): number {
	let crc = ~seed;
	if (to - from < 16) return ~oneByOne(bytes, from, to, crc) >>> 0;
	// Words are read through an aligned view, so the bytes before the first word and after the last pair go one by one.
	const aligned = from + (-(bytes.byteOffset + from) & 3);
	crc = oneByOne(bytes, from, aligned, crc);
	const pairs = (to - aligned) >>> 3;
	const words = new Int32Array(bytes.buffer, bytes.byteOffset + aligned, pairs * 2);
	for (let at = 0; at < words.length; at += 2) {
		const low = crc ^ words[at];
		const high = words[at + 1];
		crc =
			TABLE[1792 | (low & 0xff)] ^
			TABLE[1536 | ((low >>> 8) & 0xff)] ^
			TABLE[1280 | ((low >>> 16) & 0xff)] ^
			TABLE[1024 | (low >>> 24)] ^
			TABLE[768 | (high & 0xff)] ^
			TABLE[512 | ((high >>> 8) & 0xff)] ^
			TABLE[256 | ((high >>> 16) & 0xff)] ^
			TABLE[high >>> 24];
	}
	return ~oneByOne(bytes, aligned + pairs * 8, to, crc) >>> 0;
}
