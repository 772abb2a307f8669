// Generic events of a Perfetto trace read without their text: which numbers of a message are the tracker's values, learned from the first of its kind.
// A message that is not as the first one was is read as text.
import { type EventShape, type KernelEvent, VALUES } from "./event.js";
import type { Intake } from "./intake.js";
import { DYNAMIC, type MessageShape } from "./perfettoshapes.js";
import { FieldWalk, fieldsOf } from "./protobuf.js";
import { isSound } from "./template.js";
import type { TracefsEvent } from "./tracefs.js";

/** GenericFtraceEvent in FtraceEvent: names and values of the fields in every event. */
export const GENERIC = 327;
const Generic = { eventName: 1, field: 2 } as const;
const Value = { name: 1, signed: 4, unsigned: 5 } as const;

/** Where a value goes in KernelEvent.v. */
interface Place {
	readonly at: number;
	readonly wide: boolean;
	/** Only a value that is printed in decimal can be negative. */
	readonly decimal: boolean;
}

interface KnownMessage {
	readonly code: number;
	readonly places: number;
	readonly unset: readonly number[];
}

/** Of an event with a descriptor: by the number of its field. */
interface Dynamic extends KnownMessage {
	readonly byNumber: readonly (Place | undefined)[];
	readonly signed: readonly boolean[];
}

/** Of an event that names its fields: in their order. */
interface Named extends KnownMessage {
	readonly name: Uint8Array;
	readonly fields: readonly { readonly name: Uint8Array; readonly place: Place | undefined }[];
}

/** Fields of a message; kernels' events have a few. */
const MAX_FIELDS = 64;

function placesOf({ values }: EventShape, given: ReadonlyMap<string, string>): Map<string, Place> | null {
	const places = new Map<string, Place>();
	for (const { key, kind, at } of values) {
		const name = given.get(key);
		if (name === undefined) continue;
		// A value of two of the tracker's is for the text to tell.
		if (kind === "copyTarget" || places.has(name)) return null;
		places.set(name, { at, wide: kind === "wide", decimal: kind === "decimal" });
	}
	return places;
}

/** Of the places that its fields have: what a message lacks, its text would lack too. */
function messageOf(code: number, places: readonly Place[]): KnownMessage {
	const filled = new Set(places.flatMap(({ at, wide }) => (wide ? [at, at + 1] : [at])));
	return { code, places: places.length, unset: Array.from({ length: VALUES }, (_, at) => at).filter((at) => !filled.has(at)) };
}

export class KnownMessages {
	readonly #shapes: ReadonlyMap<number, MessageShape>;
	readonly #where: string;
	readonly #dynamic: (Dynamic | undefined)[] = [];
	readonly #named: Named[] = [];
	/** Which event of `#named` comes behind which most often: the last one that did. */
	readonly #next: number[] = [];
	#last = 0;
	readonly #learned = new Set<string>();
	readonly #walk = new FieldWalk();
	readonly #inner = new FieldWalk();

	constructor(shapes: ReadonlyMap<number, MessageShape>, where: string) {
		this.#shapes = shapes;
		this.#where = where;
	}

	/** Reads a message by its field in FtraceEvent; false where it is for the text to tell. */
	read(content: number, bytes: Uint8Array, from: number, to: number, event: KernelEvent): boolean {
		if (content === GENERIC) return this.#readNamed(bytes, from, to, event);
		const known = this.#dynamic[content - DYNAMIC];
		if (known === undefined) return false;
		const { v } = event;
		for (const at of known.unset) v[at] = Number.NaN;
		let found = 0;
		const walk = this.#walk.begin(bytes, from, to, this.#where);
		while (walk.next()) {
			const place = known.byNumber[walk.number];
			if (place === undefined) continue;
			if (walk.wire !== 0 || !take(walk, place, known.signed[walk.number], v)) return false;
			found++;
		}
		event.code = known.code;
		return found === known.places && isSound(known.code, v);
	}

