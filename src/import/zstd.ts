// Zstandard frames: by Node's own decoder where it has one (22.15 and later), otherwise by fzstd. What a frame claims is checked before memory
// is given to it: its window, its content size, and what comes out (RFC 8878, section 3.1.1).
import zlib from "node:zlib";
import { Decompress } from "fzstd";
import { BadInputError, LimitError } from "../errors.js";

const MAGIC = 0xfd2fb528;
/** Windows above this are not needed by any writer of traces (zstd's own limit without --long is 128 MiB at the highest levels). */
const MAX_WINDOW = 1 << 27;

type NativeDecoder = (bytes: Uint8Array, options: { maxOutputLength: number }) => Uint8Array;

/** Not in the types of Node 20. Asked for late: zlib is loaded then. */
function nativeDecoder(): NativeDecoder | undefined {
	return (zlib as unknown as { zstdDecompressSync?: NativeDecoder }).zstdDecompressSync;
}

/** Window in bytes that a frame's header asks for. @throws BadInputError where it is no frame */
function windowOf(frame: Uint8Array, where: string): number {
	const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
	if (frame.length < 6 || view.getUint32(0, true) !== MAGIC) throw new BadInputError("no zstd frame where one should be", { where });
	const descriptor = frame[4] ?? 0;
	const singleSegment = (descriptor & 0x20) !== 0;
	if (!singleSegment) {
		const exponent = (frame[5] ?? 0) >> 3;
		const mantissa = (frame[5] ?? 0) & 7;
		const base = 2 ** (10 + exponent);
		return base + (base / 8) * mantissa;
	}
	const at = 5 + ([0, 1, 2, 4][descriptor & 3] ?? 0);
	const bytes = [1, 2, 4, 8][descriptor >> 6] ?? 1;
	if (frame.length < at + bytes) throw new BadInputError("a zstd frame is cut off in its header", { where });
	if (bytes === 1) return view.getUint8(at);
	if (bytes === 2) return view.getUint16(at, true) + 256;
	if (bytes === 4) return view.getUint32(at, true);
	return Number(view.getBigUint64(at, true));
}

/** The content of one frame, at most `maxBytes` of it. @throws BadInputError on a damaged frame, LimitError on one that holds more */
export function unzstd(frame: Uint8Array, maxBytes: number, where: string): Uint8Array {
	const window = windowOf(frame, where);
	if (window > MAX_WINDOW) throw new LimitError(`a zstd frame asks for a window of ${window} bytes, more than ${MAX_WINDOW}`, { where });
	const native = nativeDecoder();
	if (native !== undefined) {
		try {
			return native(frame, { maxOutputLength: maxBytes });
		} catch (cause) {
			if (cause instanceof Error && "code" in cause && cause.code === "ERR_BUFFER_TOO_LARGE") throw tooLarge(maxBytes, where);
			throw new BadInputError("a zstd frame is damaged", { where, cause });
		}
	}
	const chunks: Uint8Array[] = [];
	let length = 0;
	const decoder = new Decompress((chunk) => {
		length += chunk.length;
		if (length > maxBytes) throw tooLarge(maxBytes, where);
		chunks.push(chunk.slice());
	});
	try {
		decoder.push(frame, true);
	} catch (cause) {
		if (cause instanceof LimitError) throw cause;
		throw new BadInputError("a zstd frame is damaged", { where, cause });
	}
	return Buffer.concat(chunks, length);
}

const tooLarge = (maxBytes: number, where: string): LimitError =>
	new LimitError(`a zstd frame holds more than the ${maxBytes} bytes that it should`, { where });
