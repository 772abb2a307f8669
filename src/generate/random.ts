// Numbers for generated traces, the same on every machine: integer steps only (sfc32, Chris Doty-Humphrey's PractRand), and powers from the
// four operations that IEEE 754 defines to the last bit, which Math.pow is not.

/** Draws thrown away at the start, so that near seeds come apart. */
const WARM_UP = 15;

export class Random {
	#a: number;
	#b: number;
	#c: number;
	#counter = 1;

	/** `seed`: a whole number from 0 to 2^53 - 1. */
	constructor(seed: number) {
		this.#a = 0;
		this.#b = seed | 0;
		this.#c = Math.floor(seed / 2 ** 32) | 0;
		for (let draw = 0; draw < WARM_UP; draw++) this.next();
	}

	/** 32 bits, signed. */
	next(): number {
		const sum = (this.#a + this.#b + this.#counter) | 0;
		this.#counter = (this.#counter + 1) | 0;
		this.#a = this.#b ^ (this.#b >>> 9);
		this.#b = (this.#c + (this.#c << 3)) | 0;
		this.#c = ((this.#c << 21) | (this.#c >>> 11)) + sum;
		this.#c |= 0;
		return sum;
	}

	/** A whole number from 0 to `count` - 1; `count` up to 2^32. */
	below(count: number): number {
		return ((this.next() >>> 0) * (count / 2 ** 32)) >>> 0;
	}
}

const LN2_TERMS = 24;

/** ln 2 times k plus the series of ln m, 1 <= m < 2: 2 artanh((m - 1) / (m + 1)). */
function naturalLogarithm(value: number): number {
	let doublings = 0;
	let mantissa = value;
	for (; mantissa >= 2; doublings++) mantissa /= 2;
	return doublings * LN_2 + artanhSeries((mantissa - 1) / (mantissa + 1));
}

function artanhSeries(x: number): number {
	const square = x * x;
	let sum = 0;
	let power = x;
	for (let term = 0; term < LN2_TERMS; term++) {
		sum += power / (2 * term + 1);
		power *= square;
	}
	return 2 * sum;
}

const LN_2 = artanhSeries(1 / 3);

function exponential(x: number): number {
	// exp(x) = exp(x / 2^k)^(2^k), with x / 2^k small enough for a short series.
	let halvings = 0;
	let small = x;
	for (; small > 0.25 || small < -0.25; halvings++) small /= 2;
	let sum = 1;
	let term = 1;
	for (let order = 1; order <= 14; order++) {
		term *= small / order;
		sum += term;
	}
	for (; halvings > 0; halvings--) sum *= sum;
	return sum;
}

/** `base` >= 1 to the power `exponent`. */
export function power(base: number, exponent: number): number {
	return exponential(exponent * naturalLogarithm(base));
}
