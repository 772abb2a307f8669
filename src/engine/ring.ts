// What a reader's thread and the replay share: blocks in a ring of slots, each a header's numbers, and a payload that has been read, checked and taken
// out of its codec. One side writes `produced`, the other `consumed`; each waits for the other's word.
import type { Block } from "../trace/scan.js";

/** A payload that is longer stays where it is. */
export const SLOT_BYTES = 1 << 20;
const SLOTS = 8;

/** Words (i32) of the control block. */
const Word = { produced: 0, consumed: 1, stop: 2, state: 3 } as const;
/** What the thread is doing. ended: it writes no more; what stands in the ring is good. */
export const ThreadState = { starting: 0, reading: 1, ended: 2 } as const;
const CONTROL_WORDS = 4;
/** Numbers (i64) behind them: where the replay is in the file, and which block the thread writes next. */
const Place = { replay: 0, thread: 1 } as const;
const PLACES = 2;

/** Numbers (f64) of a slot. One more slot of them has the thread's processor time. */
const NUMBERS = 12;

export class Ring {
	readonly shared: SharedArrayBuffer;
	readonly #control: Int32Array;
	readonly #places: BigInt64Array;
	readonly #numbers: Float64Array;
	readonly #bytes: Uint8Array;

	/** `shared`: that of the other side. */
	constructor(shared?: SharedArrayBuffer) {
		const places = CONTROL_WORDS * 4;
		const numbers = places + PLACES * 8;
		const bytes = numbers + (SLOTS + 1) * NUMBERS * 8;
		this.shared = shared ?? new SharedArrayBuffer(bytes + SLOTS * SLOT_BYTES);
		this.#control = new Int32Array(this.shared, 0, CONTROL_WORDS);
		this.#places = new BigInt64Array(this.shared, places, PLACES);
		this.#numbers = new Float64Array(this.shared, numbers, (SLOTS + 1) * NUMBERS);
		this.#bytes = new Uint8Array(this.shared, bytes);
	}

	get state(): number {
		return Atomics.load(this.#control, Word.state);
	}

	setState(state: number): void {
		Atomics.store(this.#control, Word.state, state);
		Atomics.notify(this.#control, Word.state);
		Atomics.notify(this.#control, Word.produced);
	}

	get stopped(): boolean {
		return Atomics.load(this.#control, Word.stop) !== 0;
	}

	stop(): void {
		Atomics.store(this.#control, Word.stop, 1);
		Atomics.notify(this.#control, Word.consumed);
	}

	/** Where the replay stands in the file. */
	get replayAt(): number {
		return Number(Atomics.load(this.#places, Place.replay));
	}

	set replayAt(offset: number) {
		Atomics.store(this.#places, Place.replay, BigInt(offset));
	}

	/** The block that the thread writes next. */
	get threadAt(): number {
		return Number(Atomics.load(this.#places, Place.thread));
	}

	set threadAt(offset: number) {
		Atomics.store(this.#places, Place.thread, BigInt(offset));
	}

	/** Processor time of the thread in ns. */
	get busyNs(): number {
		return this.#numbers[SLOTS * NUMBERS] ?? 0;
	}

	set busyNs(ns: number) {
		this.#numbers[SLOTS * NUMBERS] = ns;
	}

	/** Wait until there is room for a block. @returns false where nobody wants one any more */
	waitForRoom(): boolean {
		for (;;) {
			if (this.stopped) return false;
			const consumed = Atomics.load(this.#control, Word.consumed);
			if (Atomics.load(this.#control, Word.produced) - consumed < SLOTS) return true;
			// A stop changes no word that is waited for here: it may come between the look and the wait.
			Atomics.wait(this.#control, Word.consumed, consumed, 20);
		}
	}

	/** Where the payload of the next block goes. */
	room(length: number): Uint8Array {
		const at = (Atomics.load(this.#control, Word.produced) % SLOTS) * SLOT_BYTES;
		return this.#bytes.subarray(at, at + length);
	}

	/** The next block is there; `ready`: its payload too. */
	produce(block: Block, ready: boolean): void {
		const produced = Atomics.load(this.#control, Word.produced);
		const { offset, payloadOffset, end, type, codec, storedLength, rawLength, events, firstSequence, firstNs, payloadCrc32c } = block;
		this.#numbers.set(
			[offset, payloadOffset, end, type, codec, storedLength, rawLength, events, firstSequence, firstNs, payloadCrc32c, ready ? 1 : 0],
			(produced % SLOTS) * NUMBERS,
		);
		Atomics.store(this.#control, Word.produced, produced + 1);
		Atomics.notify(this.#control, Word.produced);
	}

	/** Offset of the oldest block; -1 where there is none. */
	oldest(): number {
		const consumed = Atomics.load(this.#control, Word.consumed);
		if (Atomics.load(this.#control, Word.produced) === consumed) return -1;
		return this.#numbers[(consumed % SLOTS) * NUMBERS] ?? -1;
	}

	/** The oldest block, as the `index`th of its pass, and its payload where that is there too; valid until `consume`. */
	take(index: number): { block: Block; payload: Uint8Array | undefined } {
		const slot = Atomics.load(this.#control, Word.consumed) % SLOTS;
		const number = (place: number): number => this.#numbers[slot * NUMBERS + place] ?? 0;
		return {
			block: {
				index,
				offset: number(0),
				payloadOffset: number(1),
				end: number(2),
				type: number(3),
				codec: number(4),
				storedLength: number(5),
				rawLength: number(6),
				events: number(7),
				firstSequence: number(8),
				firstNs: number(9),
				payloadCrc32c: number(10),
			},
			payload: number(11) === 1 ? this.#bytes.subarray(slot * SLOT_BYTES, slot * SLOT_BYTES + number(6)) : undefined,
		};
	}

	consume(): void {
		Atomics.add(this.#control, Word.consumed, 1);
		Atomics.notify(this.#control, Word.consumed);
	}

	/** Wait while the ring is empty and the thread at work; at most so many milliseconds. */
	waitForBlock(milliseconds: number): void {
		const produced = Atomics.load(this.#control, Word.produced);
		if (produced !== Atomics.load(this.#control, Word.consumed) || this.state === ThreadState.ended) return;
		// The thread's end changes no word that is waited for here: it may come between the look and the wait.
		Atomics.wait(this.#control, Word.produced, produced, Math.min(milliseconds, 20));
	}

	/** Wait for the thread to leave a state; at most so many milliseconds. */
	waitWhile(state: number, milliseconds: number): void {
		const until = performance.now() + milliseconds;
		for (let left = milliseconds; left > 0 && this.state === state; left = until - performance.now())
			Atomics.wait(this.#control, Word.state, state, left);
	}
}
