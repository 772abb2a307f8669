// Protobuf by hand, into one buffer: millions of small packets, so nothing is allocated for each of them.

const FIRST_BYTES = 1 << 20;
/** A varint has at most ten bytes. */
const SLACK = 16;
const TEXT = new TextEncoder();

export class ByteBuffer {
	#bytes = new Uint8Array(FIRST_BYTES);
	length = 0;

	/** What has been written; valid until the next write. */
	written(): Uint8Array {
		return this.#bytes.subarray(0, this.length);
	}

	/** Room for `more` bytes, and for a few numbers. */
	reserve(more: number): void {
		const needed = this.length + more + SLACK;
		if (needed <= this.#bytes.length) return;
		const grown = new Uint8Array(Math.max(needed, this.#bytes.length * 2));
		grown.set(this.#bytes);
		this.#bytes = grown;
	}

	/** A whole number from 0. */
	varint(value: number): void {
		this.reserve(0);
		let rest = value;
		while (rest >= 2 ** 31) {
			this.#bytes[this.length++] = (rest % 128) | 128;
			rest = Math.floor(rest / 128);
		}
		for (; rest >= 128; rest >>>= 7) this.#bytes[this.length++] = (rest & 127) | 128;
		this.#bytes[this.length++] = rest;
	}

	/** As int64 has it: what is negative takes ten bytes. */
	int64(value: number): void {
		if (value >= 0) {
			this.varint(value);
			return;
		}
		this.reserve(0);
		let rest = BigInt.asUintN(64, BigInt(value));
		for (; rest >= 128n; rest >>= 7n) this.#bytes[this.length++] = Number(rest & 127n) | 128;
		this.#bytes[this.length++] = Number(rest);
	}

	/** A 64-bit number of two words. */
	fixed64(low: number, high: number): void {
		this.reserve(0);
		for (const word of [low, high]) {
			for (let shift = 0; shift < 32; shift += 8) this.#bytes[this.length++] = (word >>> shift) & 255;
		}
	}

	text(value: string): void {
		const bytes = TEXT.encode(value);
		this.varint(bytes.length);
		this.reserve(bytes.length);
		this.#bytes.set(bytes, this.length);
		this.length += bytes.length;
	}

	/** Begin something whose length comes first; `close` takes what this returns. */
	open(): number {
		this.reserve(1);
		return this.length++;
	}

	close(at: number): void {
		const bytes = this.length - at - 1;
		if (bytes < 128) {
			this.#bytes[at] = bytes;
			return;
		}
		let digits = 1;
		for (let rest = bytes; rest >= 128; rest >>>= 7) digits++;
		this.reserve(digits);
		this.#bytes.copyWithin(at + digits, at + 1, this.length);
		const end = this.length + digits - 1;
		this.length = at;
		this.varint(bytes);
		this.length = end;
	}
}
