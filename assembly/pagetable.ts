// Radix page tables over 36-bit page numbers: three levels of directories, then leaves (drawn in layout.ts). Primary tables hold PTEs by hva
// page; TDP tables hold, by gfn, the SPTEs of all strategies side by side, so that one walk serves them all. Nodes live until the next reset.
import { reserve } from "./heap";
import { DIRECTORY_BYTES, LEAF_HEADER_BYTES, LEVEL_BITS, NODE_ENTRIES, PteBit, VMA_READ_ONLY } from "./layout";

/** Behind it CACHE_ENTRIES entries { page >> 18, plus 1: u32 | the directory of its leaves: u32 }: walks begin there. */
@unmanaged
export class Root {
	top: usize;
	/** The leaf that the last look-up found, and page >> 9 of its pages, plus 1: an operation asks for its page again and again. */
	foundLeaf: usize;
	foundBlock: u32;
	/** SPTEs of one gfn, or 1 for the PTE of a primary table. */
	words: u32;
	/** Bytes before the first record of a leaf. */
	header: u32;
}
// @ts-ignore: decorator
@inline
const CACHE_ENTRIES: u32 = 64;
// @ts-ignore: decorator
@inline
const TOP_SHIFT: u32 = 27;
/** Pages below an entry of a directory whose entries are directories of leaves, as a power of two. */
// @ts-ignore: decorator
@inline
const CACHED_SHIFT: u32 = 18;

/** Of all tables together. */
export let tableBytes: usize = 0;

export function resetTables(): void {
	tableBytes = 0;
}

/** `strategies`: of a TDP table; 0 for a primary one. */
export function makeRoot(strategies: u32): Root {
	const root = changetype<Root>(reserve(offsetof<Root>() + CACHE_ENTRIES * 8));
	root.top = reserve(DIRECTORY_BYTES);
	root.words = strategies == 0 ? 1 : strategies;
	root.header = <u32>LEAF_HEADER_BYTES;
	return root;
}

// @ts-ignore: decorator
@inline
function entryOf(node: usize, page: u64, shift: u32): usize {
	return node + ((<usize>(page >> shift) & (NODE_ENTRIES - 1)) << 2);
}

// @ts-ignore: decorator
@inline
function cacheOf(root: Root, page: u64): usize {
	return changetype<usize>(root) + offsetof<Root>() + ((<usize>(page >> CACHED_SHIFT) & (CACHE_ENTRIES - 1)) << 3);
}

/** The directory that has a page's leaf; 0 where there is none. Noted in the cache. */
function findDirectory(root: Root, page: u64): usize {
	let node = root.top;
	for (let shift = TOP_SHIFT; shift >= CACHED_SHIFT; shift -= LEVEL_BITS) {
		const below = <usize>load<u32>(entryOf(node, page, shift));
		if (below <= VMA_READ_ONLY) return 0;
		node = below;
	}
	const cached = cacheOf(root, page);
	store<u32>(cached, <u32>(page >> CACHED_SHIFT) + 1);
	store<u32>(cached, <u32>node, 4);
	return node;
}

/** A node for an empty entry, with what the entry said of everything below it. */
function makeNode(root: Root, entry: usize, shift: u32): usize {
	const readOnly = load<u32>(entry);
	const isLeaf = shift == LEVEL_BITS;
	const bytes = isLeaf ? <usize>root.header + <usize>(NODE_ENTRIES * 4 * root.words) : DIRECTORY_BYTES;
	const node = reserve(bytes);
	tableBytes += bytes;
	if (readOnly != 0) {
		const word = isLeaf ? <u32>PteBit.readOnlyVma : VMA_READ_ONLY;
		const first = isLeaf ? node + root.header : node;
		for (let index: usize = 0; index < NODE_ENTRIES; index++) store<u32>(first + (index << 2), word);
	}
	store<u32>(entry, <u32>node);
	return node;
}

function makeLeaf(root: Root, page: u64): usize {
	let node = root.top;
	for (let shift = TOP_SHIFT; shift > 0; shift -= LEVEL_BITS) {
		const entry = entryOf(node, page, shift);
		const below = <usize>load<u32>(entry);
		node = below <= VMA_READ_ONLY ? makeNode(root, entry, shift) : below;
	}
	return node;
}

/** The leaf that covers a page; 0 where there is none. */
// @ts-ignore: decorator
@inline
export function leafOf(root: Root, page: u64): usize {
	return root.foundBlock == <u32>(page >> LEVEL_BITS) + 1 ? root.foundLeaf : findLeaf(root, page);
}

function findLeaf(root: Root, page: u64): usize {
	const leaf = anyLeafOf(root, page);
	if (leaf != 0) {
		root.foundLeaf = leaf;
		root.foundBlock = <u32>(page >> LEVEL_BITS) + 1;
	}
	return leaf;
}

