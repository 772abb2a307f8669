// Lines of our bpftrace recipe read as bytes: "M ns cpu tgid tid comm EVENT k=v …" (bpftrace.ts). What is not as usual is read as text.
import { BPF_EVENTS } from "./bpftrace.js";
import { type EventShape, KernelEvent } from "./event.js";
import { isSound, MISFIT, NameTable, readTemplate, type Template, templateOfPairs } from "./template.js";

const NEWLINE = 10;
const SPACE = 32;
const MINUS = 45;
const LETTER_M = 77;

const isDigit = (byte: number): boolean => byte >= 48 && byte <= 57;
const isCapital = (byte: number): boolean => byte >= 65 && byte <= 90;
const isName = (byte: number): boolean => isCapital(byte) || isDigit(byte) || byte === 95;

/** The template of a line by what its event's fields are called in the tracker's grammar; null where there is none. */
export function bpfTemplate(
	line: string,
	shape: EventShape,
	given: ReadonlyMap<string, string>,
): { name: string; template: Template } | null {
	const match = /^M \d+ \d+ -?\d+ \d+ .*? ([A-Z][A-Z0-9_]*)((?: \w+=\S+)*)$/.exec(line);
	const [, name = "", text = ""] = match ?? [];
	const known = BPF_EVENTS[name];
	if (known === undefined) return null;
	const canonical = new Map([...given].map(([key, called]) => [called, key]));
	const template = templateOfPairs(text, shape, (key) => {
		const wanted = canonical.get(known.renamed[key] ?? key);
		return wanted === undefined ? undefined : { key: wanted, hex: !known.decimal.includes(key) };
	});
	return template === null ? null : { name, template };
}

export class FastBpf {
	readonly #visit: (event: KernelEvent) => void;
	readonly #event = new KernelEvent();
	readonly #names = new NameTable();
	/** comm of a task as it was seen last, and its bytes. */
	readonly #comms = new Map<number, { bytes: Uint8Array; comm: string }>();
	taken = 0;
	nanoseconds = false;

	constructor(visit: (event: KernelEvent) => void) {
		this.#visit = visit;
	}

	learn(name: string, template: Template | null): void {
		this.#names.learn(name, template);
	}

	skipped(): [name: string, lines: number][] {
		return this.#names.skipped();
	}

	/** As FastLines.line. */
	line(bytes: Uint8Array, from: number): number {
		if (bytes[from] !== LETTER_M || bytes[from + 1] !== SPACE) return MISFIT;
		let at = from + 2;
		let ns = 0;
		const first = at;
		while (isDigit(bytes[at])) ns = ns * 10 + bytes[at++] - 48;
		if (at === first || at - first > 15 || bytes[at] !== SPACE) return MISFIT;
		const cpuFrom = ++at;
		while (isDigit(bytes[at])) at++;
		if (at === cpuFrom || bytes[at++] !== SPACE || bytes[at] === MINUS) return MISFIT;
		const tgidFrom = at;
		let tgid = 0;
		while (isDigit(bytes[at])) tgid = tgid * 10 + bytes[at++] - 48;
		if (at === tgidFrom || at - tgidFrom > 9 || bytes[at++] !== SPACE) return MISFIT;
		const pidFrom = at;
		let pid = 0;
		while (isDigit(bytes[at])) pid = pid * 10 + bytes[at++] - 48;
		if (at === pidFrom || at - pidFrom > 9 || bytes[at++] !== SPACE) return MISFIT;
		const commFrom = at;
		for (;;) {
			// The name of the event is the first word in capitals that is one.
			while (bytes[at] > SPACE) at++;
			if (bytes[at] !== SPACE) return MISFIT;
			const commTo = at++;
			if (!isCapital(bytes[at])) continue;
			const nameFrom = at;
			let hash = 0;
			while (isName(bytes[at])) hash = (Math.imul(hash, 31) + bytes[at++]) | 0;
			if (bytes[at] !== SPACE && bytes[at] !== NEWLINE) continue;
			const known = this.#names.find(hash, bytes, nameFrom, at);
			if (known?.template == null) return MISFIT;
			const event = this.#event;
			at = readTemplate(known.template, bytes, at, event.v);
			if (at === MISFIT || !isSound(known.template.code, event.v)) return MISFIT;
			if (bytes[at] !== NEWLINE) return MISFIT;
			event.code = known.template.code;
			event.ns = ns;
			event.pid = pid;
			event.tgid = tgid;
			event.comm = this.#comm(pid, bytes, commFrom, commTo);
			this.taken++;
			if (ns % 1000 !== 0) this.nanoseconds = true;
			this.#visit(event);
			return at + 1;
		}
	}

	#comm(pid: number, bytes: Uint8Array, from: number, to: number): string {
		const known = this.#comms.get(pid);
		if (known !== undefined && known.bytes.length === to - from) {
			let at = 0;
			while (at < known.bytes.length && known.bytes[at] === bytes[from + at]) at++;
			if (at === known.bytes.length) return known.comm;
		}
		const comm = Buffer.from(bytes.subarray(from, to)).toString("utf8");
		this.#comms.set(pid, { bytes: Uint8Array.from(bytes.subarray(from, to)), comm });
		return comm;
	}
}
