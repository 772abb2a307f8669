// What the replay and the thread of one of its parts share: how far the thread is, and a buffer through which it hands over its final states.
import { ENTRY_WORDS } from "../state.js";
import { CannotSplit } from "./cannotsplit.js";

/** Words (i32). full: the buffer has a batch; beats: blocks done. */
const Word = { state: 0, stop: 1, full: 2, length: 3, beats: 4 } as const;
const WORDS = 5;
export const PartState = { starting: 0, replaying: 1, done: 2, failed: 3 } as const;

/** Entries of a batch at most (assembly/listing.ts). */
const BATCH_WORDS = 8192 * ENTRY_WORDS;
/** A thread that does not come up in so long is lost, and one that gets no further. */
const STARTING_MS = 10_000;
const PATIENCE_MS = 30_000;

export class PartLink {
	readonly shared: SharedArrayBuffer;
	readonly #control: Int32Array;
	readonly #batch: Uint32Array;

	/** `shared`: that of the other side. */
	constructor(shared?: SharedArrayBuffer) {
		this.shared = shared ?? new SharedArrayBuffer((WORDS + BATCH_WORDS) * 4);
		this.#control = new Int32Array(this.shared, 0, WORDS);
		this.#batch = new Uint32Array(this.shared, WORDS * 4, BATCH_WORDS);
	}

	get state(): number {
		return Atomics.load(this.#control, Word.state);
	}

	setState(state: number): void {
		Atomics.store(this.#control, Word.state, state);
		Atomics.notify(this.#control, Word.state);
		Atomics.notify(this.#control, Word.full);
	}

	get stopped(): boolean {
		return Atomics.load(this.#control, Word.stop) !== 0;
	}

	stop(): void {
		Atomics.store(this.#control, Word.stop, 1);
		Atomics.notify(this.#control, Word.full);
	}

	beat(): void {
		Atomics.add(this.#control, Word.beats, 1);
	}

	/** Wait until the thread has replayed its part. @returns false where it is lost */
	waitForResult(): boolean {
		let beats = -1;
		for (let since = performance.now(), before: number = this.state; ; before = this.state) {
			const state = this.state;
			if (state === PartState.done || state === PartState.failed) return state === PartState.done;
			const now = Atomics.load(this.#control, Word.beats);
			if (now !== beats || state !== before) since = performance.now();
			else if (performance.now() - since > (state === PartState.starting ? STARTING_MS : PATIENCE_MS)) return false;
			beats = now;
			Atomics.wait(this.#control, Word.state, state, 1000);
		}
	}

	/** Hand a batch over, once the one before is taken; an empty one ends a strategy's. @returns false where nobody wants it any more */
	put(words: Uint32Array): boolean {
		while (Atomics.load(this.#control, Word.full) === 1) {
			if (this.stopped) return false;
			Atomics.wait(this.#control, Word.full, 1, 1000);
		}
		this.#batch.set(words);
		Atomics.store(this.#control, Word.length, words.length);
		Atomics.store(this.#control, Word.full, 1);
		Atomics.notify(this.#control, Word.full);
		return !this.stopped;
	}

	/** The next batch; undefined at a strategy's end. @throws CannotSplit where the thread is lost */
	take(): Uint32Array | undefined {
		const until = performance.now() + PATIENCE_MS;
		while (Atomics.load(this.#control, Word.full) === 0) {
			if (this.state === PartState.failed || performance.now() > until) throw new CannotSplit("a thread was lost");
			Atomics.wait(this.#control, Word.full, 0, 1000);
		}
		const words = this.#batch.slice(0, Atomics.load(this.#control, Word.length));
		Atomics.store(this.#control, Word.full, 0);
		Atomics.notify(this.#control, Word.full);
		return words.length === 0 ? undefined : words;
	}
}
