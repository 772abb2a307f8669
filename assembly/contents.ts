// What frames contain, for the oracle: class 0 is content that no other frame has, so that a store to a frame whose content is its own changes
// nothing. Frames of one other class have the same content: a copy and its source, a merged page and the KSM page. Which content a frame has
// depends on the strategy (a store that retries is made later), hence a class for each.
//
// Few frames share their content, so classes are kept beside the frames, and one bit of each frame says whether it has any:
//
//	bits     chunk of 4096 frames -> 512 bytes          rows     frame -> { class of strategy 0 .. S-1 }, gone once all are 0
import { giveUp } from "./failure";
import { Failure } from "./generated/constants";
import { give, reserve, take } from "./heap";
import { MAX_FRAMES } from "./layout";
import { get, remove, resetTable, set, TABLE_BYTES, Table } from "./table";
import { strategies } from "./world";

// @ts-ignore: decorator
@inline
const CHUNK_SHIFT: u32 = 12;
/** Addresses of the chunks' bits; 0 where no frame has a class. */
let bits: usize = 0;
let rowBytes: usize = 4;
let classes: u32 = 0;
const rows = changetype<Table>(memory.data(<i32>TABLE_BYTES));

export function resetContents(): void {
	bits = reserve(<usize>(MAX_FRAMES >> CHUNK_SHIFT) * 4);
	rowBytes = 4 * <usize>strategies;
	classes = 0;
	resetTable(rows);
}

// @ts-ignore: decorator
@inline
function wordOf(chunk: usize, frame: u32): usize {
	return chunk + ((<usize>(frame & ((1 << CHUNK_SHIFT) - 1)) >> 5) << 2);
}

// @ts-ignore: decorator
@inline
function chunkOf(frame: u32): usize {
	return bits + ((<usize>(frame >> CHUNK_SHIFT)) << 2);
}

// @ts-ignore: decorator
@inline
function isShared(frame: u32): bool {
	const chunk = <usize>load<u32>(chunkOf(frame));
	return chunk != 0 && ((load<u32>(wordOf(chunk, frame)) >> (frame & 31)) & 1) != 0;
}

// @ts-ignore: decorator
@inline
function classOf(frame: u32, strategy: u32): u32 {
	return isShared(frame) ? load<u32>(<usize>get(rows, frame) + ((<usize>strategy) << 2)) : 0;
}

function rowOf(frame: u32): usize {
	if (isShared(frame)) return <usize>get(rows, frame);
	const place = chunkOf(frame);
	if (load<u32>(place) == 0) store<u32>(place, <u32>reserve(1 << (CHUNK_SHIFT - 3)));
	const word = wordOf(<usize>load<u32>(place), frame);
	store<u32>(word, load<u32>(word) | (1 << (frame & 31)));
	const row = take(rowBytes);
	set(rows, frame, <u32>row);
	return row;
}

/** Whether it shares its content, or has, with any. */
export function hasClass(frame: u32): bool {
	return isShared(frame);
}

/** A frame that is used again has content of its own. */
export function forgetContent(frame: u32): void {
	if (isShared(frame)) dropRow(frame, <usize>get(rows, frame));
}

function dropRow(frame: u32, row: usize): void {
	const word = wordOf(<usize>load<u32>(chunkOf(frame)), frame);
	store<u32>(word, load<u32>(word) & ~(1 << (frame & 31)));
	remove(rows, frame);
	give(row, rowBytes);
}

/** Give a frame the content of another, under every strategy. */
export function shareContent(frame: u32, source: u32): void {
	if (frame == source) return;
	const from = rowOf(source);
	const to = rowOf(frame);
	for (let at: usize = 0; at < rowBytes; at += 4) {
		let content = load<u32>(from + at);
		if (content == 0) {
			content = ++classes;
			if (content == 0) giveUp(Failure.frames, frame);
			store<u32>(from + at, content);
		}
		store<u32>(to + at, content);
	}
}

/** Whether two frames have the same content. */
export function sameContent(a: u32, b: u32, strategy: u32): bool {
	const content = classOf(a, strategy);
	return a == b || (content != 0 && content == classOf(b, strategy));
}

/** Content that no other frame has. */
export function hasOwnContent(frame: u32, strategy: u32): bool {
	return classOf(frame, strategy) == 0;
}

/** A store: from now on the content is the frame's own. */
// @ts-ignore: decorator
@inline
export function writeContent(frame: u32, strategy: u32): void {
	if (isShared(frame)) leaveClass(frame, strategy);
}

function leaveClass(frame: u32, strategy: u32): void {
	const row = <usize>get(rows, frame);
	store<u32>(row + ((<usize>strategy) << 2), 0);
	for (let at: usize = 0; at < rowBytes; at += 4) if (load<u32>(row + at) != 0) return;
	dropRow(frame, row);
}

export function writeContentAll(frame: u32): void {
	if (isShared(frame)) dropRow(frame, <usize>get(rows, frame));
}
