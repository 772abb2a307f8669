// The access log of one VM (`access.vm<N>.txt`): its memslots, and every access and host operation in order, by phase. Read as bytes; the accesses lie in
// a spool, since a log may be larger than memory.
import { BadInputError } from "../errors.js";
import { AccessSpool } from "./accessspool.js";
import { readBytes } from "./bytes.js";
import type { SourceDigest } from "./input.js";
import { hexAddress, type LineFormat, type LineKind, StreamText } from "./streamtext.js";

/** A host operation between accesses: D P p U M F K k e (data page: data/README.md). */
export interface LoggedOperation {
	readonly letter: string;
	readonly hva: number;
	readonly bytes: number;
}

/** Accesses of one actor in one phase, by their number. */
export class AccessList {
	length = 0;
	readonly #spool: AccessSpool;
	/** Number of its first access in the spool. */
	#first = 0;
	/** Where the log comes back to a phase: numbers in the list and in the spool of the first of each later run. */
	#later: { readonly from: number; readonly spooled: number }[] | null = null;
	#end = 0;

	constructor(spool: AccessSpool) {
		this.#spool = spool;
	}

	push(gpa: number, hva: number, write: boolean): void {
		const spooled = this.#spool.length;
		if (this.length === 0) this.#first = spooled;
		else if (this.#end !== spooled) {
			this.#later ??= [];
			this.#later.push({ from: this.length, spooled });
		}
		this.#spool.push(gpa, hva, write);
		this.#end = spooled + 1;
		this.length++;
	}

	/** The spool, at an access of the list. */
	read(number: number): AccessSpool {
		this.#spool.read(this.#later === null ? this.#first + number : this.#spooled(this.#later, number));
		return this.#spool;
	}

	#spooled(runs: readonly { readonly from: number; readonly spooled: number }[], number: number): number {
		let low = 0;
		let high = runs.length;
		while (low < high) {
			const middle = (low + high) >> 1;
			if (runs[middle].from <= number) low = middle + 1;
			else high = middle;
		}
		return low === 0 ? this.#first + number : runs[low - 1].spooled + number - runs[low - 1].from;
	}
}

/** Made as they are met: a log may have many phases. */
class LoggedPhase {
	guest: AccessList | null = null;
	host: AccessList | null = null;
	operations: LoggedOperation[] = NO_OPERATIONS;
}

const NO_OPERATIONS: LoggedOperation[] = [];

interface LoggedSlot {
	readonly slot: number;
	readonly gpa: number;
	readonly hva: number;
	readonly bytes: number;
}

export interface AccessLog {
	readonly vm: number;
	readonly pid: number;
	readonly slots: readonly LoggedSlot[];
	readonly phases: ReadonlyMap<number, LoggedPhase>;
	readonly source: SourceDigest;
	readonly warnings: readonly string[];
	/** Lines whose number within their phase and actor is not the next one: some are missing, doubled or out of order. */
	readonly gaps: number;
	/** Lines that are none, and were left out. */
	readonly damaged: number;
	/** Its accesses are not read any more. */
	close(): void;
}

const VM = /^# vm (\d{1,9}) pid (\d{1,9})\b/;
const SLOT = /^# slot (\d{1,9}) gpa (0x[0-9a-f]{1,13}) hva (0x[0-9a-f]{1,12}) size (0x[0-9a-f]{1,13})\b/;
const PAGE = 4096;
/** User addresses, and guest-physical ones. */
const MAX_HVA = 2 ** 47;
const MAX_GPA = 2 ** 52;

const SPACE = 32;
const HASH = 35;
const ZERO = 48;
const X = 120;
const W = 87;
const MAX_DIGITS = 15;
const NONE = -1;

class AccessLogLines implements LineFormat {
	readonly what = "not a line of an access log (phase vm actor index op gpa hva value)";
	readonly hint = "--lenient leaves such lines out";
	readonly slots: LoggedSlot[] = [];
	readonly phases = new Map<number, LoggedPhase>();
	vm = NONE;
	pid = NONE;
	gaps = 0;
	readonly #guest: AccessSpool;
	readonly #host: AccessSpool;
	/** Of the last line: most lines are of the same one. */
	#number = NONE;
	#phase: LoggedPhase | undefined;
	/** Behind the field that was read last. */
	#at = 0;

	constructor(guest: AccessSpool, host: AccessSpool) {
		this.#guest = guest;
		this.#host = host;
	}

