// How a line of the kernel's layouts begins: comm-pid, an optional (tgid) and the CPU (formats.md 2.2). Beginnings that came before are known by their
// bytes.
import type { KnownLines } from "./knownlines.js";
import { type Literal, literalOf, startsWith } from "./literal.js";

/** kernel: tracefs and trace-cmd report. latency: both, where CPU and flags are one word. perf: perf script. */
export type Layout = "kernel" | "latency" | "perf";

const SPACE = 32;
const HASH = 35;
const OPEN = 40;
const CLOSE = 41;
const MINUS = 45;
const SLASH = 47;
const COLON = 58;
const BRACKET = 91;
const BRACKET_END = 93;
const ASCII = 126;

/** TASK_COMM_LEN less its NUL. */
const MAX_COMM = 15;
/** comm is printed in so many columns by perf. */
const COMM_COLUMNS = 16;
/** The latency format has 8 bytes of comm, and pads them to 8 columns. */
const LATENCY_COMM = 8;
/** A power of two. */
const KEPT = 16;

interface Beginning {
	bytes: Literal;
	readonly pid: number;
	readonly tgid: number;
	readonly comm: string;
}

const isDigit = (byte: number): boolean => byte >= 48 && byte <= 57;

export class Beginnings {
	readonly #layout: Layout;
	readonly #known: KnownLines;
	readonly #kept: (Beginning | null)[] = Array.from({ length: KEPT }, () => null);
	#next = 0;
	#last = 0;

	constructor(layout: Layout, known: KnownLines) {
		this.#layout = layout;
		this.#known = known;
	}

	/** null where it is not as usual. */
	at(bytes: Uint8Array, view: DataView, from: number): Beginning | null {
		for (let each = 0; each < KEPT; each++) {
			const slot = (this.#last + each) & (KEPT - 1);
			const candidate = this.#kept[slot];
			if (candidate === null || !startsWith(view, from, candidate.bytes)) continue;
			this.#last = slot;
			return candidate;
		}
		if (this.#layout === "perf") return this.#perf(bytes, view, from);
		return this.#layout === "latency" ? this.#latency(bytes, view, from) : this.#kernel(bytes, view, from);
	}

	#kernel(bytes: Uint8Array, view: DataView, from: number): Beginning | null {
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
		const end = behindFlags(bytes, at + 2);
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
		const pid = numberOf(bytes, back + 1, pidEnd);
		return this.#keep(bytes, from, end, pid, tgid, this.#known.comm(pid, bytes, view, commFrom, back));
	}

	/** comm in 8 columns, the pid, and one digit of the CPU that follows, which is not part of it. */
	#latency(bytes: Uint8Array, view: DataView, from: number): Beginning | null {
		let at = from;
		if (bytes[at] === HASH) return null;
		while (bytes[at] === SPACE) at++;
		const commFrom = at;
		let dash = -1;
		// The last "-pid" is the one.
		for (const end = commFrom + LATENCY_COMM; at <= end && bytes[at] >= SPACE && bytes[at] <= ASCII; at++)
			if (bytes[at] === MINUS) dash = at;
		if (dash < 0) return null;
		at = dash + 1;
		while (isDigit(bytes[at])) at++;
		if (at === dash + 1 || at - dash > 10 || bytes[at] !== SPACE) return null;
		const pidEnd = at;
		while (bytes[at] === SPACE) at++;
		const end = at;
		while (isDigit(bytes[at])) at++;
		// The CPU, its flags, a space.
		if (at === end) return null;
		const pid = numberOf(bytes, dash + 1, pidEnd);
		return this.#keep(bytes, from, end, pid, -1, this.#known.comm(pid, bytes, view, commFrom, dash));
	}

	/** comm in 16 columns, tid or pid/tid, [cpu]. */
	#perf(bytes: Uint8Array, view: DataView, from: number): Beginning | null {
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
		let commFrom = from;
		let commTo = from + COMM_COLUMNS;
		while (commFrom < commTo && bytes[commFrom] === SPACE) commFrom++;
		while (commTo > commFrom && bytes[commTo - 1] === SPACE) commTo--;
		return this.#keep(bytes, from, at + 2, pid, tgid, this.#known.comm(pid, bytes, view, commFrom, commTo));
	}

	#keep(bytes: Uint8Array, from: number, end: number, pid: number, tgid: number, comm: string): Beginning {
		const made: Beginning = { bytes: literalOf(bytes.subarray(from, end)), pid, tgid, comm };
		this.#last = this.#next;
		this.#kept[this.#next] = made;
		this.#next = (this.#next + 1) & (KEPT - 1);
		return made;
	}
}

/** Flags come again as well: they are part of what is compared at once, where a time stands behind them. */
function behindFlags(bytes: Uint8Array, from: number): number {
	let at = from;
	while (bytes[at] === SPACE) at++;
	if (!isDigit(bytes[at])) {
		while (bytes[at] > SPACE && bytes[at] !== COLON) at++;
		while (bytes[at] === SPACE) at++;
	}
	return isDigit(bytes[at]) ? at : from;
}

function numberOf(bytes: Uint8Array, from: number, to: number): number {
	let value = 0;
	for (let at = from; at < to; at++) value = value * 10 + bytes[at] - 48;
	return value;
}
