// The architectural state at the end of a replay and its digest: the same for the engine and the reference model, whatever numbers each gives
// its frames, and for any number of entries in bounded memory.
import { createHash } from "node:crypto";

/**
 * Words of an entry: kind, owner, page (low, high), frame, flags. A PTE's owner is its mm and its page an hva page; an SPTE's owner is its VM, its
 * page a gfn, and its kind has the address space above the low byte.
 */
export const ENTRY_WORDS = 6;
export const FRAME_WORD = 4;
export const EntryKind = { pte: 1, spte: 2 } as const;
/**
 * Zero and KSM are of PTEs, the three behind them of SPTEs; the last three: a PTE that is not present, and why (`writable` of a swap entry: its page
 * was exclusive).
 */
export const EntryFlag = {
	writable: 1,
	zero: 2,
	ksm: 4,
	accessed: 8,
	dirty: 16,
	mmuWritable: 32,
	swap: 64,
	migration: 128,
	protnone: 256,
} as const;

export interface ArchitecturalState {
	/** In the order of COUNTER_PATHS. */
	readonly counters: BigUint64Array;
	/**
	 * Every PTE that is not none (mms by id, then by page), then every present SPTE (VMs by id, address spaces, then by gfn), ENTRY_WORDS words each, some at a
	 * time; a batch is valid until the next one is asked for.
	 */
	entries(): Iterable<Uint32Array>;
}

/** Frames numbered in the order of their first appearance. Their own numbers are dense. */
class Renumbering {
	#numbers = new Uint32Array(1024);
	#next = 1;

	of(frame: number): number {
		if (frame >= this.#numbers.length) {
			const grown = new Uint32Array(Math.max(this.#numbers.length * 2, frame + 1));
			grown.set(this.#numbers);
			this.#numbers = grown;
		}
		if (this.#numbers[frame] === 0) this.#numbers[frame] = this.#next++;
		return this.#numbers[frame] ?? 0;
	}
}

/** sha256 (hex) over all counters, u64 little-endian, and the entries with their frames renumbered. */
export function stateDigest(state: ArchitecturalState): string {
	const hash = createHash("sha256");
	hash.update(state.counters);
	const frames = new Renumbering();
	for (const batch of state.entries()) {
		const words = batch.slice();
		for (let at = FRAME_WORD; at < words.length; at += ENTRY_WORDS) words[at] = frames.of(words[at] ?? 0);
		hash.update(words);
	}
	return hash.digest("hex");
}
