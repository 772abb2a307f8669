// SPTE values as the tracepoints print them (arch/x86/kvm/mmu/spte.h).
import { SpteBit } from "../trace/kinds.js";

/** SPTE_MMU_PRESENT_MASK: hardware bits alone also mark MMIO entries and those of a removed table. */
const MMU_PRESENT = 1n << 11n;
const LARGE_PAGE = 1n << 7n;

/** SpteBit set of a leaf; 0 for what is absent, and for what points to a lower table. */
export function leafBits(value: bigint, level: number): number {
	if ((value & MMU_PRESENT) === 0n || (level > 1 && (value & LARGE_PAGE) === 0n)) return 0;
	const bit = (at: bigint, flag: number): number => (((value >> at) & 1n) === 1n ? flag : 0);
	return SpteBit.present | bit(1n, SpteBit.writable) | bit(5n, SpteBit.accessed) | bit(6n, SpteBit.dirty);
}
