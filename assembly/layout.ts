// The memory map and every packed word. Records with named fields are the @unmanaged classes of world.ts; what follows one of them, an array
// for each strategy, is drawn here.
//
//	0 ............ 65536 ............... __heap_base ............................................................ memory.size
//	| nothing: a   | static data         | arena, one bump pointer, 64-byte steps, zeroed (heap.ts)                        |
//	| null pointer | (tables of numbers) | counters | programs | block buffers | VMs, vCPUs with TLBs | tables | frames ... |
//
// One page of guest memory, S strategies:
//
//	primary page table of an mm, by hva page          TDP page table of a VM and address space, by gfn
//	root -> 512 -> 512 -> leaf: header, 512 x PTE     root -> 512 -> 512 -> leaf: header, 512 x { SPTE of strategy 0 .. S-1 }
//
//	PTE   | frame 26 | entry 2 | read-only VMA 1 | D 1 | W 1 | P 1 |   the VMA bit is there with or without P; the rest stays 0 while P is 0,
//	         31..6     5 4         3               2     1     0      except in an entry: of swap (its place there; W: its page was exclusive), of
//	                                                                  a migration, of NUMA hinting (frame, D and W as they were)
//	SPTE  | frame 26 | M 1 | D 1 | E 1 | A 1 | W 1 | P 1 |         present to KVM. M: MMU-writable, which is host-writable, since no page is
//	         31..6      5     4     3     2     1     0            tracked; D is 0 without A/D bits, where W says it; E: made by change_pte, not
//	                                                               used since (A). Without A/D bits an SPTE without A is an access-track one
//	      | L 1 | 0 .. | site + 1: 6 | cause 6 | 0 6 |             absent: why, as the cause of the vmexit that follows; 0 = never touched.
//	         31    30..18 17..12        11..6  5..0                  L: its zap is in the log
//	TLB   | frame 26 | 0 3 | C 1 | W 1 | P 1 |                     C: the frame's content is known to be its own, so a store has nothing to note;
//	                                                               an entry of 2 MiB has no frame
//	frame | mapcount 24 | file 1 | moved 1 | pinned 1 | held 1 | kpages 1 | KSM 1 | freed 1 | exclusive 1 |  then its KSM page (contents: contents.ts)

import { OPERATION_KINDS, STEP_LIST_BYTES } from "./generated/constants";

/** Bits that PTE, SPTE and TLB entry have in the same place. */
export const enum Bit {
	present = 1,
	writable = 2,
}
export const enum PteBit {
	dirty = 4,
	readOnlyVma = 8,
}
/** What a PTE is that is neither present nor none. */
export const enum PteEntry {
	swap = 16,
	migration = 32,
	protnone = 48,
}
// @ts-ignore: decorator
@inline
export const ENTRY_MASK: u32 = 48;
export const enum SpteBit {
	accessed = 4,
	established = 8,
	dirty = 16,
	mmuWritable = 32,
}
export const enum TlbBit {
	ownContent = 4,
}
// @ts-ignore: decorator
@inline
export const FRAME_SHIFT: u32 = 6;
// @ts-ignore: decorator
@inline
export const FRAME_MASK: u32 = 0xffff_ffc0;
/** What two entries of one page must have in common: the frame, and that there is one. */
// @ts-ignore: decorator
@inline
export const TARGET_MASK: u32 = 0xffff_ffc1;
// @ts-ignore: decorator
@inline
export const MAX_FRAMES: u32 = 1 << 26;

// @ts-ignore: decorator
@inline
export const CAUSE_SHIFT: u32 = 6;
// @ts-ignore: decorator
@inline
export const SITE_SHIFT: u32 = 12;

/** Of an absent SPTE: its zap is in the log. */
// @ts-ignore: decorator
@inline
export const ABSENT_LOGGED: u32 = 0x8000_0000;

/** Page numbers have 36 bits: 48-bit addresses, four levels of nine. */
// @ts-ignore: decorator
@inline
export const PAGE_LIMIT: u64 = 1 << 36;
/** No page: what a gfn outside every memslot has. */
// @ts-ignore: decorator
@inline
export const NO_PAGE: u64 = 0xffff_ffff_ffff_ffff;

// A node of a page table has 512 entries. An entry of a directory is 0 (nothing below), VMA_READ_ONLY (nothing below, and no PTE that
// appears there may be writable: primary tables), or the address of the node below.
// @ts-ignore: decorator
@inline
export const LEVEL_BITS: u32 = 9;
// @ts-ignore: decorator
@inline
export const NODE_ENTRIES: u32 = 512;
// @ts-ignore: decorator
@inline
export const DIRECTORY_BYTES: usize = 2048;
// @ts-ignore: decorator
@inline
export const VMA_READ_ONLY: u32 = 1;
/**
 * Header of a leaf. TDP: the strategies in whose table it exists (u32), as model Vm.TdpRoot has it, and those in which it stands for a 2 MiB leaf,
 * whose 512 entries come and go together (u32). Primary: whether one huge PMD maps it (u32).
 */
// @ts-ignore: decorator
@inline
export const LEAF_HEADER_BYTES: usize = 64;
/** Place of the 2 MiB leaves in the header of a TDP leaf. */
// @ts-ignore: decorator
@inline
export const HUGE_LEAVES: usize = 4;

/** And of the numbers of guest accesses at the zaps of its SPTEs: 512 x u64 a strategy; 0: none was zapped. */
// @ts-ignore: decorator
@inline
export const ZAP_TIMES: usize = 8;
/** And of the times of those zaps in ns, where the trace has any. */
// @ts-ignore: decorator
@inline
export const ZAP_NS: usize = 12;

/** Step lists of one strategy: as encodeStrategy makes them. */
// @ts-ignore: decorator
@inline
export const PROGRAM_BYTES: usize = OPERATION_KINDS * STEP_LIST_BYTES;
