// Lines of the kernel's own layout (tracefs, trace-cmd report) read as bytes: comm-pid, an optional (tgid), [cpu], flags, seconds, event, values
// (formats.md 2.2). What is not as usual is given to the reader of text, which knows every layout and says what is wrong.
import { KernelEvent } from "./event.js";
import { isSound, MISFIT, NameTable, readTemplate, type Template } from "./template.js";

const NEWLINE = 10;
const RETURN = 13;
const TAB = 9;
const SPACE = 32;
const HASH = 35;
const OPEN = 40;
const CLOSE = 41;
const MINUS = 45;
const DOT = 46;
const COLON = 58;
const BRACKET = 91;
const BRACKET_END = 93;

/** TASK_COMM_LEN less its NUL. */
const MAX_COMM = 15;
/** comm is printed in so many columns by perf. */
const COMM_COLUMNS = 16;
const ASCII = 126;
const SLASH = 47;
const PREFIXES = 4;

/** Beginning of a line up to the space behind its [cpu], as it was seen before. */
interface Prefix {
	bytes: Uint8Array;
	length: number;
	pid: number;
	tgid: number;
	comm: string;
}

/** What may stand behind the values of a line. Another "[" may be that of a second line, whose beginning was lost. */
const FILLER = new Uint8Array(256).fill(1, SPACE);
FILLER[TAB] = 1;
FILLER[RETURN] = 1;
FILLER[BRACKET] = 0;

/** Letters of a group's name. */
const GROUP = new Uint8Array(256);
for (const byte of Buffer.from("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")) GROUP[byte] = 1;

const isDigit = (byte: number): boolean => byte >= 48 && byte <= 57;

const POWERS = Float64Array.from({ length: 10 }, (_, places) => 10 ** places);

/** kernel: tracefs and trace-cmd report. perf: perf script. */
export type FastLayout = "kernel" | "perf";

