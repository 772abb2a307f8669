// The last field of a whole trace: where its index is (traces/mmtrace.proto, index_offset).
import { Tag, TRAILER_BYTES } from "./wire.js";

/** index_offset: the last nine bytes of a whole file. 0: there is no index. */
export function encodeTrailer(indexOffset: number): Uint8Array {
	const bytes = new Uint8Array(TRAILER_BYTES);
	const view = new DataView(bytes.buffer);
	bytes[0] = Tag.indexOffset;
	view.setUint32(1, indexOffset % 2 ** 32, true);
	view.setUint32(5, Math.floor(indexOffset / 2 ** 32), true);
	return bytes;
}

/** The offset in a trailer, or undefined where the bytes are not one. */
export function parseTrailer(bytes: Uint8Array): number | undefined {
	if (bytes.length !== TRAILER_BYTES || bytes[0] !== Tag.indexOffset) return undefined;
	const view = new DataView(bytes.buffer, bytes.byteOffset);
	const high = view.getUint32(5, true);
	return high < 1 << 21 ? high * 2 ** 32 + view.getUint32(1, true) : undefined;
}
