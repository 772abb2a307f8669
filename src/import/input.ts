// Lines of a file that may be gzip'ed (told by its first bytes), read as a stream in bounded memory, with its sha256.
import { createHash, type Hash } from "node:crypto";
import { closeSync, createReadStream, openSync, readSync } from "node:fs";
import { basename } from "node:path";
import { createGunzip } from "node:zlib";
import { BadInputError, MmreplayError } from "../errors.js";
import { LITERAL_SLACK } from "./literal.js";

/** A line longer than this is no trace text. */
const MAX_LINE = 1 << 20;

export interface Line {
	readonly text: string;
	/** From 1. */
	readonly number: number;
	/** False if the file ends without a newline after it. */
	readonly complete: boolean;
}

/** sha256 of what was read, filled in when the lines are through. */
export interface SourceDigest {
	name: string;
	sha256: string;
}

export function isGzip(path: string): boolean {
	const fd = openSync(path, "r");
	try {
		const head = new Uint8Array(2);
		return readSync(fd, head, 0, 2, 0) === 2 && head[0] === 0x1f && head[1] === 0x8b;
	} finally {
		closeSync(fd);
	}
}

function opened(path: string): boolean {
	try {
		return isGzip(path);
	} catch (error) {
		const code = error instanceof Error && "code" in error ? String(error.code) : "unreadable";
		throw new BadInputError(`cannot read the file: ${code}`, { where: path });
	}
}

async function* chunksOf(path: string, digest: SourceDigest): AsyncGenerator<Uint8Array> {
	if (!opened(path)) {
		const hash = createHash("sha256");
		yield* fileChunks(path, hash);
		digest.name = basename(path);
		digest.sha256 = hash.digest("hex");
		return;
	}
	const hash: Hash = createHash("sha256");
	const raw = createReadStream(path, { highWaterMark: 1 << 20 });
	raw.on("data", (chunk) => hash.update(chunk));
	const stream = raw.pipe(createGunzip());
	raw.on("error", (error) => stream.destroy(error));
	try {
		for await (const chunk of stream) yield chunk as Uint8Array;
	} finally {
		raw.destroy();
	}
	digest.name = basename(path);
	digest.sha256 = hash.digest("hex");
}

function unreadable(error: unknown, where: string): unknown {
	if (error instanceof MmreplayError) return error;
	const code = error instanceof Error && "code" in error ? String(error.code) : String(error);
	return new BadInputError(`the file cannot be read to its end: ${code}`, { where });
}

/** Says that a source is damaged. @throws BadInputError, unless what can be read of it will do */
export type Damage = (what: string, where: string) => void;

/**
 * Bytes of `path`, out of their gzip where they are in one, each chunk lent until the next. `damage`: told of a damaged gzip stream, which then ends
 * there. Throws BadInputError where it cannot be read.
 */
export async function* readChunks(path: string, digest: SourceDigest, damage?: Damage): AsyncGenerator<Uint8Array> {
	let bytes = 0;
	try {
		for await (const chunk of chunksOf(path, digest)) {
			bytes += chunk.length;
			yield chunk;
		}
	} catch (error) {
		const reason = unreadable(error, `${path}, after byte ${bytes}`);
		if (damage === undefined || bytes === 0 || reason === error || !(reason instanceof BadInputError)) throw reason;
		damage(reason.what, `${path}, after byte ${bytes}`);
		digest.name ||= basename(path);
	}
}

/** The first bytes of `path`, out of their gzip; fewer where there are no more. */
export async function readHead(path: string, bytes: number): Promise<Uint8Array> {
	const chunks: Uint8Array[] = [];
	let length = 0;
	try {
		for await (const chunk of readChunks(path, { name: "", sha256: "" })) {
			chunks.push(Uint8Array.from(chunk));
			length += chunk.length;
			if (length >= bytes) break;
		}
	} catch (error) {
		// What can be read tells the format; its reader says where the rest is wrong.
		if (length === 0) throw error;
	}
	return Buffer.concat(chunks, length).subarray(0, bytes);
}

/** Bytes that are read at once. */
const BLOCK_BYTES = 1 << 20;

/** Bytes of a text up to a newline, lent until the next block; the last block may lack its newline. */
export interface TextBlock {
	readonly bytes: Buffer;
	/** Of the same bytes, and of LITERAL_SLACK behind `length`. */
	readonly view: DataView;
	readonly length: number;
	readonly complete: boolean;
}

/** Whole lines of `path` as bytes. Throws BadInputError on a damaged gzip stream, or a line over 1 MiB. */
export async function* readTextBlocks(path: string, digest: SourceDigest, damage?: Damage): AsyncGenerator<TextBlock> {
	let buffer = Buffer.alloc(4 * BLOCK_BYTES);
	let view = viewOf(buffer);
	let length = 0;
	let read = 0;
	for await (const chunk of readChunks(path, digest, damage)) {
		if (length + chunk.length + LITERAL_SLACK > buffer.length) {
			const grown = Buffer.alloc(2 * (length + chunk.length));
			buffer.copy(grown, 0, 0, length);
			buffer = grown;
			view = viewOf(grown);
		}
		buffer.set(chunk, length);
		length += chunk.length;
		read += chunk.length;
		const end = buffer.lastIndexOf(NEWLINE, length - 1) + 1;
		if (end > 0) {
			yield { bytes: buffer, view, length: end, complete: true };
			buffer.copyWithin(0, end, length);
			length -= end;
		}
		if (length > MAX_LINE)
			throw new BadInputError("a line is longer than 1 MiB; this is no trace text", { where: `${path}, before byte ${read}` });
	}
	if (length > 0) yield { bytes: buffer, view, length, complete: false };
}

const NEWLINE = 10;

const viewOf = (buffer: Buffer): DataView => new DataView(buffer.buffer, buffer.byteOffset, buffer.byteLength);

/** Chunks between two turns of the event loop, in which a signal is seen. */
const CHUNKS_A_TURN = 16;

/** Bytes of a file, all in one buffer: a stream makes a new one for each, and a promise. */
export async function* fileChunks(path: string, hash: Hash): AsyncGenerator<Uint8Array> {
	const buffer = Buffer.allocUnsafe(BLOCK_BYTES);
	const fd = openSync(path, "r");
	try {
		for (let chunk = 1; ; chunk++) {
			const count = readSync(fd, buffer, 0, buffer.length, null);
			if (count === 0) return;
			const bytes = buffer.subarray(0, count);
			hash.update(bytes);
			yield bytes;
			if (chunk % CHUNKS_A_TURN === 0) await new Promise((resolve) => setImmediate(resolve));
		}
	} finally {
		closeSync(fd);
	}
}

/** Lines of `path`. Throws BadInputError on a damaged gzip stream (with the line reached) or a line over 1 MiB. */
export async function* readLines(path: string, digest: SourceDigest): AsyncGenerator<Line[]> {
	const decoder = new TextDecoder("utf-8");
	let rest = "";
	let number = 0;
	try {
		for await (const chunk of chunksOf(path, digest)) {
			const text = rest + decoder.decode(chunk, { stream: true });
			const lines = text.split("\n");
			rest = lines.pop() ?? "";
			if (rest.length > MAX_LINE)
				throw new BadInputError("a line is longer than 1 MiB; this is no trace text", {
					where: `${path}, line ${number + lines.length + 1}`,
				});
			if (lines.length > 0) yield lines.map((line) => ({ text: line, number: ++number, complete: true }));
		}
	} catch (error) {
		throw unreadable(error, `${path}, after line ${number}`);
	}
	if (rest !== "") yield [{ text: rest, number: ++number, complete: false }];
}
