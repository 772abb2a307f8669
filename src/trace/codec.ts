// A payload's codec: stored, deflate-raw (RFC 1951), or zstd (RFC 8878) where this Node has it (22.15 and later).
import * as zlib from "node:zlib";
import { BadInputError, UsageError } from "../errors.js";
import { Codec, type CodecName } from "./wire.js";

type Transform = (bytes: Uint8Array, options?: object) => Uint8Array;

/** Node's zstd functions are not in the types of Node 20, nor is every Node new enough to have them. */
function zlibFunction(name: string): Transform | undefined {
	const candidate: unknown = Reflect.get(zlib, name);
	return typeof candidate === "function" ? (candidate as Transform) : undefined;
}

// Looked up where they are needed: zlib is loaded then, and not at every start.
const zstdCompress = (): Transform | undefined => zlibFunction("zstdCompressSync");
const zstdDecompress = (): Transform | undefined => zlibFunction("zstdDecompressSync");

export function hasZstd(): boolean {
	return zstdCompress() !== undefined && zstdDecompress() !== undefined;
}

const MISSING = `zstd is not in this Node (${process.version})`;

/** A trace that this Node cannot read. */
export function zstdMissing(where: string): BadInputError {
	return new BadInputError(MISSING, {
		where,
		hint: "use Node 22.15 or later, or make the trace anew with --codec deflate-raw",
	});
}

/** @throws UsageError where this Node cannot write the codec */
export function checkCodec(codec: CodecName): void {
	if (codec === "zstd" && !hasZstd()) throw new UsageError(MISSING, { hint: "use Node 22.15 or later, or deflate-raw" });
}

/** The payload as it is to be stored, and the codec that it is stored with: none where compression does not make it smaller. */
export function compress(codec: CodecName, raw: Uint8Array): { codec: number; stored: Uint8Array } {
	checkCodec(codec);
	if (codec === "none") return { codec: Codec.none, stored: raw };
	const stored = ((codec === "zstd" ? zstdCompress() : undefined) ?? zlib.deflateRawSync)(raw);
	return stored.length < raw.length ? { codec: Codec[codec], stored } : { codec: Codec.none, stored: raw };
}

/**
 * The raw payload; `rawLength` was held against the cap before. Output beyond it is never made.
 * @throws BadInputError on an unknown codec, bytes that do not decompress, or another length
 */
export function decompress(codec: number, stored: Uint8Array, rawLength: number, where: string): Uint8Array {
	if (codec === Codec.none) {
		if (stored.length !== rawLength)
			throw new BadInputError(`a stored payload of ${stored.length} bytes says it has ${rawLength}`, { where });
		return stored;
	}
	const transform: Transform | undefined =
		codec === Codec["deflate-raw"] ? zlib.inflateRawSync : codec === Codec.zstd ? zstdDecompress() : undefined;
	if (transform === undefined) {
		if (codec === Codec.zstd) throw zstdMissing(where);
		throw new BadInputError(`unknown codec ${codec}`, { where, hint: "a newer mmreplay wrote this trace" });
	}
	let raw: Uint8Array;
	try {
		raw = transform(stored, { maxOutputLength: Math.max(rawLength, 1), chunkSize: Math.max(rawLength, 64) });
	} catch (cause) {
		throw new BadInputError("a payload that does not decompress", { where, cause });
	}
	if (raw.length !== rawLength)
		throw new BadInputError(`a payload of ${raw.length} bytes after its codec says it has ${rawLength}`, { where });
	return raw;
}
