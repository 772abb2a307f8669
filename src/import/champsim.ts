// ChampSim's instruction trace: 64-byte little-endian records without a header, one an instruction. formats.md section 4.
//
//	0        8          9             10            12           16               32               64
//	| ip: 8  | branch 1 | taken 1     | dst regs 2  | src regs 4 | stores: 2 x 8  | loads: 4 x 8   |       an address of 0: no access
import { BadInputError } from "../errors.js";
import { Access } from "../trace/kinds.js";
import type { StreamPlace } from "./streamtext.js";
import type { StreamVm } from "./streamvm.js";

const RECORD = 64;
// In words of 32 bits; an address is two, the low one first.
const RECORD_WORDS = 16;
const STORES = 4;
const LOADS = 8;

/** High word of an address that 48 bits hold: zero-extended, or the sign-extended upper half. */
function isCanonical(high: number): boolean {
	return high >>> 16 === 0 || high >>> 15 === 0x1ffff;
}

/** What is wrong with the record whose first word is words[at]; null if nothing is. */
function recordFlaw(words: Uint32Array, at: number): string | null {
	const branch = words[at + 2] & 0xff;
	const taken = (words[at + 2] >>> 8) & 0xff;
	if (branch > 1 || taken > branch) return `is_branch ${branch}, branch_taken ${taken}`;
	for (let high = at + 1; high < at + RECORD_WORDS; high += high === at + 1 ? 4 : 2) {
		if (!isCanonical(words[high])) {
			return `the address ${((BigInt(words[high]) << 32n) | BigInt(words[high - 1])).toString(16)} has more than 48 bits`;
		}
	}
	return words[at] === 0 && words[at + 1] === 0 ? "no instruction pointer" : null;
}

/** Whether the head of a source can be ChampSim records: there is no magic, so each must be one that an instruction could make. */
export function looksLikeChampSim(head: Uint8Array): boolean {
	const records = Math.min(64, Math.floor(head.length / RECORD));
	const words = new Uint32Array(new Uint8Array(head.subarray(0, records * RECORD)).buffer);
	for (let record = 0; record < records; record++) if (recordFlaw(words, record * RECORD_WORDS) !== null) return false;
	return records > 0;
}

export class ChampSimRecords {
	readonly #vm: StreamVm;
	readonly #place: StreamPlace;
	/** What is at hand, aligned for words: the beginning of a record whose end had not come, then the chunk. */
	#bytes = new Uint8Array(1 << 18);
	#words = new Uint32Array(this.#bytes.buffer);
	#rest = 0;
	/** Records so far. */
	taken = 0;
	/** Records that were skipped. */
	damaged = 0;

	constructor(vm: StreamVm, place: StreamPlace) {
		this.#vm = vm;
		this.#place = place;
	}

	/** @throws BadInputError at a record that cannot be, unless lenient */
	push(chunk: Uint8Array): void {
		const length = this.#rest + chunk.length;
		if (length > this.#bytes.length) {
			const bytes = new Uint8Array(length + RECORD - (length % RECORD));
			bytes.set(this.#bytes.subarray(0, this.#rest));
			this.#bytes = bytes;
			this.#words = new Uint32Array(bytes.buffer);
		}
		this.#bytes.set(chunk, this.#rest);
		this.#rest = length % RECORD;
		const whole = length - this.#rest;
		for (let at = 0; at < whole / 4; at += RECORD_WORDS) this.#take(this.#words, at);
		this.#bytes.copyWithin(0, whole, length);
	}

	/** @throws BadInputError where the last record is cut off, unless lenient */
	end(): void {
		if (this.#rest > 0) this.#flawed(`the last record has ${this.#rest} of ${RECORD} bytes`);
		this.#rest = 0;
	}

	/** The fetch of the instruction, its loads, then its stores. */
	#take(words: Uint32Array, at: number): void {
		const flaw = recordFlaw(words, at);
		if (flaw !== null) {
			this.#flawed(flaw);
			return;
		}
		this.taken++;
		this.#access(words, at, Access.guestFetch);
		for (let low = at + LOADS; low < at + RECORD_WORDS; low += 2) this.#access(words, low, Access.guestRead);
		for (let low = at + STORES; low < at + LOADS; low += 2) this.#access(words, low, Access.guestWrite);
	}

	#access(words: Uint32Array, at: number, access: Access): void {
		const low = words[at];
		const high = words[at + 1] & 0xffff;
		if (low === 0 && high === 0) return;
		this.#vm.access(0, access, high * 2 ** 20 + (low >>> 12), low & 4095);
	}

	#flawed(flaw: string): void {
		const record = this.taken + this.damaged;
		if (!this.#place.lenient) {
			throw new BadInputError(`not a record of a ChampSim trace: ${flaw}`, {
				where: `${this.#place.path}, record ${record} at byte ${record * RECORD}`,
				hint: "mmreplay import --lenient leaves such records out",
			});
		}
		this.damaged++;
	}
}