	line(bytes: Uint8Array, from: number, to: number): LineKind {
		if (to === from) return "noise";
		if (bytes[from] === HASH) return this.#head(Buffer.from(bytes.subarray(from, Math.min(to, from + 256))).toString("latin1"));
		this.#at = from;
		const number = this.#value(bytes, to);
		const vm = this.#value(bytes, to);
		const actor = this.#at;
		const index = bytes.indexOf(SPACE, actor);
		this.#at = index + 1;
		const place = this.#value(bytes, to);
		const letter = this.#at;
		this.#at = letter + 2;
		if (number < 0 || vm !== this.vm || vm < 0 || index < 0 || place < 0 || letter + 1 >= to || bytes[letter + 1] !== SPACE)
			return "foreign";
		const gpa = this.#value(bytes, to);
		const hva = this.#value(bytes, to);
		const last = this.#at;
		if (gpa < 0 || gpa >= MAX_GPA || hva < 0 || hva >= MAX_HVA || last >= to || bytes.subarray(last, to).includes(SPACE)) return "foreign";
		if (is(bytes, actor, index, GUEST) || is(bytes, actor, index, HOST)) {
			const phase = this.#phaseOf(number);
			const accesses = bytes[actor] === GUEST[0] ? this.#guestOf(phase) : this.#hostOf(phase);
			if (place !== accesses.length) this.gaps++;
			accesses.push(gpa, hva, bytes[letter] === W);
			return "taken";
		}
		if (!is(bytes, actor, index, OPERATION)) return "foreign";
		const length = numberOf(bytes, last, to);
		// What is operated on is the guest's memory.
		if (length < 0 || !this.slots.some((slot) => hva >= slot.hva && hva + length <= slot.hva + slot.bytes)) return "foreign";
		const phase = this.#phaseOf(number);
		if (phase.operations === NO_OPERATIONS) phase.operations = [];
		phase.operations.push({ letter: String.fromCharCode(bytes[letter]), hva, bytes: length });
		return "taken";
	}

	#phaseOf(number: number): LoggedPhase {
		if (number === this.#number && this.#phase !== undefined) return this.#phase;
		let phase = this.phases.get(number);
		if (phase === undefined) {
			phase = new LoggedPhase();
			this.phases.set(number, phase);
		}
		this.#number = number;
		this.#phase = phase;
		return phase;
	}

	#guestOf(phase: LoggedPhase): AccessList {
		phase.guest ??= new AccessList(this.#guest);
		return phase.guest;
	}

	#hostOf(phase: LoggedPhase): AccessList {
		phase.host ??= new AccessList(this.#host);
		return phase.host;
	}

	/** The number that stands here, up to the next space; NONE where there is none. */
	#value(bytes: Uint8Array, to: number): number {
		const from = this.#at;
		let at = from;
		let value = 0;
		for (; at < to; at++) {
			const digit = bytes[at] - ZERO;
			if (digit < 0 || digit > 9) break;
			value = value * 10 + digit;
		}
		if (at > from && at - from <= MAX_DIGITS && at < to && bytes[at] === SPACE) {
			this.#at = at + 1;
			return value;
		}
		const end = bytes.indexOf(SPACE, from);
		if (end < 0 || end >= to) return NONE;
		this.#at = end + 1;
		return numberOf(bytes, from, end);
	}

	#head(text: string): LineKind {
		const head = VM.exec(text);
		if (head !== null) {
			this.vm = Number(head[1]);
			this.pid = Number(head[2]);
		}
		const slot = SLOT.exec(text);
		if (slot === null) return text.startsWith("# slot ") || (head === null && text.startsWith("# vm ")) ? "foreign" : "noise";
		const [id = 0, gpa = 0, hva = 0, bytes = 0] = slot.slice(1).map(Number);
		const aligned = gpa % PAGE === 0 && hva % PAGE === 0 && bytes % PAGE === 0;
		if (!aligned || bytes === 0 || gpa + bytes > MAX_GPA || hva + bytes > MAX_HVA) return "foreign";
		this.slots.push({ slot: id, gpa, hva, bytes });
		return "noise";
	}
}

const [GUEST, HOST, OPERATION] = ["guest", "host", "op"].map((word) => Buffer.from(word)) as [Buffer, Buffer, Buffer];

function is(bytes: Uint8Array, from: number, to: number, word: Uint8Array): boolean {
	if (to - from !== word.length) return false;
	for (let at = 0; at < word.length; at++) if (bytes[from + at] !== word[at]) return false;
	return true;
}

/** Hexadecimal behind 0x, or decimal; NONE where it is neither. */
function numberOf(bytes: Uint8Array, from: number, to: number): number {
	if (bytes[from] === ZERO && bytes[from + 1] === X) return hexAddress(bytes, from + 2, to);
	if (to === from || to - from > MAX_DIGITS) return NONE;
	let value = 0;
	for (let at = from; at < to; at++) {
		const digit = bytes[at] - ZERO;
		if (digit < 0 || digit > 9) return NONE;
		value = value * 10 + digit;
	}
	return value;
}

/** @throws BadInputError where the file is no access log, lacks its header, or has damaged lines, unless `lenient` */
export async function readAccessLog(path: string, lenient: boolean): Promise<AccessLog> {
	const guest = new AccessSpool();
	const host = new AccessSpool();
	const close = (): void => {
		guest.close();
		host.close();
	};
	try {
		const source: SourceDigest = { name: "", sha256: "" };
		const lines = new AccessLogLines(guest, host);
		const text = new StreamText(lines, { path, lenient });
		for await (const chunk of readBytes(path, source)) text.push(chunk);
		text.end();
		const { vm, pid, slots, phases, gaps } = lines;
		if (vm < 0 || slots.length === 0)
			throw new BadInputError("no header with the VM and its memslots (# vm …, # slot …)", {
				where: path,
				hint: "is this an access log of the rig?",
			});
		const { damaged } = text;
		const warnings = damaged === 0 ? [] : [`${source.name}: ${damaged} lines are none of an access log's and were left out`];
		return { vm, pid, slots, phases, source, warnings, gaps, damaged, close };
	} catch (error) {
		close();
		throw error;
	}
}
