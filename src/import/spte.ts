// SPTE values as the tracepoints print them (arch/x86/kvm/mmu/spte.h), and what is known of each gfn's.
import { SpteBit } from "../trace/kinds.js";

/** SPTE_MMU_PRESENT_MASK: hardware bits alone also mark MMIO entries and those of a removed table. */
const MMU_PRESENT = 1 << 11;
const LARGE_PAGE = 1 << 7;

/** SpteBit set of a leaf, by the value's low 32 bits; 0 for what is absent, and for what points to a lower table. */
export function leafBits(low: number, level: number): number {
	if ((low & MMU_PRESENT) === 0 || (level > 1 && (low & LARGE_PAGE) === 0)) return 0;
	return (
		SpteBit.present |
		((low & 2) !== 0 ? SpteBit.writable : 0) |
		((low & 32) !== 0 ? SpteBit.accessed : 0) |
		((low & 64) !== 0 ? SpteBit.dirty : 0)
	);
}

/** gfns of a part of the table: 2 MiB of the guest. */
const PART = 512;
const CAUSE_SHIFT = 4;
const BITS = (1 << CAUSE_SHIFT) - 1;

/** By gfn: the bits of its SPTE, and why it is absent (index into VMEXIT_CAUSES; 0: never touched). A byte each, in parts as they are touched. */
export class SpteTable {
	readonly #parts = new Map<number, Uint8Array>();
	#number = -1;
	#part: Uint8Array = new Uint8Array(0);

	#at(gfn: number): number {
		const number = Math.floor(gfn / PART);
		if (number !== this.#number) {
			let part = this.#parts.get(number);
			if (part === undefined) {
				part = new Uint8Array(PART);
				this.#parts.set(number, part);
			}
			this.#part = part;
			this.#number = number;
		}
		return gfn - number * PART;
	}

	bits(gfn: number): number {
		const at = this.#at(gfn);
		return this.#part[at] & BITS;
	}

	absent(gfn: number): number {
		const at = this.#at(gfn);
		return this.#part[at] >> CAUSE_SHIFT;
	}

	set(gfn: number, bits: number, absent: number): void {
		const at = this.#at(gfn);
		this.#part[at] = bits | (absent << CAUSE_SHIFT);
	}
}
