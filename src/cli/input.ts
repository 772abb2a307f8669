// What a TRACE argument may be: a trace, a capture's file or folder (imported on the way into a file that has no name), or `-`.
import { createHash } from "node:crypto";
import { closeSync, createReadStream, openSync, readSync, statSync } from "node:fs";
import { join } from "node:path";
import { foreignBytes, isPlainText } from "../import/foreign.js";
import { looksLikePerfetto } from "../import/perfettowire.js";
import { openTrace, type TraceReader } from "../trace/reader.js";
import type { TraceHeader } from "../trace/record.js";
import { MAGIC, Tag } from "../trace/wire.js";
import { TraceWriter } from "../trace/writer.js";
import { type CaptureOptions, expectFile, expectRelease, importInto } from "./capture.js";
import { namedStrategy } from "./choices.js";
import { asOfStandardInput, Scratch, spoolInput } from "./scratch.js";

export interface OpenedInput {
	/** As the user named it. */
	readonly path: string;
	readonly trace: TraceReader;
	/** The trace's header, with what the command line tells of the capture. */
	readonly header: TraceHeader;
	/** A capture: the trace was made for this command. */
	readonly imported: boolean;
	/** Where the trace can be read again by name; null where it has none left. */
	readonly file: string | null;
	close(): void;
}

/** Enough to tell a Perfetto trace, which begins with the same byte. */
const HEAD_BYTES = 4096;

/** Whether a file is meant as a trace: by its first bytes, of which a damaged one may lack some, or by its name. */
export function isTrace(path: string): boolean {
	if (path.endsWith(".mmtrace")) return true;
	const fd = openSync(path, "r");
	try {
		const buffer = new Uint8Array(HEAD_BYTES);
		const head = buffer.subarray(0, readSync(fd, buffer, 0, buffer.length, 0));
		if (Buffer.from(head.subarray(0, 16)).includes(Buffer.from(MAGIC))) return true;
		return head[0] === Tag.header && !isPlainText(head) && foreignBytes(head) === undefined && !looksLikePerfetto(head);
	} finally {
		closeSync(fd);
	}
}

function told(header: TraceHeader, options: CaptureOptions): TraceHeader {
	const { kernel, capturedStrategy } = options;
	return {
		...header,
		...(kernel === undefined ? {} : { kernel }),
		...(capturedStrategy === undefined || capturedStrategy === header.strategy
			? {}
			: { strategy: capturedStrategy, strategyEvidence: [`told: ${capturedStrategy}`, ...header.strategyEvidence] }),
	};
}

/** @throws UsageError, BadInputError, LimitError */
export async function openInput(path: string, options: CaptureOptions = {}): Promise<OpenedInput> {
	if (options.capturedStrategy !== undefined) namedStrategy(options.capturedStrategy, "--captured-strategy");
	expectRelease(options.kernel);
	if (path !== "-") expectFile(path);
	let scratch: Scratch | undefined;
	let source = path;
	try {
		if (path === "-") {
			scratch = new Scratch();
			source = join(scratch.folder, "input");
			await spoolInput(source);
		}
		const imported = statSync(source).isDirectory() || !isTrace(source);
		if (imported) {
			scratch ??= new Scratch();
			await importInto([source], options, new TraceWriter(scratch.file));
			source = scratch.file;
		}
		const trace = openTrace(source);
		// Some systems cannot remove an open file; then it goes when it is closed.
		if (process.platform !== "win32") scratch?.remove();
		const close = (): void => {
			trace.close();
			scratch?.remove();
		};
		const file = source === path ? path : null;
		return { path, trace, header: told(trace.header, options), imported, file, close };
	} catch (error) {
		scratch?.remove();
		throw path === "-" && scratch !== undefined ? asOfStandardInput(error, join(scratch.folder, "input")) : error;
	}
}

/** sha256 of a file's bytes. */
export async function fileSha256(path: string): Promise<string> {
	const hash = createHash("sha256");
	for await (const chunk of createReadStream(path)) hash.update(chunk as Uint8Array);
	return hash.digest("hex");
}
