// Crash-safe files: written under a temporary name in the same directory, made durable, then renamed onto the final name.
// A reader sees the old file or the whole new one; a kill at the worst moment leaves a dotfile and never half a trace.
import { randomBytes } from "node:crypto";
import { closeSync, fsyncSync, openSync, realpathSync, renameSync, rmSync } from "node:fs";
import { constants } from "node:os";
import { basename, dirname, join } from "node:path";

/** Temporaries to remove if the process ends before whoever made them does. */
const open = new Set<string>();
const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

function removeAll(): void {
	for (const path of open) rmSync(path, { force: true, recursive: true });
	open.clear();
}

/**
 * An interrupt removes the temporaries. Where nobody else listens, it then ends the process as it would have; a command with its own
 * handler (exit 130, partial results) keeps the last word. A signal is seen when the event loop turns: long synchronous producers should let it.
 */
function onSignal(signal: NodeJS.Signals): void {
	removeAll();
	if (process.listenerCount(signal) === 1) process.exit(128 + constants.signals[signal]);
}

/** A file or folder to remove if the process ends before `unwatchTemporary`. */
export function watchTemporary(path: string): void {
	if (open.size === 0) {
		process.on("exit", removeAll);
		for (const signal of SIGNALS) process.on(signal, onSignal);
	}
	open.add(path);
}

export function unwatchTemporary(path: string): void {
	if (!open.delete(path) || open.size > 0) return;
	process.off("exit", removeAll);
	for (const signal of SIGNALS) process.off(signal, onSignal);
}

function realTarget(path: string): string {
	try {
		return realpathSync(path);
	} catch {
		return path;
	}
}

export class TemporaryFile {
	readonly fd: number;
	readonly #path: string;
	readonly #temporary: string;
	#done = false;

	/** @throws the open's system error */
	constructor(path: string) {
		// A symbolic link stays one: what it points to is replaced.
		this.#path = realTarget(path);
		this.#temporary = join(dirname(this.#path), `.${basename(this.#path)}.${process.pid}-${randomBytes(4).toString("hex")}.tmp`);
		this.fd = openSync(this.#temporary, "wx+");
		watchTemporary(this.#temporary);
	}

	/** Make the file durable under its final name. */
	commit(): void {
		if (this.#done) return;
		fsyncSync(this.fd);
		closeSync(this.fd);
		this.#done = true;
		renameSync(this.#temporary, this.#path);
		unwatchTemporary(this.#temporary);
		syncDirectory(dirname(this.#path));
	}

	/** Remove it; nothing happens after a commit. */
	discard(): void {
		if (!this.#done) {
			this.#done = true;
			closeSync(this.fd);
		}
		rmSync(this.#temporary, { force: true });
		unwatchTemporary(this.#temporary);
	}
}

/** The rename itself is durable once the directory is; some systems cannot sync one, and then it is not asked. */
function syncDirectory(path: string): void {
	try {
		const fd = openSync(path, "r");
		try {
			fsyncSync(fd);
		} finally {
			closeSync(fd);
		}
	} catch {
		// Windows refuses to open a directory; network file systems refuse to sync one.
	}
}
