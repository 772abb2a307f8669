// Where a reader's bytes come from: a file at any position, a pipe from front to back, or memory. A small window is looked ahead for
// frames; payloads go straight to where the caller wants them.
import { closeSync, fstatSync, openSync, readSync, readvSync } from "node:fs";
import { fileError, retryWhileBusy } from "./systemerror.js";

/** Reads at a position; a pipe can only go forward. */
interface ByteSource {
	readonly size: number | undefined;
	/** Of a file. */
	readonly descriptor?: number;
	/** Bytes read into the front of `target`; 0 at the end. */
	read(target: Uint8Array, position: number): number;
	/** The same, and what comes behind into `behind`: one call to the system for both, where it can be one. */
	readBoth?(target: Uint8Array, behind: Uint8Array, position: number): number;
	close(): void;
}

class FileSource implements ByteSource {
	readonly size: number;
	readonly descriptor: number;
	readonly #close: boolean;

	constructor(descriptor: number, size: number, close: boolean) {
		this.descriptor = descriptor;
		this.size = size;
		this.#close = close;
	}

	read(target: Uint8Array, position: number): number {
		return retryWhileBusy(() => readSync(this.descriptor, target, 0, target.length, position));
	}

	readBoth(target: Uint8Array, behind: Uint8Array, position: number): number {
		return retryWhileBusy(() => readvSync(this.descriptor, [target, behind], position));
	}

	close(): void {
		if (this.#close) closeSync(this.descriptor);
	}
}

class PipeSource implements ByteSource {
	readonly size = undefined;
	readonly #fd: number;
	readonly #close: boolean;
	#position = 0;

	constructor(fd: number, close: boolean) {
		this.#fd = fd;
		this.#close = close;
	}

	read(target: Uint8Array, position: number): number {
		if (position < this.#position) throw new Error("a pipe cannot go back");
		const discard = new Uint8Array(Math.min(position - this.#position, 1 << 16));
		while (this.#position < position) {
			const count = this.#readHere(discard.subarray(0, Math.min(discard.length, position - this.#position)));
			if (count === 0) return 0;
		}
		return this.#readHere(target);
	}

	#readHere(target: Uint8Array): number {
		let count = 0;
		try {
			count = retryWhileBusy(() => readSync(this.#fd, target, 0, target.length, null));
		} catch (error) {
			// Windows reports a pipe's end as an error.
			if (!(error instanceof Error && "code" in error && error.code === "EOF")) throw error;
		}
		this.#position += count;
		return count;
	}

	close(): void {
		if (this.#close) closeSync(this.#fd);
	}
}

class MemorySource implements ByteSource {
	readonly size: number;
	readonly #bytes: Uint8Array;

	constructor(bytes: Uint8Array) {
		this.#bytes = bytes;
		this.size = bytes.length;
	}

	read(target: Uint8Array, position: number): number {
		const bytes = this.#bytes.subarray(position, position + target.length);
		target.set(bytes);
		return bytes.length;
	}

	close(): void {}
}

/** A file that is open, for whoever else reads it. */
export interface OpenFile {
	readonly descriptor: number;
	readonly size: number;
}

function openSource(source: string | Uint8Array | OpenFile): ByteSource {
	if (source instanceof Uint8Array) return new MemorySource(source);
	if (typeof source !== "string") return new FileSource(source.descriptor, source.size, false);
	const fd = source === "-" ? 0 : openSync(source, "r");
	const stat = fstatSync(fd);
	if (stat.isFile()) return new FileSource(fd, stat.size, source !== "-");
	if (stat.isDirectory()) {
		closeSync(fd);
		throw Object.assign(new Error("is a directory"), { code: "EISDIR" });
	}
	return new PipeSource(fd, source !== "-");
}

/** Enough for a block's frame and a little more; a scan of the headers of a file reads no more than this of each block. */
const WINDOW_BYTES = 256;

export class Input {
	/** As messages name it. */
	readonly name: string;
	readonly #source: ByteSource;
	#window = new Uint8Array(WINDOW_BYTES);
	/** File offsets of the window's bytes. */
	#from = 0;
	#to = 0;

	/** `source`: a path, `-` for standard input, the bytes themselves, or a file that somebody else closes. @throws UsageError where the path cannot be read */
	constructor(source: string | Uint8Array | OpenFile) {
		this.name = typeof source !== "string" ? "memory" : source === "-" ? "standard input" : source;
		try {
			this.#source = openSource(source);
		} catch (error) {
			throw fileError(error, this.name);
		}
	}

	/** Bytes in all; undefined for a pipe. */
	get size(): number | undefined {
		return this.#source.size;
	}

	/** The file; undefined for a pipe and for memory. */
	get file(): OpenFile | undefined {
		const { descriptor, size } = this.#source;
		return descriptor === undefined || size === undefined ? undefined : { descriptor, size };
	}

	/** `offset` as a message's WHERE. */
	at(offset: number): string {
		return `${this.name}, byte ${offset}`;
	}

	/** Up to `count` bytes at `offset`, fewer at the end; valid until the next call. */
	peek(offset: number, count: number): Uint8Array {
		if (offset < this.#from || offset + count > this.#to) this.#fill(offset, count);
		return this.#window.subarray(offset - this.#from, Math.min(offset + count, this.#to) - this.#from);
	}

	#fill(offset: number, count: number): void {
		const window = this.#window.length >= count ? this.#window : new Uint8Array(count);
		let have = 0;
		if (offset >= this.#from && offset < this.#to) {
			have = this.#to - offset;
			window.set(this.#window.subarray(offset - this.#from, this.#to - this.#from));
		}
		this.#window = window;
		this.#from = offset;
		this.#to = offset + have;
		while (this.#to - this.#from < count) {
			const read = this.#source.read(this.#window.subarray(this.#to - this.#from), this.#to);
			if (read === 0) break;
			this.#to += read;
		}
	}

	/** Fill `target` with the bytes at `offset`; how many there were. Looks at what comes behind, where that costs nothing more. */
	read(target: Uint8Array, offset: number): number {
		let have = 0;
		if (this.#source.readBoth !== undefined && target.length > this.#window.length) {
			if (this.#window.length > WINDOW_BYTES) this.#window = new Uint8Array(WINDOW_BYTES);
			const read = this.#source.readBoth(target, this.#window, offset);
			if (read >= target.length) {
				this.#from = offset + target.length;
				this.#to = offset + read;
				return target.length;
			}
			this.#to = this.#from;
			have = read;
		}
		if (have === 0 && offset >= this.#from && offset < this.#to) {
			const window = this.#window.subarray(offset - this.#from, Math.min(offset + target.length, this.#to) - this.#from);
			target.set(window);
			have = window.length;
		}
		while (have < target.length) {
			const read = this.#source.read(have === 0 ? target : target.subarray(have), offset + have);
			if (read === 0) break;
			have += read;
		}
		return have;
	}

	close(): void {
		this.#source.close();
	}
}
