// Varints and zigzag, written to a growing buffer and read from a bounded one (protobuf encoding guide, "Base 128 Varints").
// Values are numbers: unsigned to 2^53 - 1, signed between -(2^53 - 1) and 2^53 - 1.

const MAX_VARINT_BYTES = 10;
const WORD = 2 ** 32;

export class VarintBuffer {
	#bytes: Uint8Array;
	/** Bytes written. */
	length = 0;

	constructor(capacity = 1024) {
		this.#bytes = new Uint8Array(capacity);
	}

	/** The bytes written so far; valid until the next write. */
	view(): Uint8Array {
		return this.#bytes.subarray(0, this.length);
	}

	clear(): void {
		this.length = 0;
	}

	#reserve(count: number): void {
		if (this.length + count <= this.#bytes.length) return;
		const grown = new Uint8Array(Math.max(this.#bytes.length * 2, this.length + count));
		grown.set(this.view());
		this.#bytes = grown;
	}

	/** An unsigned value under 2^53. */
	unsigned(value: number): void {
		if (value < 128 && this.length < this.#bytes.length) {
			this.#bytes[this.length++] = value;
			return;
		}
		this.#reserve(MAX_VARINT_BYTES);
		let rest = value;
		while (rest >= WORD) {
			this.#bytes[this.length++] = (rest % 128) | 128;
			rest = Math.floor(rest / 128);
		}
		rest >>>= 0;
		while (rest > 127) {
			this.#bytes[this.length++] = (rest & 127) | 128;
			rest >>>= 7;
		}
		this.#bytes[this.length++] = rest;
	}

	/** A code, how many values follow, and they, from a place on: unsigned ones under 2^53. The code and the number of values are under 128. */
	counted(code: number, values: ArrayLike<number>, from: number, count: number): void {
		this.#reserve((count + 1) * MAX_VARINT_BYTES);
		const bytes = this.#bytes;
		let at = this.length;
		bytes[at++] = code;
		bytes[at++] = count;
		for (let index = 0; index < count; index++) {
			let rest = values[from + index];
			while (rest >= WORD) {
				bytes[at++] = (rest % 128) | 128;
				rest = Math.floor(rest / 128);
			}
			let word = rest >>> 0;
			while (word > 127) {
				bytes[at++] = (word & 127) | 128;
				word >>>= 7;
			}
			bytes[at++] = word;
		}
		this.length = at;
	}

	/** A signed value, zigzag. */
	signed(value: number): void {
		if (value >= -0x4000_0000 && value < 0x4000_0000) {
			this.unsigned(((value << 1) ^ (value >> 31)) >>> 0);
			return;
		}
		// Doubled, the largest magnitudes leave what a number holds exactly: the lowest seven bits go out first.
		const magnitude = value < 0 ? -(value + 1) : value;
		this.#reserve(MAX_VARINT_BYTES);
		this.#bytes[this.length++] = ((magnitude % 64) * 2) | (value < 0 ? 1 : 0) | 128;
		this.unsigned(Math.floor(magnitude / 64));
	}
}

/** What is wrong with the bytes of a varint; the caller knows which column and says so. */
export class VarintError extends Error {
	/** Offset in the buffer. */
	readonly at: number;

	constructor(at: number, reason: string) {
		super(reason);
		this.at = at;
	}
}

export class VarintReader {
	readonly #bytes: Uint8Array;
	readonly end: number;
	/** Offset in the buffer of the next value. */
	at: number;
	/** The value read last: bits 0 to 31, and the bits above. */
	#low = 0;
	#high = 0;

	constructor(bytes: Uint8Array, from = 0, to = bytes.length) {
		this.#bytes = bytes;
		this.at = from;
		this.end = to;
	}

	get done(): boolean {
		return this.at >= this.end;
	}

	#read(): void {
		const bytes = this.#bytes;
		const start = this.at;
		let low = 0;
		let high = 0;
		for (let index = 0; index < MAX_VARINT_BYTES; index++) {
			if (this.at >= this.end) throw new VarintError(start, "ends inside a varint");
			const byte = bytes[this.at++];
			const bits = byte & 127;
			if (index < 4) low |= bits << (7 * index);
			else if (index === 4) {
				low |= bits << 28;
				high = bits >>> 4;
			} else if (index < 9) high |= bits << (7 * index - 32);
			else {
				if (bits > 1) throw new VarintError(start, "has a varint over 64 bits");
				high |= bits << 31;
			}
			if (byte < 128) {
				this.#low = low >>> 0;
				this.#high = high >>> 0;
				return;
			}
		}
		throw new VarintError(start, "has a varint of more than ten bytes");
	}

	/** An unsigned value under 2^32. @throws VarintError */
	uint32(): number {
		const byte = this.at < this.end ? this.#bytes[this.at] : 128;
		if (byte < 128) {
			this.at++;
			return byte;
		}
		const start = this.at;
		this.#read();
		if (this.#high !== 0) throw new VarintError(start, "has a value over 32 bits");
		return this.#low;
	}

	/** An unsigned value under 2^53. @throws VarintError */
	unsigned(): number {
		const byte = this.at < this.end ? this.#bytes[this.at] : 128;
		if (byte < 128) {
			this.at++;
			return byte;
		}
		const start = this.at;
		this.#read();
		if (this.#high >= 1 << 21) throw new VarintError(start, "has a value over 53 bits");
		return this.#high * WORD + this.#low;
	}

	/** A signed value of magnitude under 2^53, zigzag. @throws VarintError */
	signed(): number {
		const start = this.at;
		this.#read();
		const low = ((this.#low >>> 1) | (this.#high << 31)) >>> 0;
		const high = this.#high >>> 1;
		if (high >= 1 << 21) throw new VarintError(start, "has a value over 53 bits");
		const magnitude = high * WORD + low;
		return this.#low & 1 ? -magnitude - 1 : magnitude;
	}
}

/** Values in a column of varints: its bytes without a continuation bit. */
export function countVarints(bytes: Uint8Array, from: number, to: number): number {
	let count = 0;
	for (let at = from; at < to; at++) count += bytes[at] < 128 ? 1 : 0;
	return count;
}
