// The file of compare --perfetto.
import { closeSync, openSync, writeSync } from "node:fs";
import type { Machine } from "../machine/machine.js";
import { perfettoTrace } from "../report/perfetto/timeline.js";
import type { Strategy } from "../strategies/steps.js";
import { fileError, retryWhileBusy } from "../trace/sink.js";
import type { OpenedInput } from "./input.js";
import type { Voice } from "./output.js";
import { Progress } from "./progress.js";

const BUFFER_BYTES = 1 << 20;

/** `-` is standard output. @throws UsageError, BadInputError, LimitError */
export function writePerfetto(
	path: string,
	{ trace, header }: OpenedInput,
	strategies: readonly Strategy[],
	machine: Machine,
	voice: Voice,
): void {
	let fd: number;
	try {
		fd = path === "-" ? 1 : openSync(path, "w");
	} catch (error) {
		throw fileError(error, path);
	}
	const progress = new Progress(voice, path, 0);
	let parts: Uint8Array[] = [];
	let held = 0;
	const flush = (): void => {
		const bytes = Buffer.concat(parts);
		for (let at = 0; at < bytes.length; ) at += retryWhileBusy(() => writeSync(fd, bytes, at, bytes.length - at));
		parts = [];
		held = 0;
	};
	try {
		perfettoTrace(
			trace,
			header,
			strategies,
			machine,
			(bytes) => {
				parts.push(bytes);
				held += bytes.length;
				if (held > BUFFER_BYTES) flush();
			},
			(events) => progress.update(events, 0),
		);
		flush();
	} finally {
		progress.done();
		if (fd !== 1) closeSync(fd);
	}
}
