// A trace's identity, whatever its name, header and index: the `digest` of the compare JSON.
import { createHash } from "node:crypto";
import type { BlockHeader } from "./frame.js";

/** sha256 over the payload checksum and the type of every block, as two little-endian words, in file order. */
export class BlockDigest {
	readonly #hash = createHash("sha256");
	readonly #words = new DataView(new ArrayBuffer(8));

	add(header: BlockHeader): void {
		this.#words.setUint32(0, header.payloadCrc32c, true);
		this.#words.setUint32(4, header.type, true);
		this.#hash.update(this.#words);
	}

	hex(): string {
		return this.#hash.copy().digest("hex");
	}
}
