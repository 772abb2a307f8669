// The wire form of protocol buffers, walked by hand: fields one after another, nothing copied, every length checked against what is there.
import { BadInputError } from "../errors.js";

export interface WireField {
	readonly number: number;
	/** 0 varint, 1 64 bits, 2 bytes, 5 32 bits. */
	readonly wire: number;
	/** Varint and fixed values, unsigned 64 bits. */
	readonly value: bigint;
	/** Content of a field of bytes; empty otherwise. */
	readonly bytes: Uint8Array;
}

const EMPTY = new Uint8Array(0);

/** A varint at `at`; its end is -1 where it is cut off or longer than 10 bytes. */
export function varintAt(bytes: Uint8Array, at: number): { value: bigint; end: number } {
	// Most are short: numbers as long as they are exact.
	let low = 0;
	let scale = 1;
	for (let index = at; index < bytes.length && index < at + 7; index++) {
		const byte = bytes[index] ?? 0;
		low += (byte & 127) * scale;
		if (byte < 128) return { value: BigInt(low), end: index + 1 };
		scale *= 128;
	}
	let value = BigInt(low);
	let shift = 49n;
	for (let index = at + 7; index < bytes.length && index < at + 10; index++) {
		const byte = bytes[index] ?? 0;
		value |= BigInt(byte & 127) << shift;
		if (byte < 128) return { value: BigInt.asUintN(64, value), end: index + 1 };
		shift += 7n;
	}
	return { value: 0n, end: -1 };
}

/** Fields of a message. @throws BadInputError where it is damaged */
export function* fieldsOf(message: Uint8Array, where: string): Generator<WireField> {
	const view = new DataView(message.buffer, message.byteOffset, message.byteLength);
	let at = 0;
	const damaged = (what: string): BadInputError => new BadInputError(`a damaged message: ${what}`, { where: `${where}, byte ${at} of it` });
	while (at < message.length) {
		const tag = varintAt(message, at);
		if (tag.end < 0 || tag.value > 0xffff_ffffn) throw damaged("a tag");
		const wire = Number(tag.value & 7n);
		const number = Number(tag.value >> 3n);
		if (number === 0) throw damaged("field number 0");
		if (wire === 0) {
			const { value, end } = varintAt(message, tag.end);
			if (end < 0) throw damaged("a number");
			at = end;
			yield { number, wire, value, bytes: EMPTY };
		} else if (wire === 2) {
			const length = varintAt(message, tag.end);
			if (length.end < 0 || length.value > BigInt(message.length - length.end)) throw damaged("a length beyond its end");
			at = length.end + Number(length.value);
			yield { number, wire, value: 0n, bytes: message.subarray(length.end, at) };
		} else if (wire === 1 || wire === 5) {
			const size = wire === 1 ? 8 : 4;
			if (tag.end + size > message.length) throw damaged("a fixed number");
			at = tag.end + size;
			yield { number, wire, value: wire === 1 ? view.getBigUint64(tag.end, true) : BigInt(view.getUint32(tag.end, true)), bytes: EMPTY };
		} else throw damaged(`wire type ${wire}`);
	}
}

/** int64 and int32 as they are stored. */
export const signed = (value: bigint): bigint => BigInt.asIntN(64, value);

export const utf8 = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
