// The architectural state for the host to hash: PTEs of an mm by page, SPTEs of a VM's address space and a strategy by gfn. Entries are
// ENTRY_WORDS words each, as src/state.ts has them; a call fills a buffer and the next one goes on where it stopped.
import { FrameBit, wordOf } from "./frames";
import { ENTRY_WORDS, EntryFlag, EntryKind } from "./generated/constants";
import { take } from "./heap";
import { Bit, ENTRY_MASK, PAGE_LIMIT, PteEntry, SpteBit } from "./layout";
import { leafEnd, leafOf, nextPresent, Root, recordIn } from "./pagetable";
import { frameOf, isSomething } from "./primary";
import { firstMm, firstVm, Mm, rootOf, Vm } from "./world";

// @ts-ignore: decorator
@inline
const CAPACITY: u32 = 8192;
let buffer: usize = 0;
let position: u64 = 0;

export function resetListing(): void {
	buffer = 0;
}

/** Begin a listing; the address of its buffer. */
export function startListing(): usize {
	if (buffer == 0) buffer = take(CAPACITY * ENTRY_WORDS * 4);
	position = 0;
	return buffer;
}

function put(index: u32, kind: u32, owner: u32, page: u64, word: u32, flags: u32): void {
	const at = buffer + <usize>index * (ENTRY_WORDS * 4);
	store<u32>(at, kind);
	store<u32>(at, owner, 4);
	store<u64>(at, page, 8);
	store<u32>(at, frameOf(word), 16);
	store<u32>(at, flags | ((word & Bit.writable) != 0 ? <u32>EntryFlag.writable : 0), 20);
}

/** More PTEs of an mm: how many; 0 at the end. */
export function listPtes(mm: Mm): u32 {
	return list(mm.ptes, 0, EntryKind.pte, mm.id);
}

/** More SPTEs of a VM's address space under a strategy: how many; 0 at the end. */
export function listSptes(vm: Vm, addressSpace: u32, strategy: u32): u32 {
	return list(rootOf(vm, addressSpace), strategy, EntryKind.spte | (addressSpace << 8), vm.id);
}

function list(root: Root, strategy: u32, kind: u32, owner: u32): u32 {
	let entries: u32 = 0;
	const stride = (<usize>root.words) << 2;
	while (entries < CAPACITY) {
		position = nextPresent(root, position, PAGE_LIMIT);
		if (position >= PAGE_LIMIT) break;
		const next = leafEnd(position, PAGE_LIMIT);
		let at = recordIn(root, leafOf(root, position), position) + ((<usize>strategy) << 2);
		for (; position < next && entries < CAPACITY; position++) {
			const word = load<u32>(at);
			at += stride;
			if (kind != EntryKind.pte) {
				if ((word & Bit.present) != 0) put(entries++, kind, owner, position, word, spteFlags(word));
			} else if (isSomething(word)) putPte(entries++, owner, position, word);
		}
	}
	return entries;
}

/** A PTE of any kind. Places in swap have no numbers that mean anything. */
function putPte(index: u32, owner: u32, page: u64, word: u32): void {
	const entry = word & ENTRY_MASK;
	if (entry == PteEntry.swap) put(index, EntryKind.pte, owner, page, word & Bit.writable, EntryFlag.swap);
	else {
		const hidden: u32 = entry == PteEntry.migration ? EntryFlag.migration : entry == PteEntry.protnone ? EntryFlag.protnone : 0;
		put(index, EntryKind.pte, owner, page, word, hidden | frameFlags(frameOf(word)));
	}
}

function frameFlags(frame: u32): u32 {
	return (frame == 0 ? <u32>EntryFlag.zero : 0) | ((wordOf(frame) & FrameBit.ksm) != 0 ? <u32>EntryFlag.ksm : 0);
}

function spteFlags(spte: u32): u32 {
	return (
		((spte & SpteBit.accessed) != 0 ? <u32>EntryFlag.accessed : 0) |
		((spte & SpteBit.dirty) != 0 ? <u32>EntryFlag.dirty : 0) |
		((spte & SpteBit.mmuWritable) != 0 ? <u32>EntryFlag.mmuWritable : 0)
	);
}

/** The mms and VMs, one after the other: the address of the one after, 0 behind the last. `at` 0: the first. */
export function nextMm(at: usize): usize {
	return changetype<usize>(at == 0 ? firstMm : changetype<Mm>(at).next);
}

export function nextVm(at: usize): usize {
	return changetype<usize>(at == 0 ? firstVm : changetype<Vm>(at).next);
}
