// Lines of the kernel's own layout (tracefs, trace-cmd report, the latency format, perf script) read as bytes: comm-pid, an optional (tgid), [cpu],
// flags, seconds, event, values (formats.md 2.2). What is not as usual is given to the reader of text, which knows every layout and says what is wrong.
import { KernelEvent } from "./event.js";
import { KnownLines } from "./knownlines.js";
import { Beginnings, type Layout } from "./linebeginnings.js";
import { isSound, MISFIT, readTemplate } from "./template.js";

const NEWLINE = 10;
const RETURN = 13;
const TAB = 9;
const SPACE = 32;
const PLUS = 43;
const MINUS = 45;
const DOT = 46;
const COLON = 58;
const AT = 64;
const BRACKET = 91;
const BACKSLASH = 92;
const [LETTER_S, LETTER_U] = [115, 117] as const;

/** What may stand behind the values of a line. Another "[" may be that of a second line, whose beginning was lost. */
const FILLER = new Uint8Array(256).fill(1, SPACE);
FILLER[TAB] = 1;
FILLER[RETURN] = 1;
FILLER[BRACKET] = 0;

/** What ends the name of an event. */
const NAME_ENDS = new Uint8Array(256).fill(1, 0, SPACE + 1);
NAME_ENDS[COLON] = 1;

/** Letters of a group's name. */
const GROUP = new Uint8Array(256);
for (const byte of Buffer.from("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")) GROUP[byte] = 1;

const isDigit = (byte: number): boolean => byte >= 48 && byte <= 57;

/** irqs-off, and the columns that follow it in the same word. */
const LATENCY_FLAGS = 8;

/** Value of two digits by the word that they are in memory; -1 where one of them is none. */
const PAIRS = new Int8Array(1 << 16).fill(-1);
for (let value = 0; value < 100; value++) {
	const [first, second] = Buffer.from(String(value).padStart(2, "0"));
	PAIRS[first | (second << 8)] = value;
}

const POWERS = Float64Array.from({ length: 10 }, (_, places) => 10 ** places);

export class FastLines {
	readonly known = new KnownLines(NAME_ENDS);
	readonly #layout: Layout;
	readonly #beginnings: Beginnings;
	readonly #event = new KernelEvent();

	constructor(layout: Layout) {
		this.#layout = layout;
		this.#beginnings = new Beginnings(layout, this.known);
	}

	/**
	 * Reads the line at bytes[from] and visits its event; the place behind its newline, or MISFIT where it is for the reader of text. A newline ends
	 * the bytes; `view` has a few more.
	 */
	line(bytes: Uint8Array, view: DataView, from: number, visit: (event: KernelEvent) => void): number {
		const beginning = this.#beginnings.at(bytes, view, from);
		if (beginning === null) return MISFIT;
		let at = from + beginning.bytes.length;
		const perf = this.#layout === "perf";
		const latency = this.#layout === "latency";
		while (bytes[at] === SPACE) at++;
		if (latency || !isDigit(bytes[at])) {
			const cpu = at;
			if (latency) while (isDigit(bytes[at])) at++;
			if (latency && at === cpu) return MISFIT;
			const flags = at;
			while (bytes[at] > SPACE && bytes[at] !== COLON) at++;
			if (perf && at - flags !== 4 && at - flags !== 5) return MISFIT;
			if (latency && (bytes[at] !== SPACE || at - flags > LATENCY_FLAGS || at - flags === 1)) return MISFIT;
			while (bytes[at] === SPACE) at++;
		}
		let seconds = 0;
		const firstDigit = at;
		for (let pair = PAIRS[view.getUint16(at, true)]; pair >= 0 && at < firstDigit + 10; pair = PAIRS[view.getUint16(at, true)]) {
			seconds = seconds * 100 + pair;
			at += 2;
		}
		if (isDigit(bytes[at])) seconds = seconds * 10 + bytes[at++] - 48;
		if (at === firstDigit || at - firstDigit > 9) return MISFIT;
		let ns = 0;
		let fine = false;
		if (bytes[at] === DOT) {
			const point = ++at;
			let fraction = 0;
			for (let pair = PAIRS[view.getUint16(at, true)]; pair >= 0 && at < point + 10; pair = PAIRS[view.getUint16(at, true)]) {
				fraction = (Math.imul(fraction, 100) + pair) | 0;
				at += 2;
			}
			if (isDigit(bytes[at])) fraction = (Math.imul(fraction, 10) + bytes[at++] - 48) | 0;
			const places = at - point;
			if (places === 0 || places > 9) return MISFIT;
			fine = places > 6 && fraction % POWERS[places - 6] !== 0;
			ns = seconds * 1e9 + fraction * POWERS[9 - places];
		} else if (latency && bytes[at] === LETTER_U && bytes[at + 1] === LETTER_S) {
			at += 2;
			// How long it took: "+", "!" and others.
			if ((bytes[at] > SPACE && bytes[at] <= PLUS) || bytes[at] === AT) at++;
			while (bytes[at] === SPACE) at++;
			ns = seconds * 1000;
		} else return MISFIT;
		if (bytes[at] !== COLON || bytes[at + 1] !== SPACE) return MISFIT;
		at += 2;
		if (perf) {
			while (bytes[at] === SPACE) at++;
			at = behindGroup(bytes, at);
		}
		const event = this.known.named(bytes, view, at);
		if (event === null) return MISFIT;
		at = this.known.end;
		if (bytes[at] !== COLON) return MISFIT;
		at++;
		while (bytes[at] === SPACE) at++;
		const { template } = event;
		const taken = this.#event;
		if (template !== null) {
			at = readTemplate(template, bytes, view, at, taken.v);
			if (at === MISFIT || bytes[at] === BACKSLASH || !isSound(template.code, taken.v)) return MISFIT;
		}
		at = latency ? behindLatency(bytes, at) : behindFiller(bytes, at);
		if (bytes[at] !== NEWLINE) return MISFIT;
		this.known.taken++;
		if (fine) this.known.nanoseconds = true;
		if (template === null) event.skipped++;
		else {
			taken.code = template.code;
			taken.ns = ns;
			taken.pid = beginning.pid;
			taken.tgid = beginning.tgid;
			taken.comm = beginning.comm;
			visit(taken);
		}
		return at + 1;
	}
}

function behindFiller(bytes: Uint8Array, from: number): number {
	let at = from;
	while (FILLER[bytes[at]] === 1) at++;
	return at;
}

/** "-pid" may be that of a second line, whose beginning was lost. */
function behindLatency(bytes: Uint8Array, from: number): number {
	let at = from;
	while (FILLER[bytes[at]] === 1 && !(bytes[at] === MINUS && isDigit(bytes[at + 1]))) at++;
	return at;
}

/** Behind "group:", where the event's name has one. */
function behindGroup(bytes: Uint8Array, from: number): number {
	let at = from;
	while (GROUP[bytes[at]] === 1) at++;
	return bytes[at] === COLON && bytes[at + 1] > SPACE ? at + 1 : from;
}
