// Varints against BigInt arithmetic, CRC-32C against its published check values and a bitwise twin.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { crc32c } from "../../src/trace/crc32c.js";
import { countVarints, VarintBuffer, VarintReader } from "../../src/trace/varint.js";

function encoded(value: bigint): number[] {
	const bytes: number[] = [];
	let rest = value;
	for (; rest > 127n; rest >>= 7n) bytes.push(Number(rest & 127n) | 128);
	return [...bytes, Number(rest)];
}

const zigzag = (value: bigint): bigint => (value < 0n ? -value * 2n - 1n : value * 2n);
const unsigned = fc.oneof(
	fc.nat(300),
	fc.nat(),
	fc.maxSafeNat(),
	fc.integer({ min: 0, max: 53 }).map((bits) => 2 ** bits - 1),
);
const signed = fc.oneof(
	fc.integer({ min: -300, max: 300 }),
	fc.maxSafeInteger(),
	fc.constantFrom(-0x4000_0000, 0x4000_0000, -0x4000_0001, Number.MIN_SAFE_INTEGER),
);

describe("varints", () => {
	it("are written as the definition says, and read back", () => {
		fc.assert(
			fc.property(fc.array(fc.tuple(unsigned, signed)), (values) => {
				const buffer = new VarintBuffer(1);
				const expected: number[] = [];
				for (const [natural, integer] of values) {
					buffer.unsigned(natural);
					buffer.signed(integer);
					expected.push(...encoded(BigInt(natural)), ...encoded(zigzag(BigInt(integer))));
				}
				expect([...buffer.view()]).toEqual(expected);
				expect(countVarints(buffer.view(), 0, buffer.length)).toBe(values.length * 2);
				const reader = new VarintReader(buffer.view());
				for (const [natural, integer] of values) {
					expect(reader.unsigned()).toBe(natural);
					expect(reader.signed()).toBe(integer === 0 ? 0 : integer);
				}
				expect(reader.done).toBe(true);
			}),
			{ seed: 10, numRuns: 1000 },
		);
	});

	it.each([
		["32", [255, 255, 255, 255, 15], 0xffff_ffff],
		["32 with needless bytes", [0x81, 0x80, 0x80, 0], 1],
	])("of %s bits are read", (_, bytes, value) => {
		expect(new VarintReader(Uint8Array.from(bytes)).uint32()).toBe(value);
	});

	it.each([
		["over 32 bits", [255, 255, 255, 255, 31], /over 32 bits/],
		["over 64 bits", [255, 255, 255, 255, 255, 255, 255, 255, 255, 2], /over 64 bits/],
		["that never end", Array.from({ length: 12 }, () => 128), /over 64 bits|more than ten bytes/],
		["that are cut", [128], /ends inside/],
		["that are not there", [], /ends inside/],
	])("%s are refused", (_, bytes, reason) => {
		expect(() => new VarintReader(Uint8Array.from(bytes)).uint32()).toThrow(reason);
	});

	it("over 53 bits are refused where a number cannot hold them", () => {
		const value = Uint8Array.from(encoded(2n ** 53n));
		expect(() => new VarintReader(value).unsigned()).toThrow(/over 53 bits/);
		expect(() => new VarintReader(Uint8Array.from(encoded(2n ** 54n))).signed()).toThrow(/over 53 bits/);
	});
});

describe("crc32c", () => {
	it("has the check values of RFC 3720, appendix B.4", () => {
		expect(crc32c(Buffer.from("123456789"))).toBe(0xe3069283);
		expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa);
		expect(crc32c(new Uint8Array(32).fill(255))).toBe(0x62a8ab43);
		expect(crc32c(Uint8Array.from({ length: 32 }, (_, at) => at))).toBe(0x46dd794e);
		expect(crc32c(new Uint8Array(0))).toBe(0);
	});

	it("is the same at every alignment, and in pieces", () => {
		fc.assert(
			fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(8), fc.nat(200), (bytes, shift, cut) => {
				let expected = -1;
				for (const byte of bytes) {
					expected ^= byte;
					for (let bit = 0; bit < 8; bit++) expected = expected & 1 ? (expected >>> 1) ^ 0x82f63b78 : expected >>> 1;
				}
				const shifted = new Uint8Array(bytes.length + shift);
				shifted.set(bytes, shift);
				expect(crc32c(shifted, shift)).toBe(~expected >>> 0);
				const middle = Math.min(cut, bytes.length);
				expect(crc32c(bytes, middle, bytes.length, crc32c(bytes, 0, middle))).toBe(~expected >>> 0);
			}),
			{ seed: 11, numRuns: 500 },
		);
	});
});
