// What stands in for Node in a page's worker, against Node's own.
import { createHash } from "node:crypto";
import { deflateRawSync } from "node:zlib";
import fc from "fast-check";
import { afterEach, describe, expect, it, vi } from "vitest";
import { createHash as createPageHash } from "../../src/web/node/crypto.js";
import { closeSync, fstatSync, openSync, provideBlob, readSync } from "../../src/web/node/fs.js";
import { inflateRawSync } from "../../src/web/node/zlib.js";

describe("sha256 in a page", () => {
	it("is Node's, in one piece, in several, and of a copy", () => {
		fc.assert(
			fc.property(fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 6 }), (pieces) => {
				const [node, page] = [createHash("sha256"), createPageHash("sha256")];
				for (const piece of pieces) {
					node.update(piece);
					page.update(piece);
					expect(page.copy().digest("hex")).toBe(node.copy().digest("hex"));
				}
			}),
		);
	});

	it.each([55, 56, 63, 64, 65, 119, 120, 100_000])("of %i bytes", (length) => {
		const bytes = new Uint8Array(length).map((_, at) => at * 7);
		expect(createPageHash("sha256").update(bytes).digest("hex")).toBe(createHash("sha256").update(bytes).digest("hex"));
	});
});

/** Node's Blobs cannot be read at once. */
class HeldBlob extends Blob {
	readonly held: Uint8Array<ArrayBuffer>;

	constructor(held: Uint8Array<ArrayBuffer>) {
		super([held]);
		this.held = held;
	}

	override slice(from: number, to: number): HeldBlob {
		return new HeldBlob(this.held.slice(from, to));
	}
}

describe("a file in a page", () => {
	afterEach(() => void vi.unstubAllGlobals());

	it("has the bytes of its Blob wherever they are read, which seldom takes another process", () => {
		let reads = 0;
		vi.stubGlobal(
			"FileReaderSync",
			class {
				readAsArrayBuffer({ held }: HeldBlob): ArrayBuffer {
					reads++;
					return held.buffer;
				}
			},
		);
		const bytes = new Uint8Array(9_000_000).map((_, at) => (at * 2_654_435_761) >>> 24);
		provideBlob("t.mmtrace", new HeldBlob(bytes));
		const fd = openSync("t.mmtrace");
		expect(fstatSync(fd).size).toBe(bytes.length);
		const target = new Uint8Array(5_000_100);
		const expectRead = (position: number, length: number): void => {
			const found = readSync(fd, target, 50, length, position);
			expect(found).toBe(Math.max(0, Math.min(length, bytes.length - position)));
			expect(Buffer.compare(target.subarray(50, 50 + found), bytes.subarray(position, position + found))).toBe(0);
		};
		expectRead(bytes.length - 256, 256);
		for (let at = 0; at < 8_000_000; at += 41_000) expectRead(at, 41_000);
		expect(reads).toBeLessThan(6);
		for (const [position, length] of [
			[100, 5_000_000],
			[8_999_990, 100],
			[9_000_000, 100],
			[4_194_300, 100],
		] as const)
			expectRead(position, length);
		closeSync(fd);
		expect(() => readSync(fd, target, 0, 1, 0)).toThrow("closed");
	});
});

describe("inflate in a page", () => {
	it("undoes Node's deflate", () => {
		const raw = new Uint8Array(70_000).map((_, at) => (at * at) >> 5);
		expect(Buffer.from(inflateRawSync(deflateRawSync(raw), { maxOutputLength: raw.length })).equals(raw)).toBe(true);
	});
});
