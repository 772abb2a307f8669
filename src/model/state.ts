// The reference model's state as entries for the digest.
import { type ArchitecturalState, EntryFlag, EntryKind } from "../state.js";
import type { Mm } from "./mm.js";
import type { Spte } from "./vm.js";
import type { World } from "./world.js";

const BATCH_ENTRIES = 1024;

function entry(kind: number, owner: number, page: number, frame: number, flags: number): number[] {
	return [kind, owner, page >>> 0, Math.floor(page / 2 ** 32), frame, flags];
}

const spteFlags = ({ writable, accessed, dirty, mmuWritable }: Spte): number =>
	(writable ? EntryFlag.writable : 0) |
	(accessed ? EntryFlag.accessed : 0) |
	(dirty ? EntryFlag.dirty : 0) |
	(mmuWritable ? EntryFlag.mmuWritable : 0);

/** A PTE of any kind. Places in swap have no numbers that mean anything. */
function pteEntry(mm: Mm, page: number): number[] {
	const hidden = mm.entry(page);
	if (hidden?.kind === "swap") return entry(EntryKind.pte, mm.id, page, 0, EntryFlag.swap | (hidden.exclusive ? EntryFlag.writable : 0));
	const pte = hidden?.pte ?? mm.get(page);
	if (pte === undefined) throw new RangeError(`no PTE at ${page}`);
	const { frame, writable } = pte;
	const flags = (writable ? EntryFlag.writable : 0) | (frame.zero ? EntryFlag.zero : 0) | (frame.kpage !== 0 ? EntryFlag.ksm : 0);
	return entry(EntryKind.pte, mm.id, page, frame.id, flags | (hidden === undefined ? 0 : EntryFlag[hidden.kind]));
}

function* eachEntry(world: World): Generator<number[]> {
	for (const mm of [...world.mms.values()].sort((a, b) => a.id - b.id)) {
		for (const page of mm.pages()) yield pteEntry(mm, page);
	}
	for (const vm of [...world.vms.values()].sort((a, b) => a.id - b.id)) {
		for (const [as, root] of vm.roots.entries()) {
			for (const [gfn, spte] of root.entries()) {
				if (spte.frame !== null) yield entry(EntryKind.spte | (as << 8), vm.id, gfn, spte.frame.id, spteFlags(spte));
			}
		}
	}
}

function* batches(world: World): Generator<Uint32Array> {
	let words: number[] = [];
	let entries = 0;
	for (const next of eachEntry(world)) {
		words.push(...next);
		if (++entries < BATCH_ENTRIES) continue;
		yield Uint32Array.from(words);
		words = [];
		entries = 0;
	}
	if (entries > 0) yield Uint32Array.from(words);
}

/** What `stateDigest` hashes of a replay by the reference model. */
export function modelState(world: World): ArchitecturalState {
	return { counters: world.counters, entries: () => batches(world) };
}
