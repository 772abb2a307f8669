// Pages of the kernel's ring buffer as trace.dat has them (formats.md 2.1): u64 time, commit with its flags, then events, each
//   u32: bits 0-4 type_len, bits 5-31 time delta; type_len 1-28: 4 * type_len bytes follow; 0: u32 length with itself, then the bytes;
//   29: padding (delta 0: to the end of the page); 30: time extend, u32 high bits of the delta; 31: absolute time.
import type { PageFormat } from "./eventformat.js";

const MISSED_EVENTS = 0x8000_0000;
const MISSED_STORED = 0x4000_0000;
const COMMIT_MASK = 0xf_ffff;
const DELTA_HIGH = 2 ** 27;

const PADDING = 29;
const TIME_EXTEND = 30;
const TIME_STAMP = 31;

export interface PageVisitor {
	/** One record: its time in the buffer's clock, and where its bytes are in the page. */
	record(time: number, from: number, length: number): void;
	/** Events were lost before this page; 0: an unknown number. */
	missed(events: number): void;
	/** The page is not what it should be, from `offset` on. */
	damaged(offset: number): void;
}

/** Walks one page. Whatever the bytes are, it ends, and reads only within them. */
export function readPage(page: Uint8Array, format: PageFormat, visitor: PageVisitor): void {
	const view = new DataView(page.buffer, page.byteOffset, page.byteLength);
	if (page.length < format.dataOffset) return;
	let time = view.getUint32(0, true) + view.getUint32(4, true) * 2 ** 32;
	const commit = view.getUint32(8, true);
	const used = commit & COMMIT_MASK;
	const end = Math.min(page.length, format.dataOffset + used);
	if (format.dataOffset + used > page.length) visitor.damaged(8);
	if ((commit & MISSED_EVENTS) !== 0) {
		const stored = (commit & MISSED_STORED) !== 0 && end + 4 <= page.length;
		visitor.missed(stored ? view.getUint32(end, true) : 0);
	}
	let at = format.dataOffset;
	while (at + 4 <= end) {
		const head = view.getUint32(at, true);
		const typeLength = head & 31;
		const delta = head >>> 5;
		const body = at + 4;
		if (typeLength === PADDING) {
			if (delta === 0) return;
			time += delta;
			if (body + 4 > end) {
				visitor.damaged(at);
				return;
			}
			at = body + Math.max(4, view.getUint32(body, true));
		} else if (typeLength === TIME_EXTEND || typeLength === TIME_STAMP) {
			if (body + 4 > end) {
				visitor.damaged(at);
				return;
			}
			const high = view.getUint32(body, true) * DELTA_HIGH;
			if (typeLength === TIME_EXTEND) time += delta + high;
			// 59 bits; the rest is the page's own.
			else time = Math.floor(time / 2 ** 59) * 2 ** 59 + delta + high;
			at = body + 4;
		} else {
			time += delta;
			let from = body;
			let length = typeLength * 4;
			if (typeLength === 0) {
				if (body + 4 > end) {
					visitor.damaged(at);
					return;
				}
				length = view.getUint32(body, true) - 4;
				from = body + 4;
			}
			if (length < 0 || from + length > end) {
				visitor.damaged(at);
				return;
			}
			visitor.record(time, from, length);
			at = from + ((length + 3) & ~3);
		}
	}
}
