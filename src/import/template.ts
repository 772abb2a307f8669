// How the lines of one event are read without a string: literal bytes with values between them, made from the first line of its kind and from what
// recognise.ts says that its fields are. A line that does not fit is read as text.
import { Code, type EventShape, Fault, Memslot, Range, Spte } from "./event.js";

const Take = { skip: 0, hex: 1, decimal: 2, wide: 3 } as const;

interface TemplateStep {
	/** Bytes before the value. */
	readonly literal: Uint8Array;
	readonly take: number;
	/** Place in KernelEvent.v. */
	readonly at: number;
}

export interface Template {
	readonly code: number;
	/** "(symbol+0x0/0x10) " comes first. */
	readonly head: boolean;
	readonly steps: readonly TemplateStep[];
}

const bytesOf = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, "latin1"));

const HEAD = /^\([^)]*\)/;
const PAIR = /^(\w+)=(\S*)$/;
const HEX = /^0x[0-9a-f]+$/;
const BARE_HEX = /^[0-9a-f]+$/;
const DECIMAL = /^\d+$/;

/**
 * `text`: of the first event of its name; `given`: the names that its fields have there, by the tracker's; null: the tracker's own.
 * null where there is none: then every line is read as text.
 */
export function templateOf(text: string, shape: EventShape, given: ReadonlyMap<string, string> | null): Template | null {
	if (shape.text) return null;
	const head = HEAD.exec(text)?.[0];
	const rest = head === undefined ? text : text.slice(head.length);
	const steps = shape.style === "fields" || given !== null ? fieldSteps(rest, shape, given) : wordSteps(rest, shape);
	return steps === null ? null : { code: shape.code, head: head !== undefined, steps };
}

function fieldSteps(rest: string, shape: EventShape, given: ReadonlyMap<string, string> | null): TemplateStep[] | null {
	const wanted = new Map(
		shape.values.flatMap((value) => {
			const key = given === null ? value.key : given.get(value.key);
			return key === undefined ? [] : [[key, value] as const];
		}),
	);
	const steps: TemplateStep[] = [];
	const seen = new Set<string>();
	let space = rest.startsWith(" ") ? " " : "";
	let used = 0;
	for (const token of rest.trim().split(" ")) {
		if (seen.size === wanted.size) break;
		const pair = PAIR.exec(token);
		if (pair === null) {
			// What nobody asks for may look as it likes.
			if (wanted.size === 0) break;
			return null;
		}
		const [, key = "", text = ""] = pair;
		const value = wanted.get(key);
		const literal = `${space}${key}=`;
		space = " ";
		if (value === undefined) {
			steps.push({ literal: bytesOf(literal), take: Take.skip, at: 0 });
			continue;
		}
		if (seen.has(key)) return null;
		seen.add(key);
		used = steps.length + 1;
		const take = value.kind === "wide" ? Take.wide : Take.hex;
		if (value.kind === "copyTarget") return null;
		if (HEX.test(text)) steps.push({ literal: bytesOf(`${literal}0x`), take, at: value.at });
		else if (value.kind === "decimal" && DECIMAL.test(text)) steps.push({ literal: bytesOf(literal), take: Take.decimal, at: value.at });
		// A tracepoint's fields are hexadecimal whether they say so or not.
		else if (value.kind !== "decimal" && shape.style === "words" && BARE_HEX.test(text))
			steps.push({ literal: bytesOf(literal), take, at: value.at });
		else return null;
	}
	// Fields that the tracker can do without may not be there.
	return steps.slice(0, used);
}

/** Of a line of `key=value` alone, ` key=` first: what each key is in the tracker's grammar, and whether its number is hexadecimal. */
export function templateOfPairs(
	text: string,
	shape: EventShape,
	meaning: (key: string) => { readonly key: string; readonly hex: boolean } | undefined,
): Template | null {
	const steps: TemplateStep[] = [];
	for (const token of text.split(" ").slice(1)) {
		const [, key = "", word = ""] = PAIR.exec(token) ?? [];
		const meant = meaning(key);
		const value = shape.values.find((candidate) => candidate.key === meant?.key);
		const literal = ` ${key}=`;
		if (meant === undefined || value === undefined) steps.push({ literal: bytesOf(literal), take: Take.skip, at: 0 });
		else if (value.kind === "copyTarget") return null;
		else {
			const take = meant.hex ? (value.kind === "wide" ? Take.wide : Take.hex) : Take.decimal;
			const prefixed = meant.hex && HEX.test(word);
			if (!prefixed && !(meant.hex ? BARE_HEX : DECIMAL).test(word)) return null;
			steps.push({ literal: bytesOf(prefixed ? `${literal}0x` : literal), take, at: value.at });
		}
	}
	return { code: shape.code, head: false, steps };
}

/** What is known of the lines of one event. */
interface KnownName {
	readonly name: Uint8Array;
	/** null: they mean nothing. */
	readonly template: Template | null;
	/** Lines so far that mean nothing. */
	skipped: number;
}

/** A power of two; more than the events that a capture has. */
const NAMES = 512;

/** Templates by the bytes of an event's name. */
export class NameTable {
	readonly #names: (KnownName | undefined)[] = Array.from({ length: NAMES });