	#readNamed(bytes: Uint8Array, from: number, to: number, event: KernelEvent): boolean {
		const walk = this.#walk.begin(bytes, from, to, this.#where);
		// The name comes first.
		if (!walk.next() || !walk.is(Generic.eventName, 2)) return false;
		const known = this.#find(bytes, walk.from, walk.to);
		if (known === undefined) return false;
		const { v } = event;
		for (const at of known.unset) v[at] = Number.NaN;
		let count = 0;
		while (walk.next()) {
			if (!walk.is(Generic.field, 2) || count === known.fields.length) return false;
			const { name, place } = known.fields[count++];
			const inner = this.#inner.begin(bytes, walk.from, walk.to, this.#where);
			if (!inner.next() || !inner.is(Value.name, 2) || !same(bytes, inner.from, inner.to, name)) return false;
			if (place === undefined) {
				// Damage in what nobody asks for is damage.
				for (let more = true; more; ) more = inner.next();
				continue;
			}
			if (!inner.next()) return false;
			const signed = inner.is(Value.signed, 0);
			if (!signed && !inner.is(Value.unsigned, 0)) return false;
			if (!take(inner, place, signed, v) || inner.next()) return false;
		}
		event.code = known.code;
		return count === known.fields.length && isSound(known.code, v);
	}

	#find(bytes: Uint8Array, from: number, to: number): Named | undefined {
		const likely = this.#next[this.#last];
		let at = likely;
		if (likely === undefined || !same(bytes, from, to, this.#named[likely].name))
			at = this.#named.findIndex(({ name }) => same(bytes, from, to, name));
		if (at < 0) return undefined;
		this.#next[this.#last] = at;
		this.#last = at;
		return this.#named[at];
	}

	/** After the intake has taken `raw`, the first of its kind. */
	learn(content: number, message: Uint8Array, raw: TracefsEvent, intake: Intake): void {
		const key = `${content} ${raw.name}`;
		if (this.#learned.has(key) || (content !== GENERIC && content < DYNAMIC)) return;
		this.#learned.add(key);
		const values = intake.values(raw);
		if (values === null || values.shape.text) return;
		const places = placesOf(values.shape, values.given);
		if (places === null) return;
		const { code } = values.shape;
		if (content === GENERIC) {
			const named = namedOf(message, code, places, raw.name, this.#where);
			if (named !== null) this.#named.push(named);
		} else {
			const dynamic = dynamicOf(this.#shapes.get(content), code, places);
			if (dynamic !== null) this.#dynamic[content - DYNAMIC] = dynamic;
		}
	}
}

/** False where the value is none of the kind that the text would have shown. */
function take(walk: FieldWalk, { at, wide, decimal }: Place, signed: boolean, v: Float64Array): boolean {
	const { low, high } = walk;
	if (signed && high >= 2 ** 31 && !decimal) return false;
	if (wide) {
		v[at] = low;
		v[at + 1] = high;
	} else v[at] = decimal && !signed ? walk.value : walk.signed;
	return true;
}

function dynamicOf(shape: MessageShape | undefined, code: number, places: ReadonlyMap<string, Place>): Dynamic | null {
	if (shape === undefined) return null;
	const byNumber: (Place | undefined)[] = Array.from({ length: MAX_FIELDS });
	const signed: boolean[] = Array.from({ length: MAX_FIELDS }, () => false);
	const named = new Set<string>();
	for (const [number, field] of shape.fields) {
		const place = places.get(field.name);
		if (place === undefined) continue;
		if (number >= MAX_FIELDS || named.has(field.name)) return null;
		named.add(field.name);
		byNumber[number] = place;
		signed[number] = field.signed;
	}
	return {
		...messageOf(
			code,
			byNumber.filter((place) => place !== undefined),
		),
		byNumber,
		signed,
	};
}

function namedOf(message: Uint8Array, code: number, places: ReadonlyMap<string, Place>, eventName: string, where: string): Named | null {
	const fields: { name: Uint8Array; place: Place | undefined }[] = [];
	const seen = new Set<string>();
	for (const field of fieldsOf(message, where)) {
		if (field.number !== Generic.field || field.wire !== 2) continue;
		for (const part of fieldsOf(field.bytes, where)) {
			if (part.number !== Value.name) continue;
			const name = Buffer.from(part.bytes);
			const text = name.toString("utf8");
			if (seen.has(text)) return null;
			seen.add(text);
			fields.push({ name, place: places.get(text) });
		}
	}
	const found = fields.flatMap(({ place }) => (place === undefined ? [] : [place]));
	return { ...messageOf(code, found), name: Buffer.from(eventName, "utf8"), fields };
}

function same(bytes: Uint8Array, from: number, to: number, name: Uint8Array): boolean {
	if (to - from !== name.length) return false;
	for (let at = 0; at < name.length; at++) if (bytes[from + at] !== name[at]) return false;
	return true;
}
