// The frame around a block: field 2 of Trace, its 58-byte header, the payload's tag and length (traces/mmtrace.proto).
import { crc32c } from "./crc32c.js";
import { SYNC, Tag } from "./wire.js";

/** A BlockHeader on the wire; every field fixed-width and always there:
 *
 * ```
 *  0      5      10      15             20          25       30              39        48              53
 *  | sync | type | codec | stored_length | raw_length | events | first_sequence | first_ns | payload_crc32c | header_crc32c |
 *  tag+u32 ...                                               tag+u64          tag+u64    tag+u32          tag+u32         58
 * ```
 */
export const BLOCK_HEADER_BYTES = 58;
const CHECKED_BYTES = 53;
const TAGS: readonly (readonly [offset: number, tag: number])[] = [
	[0, 0x0d],
	[5, 0x15],
	[10, 0x1d],
	[15, 0x25],
	[20, 0x2d],
	[25, 0x35],
	[30, 0x39],
	[39, 0x41],
	[48, 0x4d],
	[53, 0x7d],
];

/** Longest frame before a payload: tag and length of the block, tag and length of its header, the header, tag and length of the payload. */
export const FRAME_BYTES = 1 + 5 + 2 + BLOCK_HEADER_BYTES + 1 + 5;

export interface BlockHeader {
	/** A BlockType, with REQUIRED_TYPE where it is set. */
	readonly type: number;
	readonly codec: number;
	/** Bytes of the payload in the file, and after its codec. */
	readonly storedLength: number;
	readonly rawLength: number;
	readonly events: number;
	/** Cause records before this block in the file. */
	readonly firstSequence: number;
	readonly firstNs: number;
	readonly payloadCrc32c: number;
}

function viewOf(bytes: Uint8Array): DataView {
	return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function setUint64(view: DataView, at: number, value: number): void {
	view.setUint32(at, value % 2 ** 32, true);
	view.setUint32(at + 4, Math.floor(value / 2 ** 32), true);
}

function varintBytes(value: number): number {
	return value < 1 << 7 ? 1 : value < 1 << 14 ? 2 : value < 1 << 21 ? 3 : value < 1 << 28 ? 4 : 5;
}

function setVarint(bytes: Uint8Array, at: number, value: number): number {
	let end = at;
	for (let rest = value; ; rest >>>= 7) {
		if (rest < 128) {
			bytes[end++] = rest;
			return end;
		}
		bytes[end++] = (rest & 127) | 128;
	}
}

/** Bytes between a block header and the payload's: tag and length. */
export function payloadPrefixBytes(storedLength: number): number {
	return 1 + varintBytes(storedLength);
}

function blockBytes(storedLength: number): number {
	return 2 + BLOCK_HEADER_BYTES + payloadPrefixBytes(storedLength) + storedLength;
}

/** Bytes of a block's field before its header: tag and length of the block, tag and length of the header. */
export function framePrefixBytes(storedLength: number): number {
	return 1 + varintBytes(blockBytes(storedLength)) + 2;
}

/** Everything of a block that stands before its payload's bytes. */
export function encodeFrame(header: BlockHeader): Uint8Array {
	const { storedLength } = header;
	const frame = new Uint8Array(framePrefixBytes(storedLength) + BLOCK_HEADER_BYTES + payloadPrefixBytes(storedLength));
	frame[0] = Tag.block;
	const inner = setVarint(frame, 1, blockBytes(storedLength));
	frame[inner] = Tag.blockHeader;
	frame[inner + 1] = BLOCK_HEADER_BYTES;
	const fields = frame.subarray(inner + 2, inner + 2 + BLOCK_HEADER_BYTES);
	const view = viewOf(fields);
	for (const [offset, tag] of TAGS) fields[offset] = tag;
	view.setUint32(1, SYNC, true);
	view.setUint32(6, header.type, true);
	view.setUint32(11, header.codec, true);
	view.setUint32(16, header.storedLength, true);
	view.setUint32(21, header.rawLength, true);
	view.setUint32(26, header.events, true);
	setUint64(view, 31, header.firstSequence);
	setUint64(view, 40, header.firstNs);
	view.setUint32(49, header.payloadCrc32c, true);
	view.setUint32(54, crc32c(fields, 0, CHECKED_BYTES), true);
	const payload = inner + 2 + BLOCK_HEADER_BYTES;
	frame[payload] = Tag.blockPayload;
	setVarint(frame, payload + 1, header.storedLength);
	return frame;
}

/** The header at `bytes[at, at + 58)`, or what is wrong with it. Lengths are not yet held against any cap. */
export function parseBlockHeader(bytes: Uint8Array, at: number): BlockHeader | string {
	if (at + BLOCK_HEADER_BYTES > bytes.length) return "the end inside a block header";
	const fields = bytes.subarray(at, at + BLOCK_HEADER_BYTES);
	const view = viewOf(fields);
	if (view.getUint32(1, true) !== SYNC) return "no sync word where a block header begins";
	if (view.getUint32(54, true) !== crc32c(fields, 0, CHECKED_BYTES)) return "a block header with a wrong checksum";
	for (const [offset, tag] of TAGS) if (fields[offset] !== tag) return "a block header with other fields than it must have";
	const firstSequenceHigh = view.getUint32(35, true);
	const firstNsHigh = view.getUint32(44, true);
	if (firstSequenceHigh >= 1 << 21 || firstNsHigh >= 1 << 21) return "a block header with a sequence or time over 53 bits";
	return {
		type: view.getUint32(6, true),
		codec: view.getUint32(11, true),
		storedLength: view.getUint32(16, true),
		rawLength: view.getUint32(21, true),
		events: view.getUint32(26, true),
		firstSequence: firstSequenceHigh * 2 ** 32 + view.getUint32(31, true),
		firstNs: firstNsHigh * 2 ** 32 + view.getUint32(40, true),
		payloadCrc32c: view.getUint32(49, true),
	};
}

const SYNC_BYTES = Uint8Array.of(0x0d, SYNC & 0xff, (SYNC >>> 8) & 0xff, (SYNC >>> 16) & 0xff, SYNC >>> 24);

/** First place at or after `from` where a block header could begin (its tag and sync word), or -1. */
export function findSync(bytes: Uint8Array, from: number): number {
	return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).indexOf(SYNC_BYTES, from);
}
