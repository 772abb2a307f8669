// The replay in a page's worker: the command line's own reader, engine and report code over a file that the reader chose. node:fs, node:crypto,
// node:worker_threads and node:zlib are those of src/web/node (scripts/bundles.mjs). Built into dist/page/worker.js.
import { MmreplayError } from "../errors.js";
import { type Replayed, replayHeld } from "../report/held.js";
import { findStrategy } from "../strategies/index.js";
import type { Strategy } from "../strategies/steps.js";
import { openTrace } from "../trace/reader.js";
import type { Answer, Request } from "./messages.js";
import { provideBlob, provideModule } from "./node/fs.js";

const BETWEEN_MS = 100;

function say(answer: Answer): void {
	postMessage(answer);
}

function run({ file, strategies, machine, modules }: Request): Replayed {
	for (const [name, bytes] of Object.entries(modules)) provideModule(name, bytes);
	provideBlob(file.name, file);
	const trace = openTrace(file.name);
	let told = performance.now();
	const onProgress = (events: number, bytes: number): void => {
		const now = performance.now();
		if (now - told < BETWEEN_MS) return;
		told = now;
		say({ kind: "progress", events, bytes });
	};
	try {
		const chosen = strategies.map(findStrategy).filter((one): one is Strategy => one !== undefined);
		return replayHeld({ path: file.name, trace, header: trace.header }, { strategies: chosen, machine, check: undefined }, onProgress);
	} finally {
		trace.close();
	}
}

addEventListener("message", ({ data }: MessageEvent<Request>): void => {
	try {
		say({ kind: "done", replayed: run(data) });
	} catch (error) {
		const known = error instanceof MmreplayError;
		const message = error instanceof Error ? error.message : String(error);
		say({ kind: "failed", message: known ? message : `a defect of mmreplay's own: ${message}`, hint: known ? error.hint : undefined });
	}
});
