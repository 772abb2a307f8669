// A trace's identity, whatever its name, header and index: the `digest` of the compare JSON.
import { createHash } from "node:crypto";
import type { BlockHeader } from "./frame.js";

/** Blocks that are hashed together. */
const BATCH = 256;

/** sha256 over the payload checksum and the type of every block, as two little-endian words, in file order. */
export class BlockDigest {
	readonly #hash = createHash("sha256");
	readonly #words = new DataView(new ArrayBuffer(BATCH * 8));
	#blocks = 0;

	add(header: BlockHeader): void {
		const at = this.#blocks++ * 8;
		this.#words.setUint32(at, header.payloadCrc32c, true);
		this.#words.setUint32(at + 4, header.type, true);
		if (this.#blocks === BATCH) this.#flush();
	}

	#flush(): void {
		this.#hash.update(new Uint8Array(this.#words.buffer, 0, this.#blocks * 8));
		this.#blocks = 0;
	}

	hex(): string {
		this.#flush();
		return this.#hash.copy().digest("hex");
	}
}