/** The same where pages come from all over. */
// @ts-ignore: decorator
@inline
export function anyLeafOf(root: Root, page: u64): usize {
	const cached = cacheOf(root, page);
	const isCached = load<u32>(cached) == <u32>(page >> CACHED_SHIFT) + 1;
	const directory = isCached ? <usize>load<u32>(cached, 4) : findDirectory(root, page);
	if (directory == 0) return 0;
	const leaf = <usize>load<u32>(entryOf(directory, page, LEVEL_BITS));
	return leaf <= VMA_READ_ONLY ? 0 : leaf;
}

/** Where the first word of a page stands in its leaf. */
// @ts-ignore: decorator
@inline
export function recordIn(root: Root, leaf: usize, page: u64): usize {
	return leaf + root.header + (<usize>page & (NODE_ENTRIES - 1)) * root.words * 4;
}

/** The words of a page; 0 where its leaf is missing. */
// @ts-ignore: decorator
@inline
export function findRecord(root: Root, page: u64): usize {
	const leaf = leafOf(root, page);
	return leaf == 0 ? 0 : recordIn(root, leaf, page);
}

/** The words of a page, made where they are missing. */
// @ts-ignore: decorator
@inline
export function makeRecord(root: Root, page: u64): usize {
	let leaf = leafOf(root, page);
	if (leaf == 0) leaf = makeLeaf(root, page);
	return recordIn(root, leaf, page);
}

/** The first page at or after `page` whose leaf exists; `end` where there is none before it. Skips what is absent at its own level. */
// @ts-ignore: decorator
@inline
export function nextPresent(root: Root, page: u64, end: u64): u64 {
	return page < end && root.foundBlock == <u32>(page >> LEVEL_BITS) + 1 ? page : findPresent(root, page, end);
}

function findPresent(root: Root, page: u64, end: u64): u64 {
	let at = page;
	while (at < end) {
		let node = root.top;
		let shift = TOP_SHIFT;
		for (; shift > 0; shift -= LEVEL_BITS) {
			const below = <usize>load<u32>(entryOf(node, at, shift));
			if (below <= VMA_READ_ONLY) break;
			node = below;
		}
		if (shift == 0) return at;
		at = ((at >> shift) + 1) << shift;
	}
	return end;
}

/** The first page after the leaf of `page`, or `end` if that is less. */
// @ts-ignore: decorator
@inline
export function leafEnd(page: u64, end: u64): u64 {
	return min<u64>(((page >> LEVEL_BITS) + 1) << LEVEL_BITS, end);
}

/** mprotect on a primary table: whether the VMA of [page, end) allows writing from now on. Makes no table for what is wholly absent. */
export function setVmaReadOnly(root: Root, page: u64, end: u64, readOnly: bool): void {
	if (page < end) markNode(root, root.top, TOP_SHIFT, page, end, readOnly);
}

/** [page, end) lies within the node. */
function markNode(root: Root, node: usize, shift: u32, page: u64, end: u64, readOnly: bool): void {
	if (shift == 0) {
		for (let at = page; at < end; at++) {
			const word = recordIn(root, node, at);
			const before = load<u32>(word);
			store<u32>(word, readOnly ? before | PteBit.readOnlyVma : before & ~(<u32>PteBit.readOnlyVma));
		}
		return;
	}
	for (let at = page; at < end; ) {
		const next = min<u64>(((at >> shift) + 1) << shift, end);
		const entry = entryOf(node, at, shift);
		const below = load<u32>(entry);
		const isWhole = next - at == (<u64>1) << shift;
		if (below > VMA_READ_ONLY) markNode(root, <usize>below, shift - LEVEL_BITS, at, next, readOnly);
		else if (isWhole) store<u32>(entry, readOnly ? VMA_READ_ONLY : 0);
		else if ((below == VMA_READ_ONLY) != readOnly) markNode(root, makeNode(root, entry, shift), shift - LEVEL_BITS, at, next, readOnly);
		at = next;
	}
}

/** Whether the VMA of a page forbids writing. */
export function vmaReadOnly(root: Root, page: u64): bool {
	const leaf = leafOf(root, page);
	if (leaf != 0) return (load<u32>(recordIn(root, leaf, page)) & PteBit.readOnlyVma) != 0;
	let node = root.top;
	for (let shift = TOP_SHIFT; shift > 0; shift -= LEVEL_BITS) {
		const below = <usize>load<u32>(entryOf(node, page, shift));
		if (below <= VMA_READ_ONLY) return below == VMA_READ_ONLY;
		node = below;
	}
	return false;
}
