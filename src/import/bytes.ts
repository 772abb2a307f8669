// Bytes of a source as they come: a file or standard input, gzip'ed or not (told by its first bytes), in bounded memory, with its sha256.
import { createHash } from "node:crypto";
import { closeSync, createReadStream, openSync, readSync, statSync } from "node:fs";
import { basename } from "node:path";
import { Readable } from "node:stream";
import { createGunzip } from "node:zlib";
import { BadInputError, MmreplayError } from "../errors.js";
import { fileChunks, type SourceDigest } from "./input.js";

const CHUNK_BYTES = 1 << 18;

const GZIP = [0x1f, 0x8b];

/** Compressions that are told by their first bytes and that we do not undo. */
const FOREIGN: readonly { readonly magic: readonly number[]; readonly name: string; readonly tool: string }[] = [
	{ magic: [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00], name: "xz", tool: "xz -dc" },
	{ magic: [0x28, 0xb5, 0x2f, 0xfd], name: "zstd", tool: "zstd -dc" },
	{ magic: [0x42, 0x5a, 0x68], name: "bzip2", tool: "bzip2 -dc" },
];

function startsWith(bytes: Uint8Array, magic: readonly number[]): boolean {
	return bytes.length >= magic.length && magic.every((byte, at) => bytes[at] === byte);
}

/** The first bytes of a stream, enough for any magic, and then the whole of it. */
async function peek(chunks: AsyncIterator<Uint8Array>): Promise<{ head: Uint8Array; whole: AsyncGenerator<Uint8Array> }> {
	const first: Uint8Array[] = [];
	let length = 0;
	while (length < 6) {
		const next = await chunks.next();
		if (next.done === true) break;
		first.push(next.value);
		length += next.value.length;
	}
	async function* whole(): AsyncGenerator<Uint8Array> {
		yield* first;
		for (let next = await chunks.next(); next.done !== true; next = await chunks.next()) yield next.value;
	}
	return { head: Buffer.concat(first), whole: whole() };
}

function codeOf(error: unknown): string {
	return error instanceof Error && "code" in error ? String(error.code) : String(error);
}

function unreadable(error: unknown, path: string, read: number): unknown {
	if (error instanceof MmreplayError) return error;
	return new BadInputError(`the file cannot be read to its end: ${codeOf(error)}`, { where: `${path}, after byte ${read}` });
}

/** A file on a disk, and not compressed. */
function isPlainFile(path: string): boolean {
	if (path === "-" || statSync(path, { throwIfNoEntry: false })?.isFile() !== true) return false;
	const fd = openSync(path, "r");
	try {
		const head = new Uint8Array(6);
		readSync(fd, head, 0, head.length, 0);
		return !startsWith(head, GZIP) && !FOREIGN.some(({ magic }) => startsWith(head, magic));
	} finally {
		closeSync(fd);
	}
}

/**
 * The bytes of `path` (`-`: standard input) after gzip, each chunk lent until the next; `digest` is filled in at the end, over the bytes as they are in the file.
 * @throws BadInputError where it cannot be read to its end, or is compressed in a way that we do not undo
 */
export async function* readBytes(path: string, digest: SourceDigest): AsyncGenerator<Uint8Array> {
	const hash = createHash("sha256");
	let read = 0;
	if (isPlainFile(path)) {
		try {
			for await (const chunk of fileChunks(path, hash)) {
				read += chunk.length;
				yield chunk;
			}
		} catch (error) {
			throw unreadable(error, path, read);
		}
		digest.name = basename(path);
		digest.sha256 = hash.digest("hex");
		return;
	}
	const raw = path === "-" ? process.stdin : createReadStream(path, { highWaterMark: CHUNK_BYTES });
	async function* hashed(): AsyncGenerator<Uint8Array> {
		for await (const chunk of raw) {
			const bytes = chunk as Uint8Array;
			hash.update(bytes);
			yield bytes;
		}
	}
	try {
		const { head, whole } = await peek(hashed());
		const foreign = FOREIGN.find(({ magic }) => startsWith(head, magic));
		if (foreign !== undefined) {
			const hint = `${foreign.tool} ${path} | mmreplay import - …`;
			throw new BadInputError(`the file is compressed with ${foreign.name}`, { where: path, hint });
		}
		if (startsWith(head, GZIP)) {
			const stream = Readable.from(whole, { objectMode: false });
			const gunzip = createGunzip({ chunkSize: CHUNK_BYTES });
			stream.on("error", (error) => gunzip.destroy(error));
			for await (const chunk of stream.pipe(gunzip)) {
				read += (chunk as Uint8Array).length;
				yield chunk as Uint8Array;
			}
		} else {
			for await (const chunk of whole) {
				read += chunk.length;
				yield chunk;
			}
		}
	} catch (error) {
		throw unreadable(error, path, read);
	}
	digest.name = path === "-" ? "standard input" : basename(path);
	digest.sha256 = hash.digest("hex");
}
