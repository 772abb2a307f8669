// The times of the block at hand (field `time` of traces/mmtrace.proto): deltas in ns, added up as far as somebody asks. Zaps and the exits that miss
// them do (exits.ts); a block without either is not read.
import { unzigzag } from "./varint";
import { event } from "./world";

/** First byte of the column that is still to be read, and its end; 0: the block has no times. */
let at: usize = 0;
let end: usize = 0;
/** Number of the record that comes next, and the time of the one before. */
let next: u64 = 0;
let ns: i64 = 0;

/** The block's column of times, and its first record. */
export function startTimes(from: usize, to: usize, firstSequence: u64, firstNs: u64): void {
	at = from;
	end = to;
	next = firstSequence;
	ns = firstNs;
}

export function resetTimes(): void {
	at = 0;
}

/** Whether the records of the block have times. */
// @ts-ignore: decorator
@inline
export function isTimed(): bool {
	return at != 0;
}

/** ns since the trace's first record, of the record at hand; not before 0. */
export function timeNow(): u64 {
	for (; next <= event; next++) ns += nextDelta();
	return <u64>max<i64>(ns, 0);
}

/** The column has as many varints as the block has records (openBlock); one that is too long loses its upper bits. */
function nextDelta(): i64 {
	let value: u64 = 0;
	let shift: u64 = 0;
	while (at < end) {
		const byte: u64 = load<u8>(at++);
		if (shift < 64) value |= (byte & 127) << shift;
		if (byte < 128) break;
		shift += 7;
	}
	return unzigzag(value);
}
