// How the lines of one event are read without a string: literal bytes with values between them, made from the first line of its kind and from what
// recognise.ts says that its fields are. A line that does not fit is read as text.
import {
	Age,
	ChangePte,
	CODES,
	Code,
	DirtyLog,
	type EventShape,
	Fault,
	FIRST,
	KvmAge,
	Memslot,
	Merge,
	MmFault,
	Move,
	Pin,
	Range,
	Spte,
	Unmap,
	VALUES,
} from "./event.js";
import { type Literal, literalOf, startsWith } from "./literal.js";

const Take = { skip: 0, hex: 1, decimal: 2, wide: 3 } as const;

interface TemplateStep {
	/** Bytes before the value. */
	readonly literal: Literal;
	readonly take: number;
	/** Place in KernelEvent.v. */
	readonly at: number;
}

export interface Template {
	readonly code: number;
	/** "(symbol+0x0/0x10) " comes first. */
	readonly head: boolean;
	readonly steps: readonly TemplateStep[];
	/** Places in KernelEvent.v that no step fills. */
	readonly unset: readonly number[];
}

function made(code: number, head: boolean, steps: readonly TemplateStep[]): Template {
	const filled = new Set(steps.flatMap(({ take, at }) => (take === Take.skip ? [] : take === Take.wide ? [at, at + 1] : [at])));
	return { code, head, steps, unset: Array.from({ length: VALUES }, (_, at) => at).filter((at) => !filled.has(at)) };
}

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
	return steps === null ? null : made(shape.code, head !== undefined, steps);
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
			steps.push({ literal: literalOf(literal), take: Take.skip, at: 0 });
			continue;
		}
		if (seen.has(key)) return null;
		seen.add(key);
		used = steps.length + 1;
		const take = value.kind === "wide" ? Take.wide : Take.hex;
		if (value.kind === "copyTarget") return null;
		if (HEX.test(text)) steps.push({ literal: literalOf(`${literal}0x`), take, at: value.at });
		else if (value.kind === "decimal" && DECIMAL.test(text)) steps.push({ literal: literalOf(literal), take: Take.decimal, at: value.at });
		// A tracepoint's fields are hexadecimal whether they say so or not.
		else if (value.kind !== "decimal" && shape.style === "words" && BARE_HEX.test(text))
			steps.push({ literal: literalOf(literal), take, at: value.at });
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
		if (meant === undefined || value === undefined) steps.push({ literal: literalOf(literal), take: Take.skip, at: 0 });
		else if (value.kind === "copyTarget") return null;
		else {
			const take = meant.hex ? (value.kind === "wide" ? Take.wide : Take.hex) : Take.decimal;
			const prefixed = meant.hex && HEX.test(word);
			if (!prefixed && !(meant.hex ? BARE_HEX : DECIMAL).test(word)) return null;
			steps.push({ literal: literalOf(prefixed ? `${literal}0x` : literal), take, at: value.at });
		}
	}
	return made(shape.code, false, steps);
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
		if (value.kind === "decimal" && DECIMAL.test(word)) steps.push({ literal: literalOf(before), take: Take.decimal, at: value.at });
		else if (value.kind === "copyTarget" || value.kind === "decimal") return null;
		else {
			const take = value.kind === "wide" ? Take.wide : Take.hex;
			if (HEX.test(word)) steps.push({ literal: literalOf(`${before}0x`), take, at: value.at });
			else if (BARE_HEX.test(word)) steps.push({ literal: literalOf(before), take, at: value.at });
			else return null;
		}
	}
	return steps;
}

/** Value of a hexadecimal digit by its byte; 255 where it is none. */
const DIGIT = new Uint8Array(256).fill(255);
for (let value = 0; value < 16; value++) DIGIT[value.toString(16).charCodeAt(0)] = value;

/** Value of two of them by the word that they are in memory; -1 where one of them is none. */
const HEX_PAIRS = new Int16Array(1 << 16).fill(-1);
for (let value = 0; value < 256; value++) {
	const [first, second] = Buffer.from(value.toString(16).padStart(2, "0"));
	HEX_PAIRS[first | (second << 8)] = value;
}

const NEWLINE = 10;
const RETURN = 13;
const SPACE = 32;
const ZERO = 48;
const CLOSE = 41;
const COLON = 58;
/** Ends a line within a line of JSON; elsewhere no value has one. */
const BACKSLASH = 92;
const WORD = 2 ** 32;
const MAX_HEX_DIGITS = 16;
const MAX_DECIMAL_DIGITS = 9;
/** No line. */
export const MISFIT = -1;

/** Digits of a value that go into one word. */
const WORD_DIGITS = 8;

/**
 * Values of bytes[at..] by the template into `v`; the place behind the last of them, or MISFIT. Whatever the bytes are, reading ends before `end`,
 * where a newline stands. `view`: of the same bytes and a few behind them.
 */
