// Events of a capture between its first look and its import: in memory while they are few, then in a file of which no name is left. A capture is so read
// and understood once.
import { closeSync, openSync, readSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileError, retryWhileBusy } from "../trace/systemerror.js";
import { type EventBatch, KernelEvent } from "./event.js";
import { EventColumns, TaskNames } from "./eventcolumns.js";

const EVENTS_PER_PART = 1 << 13;
/** Parts beyond this go to the file: fresh memory costs more than the cache of a file does. */
const MEMORY_BYTES = 4 << 20;

/** A full part: ns, values, tasks, codes, then what its marks say (JSON). */
interface Part {
	readonly events: number;
	readonly values: number;
	readonly bytes: number;
	/** undefined: in the file. */
	readonly held: Uint8Array | undefined;
}

export class EventSpool {
	readonly #columns = new EventColumns(new TaskNames());
	readonly #parts: Part[] = [];
	readonly #memoryBytes: number;
	#held = 0;
	#scratch = new Uint8Array(0);
	#fd = -1;
	#path = "";

	constructor(memoryBytes = MEMORY_BYTES) {
		this.#memoryBytes = memoryBytes;
	}

	push(event: KernelEvent): void {
		this.#columns.push(event);
		if (this.#columns.count === EVENTS_PER_PART) this.#store();
	}

	#store(): void {
		const columns = this.#columns;
		const { count: events, valueCount: values } = columns;
		const texts = columns.texts.length === 0 ? NO_TEXTS : Buffer.from(JSON.stringify(columns.texts));
		const bytes = this.#scratchOf(13 * events + 8 * values + texts.length);
		let at = 0;
		for (const column of [
			columns.ns.subarray(0, events),
			columns.values.subarray(0, values),
			columns.task.subarray(0, events),
			columns.code.subarray(0, events),
			texts,
		]) {
			bytes.set(new Uint8Array(column.buffer, column.byteOffset, column.byteLength), at);
			at += column.byteLength;
		}
		const fits = this.#fd < 0 && this.#held + bytes.length <= this.#memoryBytes;
		this.#parts.push({ events, values, bytes: bytes.length, held: fits ? Uint8Array.from(bytes) : undefined });
		if (fits) this.#held += bytes.length;
		else this.#append(bytes);
		columns.clear();
	}

	/** The same memory for every part: fresh memory is what costs. */
	#scratchOf(length: number): Uint8Array {
		if (this.#scratch.length < length) this.#scratch = new Uint8Array(length * 2);
		return this.#scratch.subarray(0, length);
	}

	/** @throws LimitError where the disk is full */
	#append(bytes: Uint8Array): void {
		try {
			if (this.#fd < 0) {
				this.#path = join(tmpdir(), `.mmreplay-events-${process.pid}-${Math.random().toString(36).slice(2)}`);
				this.#fd = openSync(this.#path, "wx+", 0o600);
				// Without a name the space comes back however the process ends. Where that is refused, `close` removes it.
				if (process.platform !== "win32") rmSync(this.#path);
			}
			for (let at = 0; at < bytes.length; ) at += retryWhileBusy(() => writeSync(this.#fd, bytes, at, bytes.length - at));
		} catch (error) {
			throw fileError(error, tmpdir());
		}
	}

	/** All events, in the order in which they came; once. */
	*batches(): Generator<EventBatch> {
		if (this.#columns.count > 0) this.#store();
		const columns = this.#columns;
		const event = new KernelEvent();
		let place = 0;
		for (const part of this.#parts) {
			const bytes = part.held ?? this.#read(place, part.bytes);
			if (part.held === undefined) place += part.bytes;
			fill(columns, part, bytes);
			yield {
				each: (visit) => {
					for (let at = 0; at < part.events; at++) {
						columns.lend(at, event);
						visit(event);
					}
				},
			};
		}
	}

	#read(place: number, length: number): Uint8Array {
		const bytes = this.#scratchOf(length);
		for (let at = 0; at < length; ) {
			const count = readSync(this.#fd, bytes, at, length - at, place + at);
			if (count === 0) throw new Error("the file of events is shorter than it was written");
			at += count;
		}
		return bytes;
	}

	close(): void {
		this.#parts.length = 0;
		if (this.#fd < 0) return;
		closeSync(this.#fd);
		rmSync(this.#path, { force: true });
		this.#fd = -1;
	}
}

const NO_TEXTS = new Uint8Array(0);

/** A part back into columns. */
function fill(columns: EventColumns, { events, values }: Part, bytes: Uint8Array): void {
	columns.clear();
	columns.reserve(events, values);
	let at = 0;
	for (const [column, length] of [
		[columns.ns, 8 * events],
		[columns.values, 8 * values],
		[columns.task, 4 * events],
		[columns.code, events],
	] as const) {
		new Uint8Array(column.buffer, column.byteOffset, length).set(bytes.subarray(at, at + length));
		at += length;
	}
	if (at < bytes.length) columns.texts = textsOf(bytes.subarray(at));
	columns.settle(events);
}

function textsOf(bytes: Uint8Array): string[] {
	const texts: unknown = JSON.parse(Buffer.from(bytes).toString("utf8"));
	return Array.isArray(texts) ? texts.map(String) : [];
}
