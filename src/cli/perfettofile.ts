// The file of compare --perfetto.
import { closeSync, openSync, writeSync } from "node:fs";
import { perfettoTrace, type TimelineOptions } from "../report/perfetto/timeline.js";
import { fileError, retryWhileBusy } from "../trace/sink.js";
import type { OpenedInput } from "./input.js";
import type { Voice } from "./output.js";
import { Progress } from "./progress.js";

/** `-` is standard output. @throws UsageError, BadInputError, LimitError */
export function writePerfetto(path: string, { trace, header }: OpenedInput, options: TimelineOptions, voice: Voice): void {
	let fd: number;
	try {
		fd = path === "-" ? 1 : openSync(path, "w");
	} catch (error) {
		throw fileError(error, path);
	}
	const progress = new Progress(voice, path, 0);
	const write = (bytes: Uint8Array): void => {
		for (let at = 0; at < bytes.length; ) at += retryWhileBusy(() => writeSync(fd, bytes, at, bytes.length - at));
	};
	try {
		perfettoTrace(trace, header, options, write, (events) => progress.update(events, 0));
	} finally {
		progress.done();
		if (fd !== 1) closeSync(fd);
	}
}
