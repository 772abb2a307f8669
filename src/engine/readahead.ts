// Reads a trace ahead of its replay on a thread of its own: block headers, payloads, checksums, codecs. What the thread hands over is what the replay
// would have read itself; where it has nothing to hand over (damage, a block too long, a thread that does not come up), the replay reads itself, and
// says itself what is wrong.
import { Worker } from "node:worker_threads";
import type { TraceReader } from "../trace/reader.js";
import type { Block } from "../trace/scan.js";
import { defaultBuild, engineModule } from "./engine.js";
import { Ring, ThreadState } from "./ring.js";

/** A thread takes tens of milliseconds to come up, in which so many bytes are replayed. */
const LEAST_BYTES = 32 << 20;
/** Without a block for so long, the thread is given up. */
const PATIENCE_MS = 2000;

/** What the thread is told when it starts. */
export interface ThreadTask {
	readonly ring: SharedArrayBuffer;
	readonly file: { readonly descriptor: number; readonly size: number };
	readonly limits: TraceReader["limits"];
	/** Of the engine whose checksum it takes. */
	readonly module: WebAssembly.Module;
}

/** From src/engine, dist/engine and dist/cli alike. */
const THREAD = new URL("../../dist/engine/readerthread.js", import.meta.url);

export class ReadAhead {
	readonly #ring: Ring;
	/** The block that was handed over last, in its slot until the next one. */
	#taken: { readonly block: Block; readonly payload: Uint8Array | undefined } | undefined;
	/** Milliseconds spent in waiting for the thread. */
	#waited = 0;
	#isGivenUp = false;

	private constructor(ring: Ring) {
		this.#ring = ring;
	}

	/** Begin where a trace is long enough, and a file. */
	static begin(trace: TraceReader, leastBytes = LEAST_BYTES): ReadAhead | undefined {
		const { file } = trace;
		if (file === undefined || file.size < leastBytes || typeof SharedArrayBuffer === "undefined") return undefined;
		const ring = new Ring();
		ring.replayAt = trace.start;
		const task: ThreadTask = { ring: ring.shared, file, limits: trace.limits, module: engineModule(defaultBuild()) };
		try {
			const worker = new Worker(THREAD, { workerData: task, execArgv: [] });
			worker.on("error", () => undefined);
			worker.unref();
		} catch {
			return undefined;
		}
		return new ReadAhead(ring);
	}

	/** The block at an offset, where the thread has it or is about to. */
	readonly foreseen = (offset: number, index: number): Block | undefined => {
		const ring = this.#ring;
		this.#letGo();
		ring.replayAt = offset;
		if (this.#isGivenUp || ring.state === ThreadState.starting) return undefined;
		for (let patience = PATIENCE_MS; ; ) {
			const threadAt = ring.threadAt;
			const oldest = ring.oldest();
			if (oldest === offset) {
				this.#taken = ring.take(index);
				return this.#taken.block;
			}
			if (oldest >= 0 && oldest < offset) {
				ring.consume();
				continue;
			}
			// It is behind what the replay has read itself, or has seen something that is no block.
			if (oldest > offset || threadAt !== offset || (ring.state === ThreadState.ended && ring.oldest() < 0)) return undefined;
			if (patience <= 0) {
				this.#isGivenUp = true;
				return undefined;
			}
			const began = performance.now();
			ring.waitForBlock(patience);
			const waited = performance.now() - began;
			patience -= waited;
			this.#waited += waited;
		}
	};

	/** The payload of the block that was foreseen last; until the next one is. */
	payload(block: Block): Uint8Array | undefined {
		return this.#taken?.block === block ? this.#taken.payload : undefined;
	}

	#letGo(): void {
		if (this.#taken === undefined) return;
		this.#taken = undefined;
		this.#ring.consume();
	}

	/** Wait until the thread reads, at most so many milliseconds; for who measures what it gains. @returns whether it does */
	up(milliseconds: number): boolean {
		this.#ring.waitWhile(ThreadState.starting, milliseconds);
		return this.#ring.state !== ThreadState.starting;
	}

	/** Seconds that the replay has spent in waiting for the thread. */
	get waitedSeconds(): number {
		return this.#waited / 1000;
	}

	/** The thread reads no more: its file may be closed. @returns its processor time in seconds */
	end(): number {
		const ring = this.#ring;
		ring.stop();
		ring.waitWhile(ThreadState.reading, PATIENCE_MS);
		return ring.busyNs / 1e9;
	}
}
