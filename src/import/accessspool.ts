// Accesses of a log, by their number: in memory while they are few, then in a file of which no name is left. A log may be larger than memory.
import { closeSync, openSync, readSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileError, retryWhileBusy } from "../trace/systemerror.js";

/** Accesses of a part; two numbers each. */
const PART = 1 << 15;
/** Parts that stay in memory. */
const HELD = 16;

export class AccessSpool {
	/** Of the access that was read last. */
	gpa = 0;
	hva = 0;
	write = false;
	length = 0;
	readonly #held: Float64Array[] = [];
	#last = new Float64Array(2 * PART);
	/** A part of the file, and its number. */
	#window = new Float64Array(0);
	#windowPart = -1;
	#fd = -1;
	#path = "";

	push(gpa: number, hva: number, write: boolean): void {
		const at = 2 * (this.length++ % PART);
		this.#last[at] = gpa;
		// Addresses have 52 bits at most.
		this.#last[at + 1] = 2 * hva + (write ? 1 : 0);
		if (at + 2 < this.#last.length) return;
		if (this.#held.length < HELD) {
			this.#held.push(this.#last);
			this.#last = new Float64Array(2 * PART);
		} else this.#append();
	}

	/** @throws LimitError where the disk is full */
	#append(): void {
		try {
			if (this.#fd < 0) {
				this.#path = join(tmpdir(), `.mmreplay-accesses-${process.pid}-${Math.random().toString(36).slice(2)}`);
				this.#fd = openSync(this.#path, "wx+", 0o600);
				// Without a name the space comes back however the process ends. Where that is refused, `close` removes it.
				if (process.platform !== "win32") rmSync(this.#path);
			}
			const bytes = new Uint8Array(this.#last.buffer);
			for (let at = 0; at < bytes.length; ) at += retryWhileBusy(() => writeSync(this.#fd, bytes, at, bytes.length - at));
		} catch (error) {
			throw fileError(error, tmpdir());
		}
	}

	read(number: number): void {
		const part = Math.floor(number / PART);
		const at = 2 * (number % PART);
		const numbers =
			part < this.#held.length ? this.#held[part] : part === Math.floor(this.length / PART) ? this.#last : this.#windowAt(part);
		this.gpa = numbers[at] ?? 0;
		const second = numbers[at + 1] ?? 0;
		this.write = second % 2 === 1;
		this.hva = Math.floor(second / 2);
	}

	#windowAt(part: number): Float64Array {
		if (part === this.#windowPart) return this.#window;
		if (this.#window.length === 0) this.#window = new Float64Array(2 * PART);
		const bytes = new Uint8Array(this.#window.buffer);
		const place = (part - HELD) * bytes.length;
		for (let at = 0; at < bytes.length; ) {
			const count = readSync(this.#fd, bytes, at, bytes.length - at, place + at);
			if (count === 0) throw new Error("the file of accesses is shorter than it was written");
			at += count;
		}
		this.#windowPart = part;
		return this.#window;
	}

	close(): void {
		if (this.#fd < 0) return;
		closeSync(this.#fd);
		rmSync(this.#path, { force: true });
		this.#fd = -1;
	}
}
