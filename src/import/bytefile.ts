// Random access to a source: the file itself, or what a gzip of it holds, inflated into a file that has no name.
import { closeSync, fstatSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BadInputError, LimitError } from "../errors.js";
import { type Damage, readChunks, type SourceDigest } from "./input.js";

/** What a gzip may inflate to. */
const MAX_INFLATED = 64 * 2 ** 30;

export class ByteFile {
	readonly size: number;
	readonly path: string;
	readonly #fd: number;

	constructor(path: string, fd: number) {
		this.path = path;
		this.#fd = fd;
		this.size = fstatSync(fd).size;
	}

	/** @throws BadInputError where the file does not have those bytes; lengths are checked before memory is given to them */
	read(offset: number, length: number, what: string): Uint8Array {
		if (!(offset >= 0 && length >= 0 && offset + length <= this.size))
			throw new BadInputError(`${what} of ${length} bytes reach beyond the file's ${this.size}`, { where: `${this.path}, byte ${offset}` });
		return this.readInto(new Uint8Array(length), offset, what);
	}

	/** As `read`, of a place that is known to be in the file, into bytes of the caller's. */
	readInto(bytes: Uint8Array, offset: number, what: string): Uint8Array {
		const { length } = bytes;
		for (let at = 0; at < length; ) {
			const count = readSync(this.#fd, bytes, at, length - at, offset + at);
			if (count === 0) throw new BadInputError(`${what}: the file ends`, { where: `${this.path}, byte ${offset + at}` });
			at += count;
		}
		return bytes;
	}

	close(): void {
		closeSync(this.#fd);
	}
}

function temporary(): number {
	const folder = mkdtempSync(join(tmpdir(), "mmreplay-"));
	const fd = openSync(join(folder, "inflated"), "wx+", 0o600);
	// Without a name it is gone however the process ends.
	if (process.platform !== "win32") rmSync(folder, { recursive: true });
	return fd;
}

/** Opens a source, and fills in its digest. @throws BadInputError, LimitError */
export async function openByteFile(path: string, gzip: boolean, digest: SourceDigest, damage?: Damage): Promise<ByteFile> {
	const fd = gzip ? temporary() : openSync(path, "r");
	try {
		let inflated = 0;
		for await (const chunk of readChunks(path, digest, damage)) {
			if (!gzip) continue;
			inflated += chunk.length;
			if (inflated > MAX_INFLATED) throw new LimitError(`the gzip holds more than ${MAX_INFLATED} bytes`, { where: path });
			for (let at = 0; at < chunk.length; ) at += writeSync(fd, chunk, at, chunk.length - at);
		}
		return new ByteFile(path, fd);
	} catch (error) {
		closeSync(fd);
		throw error;
	}
}
