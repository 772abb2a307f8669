// The engine's checksum beside the plain one (RFC 3720 section 12.1): any bytes, any length around its blocks of 64, anywhere in memory.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { engineChecksum } from "../../src/engine/checksum.js";
import { crc32c } from "../../src/trace/crc32c.js";

describe("the engine's checksum", () => {
	const checksum = engineChecksum();

	it("is that of RFC 3720, B.4", () => {
		expect(checksum(new Uint8Array(32))).toBe(0x8a91_36aa);
		expect(checksum(new Uint8Array(32).fill(0xff))).toBe(0x62a8_ab43);
		expect(checksum(Uint8Array.from({ length: 32 }, (_, at) => at))).toBe(0x46dd_794e);
	});

	it("is the plain one's for any bytes", () => {
		fc.assert(
			fc.property(fc.uint8Array({ maxLength: 700 }), fc.nat(7), (bytes, from) => {
				const part = bytes.subarray(Math.min(from, bytes.length));
				expect(checksum(part)).toBe(crc32c(part));
			}),
		);
	});

	it("stays right as the bytes become more and fewer", () => {
		for (const length of [0, 1, 200_000, 63, 64, 1 << 20, 65]) {
			const bytes = Uint8Array.from({ length }, (_, at) => (at * 7 + (at >>> 8)) & 255);
			expect(checksum(bytes)).toBe(crc32c(bytes));
		}
	});
});