	learn(name: string, template: Template | null): void {
		const bytes = bytesOf(name);
		let hash = 0;
		for (const byte of bytes) hash = (Math.imul(hash, 31) + byte) | 0;
		for (let tries = 0; tries < NAMES / 2; tries++) {
			const slot = (hash + tries) & (NAMES - 1);
			if (this.#names[slot] !== undefined) continue;
			this.#names[slot] = { name: bytes, template, skipped: 0 };
			return;
		}
	}

	/** Lines of events that mean nothing, by name. */
	skipped(): [name: string, lines: number][] {
		return this.#names.flatMap((known) =>
			known === undefined || known.skipped === 0 ? [] : [[Buffer.from(known.name).toString("latin1"), known.skipped] as [string, number]],
		);
	}

	/** @param hash as `learn` makes it */
	find(hash: number, bytes: Uint8Array, from: number, to: number): KnownName | undefined {
		for (let tries = 0; tries < NAMES; tries++) {
			const known = this.#names[(hash + tries) & (NAMES - 1)];
			if (known === undefined) return undefined;
			const { name } = known;
			if (name.length !== to - from) continue;
			let at = 0;
			while (at < name.length && name[at] === bytes[from + at]) at++;
			if (at === name.length) return known;
		}
		return undefined;
	}
}

function wordSteps(text: string, shape: EventShape): TemplateStep[] | null {
	const steps: TemplateStep[] = [];
	let at = 0;
	for (const value of shape.values) {
		const before = `${at === 0 ? "" : " "}${value.key} `;
		if (!text.startsWith(before, at)) return null;
		at += before.length;
		const end = text.indexOf(" ", at);
		const word = text.slice(at, end < 0 ? undefined : end);
		at += word.length;
		if (value.kind === "decimal" && DECIMAL.test(word)) steps.push({ literal: bytesOf(before), take: Take.decimal, at: value.at });
		else if (value.kind === "copyTarget" || value.kind === "decimal") return null;
		else {
			const take = value.kind === "wide" ? Take.wide : Take.hex;
			if (HEX.test(word)) steps.push({ literal: bytesOf(`${before}0x`), take, at: value.at });
			else if (BARE_HEX.test(word)) steps.push({ literal: bytesOf(before), take, at: value.at });
			else return null;
		}
	}
	return steps;
}

/** Value of a hexadecimal digit by its byte; 255 where it is none. */
const DIGIT = new Uint8Array(256).fill(255);
for (let value = 0; value < 16; value++) DIGIT[value.toString(16).charCodeAt(0)] = value;

const NEWLINE = 10;
const RETURN = 13;
const SPACE = 32;
const ZERO = 48;
const CLOSE = 41;
const WORD = 2 ** 32;
const MAX_HEX_DIGITS = 16;
const MAX_DECIMAL_DIGITS = 9;
/** No line. */
export const MISFIT = -1;

/**
 * Values of bytes[at..] by the template into `v`; the place behind the last of them, or MISFIT. Whatever the bytes are, reading ends before `end`,
 * where a newline stands.
 */
export function readTemplate(template: Template, bytes: Uint8Array, from: number, v: Float64Array): number {
	let at = from;
	v.fill(Number.NaN);
	if (template.head) {
		while (bytes[at] !== CLOSE) {
			if (bytes[at] < SPACE) return MISFIT;
			at++;
		}
		at++;
	}
	const { steps } = template;
	for (let index = 0; index < steps.length; index++) {
		const step = steps[index];
		const { literal } = step;
		for (let each = 0; each < literal.length; each++) if (bytes[at++] !== literal[each]) return MISFIT;
		const first = at;
		if (step.take === Take.skip) {
			while (bytes[at] > SPACE) at++;
			continue;
		}
		if (step.take === Take.decimal) {
			let value = 0;
			for (let digit = bytes[at] - ZERO; digit >= 0 && digit <= 9; digit = bytes[at] - ZERO) {
				value = value * 10 + digit;
				at++;
			}
			if (at === first || at - first > MAX_DECIMAL_DIGITS) return MISFIT;
			v[step.at] = value;
		} else {
			let low = 0;
			let high = 0;
			for (let digit = DIGIT[bytes[at]]; digit < 16; digit = DIGIT[bytes[at]]) {
				high = (high << 4) | (low >>> 28);
				low = (low << 4) | digit;
				at++;
			}
			if (at === first || at - first > MAX_HEX_DIGITS) return MISFIT;
			if (step.take === Take.wide) {
				v[step.at] = low >>> 0;
				v[step.at + 1] = high >>> 0;
			} else v[step.at] = high === 0 ? low >>> 0 : high * WORD + (low >>> 0);
		}
		const after = bytes[at];
		if (after !== SPACE && after !== NEWLINE && !(after === RETURN && bytes[at + 1] === NEWLINE)) return MISFIT;
	}
	return at;
}

/** Guest-physical addresses have 52 bits at most, their page numbers 40. */
const GPA_END = 2 ** 52;
const GFN_END = 2 ** 40;

/** Whether numbers are as damaged.ts wants them; where they are not it says so, from the text. */
export function isSound(code: number, v: Float64Array): boolean {
	switch (code) {
		case Code.pageFault:
			return v[Fault.vcpu] < 1e5 && v[Fault.address] >= 0 && v[Fault.address] < GPA_END;
		case Code.spteChanged:
			return v[Spte.as] <= 1 && v[Spte.gfn] >= 0 && v[Spte.gfn] < GFN_END && v[Spte.level] >= 1 && v[Spte.level] <= 6;
		case Code.rangeStart:
		case Code.rangeEnd:
			return !(v[Range.event] >= 100);
		case Code.memslot:
			return v[Memslot.gpa] >= 0 && v[Memslot.gpa] < GPA_END;
		default:
			return true;
	}
}
