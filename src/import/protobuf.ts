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

/** A message that cannot be walked to its end. */
export class DamagedMessage extends BadInputError {}

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

const WORD = 2 ** 32;

/** Goes from field to field of a message, without an object for each. */
export class FieldWalk {
	#bytes: Uint8Array = EMPTY;
	#where = "";
	#start = 0;
	#end = 0;
	/** Behind the field. */
	#at = 0;
	number = 0;
	wire = 0;
	/** Varint and fixed values, unsigned: bits 0 to 31, and those above. */
	low = 0;
	high = 0;
	/** Content of a field of bytes. */
	from = 0;
	to = 0;

	/** The message at bytes[from..to). */
	begin(bytes: Uint8Array, from: number, to: number, where: string): this {
		this.#bytes = bytes;
		this.#start = from;
		this.#at = from;
		this.#end = to;
		this.#where = where;
		return this;
	}

	get bytes(): Uint8Array {
		return this.#bytes;
	}

	is(number: number, wire: number): boolean {
		return this.number === number && this.wire === wire;
	}

	/** The value as a number: exact up to 2^53. */
	get value(): number {
		return this.high * WORD + this.low;
	}

	/** The value of an int64 or int32. */
	get signed(): number {
		return (this.high | 0) * WORD + this.low;
	}

	/** False at the end. @throws DamagedMessage */
	next(): boolean {
		const begin = this.#at;
		if (begin >= this.#end) return false;
		const bytes = this.#bytes;
		let at = this.#varint(begin);
		if (at < 0 || this.high !== 0) throw this.#damaged(begin, "a tag");
		const wire = this.low & 7;
		const number = this.low >>> 3;
		if (number === 0) throw this.#damaged(begin, "field number 0");
		this.number = number;
		this.wire = wire;
		if (wire === 0) {
			at = this.#varint(at);
			if (at < 0) throw this.#damaged(begin, "a number");
			this.#at = at;
			return true;
		}
		if (wire === 2) {
			at = this.#varint(at);
			const length = this.value;
			if (at < 0 || length > this.#end - at) throw this.#damaged(begin, "a length beyond its end");
			this.from = at;
			this.to = at + length;
			this.low = 0;
			this.high = 0;
			this.#at = this.to;
			return true;
		}
		if (wire !== 1 && wire !== 5) throw this.#damaged(begin, `wire type ${wire}`);
		const size = wire === 1 ? 8 : 4;
		if (at + size > this.#end) throw this.#damaged(begin, "a fixed number");
		this.low = wordAt(bytes, at);
		this.high = wire === 1 ? wordAt(bytes, at + 4) : 0;
		this.#at = at + size;
		return true;
	}

	#damaged(at: number, what: string): DamagedMessage {
		return new DamagedMessage(`a damaged message: ${what}`, {
			where: `${this.#where}, byte ${at - this.#start} of it`,
			hint: "--lenient leaves it out, and counts it",
		});
	}

	/** Reads one into `low` and `high`; behind it, or -1 where it is cut off or longer than 10 bytes. */
	#varint(from: number): number {
		const bytes = this.#bytes;
		const end = Math.min(this.#end, from + MAX_VARINT);
		this.high = 0;
		let low = 0;
		let at = from;
		for (let shift = 0; shift < 28 && at < end; shift += 7) {
			const byte = bytes[at++];
			low |= (byte & 127) << shift;
			if (byte < 128) {
				this.low = low;
				return at;
			}
		}
		if (at >= end) return -1;
		let byte = bytes[at++];
		this.low = (low | (byte << 28)) >>> 0;
		let high = (byte & 127) >>> 4;
		for (let shift = 3; byte >= 128; shift += 7) {
			if (at >= end) return -1;
			byte = bytes[at++];
			high |= (byte & 127) << shift;
		}
		this.high = high >>> 0;
		return at;
	}
}

const MAX_VARINT = 10;

const wordAt = (bytes: Uint8Array, at: number): number =>
	(bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24)) >>> 0;

/** Fields of a message. @throws DamagedMessage */
export function* fieldsOf(message: Uint8Array, where: string): Generator<WireField> {
	const walk = new FieldWalk().begin(message, 0, message.length, where);
	while (walk.next()) {
		const { number, wire } = walk;
		if (wire === 2) yield { number, wire, value: 0n, bytes: message.subarray(walk.from, walk.to) };
		else yield { number, wire, value: (BigInt(walk.high) << 32n) | BigInt(walk.low), bytes: EMPTY };
	}
}

/** int64 and int32 as they are stored. */
export const signed = (value: bigint): bigint => BigInt.asIntN(64, value);

export const utf8 = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
