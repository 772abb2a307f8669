// node:zlib for a browser's worker: what reading a trace needs of it.
import { inflateSync } from "fflate";
import { decompress } from "fzstd";

interface Limits {
	readonly maxOutputLength?: number;
}

/** `out` is a length to start with in fflate: a block that is longer than it says is caught by its caller. */
export function inflateRawSync(bytes: Uint8Array, { maxOutputLength = 0 }: Limits = {}): Uint8Array {
	return inflateSync(bytes, { out: new Uint8Array(maxOutputLength) });
}

export function zstdDecompressSync(bytes: Uint8Array): Uint8Array {
	return decompress(bytes);
}

function unwritten(): never {
	throw new Error("a page writes no traces");
}

export { unwritten as deflateRawSync, unwritten as zstdCompressSync };
