// Events of a capture as columns, without an object for each: what is held back to be put in order, and what is kept between the first look at a
// capture and its import.
import { Code, type KernelEvent, WIDTHS } from "./event.js";

/** A task as some event names it. */
interface Named {
	readonly pid: number;
	readonly tgid: number;
	readonly comm: string;
	readonly index: number;
}

/** A power of two: tasks at hand by their pid. */
const AT_HAND = 256;

/** Tasks by number: what an event says of its task is the same for most of them. */
export class TaskNames {
	readonly #named: Named[] = [];
	readonly #indexes = new Map<string, number>();
	readonly #atHand: (Named | undefined)[] = Array.from({ length: AT_HAND });

	indexOf(pid: number, tgid: number, comm: string): number {
		const known = this.#atHand[pid & (AT_HAND - 1)];
		if (known !== undefined && known.pid === pid && known.comm === comm && Object.is(known.tgid, tgid)) return known.index;
		const key = `${pid} ${tgid} ${comm}`;
		let index = this.#indexes.get(key);
		if (index === undefined) {
			index = this.#named.length;
			this.#indexes.set(key, index);
			this.#named.push({ pid, tgid, comm, index });
		}
		this.#atHand[pid & (AT_HAND - 1)] = this.#named[index];
		return index;
	}

	lend(index: number, event: KernelEvent): void {
		const { pid, tgid, comm } = this.#named[index];
		event.pid = pid;
		event.tgid = tgid;
		event.comm = comm;
	}
}

export class EventColumns {
	readonly #tasks: TaskNames;
	ns = new Float64Array(1 << 12);
	task = new Uint32Array(1 << 12);
	code = new Uint8Array(1 << 12);
	/** Where the values of each begin. */
	#from = new Uint32Array(1 << 12);
	values = new Float64Array(1 << 14);
	valueCount = 0;
	/** What marks say, in their order; the value of a mark is its number here. */
	texts: string[] = [];
	count = 0;

	constructor(tasks: TaskNames) {
		this.#tasks = tasks;
	}

	clear(): void {
		this.count = 0;
		this.valueCount = 0;
		this.texts = [];
	}

	push(event: KernelEvent): void {
		const at = this.count;
		const { code, v } = event;
		this.reserve(at + 1, this.valueCount + v.length);
		this.ns[at] = event.ns;
		this.task[at] = this.#tasks.indexOf(event.pid, event.tgid, event.comm);
		this.code[at] = code;
		const from = this.valueCount;
		this.#from[at] = from;
		this.count = at + 1;
		if (code === Code.mark) {
			this.values[from] = this.texts.push(event.text) - 1;
			this.valueCount = from + 1;
			return;
		}
		const { values } = this;
		const width = WIDTHS[code];
		for (let each = 0; each < width; each++) values[from + each] = v[each];
		this.valueCount = from + width;
	}

	/** Makes room; what is there stays. */
	reserve(count: number, values: number): void {
		if (count > this.ns.length) {
			const length = Math.max(count, this.ns.length * 2);
			this.ns = grown(this.ns, new Float64Array(length));
			this.task = grown(this.task, new Uint32Array(length));
			this.code = grown(this.code, new Uint8Array(length));
			this.#from = grown(this.#from, new Uint32Array(length));
		}
		if (values > this.values.length) this.values = grown(this.values, new Float64Array(Math.max(values, this.values.length * 2)));
	}

	/** Columns were filled from elsewhere: where the values of each event are follows from their codes. */
	settle(count: number): void {
		this.count = count;
		let from = 0;
		for (let at = 0; at < count; at++) {
			this.#from[at] = from;
			from += this.code[at] === Code.mark ? 1 : WIDTHS[this.code[at]];
		}
		this.valueCount = from;
	}

	/** The event at a place, into `event`. Values that its kind does not have are what they were. */
	lend(at: number, event: KernelEvent): void {
		const code = this.code[at];
		const { values } = this;
		const { v } = event;
		event.code = code;
		event.ns = this.ns[at];
		this.#tasks.lend(this.task[at], event);
		const from = this.#from[at];
		if (code === Code.mark) {
			event.text = this.texts[values[from]];
			return;
		}
		event.text = "";
		const width = WIDTHS[code];
		for (let each = 0; each < width; each++) v[each] = values[from + each];
	}
}

function grown<T extends Float64Array | Uint32Array | Uint8Array>(old: T, made: T): T {
	made.set(old);
	return made;
}
