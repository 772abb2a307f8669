// What readers of lines as bytes learn on the way: the events by their names, with how to read each, and the names of tasks.
import { type Literal, literalOf, startsWith } from "./literal.js";
import type { Template } from "./template.js";

/** What is known of the lines of one event. */
interface KnownName {
	readonly text: string;
	readonly name: Literal;
	/** null: they mean nothing. */
	readonly template: Template | null;
	/** Lines so far that mean nothing. */
	skipped: number;
	/** The event that came behind it last: most often it comes again. */
	next: KnownName | null;
}

interface KnownComm {
	readonly pid: number;
	readonly bytes: Literal;
	readonly comm: string;
}

/** Powers of two: more events than a capture has, and tasks at hand. */
const NAMES = 512;
const COMMS = 256;

export class KnownLines {
	/** Which bytes end a name, 1 each. */
	readonly #ends: Uint8Array;
	readonly #names: (KnownName | undefined)[] = Array.from({ length: NAMES });
	readonly #comms: (KnownComm | undefined)[] = Array.from({ length: COMMS });
	#last: KnownName | null = null;
	/** Lines that were read. */
	taken = 0;
	/** Some time had parts of a microsecond. */
	nanoseconds = false;
	/** Where the name ends that was found last. */
	end = 0;

	constructor(ends: Uint8Array) {
		this.#ends = ends;
	}

	/** From now on, lines of this event are read by the template, or skipped. */
	learn(name: string, template: Template | null): void {
		const bytes = Buffer.from(name, "latin1");
		let hash = 0;
		for (const byte of bytes) hash = (Math.imul(hash, 31) + byte) | 0;
		for (let tries = 0; tries < NAMES / 2; tries++) {
			const slot = (hash + tries) & (NAMES - 1);
			if (this.#names[slot] !== undefined) continue;
			this.#names[slot] = { text: name, name: literalOf(bytes), template, skipped: 0, next: null };
			return;
		}
	}

	/** Lines of events that mean nothing, by name. */
	skipped(): [name: string, lines: number][] {
		return this.#names.flatMap((known) =>
			known === undefined || known.skipped === 0 ? [] : [[known.text, known.skipped] as [string, number]],
		);
	}

	/** The event whose name begins here, and sets `end`; null where it is not known. */
	named(bytes: Uint8Array, view: DataView, from: number): KnownName | null {
		const likely = this.#last?.next ?? null;
		if (likely !== null) {
			const end = from + likely.name.length;
			if (this.#ends[bytes[end]] === 1 && startsWith(view, from, likely.name)) {
				this.end = end;
				this.#last = likely;
				return likely;
			}
		}
		let at = from;
		let hash = 0;
		while (this.#ends[bytes[at]] === 0) hash = (Math.imul(hash, 31) + bytes[at++]) | 0;
		this.end = at;
		for (let tries = 0; tries < NAMES; tries++) {
			const known = this.#names[(hash + tries) & (NAMES - 1)];
			if (known === undefined) return null;
			if (known.name.length !== at - from || !startsWith(view, from, known.name)) continue;
			if (this.#last !== null) this.#last.next = known;
			this.#last = known;
			return known;
		}
		return null;
	}

	comm(pid: number, bytes: Uint8Array, view: DataView, from: number, to: number): string {
		const known = this.#comms[pid & (COMMS - 1)];
		if (known !== undefined && known.pid === pid && known.bytes.length === to - from && startsWith(view, from, known.bytes))
			return known.comm;
		const own = Buffer.from(bytes.subarray(from, to));
		const comm = own.toString("utf8");
		this.#comms[pid & (COMMS - 1)] = { pid, bytes: literalOf(own), comm };
		return comm;
	}
}
