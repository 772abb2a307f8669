// How the records of one event of a binary trace are read without their text: which bytes hold each of the tracker's values.
import { type EventShape, VALUES } from "./event.js";
import type { EventFormat } from "./eventformat.js";

interface Place {
	readonly offset: number;
	readonly size: number;
	readonly signed: boolean;
	readonly wide: boolean;
	/** Place in KernelEvent.v. */
	readonly at: number;
}

export interface BinaryTemplate {
	readonly code: number;
	readonly places: readonly Place[];
	/** Places in KernelEvent.v that none of them fills. */
	readonly unset: readonly number[];
	/** Bytes that a record must have. */
	readonly bytes: number;
}

const SIZES = new Set([1, 2, 4, 8]);

/** null where some value is in no number of the record. */
export function binaryTemplate(format: EventFormat, shape: EventShape, given: ReadonlyMap<string, string>): BinaryTemplate | null {
	const places: Place[] = [];
	if (shape.text) return null;
	for (const { key, kind, at } of shape.values) {
		const name = given.get(key);
		if (name === undefined) continue;
		const field = format.fields.find((candidate) => candidate.name === name);
		// What the record does not have its text would not have either.
		if (field === undefined) continue;
		if (!SIZES.has(field.size) || kind === "copyTarget" || /_loc|\[/.test(field.type)) return null;
		// A signed field is printed in decimal, and a negative one is no address.
		if (field.signed && kind !== "decimal") return null;
		places.push({ offset: field.offset, size: field.size, signed: field.signed, wide: kind === "wide", at });
	}
	const filled = new Set(places.flatMap(({ at, wide }) => (wide ? [at, at + 1] : [at])));
	const unset = Array.from({ length: VALUES }, (_, at) => at).filter((at) => !filled.has(at));
	return { code: shape.code, places, unset, bytes: Math.max(0, ...places.map(({ offset, size }) => offset + size)) };
}

const WORD = 2 ** 32;

/** False where the record is too short. */
export function readBinary(template: BinaryTemplate, view: DataView, from: number, length: number, v: Float64Array): boolean {
	const { places, unset } = template;
	if (template.bytes > length) return false;
	for (let each = 0; each < unset.length; each++) v[unset[each]] = Number.NaN;
	for (let each = 0; each < places.length; each++) {
		const { offset, size, signed, wide, at } = places[each];
		const place = from + offset;
		if (size === 8) {
			const low = view.getUint32(place, true);
			if (wide) {
				v[at] = low;
				v[at + 1] = view.getUint32(place + 4, true);
			} else v[at] = view.getInt32(place + 4, true) * WORD + low;
		} else if (size === 4) v[at] = signed ? view.getInt32(place, true) : view.getUint32(place, true);
		else if (size === 2) v[at] = signed ? view.getInt16(place, true) : view.getUint16(place, true);
		else v[at] = signed ? view.getInt8(place) : view.getUint8(place);
		if (wide && size < 8) v[at + 1] = 0;
	}
	return true;
}
