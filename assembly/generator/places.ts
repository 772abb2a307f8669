// What a workload remembers of its pages. A place is a page among those of all VMs: VM * pages of a VM + page.
import { below } from "./draws";

/** Places that a list of the latest remembers, a power of two. */
// @ts-ignore: decorator
@inline
const REMEMBERED: u32 = 4096;
// @ts-ignore: decorator
@inline
const NONE: u32 = 0xffff_ffff;

/** A ring of the latest places: how many there have been (64 bits), then words, NONE where one was forgotten. */
// @ts-ignore: decorator
@inline
const FIRST: usize = 8;
// @ts-ignore: decorator
@inline
const WORDS: usize = 4096 * 4;
// @ts-ignore: decorator
@inline
export const RING_BYTES: usize = 8 + 4096 * 4;

export function startRing(ring: usize): void {
	store<u64>(ring, 0);
	memory.fill(ring + FIRST, 0xff, WORDS);
}

// @ts-ignore: decorator
@inline
function slot(ring: usize, index: u64): usize {
	return ring + FIRST + ((<usize>index & (REMEMBERED - 1)) << 2);
}

// @ts-ignore: decorator
@inline
export function remember(ring: usize, place: u32): void {
	const count = load<u64>(ring);
	store<u32>(slot(ring, count), place);
	store<u64>(ring, count + 1);
}

/** One of them, or -1. */
export function drawFrom(ring: usize): i32 {
	const count = <u32>min<u64>(max<u64>(load<u64>(ring), 1), REMEMBERED);
	return load<i32>(slot(ring, below(count)));
}

/** The latest one, which is then forgotten, or -1. */
export function takeFrom(ring: usize): i32 {
	const count = load<u64>(ring);
	if (count == 0) return -1;
	store<u64>(ring, count - 1);
	const at = slot(ring, count - 1);
	const place = load<i32>(at);
	store<u32>(at, NONE);
	return place;
}

export function forget(ring: usize, from: u32, count: u32): void {
	for (let at = ring + FIRST, end = at + WORDS; at < end; at += 4) {
		if (load<u32>(at) - from < count) store<u32>(at, NONE);
	}
}

/** Places that are a KSM page and were not written since: a bit each. */
let marks: usize = 0;

// @ts-ignore: decorator
@inline
export function marksAt(at: usize): void {
	marks = at;
}

// @ts-ignore: decorator
@inline
export function isShared(place: u32): bool {
	return ((load<u32>(marks + ((place >>> 5) << 2)) >>> (place & 31)) & 1) == 1;
}

// @ts-ignore: decorator
@inline
export function share(place: u32): void {
	const word = marks + ((place >>> 5) << 2);
	store<u32>(word, load<u32>(word) | (1 << (place & 31)));
}

/** `bit`: 1, or 0 for none. */
// @ts-ignore: decorator
@inline
export function unshare(place: u32, bit: u32): void {
	const word = marks + ((place >>> 5) << 2);
	store<u32>(word, load<u32>(word) & ~(bit << (place & 31)));
}