export function readTemplate(template: Template, bytes: Uint8Array, view: DataView, from: number, v: Float64Array): number {
	let at = from;
	const { steps, unset } = template;
	for (let each = 0; each < unset.length; each++) v[unset[each]] = Number.NaN;
	if (template.head) {
		while (bytes[at] !== CLOSE) {
			// A colon is that of a second line, whose beginning was lost.
			if (bytes[at] < SPACE || bytes[at] === COLON) return MISFIT;
			at++;
		}
		at++;
	}
	for (let index = 0; index < steps.length; index++) {
		const step = steps[index];
		if (!startsWith(view, at, step.literal)) return MISFIT;
		const first = at + step.literal.length;
		at = first;
		if (step.take === Take.skip) {
			while (bytes[at] > SPACE && bytes[at] !== BACKSLASH) at++;
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
			// The first eight digits, and those behind them: two at a time.
			const end = at + WORD_DIGITS;
			let word = 0;
			let pair = HEX_PAIRS[view.getUint16(at, true)];
			for (; pair >= 0 && at < end; pair = HEX_PAIRS[view.getUint16(at, true)]) {
				word = (word << 8) | pair;
				at += 2;
			}
			if (at < end && DIGIT[bytes[at]] < 16) word = (word << 4) | DIGIT[bytes[at++]];
			let more = 0;
			const middle = at;
			if (at === end) {
				for (; pair >= 0; pair = HEX_PAIRS[view.getUint16(at, true)]) {
					more = (more << 8) | pair;
					at += 2;
				}
				if (DIGIT[bytes[at]] < 16) more = (more << 4) | DIGIT[bytes[at++]];
			}
			if (at === first || at - first > MAX_HEX_DIGITS) return MISFIT;
			// Places that the first word is shifted by: 0 to 32.
			const shift = (at - middle) * 4;
			if (shift === 0) {
				v[step.at] = word >>> 0;
				if (step.take === Take.wide) v[step.at + 1] = 0;
			} else {
				const low = shift === 32 ? more : (word << shift) | more;
				const high = shift === 32 ? word : word >>> (32 - shift);
				if (step.take === Take.wide) {
					v[step.at] = low >>> 0;
					v[step.at + 1] = high >>> 0;
				} else v[step.at] = high * WORD + (low >>> 0);
			}
		}
		const after = bytes[at];
		if (after !== SPACE && after !== NEWLINE && after !== BACKSLASH && !(after === RETURN && bytes[at + 1] === NEWLINE)) return MISFIT;
	}
	return at;
}

/** Guest-physical addresses have 52 bits at most, their page numbers 40. */
const GPA_END = 2 ** 52;
const GFN_END = 2 ** 40;
const SLOT_END = 2 ** 32;
/** Of enum mmu_notifier_event there are eight. */
const EVENT_END = 64;

/** Addresses of users have 56 bits at most. */
const USER_END = 2 ** 56;

/** Places of users' addresses, by the event's code. */
const USERS: (readonly number[] | undefined)[] = Array.from({ length: CODES });
USERS[Code.changePte] = [ChangePte.addr];
for (const code of [Code.copy, Code.doWpPage, Code.handleMmFault]) USERS[code] = [MmFault.addr];
for (const code of [Code.stableTreeAppend, Code.breakKsm]) USERS[code] = [Merge.addr];
USERS[Code.uprobe] = [FIRST];
USERS[Code.movePageTables] = [Move.addr, Move.to];
for (const code of [Code.unmapOne, Code.migrateOne]) USERS[code] = [Unmap.addr];
for (const code of [Code.setMigration, Code.removeMigration, Code.setHugeMigration, Code.removeHugeMigration]) USERS[code] = [FIRST];
for (const code of [Code.kvmAge, Code.kvmTestAge, Code.kvmAgePage]) USERS[code] = [KvmAge.start, KvmAge.end];
for (const code of [Code.clearFlushYoung, Code.clearYoung, Code.testYoung]) USERS[code] = [Age.start, Age.end];
USERS[Code.pin] = [Pin.addr];

function areUsers(places: readonly number[], v: Float64Array): boolean {
	for (let each = 0; each < places.length; each++) if (v[places[each]] < 0 || v[places[each]] >= USER_END) return false;
	return true;
}

/** Whether numbers are as damaged.ts wants them; where they are not it says so, from the text. */
export function isSound(code: number, v: Float64Array): boolean {
	switch (code) {
		case Code.pageFault:
			return v[Fault.vcpu] < 1e5 && v[Fault.address] >= 0 && v[Fault.address] < GPA_END;
		case Code.spteChanged:
			return v[Spte.as] <= 1 && v[Spte.gfn] >= 0 && v[Spte.gfn] < GFN_END && v[Spte.level] >= 1 && v[Spte.level] <= 6;
		case Code.rangeStart:
		case Code.rangeEnd:
			return !(v[Range.event] >= EVENT_END);
		case Code.memslot:
			// A slot that goes has no address.
			return (
				v[Memslot.gpa] >= 0 &&
				v[Memslot.gpa] < GPA_END &&
				v[Memslot.slot] < SLOT_END &&
				(v[Memslot.size] === 0 || (v[Memslot.hva] >= 0 && v[Memslot.hva] < USER_END))
			);
		case Code.dirtyLog:
			return v[DirtyLog.offset] >= 0 && v[DirtyLog.offset] < GPA_END;
		case Code.pin:
			return v[Pin.pages] < SLOT_END && areUsers(USERS[code] ?? [], v);
		default: {
			const places = USERS[code];
			return places === undefined || areUsers(places, v);
		}
	}
}
