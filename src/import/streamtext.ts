// Lines of an access stream as bytes, without a string for each: one pass, and a line that is none of the format's ends the import (or is counted).
import { BadInputError } from "../errors.js";

/** A line longer than this is of no stream that we read. */
const MAX_LINE = 1 << 16;
const NEWLINE = 10;
const RETURN = 13;

/** What a line was: of the format; noise that the format's tool writes beside it; or neither. */
export type LineKind = "taken" | "noise" | "foreign";

export interface StreamPlace {
	/** The source as the user named it. */
	readonly path: string;
	/** Count and skip what is damaged instead of ending there. */
	readonly lenient: boolean;
}

export interface LineFormat {
	/** What a line of it is, for the error. */
	readonly what: string;
	readonly hint: string;
	/** bytes[from..to) without the newline. */
	line(bytes: Uint8Array, from: number, to: number): LineKind;
}

export class StreamText {
	readonly #format: LineFormat;
	readonly #place: StreamPlace;
	/** The beginning of a line whose end has not come yet. */
	#rest = new Uint8Array(0);
	#number = 0;
	taken = 0;
	/** Lines that were skipped. */
	damaged = 0;

	constructor(format: LineFormat, place: StreamPlace) {
		this.#format = format;
		this.#place = place;
	}

	/** @throws BadInputError at a line that is none, unless lenient */
	push(chunk: Uint8Array): void {
		let from = 0;
		if (this.#rest.length > 0) {
			const end = chunk.indexOf(NEWLINE);
			const head = end < 0 ? chunk : chunk.subarray(0, end);
			const line = Buffer.concat([this.#rest, head]);
			if (line.length > MAX_LINE) this.#tooLong();
			if (end < 0) {
				this.#rest = line;
				return;
			}
			this.#rest = new Uint8Array(0);
			this.#take(line, 0, line.length);
			from = end + 1;
		}
		for (let end = chunk.indexOf(NEWLINE, from); end >= 0; end = chunk.indexOf(NEWLINE, from)) {
			this.#take(chunk, from, end);
			from = end + 1;
		}
		if (chunk.length - from > MAX_LINE) this.#tooLong();
		if (from < chunk.length) this.#rest = new Uint8Array(chunk.subarray(from));
	}

	/** A last line without a newline is a line like any other. */
	end(): void {
		const { length } = this.#rest;
		if (length > 0) this.#take(this.#rest, 0, length);
		this.#rest = new Uint8Array(0);
	}

	#take(bytes: Uint8Array, from: number, end: number): void {
		this.#number++;
		const to = end > from && bytes[end - 1] === RETURN ? end - 1 : end;
		const kind = this.#format.line(bytes, from, to);
		if (kind === "taken") this.taken++;
		else if (kind === "foreign") {
			if (!this.#place.lenient) {
				throw new BadInputError(`${this.#format.what}: ${excerpt(bytes, from, to)}`, {
					where: `${this.#place.path}, line ${this.#number}`,
					hint: this.#format.hint,
				});
			}
			this.damaged++;
		}
	}

	#tooLong(): never {
		throw new BadInputError(`a line is longer than ${MAX_LINE} bytes; this is no text of that format`, {
			where: `${this.#place.path}, line ${this.#number + 1}`,
		});
	}
}

function excerpt(bytes: Uint8Array, from: number, to: number): string {
	const text = Buffer.from(bytes.subarray(from, Math.min(to, from + 60)))
		.toString("latin1")
		.replace(/[^ -~]/g, "?");
	return `"${text}${to - from > 60 ? "…" : ""}"`;
}

/** Value of a hexadecimal digit by its byte; -1 where it is none. */
const DIGIT = new Int8Array(256).fill(-1);
for (let value = 0; value < 16; value++) {
	for (const text of [value.toString(16), value.toString(16).toUpperCase()]) DIGIT[text.charCodeAt(0)] = value;
}

/** Digits of a 48-bit address. */
const ADDRESS_DIGITS = 12;

/**
 * A hexadecimal address of at most 48 bits; -1 where it is none. The upper half of a canonical 64-bit address (a kernel's) loses its sign
 * extension and keeps its 48 bits: no two addresses become one.
 */
export function hexAddress(bytes: Uint8Array, from: number, to: number): number {
	if (to - from < 1 || to - from > 16) return -1;
	const low = Math.max(from, to - ADDRESS_DIGITS);
	let high = 0;
	for (let at = from; at < low; at++) {
		const digit = DIGIT[bytes[at]];
		if (digit < 0) return -1;
		high = high * 16 + digit;
	}
	let value = 0;
	for (let at = low; at < to; at++) {
		const digit = DIGIT[bytes[at]];
		if (digit < 0) return -1;
		value = value * 16 + digit;
	}
	return high === 0 || (high === 0xffff && value >= 2 ** 47) ? value : -1;
}

/** A decimal number of up to nine digits; -1 where it is none. */
export function decimal(bytes: Uint8Array, from: number, to: number): number {
	if (to - from < 1 || to - from > 9) return -1;
	let value = 0;
	for (let at = from; at < to; at++) {
		const digit = bytes[at] - 48;
		if (digit < 0 || digit > 9) return -1;
		value = value * 10 + digit;
	}
	return value;
}

/** Lines at the head of a source, whole ones, for telling its format. */
export function headLines(head: Uint8Array, most = 40): string[] {
	const lines = Buffer.from(head.subarray(0, MAX_LINE)).toString("latin1").split("\n");
	// The last one may be cut where the head was.
	if (lines.length > 1) lines.pop();
	return lines.slice(0, most).map((line) => line.replace(/\r$/, ""));
}
