// A line of damon_aggregated as it usually is, read as bytes from its end: `… 10.000001: damon_aggregated: target_id=0 nr_regions=11 94000-95000: 3 12`.
// What is unlike it is read as text (damon.ts).

const SPACE = 32;
const DOT = 46;
const MINUS = 45;
const ZERO = 48;
/** Numbers of more digits are read as text. */
const MAX_DIGITS = 15;

const literal = (text: string): Uint8Array => Buffer.from(text, "latin1");
const COLON_SPACE = literal(": ");
const REGIONS = literal(" nr_regions=");
const TARGET = literal("target_id=");
const EVENT = literal("damon_aggregated:");
const SYSTEM = literal("damon:");

export class RegionLine {
	seconds = 0;
	fraction = 0;
	fractionDigits = 0;
	target = 0;
	start = 0;
	end = 0;
	checks = 0;
	/** What lies before it is not read yet. */
	#at = 0;
	#from = 0;
	/** Of the number that was read last. */
	#digits = 0;

	/** Whether the line is as usual; then its values are here. */
	read(bytes: Uint8Array, from: number, to: number): boolean {
		this.#from = from;
		this.#at = to;
		this.checks = this.#number(bytes);
		// With an age, or without.
		if (this.#at > from && bytes[this.#at - 1] === SPACE && bytes[this.#at - 2] !== COLON_SPACE[0]) {
			this.#at--;
			this.checks = this.#number(bytes);
		}
		if (this.checks < 0 || !this.#skips(bytes, COLON_SPACE)) return false;
		this.end = this.#number(bytes);
		if (this.end < 0 || bytes[--this.#at] !== MINUS) return false;
		this.start = this.#number(bytes);
		if (this.start < 0 || bytes[this.#at - 1] !== SPACE) return false;
		this.#at--;
		if (this.#number(bytes) < 0 || !this.#skips(bytes, REGIONS)) return false;
		this.target = this.#number(bytes);
		// As a number is printed: its text is the same.
		if (this.target < 0 || (this.#digits > 1 && bytes[this.#at] === ZERO) || !this.#skips(bytes, TARGET)) return false;
		const behind = this.#at;
		while (this.#at > from && bytes[this.#at - 1] === SPACE) this.#at--;
		if (this.#at === behind || !this.#skips(bytes, EVENT)) return false;
		this.#skips(bytes, SYSTEM);
		if (!this.#skips(bytes, COLON_SPACE)) return false;
		this.fraction = this.#number(bytes);
		this.fractionDigits = this.#digits;
		if (this.fraction < 0 || this.fractionDigits > 9 || bytes[--this.#at] !== DOT) return false;
		this.seconds = this.#number(bytes);
		return this.seconds >= 0;
	}

	/** The number that ends here; -1 where there is none. */
	#number(bytes: Uint8Array): number {
		let at = this.#at;
		let value = 0;
		let unit = 1;
		while (at > this.#from) {
			const digit = bytes[at - 1] - ZERO;
			if (digit < 0 || digit > 9) break;
			value += digit * unit;
			unit *= 10;
			at--;
		}
		this.#digits = this.#at - at;
		this.#at = at;
		return this.#digits === 0 || this.#digits > MAX_DIGITS ? -1 : value;
	}

	#skips(bytes: Uint8Array, text: Uint8Array): boolean {
		const at = this.#at - text.length;
		if (at < this.#from) return false;
		for (let each = 0; each < text.length; each++) if (bytes[at + each] !== text[each]) return false;
		this.#at = at;
		return true;
	}
}
