// Files that nobody else sees: what a command makes on the way, and standard input as a file.
import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { retryWhileBusy } from "../trace/sink.js";

/** A folder of our own, removed as soon as its file is open, or when the process exits before that. */
export class Scratch {
	readonly folder = mkdtempSync(join(tmpdir(), "mmreplay-"));
	readonly file = join(this.folder, "trace.mmtrace");

	constructor() {
		process.on("exit", this.remove);
	}

	readonly remove = (): void => {
		process.off("exit", this.remove);
		rmSync(this.folder, { recursive: true, force: true });
	};
}

const CHUNK_BYTES = 1 << 20;

/** Standard input as a file: a trace is read more than once, and a capture is told by its first bytes. */
export function spoolInput(target: string): void {
	const chunk = new Uint8Array(CHUNK_BYTES);
	const out = openSync(target, "wx", 0o600);
	try {
		for (;;) {
			const count = retryWhileBusy(() => readSync(0, chunk, 0, chunk.length, null));
			if (count === 0) return;
			for (let at = 0; at < count; ) at += writeSync(out, chunk, at, count - at);
		}
	} finally {
		closeSync(out);
	}
}
