// Where a writer's bytes go: a crash-safe file, standard output, a device or pipe, or any object that takes bytes.
import { closeSync, fstatSync, openSync, readSync, rmSync, statSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { UsageError } from "../errors.js";
import { fileError, retryWhileBusy } from "./systemerror.js";
import { TemporaryFile } from "./temporary.js";

export { fileError, retryWhileBusy };

/** Takes bytes in order, synchronously; they are the caller's again when it returns. */
export interface ByteSink {
	write(bytes: Uint8Array): void;
}

export interface Destination extends ByteSink {
	/** A file that stays: it gets an index. */
	readonly seekable: boolean;
	commit(): void;
	discard(): void;
}

const BUFFER_BYTES = 1 << 18;

function writeAll(fd: number, bytes: Uint8Array): void {
	for (let at = 0; at < bytes.length; ) at += retryWhileBusy(() => writeSync(fd, bytes, at, bytes.length - at));
}

/** Gathers small writes: a block's frame and payload, a header. */
class BufferedDescriptor {
	readonly fd: number;
	readonly #buffer = new Uint8Array(BUFFER_BYTES);
	#used = 0;

	constructor(fd: number) {
		this.fd = fd;
	}

	write(bytes: Uint8Array): void {
		if (this.#used + bytes.length > BUFFER_BYTES) this.flush();
		if (bytes.length >= BUFFER_BYTES) {
			writeAll(this.fd, bytes);
			return;
		}
		this.#buffer.set(bytes, this.#used);
		this.#used += bytes.length;
	}

	flush(): void {
		writeAll(this.fd, this.#buffer.subarray(0, this.#used));
		this.#used = 0;
	}
}

class FileDestination implements Destination {
	readonly seekable = true;
	readonly #path: string;
	readonly #file: TemporaryFile;
	readonly #out: BufferedDescriptor;

	constructor(path: string) {
		this.#path = path;
		try {
			this.#file = new TemporaryFile(path);
		} catch (error) {
			throw fileError(error, path);
		}
		this.#out = new BufferedDescriptor(this.#file.fd);
	}

	write(bytes: Uint8Array): void {
		try {
			this.#out.write(bytes);
		} catch (error) {
			throw fileError(error, this.#path);
		}
	}

	commit(): void {
		try {
			this.#out.flush();
			this.#file.commit();
		} catch (error) {
			this.#file.discard();
			throw fileError(error, this.#path);
		}
	}

	discard(): void {
		this.#file.discard();
	}
}

class StreamDestination implements Destination {
	readonly seekable = false;
	readonly #name: string;
	readonly #out: BufferedDescriptor;
	readonly #close: boolean;

	constructor(name: string, fd: number, close: boolean) {
		this.#name = name;
		this.#out = new BufferedDescriptor(fd);
		this.#close = close;
	}

	write(bytes: Uint8Array): void {
		try {
			this.#out.write(bytes);
		} catch (error) {
			throw fileError(error, this.#name);
		}
	}

	commit(): void {
		try {
			this.#out.flush();
		} catch (error) {
			throw fileError(error, this.#name);
		}
		this.discard();
	}

	discard(): void {
		if (this.#close) closeSync(this.#out.fd);
	}
}

/** Whether a path names something that a rename must not replace: a device, a pipe, a directory's place. */
function isSpecial(path: string): boolean {
	const stat = statSync(path, { throwIfNoEntry: false });
	return stat !== undefined && !stat.isFile() && !stat.isDirectory();
}

/** `-` is standard output. @throws UsageError where the path cannot be written */
export function openDestination(target: string | ByteSink): Destination {
	if (typeof target !== "string") return { seekable: false, write: (bytes) => target.write(bytes), commit() {}, discard() {} };
	if (target === "-") return new StreamDestination("standard output", 1, false);
	try {
		if (statSync(target, { throwIfNoEntry: false })?.isDirectory())
			throw new UsageError("cannot write a trace: is a directory", { where: target });
		if (isSpecial(target)) return new StreamDestination(target, openSync(target, "w"), true);
	} catch (error) {
		throw fileError(error, target);
	}
	return new FileDestination(target);
}

/** Blocks kept until the header is known: in memory while they are few, then in a file of which no name is left. */
export class Spool implements ByteSink {
	readonly #memory: Uint8Array[] = [];
	readonly #limit: number;
	#file: { fd: number; out: BufferedDescriptor; path: string } | undefined;
	length = 0;

	constructor(memoryBytes: number) {
		this.#limit = memoryBytes;
	}

	write(bytes: Uint8Array): void {
		this.length += bytes.length;
		if (this.#file === undefined && this.length <= this.#limit) {
			this.#memory.push(new Uint8Array(bytes));
			return;
		}
		this.#file ??= this.#spill();
		this.#file.out.write(bytes);
	}

	#spill(): { fd: number; out: BufferedDescriptor; path: string } {
		const path = `${tmpdir()}/.mmreplay-spool-${process.pid}-${Math.random().toString(36).slice(2)}`;
		const fd = openSync(path, "wx+", 0o600);
		// Without a name the space comes back however the process ends. Where that is refused, `close` removes it.
		if (process.platform !== "win32") rmSync(path);
		const out = new BufferedDescriptor(fd);
		for (const bytes of this.#memory) out.write(bytes);
		this.#memory.length = 0;
		return { fd, out, path };
	}

	copyTo(sink: ByteSink): void {
		for (const bytes of this.#memory) sink.write(bytes);
		if (this.#file === undefined) return;
		this.#file.out.flush();
		const { size } = fstatSync(this.#file.fd);
		const chunk = new Uint8Array(1 << 20);
		for (let at = 0; at < size; ) {
			const count = readSync(this.#file.fd, chunk, 0, chunk.length, at);
			sink.write(chunk.subarray(0, count));
			at += count;
		}
	}

	close(): void {
		this.#memory.length = 0;
		if (this.#file === undefined) return;
		closeSync(this.#file.fd);
		rmSync(this.#file.path, { force: true });
		this.#file = undefined;
	}
}
