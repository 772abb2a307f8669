// Lines of our bpftrace recipe read as bytes: "M ns cpu tgid tid comm EVENT k=v …" (bpftrace.ts), alone or as what a line of its JSON prints. What is
// not as usual is read as text.
import { BPF_EVENTS } from "./bpftrace.js";
import { type EventShape, KernelEvent } from "./event.js";
import { KnownLines } from "./knownlines.js";
import { literalOf, startsWith } from "./literal.js";
import { isSound, MISFIT, readTemplate, type Template, templateOfPairs } from "./template.js";

const NEWLINE = 10;
const SPACE = 32;
const MINUS = 45;
const BACKSLASH = 92;

const BEGIN = literalOf("M ");
const JSON_BEGIN = literalOf('{"type": "printf", "data": "M ');
const JSON_END = literalOf('\\n"}\n');

const isDigit = (byte: number): boolean => byte >= 48 && byte <= 57;
const isCapital = (byte: number): boolean => byte >= 65 && byte <= 90;

/** What ends the name of an event. */
const NAME_ENDS = Uint8Array.from({ length: 256 }, (_, byte) => (isCapital(byte) || isDigit(byte) || byte === 95 ? 0 : 1));

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
	readonly known = new KnownLines(NAME_ENDS);
	readonly #json: boolean;
	readonly #event = new KernelEvent();

	constructor(json: boolean) {
		this.#json = json;
	}

	/** As FastLines.line. */
	line(bytes: Uint8Array, view: DataView, from: number, visit: (event: KernelEvent) => void): number {
		const json = this.#json;
		const begin = json ? JSON_BEGIN : BEGIN;
		if (!startsWith(view, from, begin)) return MISFIT;
		let at = from + begin.length;
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
			while (bytes[at] > SPACE && bytes[at] !== BACKSLASH) at++;
			if (bytes[at] !== SPACE) return MISFIT;
			const commTo = at++;
			if (!isCapital(bytes[at])) continue;
			const known = this.known.named(bytes, view, at);
			const { end } = this.known;
			if (bytes[end] !== SPACE && bytes[end] !== (json ? BACKSLASH : NEWLINE)) {
				at = end;
				continue;
			}
			if (known?.template == null) return MISFIT;
			const event = this.#event;
			at = readTemplate(known.template, bytes, view, end, event.v);
			if (at === MISFIT || !isSound(known.template.code, event.v)) return MISFIT;
			if (json) {
				if (!startsWith(view, at, JSON_END)) return MISFIT;
				at += JSON_END.length;
			} else if (bytes[at++] !== NEWLINE) return MISFIT;
			event.code = known.template.code;
			event.ns = ns;
			event.pid = pid;
			event.tgid = tgid;
			event.comm = this.known.comm(pid, bytes, view, commFrom, commTo);
			this.known.taken++;
			if (ns % 1000 !== 0) this.known.nanoseconds = true;
			visit(event);
			return at;
		}
	}
}
