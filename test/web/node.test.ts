// What stands in for Node in a page's worker, against Node's own.
import { createHash } from "node:crypto";
import { deflateRawSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createHash as createPageHash } from "../../src/web/node/crypto.js";
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

describe("inflate in a page", () => {
	it("undoes Node's deflate", () => {
		const raw = new Uint8Array(70_000).map((_, at) => (at * at) >> 5);
		expect(Buffer.from(inflateRawSync(deflateRawSync(raw), { maxOutputLength: raw.length })).equals(raw)).toBe(true);
	});
});