export class FastLines {
	readonly #visit: (event: KernelEvent) => void;
	readonly #event = new KernelEvent();
	readonly #names = new NameTable();
	readonly #prefixes: Prefix[] = Array.from({ length: PREFIXES }, () => ({
		bytes: new Uint8Array(0),
		length: -1,
		pid: 0,
		tgid: -1,
		comm: "",
	}));
	#nextPrefix = 0;
	/** Lines that were read here. */
	taken = 0;
	/** Some time had parts of a microsecond. */
	nanoseconds = false;

	readonly #layout: FastLayout;

	constructor(layout: FastLayout, visit: (event: KernelEvent) => void) {
		this.#layout = layout;
		this.#visit = visit;
	}

	/** From now on, lines of this event are read by the template, or skipped. */
	learn(name: string, template: Template | null): void {
		this.#names.learn(name, template);
	}

	/** Lines of events that mean nothing, by name. */
	skipped(): [name: string, lines: number][] {
		return this.#names.skipped();
	}

	/** Reads the line at bytes[from]; the place behind its newline, or MISFIT where it is for the reader of text. A newline ends the bytes. */
	line(bytes: Uint8Array, from: number): number {
		let at = from;
		let prefix: Prefix | null = null;
		for (let each = 0; each < PREFIXES; each++) {
			const candidate = this.#prefixes[(this.#nextPrefix - 1 - each) & (PREFIXES - 1)];
			const { length } = candidate;
			let same = 0;
			while (same < length && candidate.bytes[same] === bytes[from + same]) same++;
			if (same !== length) continue;
			prefix = candidate;
			at = from + length;
			break;
		}
		if (prefix === null) {
			prefix = this.#layout === "perf" ? this.#perfPrefix(bytes, from) : this.#prefix(bytes, from);
			if (prefix === null) return MISFIT;
			at = from + prefix.length;
		}
		while (bytes[at] === SPACE) at++;
		if (!isDigit(bytes[at])) {
			const flags = at;
			while (bytes[at] > SPACE && bytes[at] !== COLON) at++;
			if (this.#layout === "perf" && at - flags !== 4 && at - flags !== 5) return MISFIT;
			while (bytes[at] === SPACE) at++;
		}
		let seconds = 0;
		const firstDigit = at;
		while (isDigit(bytes[at])) seconds = seconds * 10 + bytes[at++] - 48;
		if (at === firstDigit || at - firstDigit > 9 || bytes[at] !== DOT) return MISFIT;
		const point = ++at;
		let fraction = 0;
		while (isDigit(bytes[at])) fraction = (Math.imul(fraction, 10) + bytes[at++] - 48) | 0;
		const places = at - point;
		if (places === 0 || places > 9 || bytes[at] !== COLON || bytes[at + 1] !== SPACE) return MISFIT;
		at += 2;
		if (this.#layout === "perf") {
			while (bytes[at] === SPACE) at++;
			at = behindGroup(bytes, at);
		}
		const nameFrom = at;
		let hash = 0;
		while (bytes[at] !== COLON && bytes[at] > SPACE) hash = (Math.imul(hash, 31) + bytes[at++]) | 0;
		if (bytes[at] !== COLON) return MISFIT;
		const known = this.#names.find(hash, bytes, nameFrom, at);
		if (known === undefined) return MISFIT;
		at++;
		while (bytes[at] === SPACE) at++;
		const { template } = known;
		const event = this.#event;
		if (template !== null) {
			at = readTemplate(template, bytes, at, event.v);
			if (at === MISFIT || !isSound(template.code, event.v)) return MISFIT;
		}
		while (FILLER[bytes[at]] === 1) at++;
		if (bytes[at] !== NEWLINE) return MISFIT;
		this.taken++;
		if (places > 6 && fraction % POWERS[places - 6] !== 0) this.nanoseconds = true;
		if (template === null) known.skipped++;
		else {
			event.code = template.code;
			event.ns = seconds * 1e9 + fraction * POWERS[9 - places];
			event.pid = prefix.pid;
			event.tgid = prefix.tgid;
			event.comm = prefix.comm;
			this.#visit(event);
		}
		return at + 1;
	}

	/** comm-pid, (tgid) and [cpu] of a line, kept for those that begin alike; null where they are not as usual. */
	#prefix(bytes: Uint8Array, from: number): Prefix | null {
		let at = from;
		if (bytes[at] === HASH) return null;
		while (bytes[at] === SPACE) at++;
		const commFrom = at;
		while (bytes[at] >= SPACE && bytes[at] !== BRACKET) at++;
		if (bytes[at] !== BRACKET) return null;
		const bracket = at++;
		const cpu = at;
		while (isDigit(bytes[at])) at++;
		if (at === cpu || bytes[at] !== BRACKET_END || bytes[at + 1] !== SPACE) return null;
		const end = at + 2;
		let back = bracket - 1;
		if (bytes[back] !== SPACE) return null;
		while (bytes[back] === SPACE) back--;
		let tgid = -1;
		if (bytes[back] === CLOSE) {
			const close = back--;
			while (back > commFrom && isDigit(bytes[back])) back--;
			tgid = back + 1 === close ? -1 : numberOf(bytes, back + 1, close);
			while (bytes[back] === SPACE) back--;
			if (tgid < 0 || bytes[back] !== OPEN || bytes[back - 1] !== SPACE) return null;
			back--;
			while (bytes[back] === SPACE) back--;
		}
		const pidEnd = back + 1;
		while (back > commFrom && isDigit(bytes[back])) back--;
		if (back + 1 === pidEnd || pidEnd - back > 10 || bytes[back] !== MINUS || back - commFrom > MAX_COMM) return null;
		return this.#keep(
			bytes,
			from,
			end,
			numberOf(bytes, back + 1, pidEnd),
			tgid,
			Buffer.from(bytes.subarray(commFrom, back)).toString("utf8"),
		);
	}

	#keep(bytes: Uint8Array, from: number, end: number, pid: number, tgid: number, comm: string): Prefix {
		const kept = this.#prefixes[this.#nextPrefix];
		this.#nextPrefix = (this.#nextPrefix + 1) & (PREFIXES - 1);
		kept.bytes = Uint8Array.from(bytes.subarray(from, end));
		kept.length = end - from;
		kept.pid = pid;
		kept.tgid = tgid;
		kept.comm = comm;
		return kept;
	}

	/** As perf script has it: comm in 16 columns, tid or pid/tid, [cpu]. */
	#perfPrefix(bytes: Uint8Array, from: number): Prefix | null {
		let at = from;
		while (at < from + COMM_COLUMNS) {
			if (bytes[at] < SPACE || bytes[at] > ASCII || (at === from && bytes[at] === HASH)) return null;
			at++;
		}
		if (bytes[at] !== SPACE) return null;
		while (bytes[at] === SPACE) at++;
		const first = at;
		while (isDigit(bytes[at])) at++;
		if (at === first || at - first > 9) return null;
		let pid = numberOf(bytes, first, at);
		let tgid = -1;
		if (bytes[at] === SLASH) {
			tgid = pid;
			const second = ++at;
			while (isDigit(bytes[at])) at++;
			if (at === second || at - second > 9) return null;
			pid = numberOf(bytes, second, at);
		}
		if (bytes[at] !== SPACE) return null;
		while (bytes[at] === SPACE) at++;
		if (bytes[at++] !== BRACKET) return null;
		const cpu = at;
		while (isDigit(bytes[at])) at++;
		if (at === cpu || bytes[at] !== BRACKET_END || bytes[at + 1] !== SPACE) return null;
		const comm = Buffer.from(bytes.subarray(from, from + COMM_COLUMNS))
			.toString("latin1")
			.trim();
		return this.#keep(bytes, from, at + 2, pid, tgid, comm);
	}
}

/** Behind "group:", where the event's name has one. */
function behindGroup(bytes: Uint8Array, from: number): number {
	let at = from;
	while (GROUP[bytes[at]] === 1) at++;
	return bytes[at] === COLON && bytes[at + 1] > SPACE ? at + 1 : from;
}

function numberOf(bytes: Uint8Array, from: number, to: number): number {
	let value = 0;
	for (let at = from; at < to; at++) value = value * 10 + bytes[at] - 48;
	return value;
}
