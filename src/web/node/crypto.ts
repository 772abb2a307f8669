// node:crypto for a browser's worker: sha256 (FIPS 180-4), which WebCrypto only has asynchronously and in one piece.

const ROUNDS = new Uint32Array(64);
const INITIAL = new Uint32Array(8);

/** The first 32 bits of the fractional parts of the roots of the first primes. */
function constants(): void {
	const fraction = (root: number): number => ((root - Math.floor(root)) * 2 ** 32) >>> 0;
	for (let candidate = 2, found = 0; found < 64; candidate++) {
		let prime = true;
		for (let factor = 2; factor * factor <= candidate; factor++) if (candidate % factor === 0) prime = false;
		if (!prime) continue;
		if (found < 8) INITIAL[found] = fraction(Math.sqrt(candidate));
		ROUNDS[found++] = fraction(Math.cbrt(candidate));
	}
}
constants();

const rotate = (word: number, by: number): number => (word >>> by) | (word << (32 - by));

class Sha256 {
	#state: Uint32Array = INITIAL.slice();
	#block = new Uint8Array(64);
	#filled = 0;
	#bytes = 0;
	readonly #words = new Uint32Array(64);

	update(data: ArrayBufferView): this {
		const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
		this.#bytes += bytes.length;
		let at = 0;
		while (at < bytes.length) {
			const count = Math.min(64 - this.#filled, bytes.length - at);
			this.#block.set(bytes.subarray(at, at + count), this.#filled);
			this.#filled += count;
			at += count;
			if (this.#filled === 64) this.#compress();
		}
		return this;
	}

	copy(): Sha256 {
		const other = new Sha256();
		other.#state = this.#state.slice();
		other.#block = this.#block.slice();
		other.#filled = this.#filled;
		other.#bytes = this.#bytes;
		return other;
	}

	digest(_encoding: "hex"): string {
		const bits = this.#bytes * 8;
		this.#block[this.#filled++] = 0x80;
		if (this.#filled > 56) {
			this.#block.fill(0, this.#filled);
			this.#compress();
		}
		this.#block.fill(0, this.#filled);
		const view = new DataView(this.#block.buffer);
		view.setUint32(56, Math.floor(bits / 2 ** 32));
		view.setUint32(60, bits >>> 0);
		this.#compress();
		return [...this.#state].map((word) => word.toString(16).padStart(8, "0")).join("");
	}

	#compress(): void {
		const words = this.#words;
		const view = new DataView(this.#block.buffer);
		for (let at = 0; at < 16; at++) words[at] = view.getUint32(at * 4);
		for (let at = 16; at < 64; at++) {
			const [before15 = 0, before2 = 0] = [words[at - 15], words[at - 2]];
			const s0 = rotate(before15, 7) ^ rotate(before15, 18) ^ (before15 >>> 3);
			const s1 = rotate(before2, 17) ^ rotate(before2, 19) ^ (before2 >>> 10);
			words[at] = (words[at - 16] ?? 0) + s0 + (words[at - 7] ?? 0) + s1;
		}
		let [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, h = 0] = this.#state;
		for (let at = 0; at < 64; at++) {
			const s1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25);
			const first = (h + s1 + ((e & f) ^ (~e & g)) + (ROUNDS[at] ?? 0) + (words[at] ?? 0)) | 0;
			const s0 = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22);
			const second = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
			h = g;
			g = f;
			f = e;
			e = (d + first) | 0;
			d = c;
			c = b;
			b = a;
			a = (first + second) | 0;
		}
		for (const [at, word] of [a, b, c, d, e, f, g, h].entries()) this.#state[at] = (this.#state[at] ?? 0) + word;
		this.#filled = 0;
	}
}

export function createHash(_algorithm: "sha256"): Sha256 {
	return new Sha256();
}
