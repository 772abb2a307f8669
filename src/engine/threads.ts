// A replay on several threads: this one takes the first part and each other thread one more (split.ts). Whatever stands in the way, a damaged block
// or a trace whose VMs share too much, the replay is one engine's again, from the beginning.
import { MessageChannel, type MessagePort, receiveMessageOnPort, Worker } from "node:worker_threads";
import { BadInputError, LimitError } from "../errors.js";
import type { TraceReader } from "../trace/reader.js";
import type { OpenFile } from "../trace/source.js";
import { CannotSplit } from "./cannotsplit.js";
import { type Build, defaultBuild, engineModule } from "./engine.js";
import { PartLink, PartState } from "./partlink.js";
import {
	giveBack,
	memberOf,
	type OnProgress,
	type ReplayOptions,
	type ReplayResult,
	replayGroups,
	replayTrace,
	type UndigestedResult,
} from "./replay.js";
import { joinParts, vmsOf, whyWhole } from "./split.js";

/** What the thread of a part is told. */
export interface PartTask {
	readonly link: SharedArrayBuffer;
	readonly port: MessagePort;
	readonly file: OpenFile;
	readonly limits: TraceReader["limits"];
	readonly build: Build;
	readonly module: WebAssembly.Module;
	readonly options: ReplayOptions;
}

/** What it answers. `ksmPages`: of each strategy's engine. */
export type PartAnswer =
	| { readonly result: UndigestedResult; readonly ksmPages: readonly Map<number, number>[] }
	| { readonly failed: string };

/** More threads than this are no replay's. */
export const MAX_THREADS = 64;

/** From src/engine, dist/engine and dist/cli alike. */
const THREAD = new URL("../../dist/engine/partthread.js", import.meta.url);

class PartOnThread {
	readonly link = new PartLink();
	readonly #port: MessagePort;

	constructor(task: Omit<PartTask, "link" | "port">) {
		const { port1, port2 } = new MessageChannel();
		this.#port = port1;
		try {
			const data: PartTask = { ...task, link: this.link.shared, port: port2 };
			const worker = new Worker(THREAD, { workerData: data, transferList: [port2], execArgv: [] });
			// Heard only where this thread comes round to it: who waits has a limit of its own (partlink.ts).
			worker.on("error", () => this.link.setState(PartState.failed));
			worker.unref();
		} catch (cause) {
			this.end();
			throw new CannotSplit(`no thread starts (${cause instanceof Error ? cause.message : String(cause)})`);
		}
	}

	/** @throws CannotSplit */
	expectWell(): void {
		if (this.link.state === PartState.failed) this.answer();
	}

	/** @throws CannotSplit */
	answer(): Exclude<PartAnswer, { failed: string }> {
		this.link.waitForResult();
		const answer = receiveMessageOnPort(this.#port)?.message as PartAnswer | undefined;
		if (answer === undefined) throw new CannotSplit("a thread was lost");
		if ("failed" in answer) throw new CannotSplit(answer.failed);
		return answer;
	}

	*batches(): Generator<Uint32Array, undefined, void> {
		for (let batch = this.link.take(); batch !== undefined; batch = this.link.take()) yield batch;
	}

	end(): void {
		this.link.stop();
		this.#port.close();
	}
}

function replayParts(
	trace: TraceReader,
	file: OpenFile,
	options: ReplayOptions,
	of: number,
	onProgress: OnProgress | undefined,
): ReplayResult {
	const build = options.build ?? defaultBuild();
	const memoryBytes = options.memoryBytes === undefined ? undefined : Math.floor(options.memoryBytes / of);
	const partOptions = (index: number): ReplayOptions => ({ ...options, ahead: null, memoryBytes, part: { index, of } });
	const parts: PartOnThread[] = [];
	const started = performance.now();
	try {
		for (let index = 1; index < of; index++)
			parts.push(new PartOnThread({ file, limits: trace.limits, build, module: engineModule(build), options: partOptions(index) }));
		const { result, groups } = replayGroups(trace, partOptions(0), (events, bytes) => {
			for (const part of parts) part.expectWell();
			onProgress?.(events, bytes);
		});
		const answers = parts.map((part) => part.answer());
		const seconds = (performance.now() - started) / 1000;
		const joined = joinParts([result, ...answers.map((answer) => answer.result)], (place) => {
			const { engine, index } = memberOf(groups, place);
			const own = { batches: engine.state(index).entries()[Symbol.iterator](), ksmPages: engine.ksmPages() };
			return [own, ...parts.map((part, at) => ({ batches: part.batches(), ksmPages: answers[at]?.ksmPages[place] ?? new Map() }))];
		});
		giveBack(groups.map(({ engine }) => engine));
		return { ...joined, seconds };
	} finally {
		for (const part of parts) part.end();
	}
}

/** A result, and why it took one thread where several were asked for. */
export interface ThreadedResult extends ReplayResult {
	readonly whole: string | undefined;
}

/** replayTrace on up to so many threads: the same result, whatever their number. @throws as replayTrace */
export function replayThreads(trace: TraceReader, options: ReplayOptions, threads: number, onProgress?: OnProgress): ThreadedResult {
	const { file } = trace;
	let whole = threads < 2 ? undefined : whyWhole(trace);
	if (threads >= 2 && whole === undefined && file !== undefined) {
		try {
			return { ...replayParts(trace, file, options, Math.min(threads, vmsOf(trace), MAX_THREADS), onProgress), whole };
		} catch (error) {
			// What is wrong with the trace, one engine says in its words; a part's share of the memory may be too small where all of it is not.
			if (!(error instanceof CannotSplit || error instanceof BadInputError || error instanceof LimitError)) throw error;
			whole = error.message;
		}
	}
	return { ...replayTrace(trace, options, onProgress), whole };
}
