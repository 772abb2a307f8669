// Captures to traces: what `import` does, and what every command does on the way where it is given a capture.
import { existsSync, statSync } from "node:fs";
import { UsageError } from "../errors.js";
import { findStrategy, STRATEGIES } from "../strategies/index.js";
import type { TraceHeader } from "../trace/record.js";
import type { TraceWriter, WrittenTrace } from "../trace/writer.js";
import { didYouMean } from "./suggest.js";

/** What a user can tell of a capture. */
export interface CaptureOptions {
	readonly access?: readonly string[] | undefined;
	readonly stats?: string | undefined;
	readonly events?: string | undefined;
	readonly kernel?: string | undefined;
	readonly capturedStrategy?: string | undefined;
	readonly lenient?: boolean | undefined;
}

/** @throws UsageError where there is no such file */
export function expectFile(path: string): void {
	if (!existsSync(path)) throw new UsageError("no such file or directory", { where: path });
}

/** @throws UsageError where a strategy that was told is none */
export function expectStrategy(name: string | undefined, option: string): void {
	if (name === undefined || findStrategy(name) !== undefined) return;
	throw new UsageError(`unknown strategy ${name}`, {
		where: option,
		hint: didYouMean(
			name,
			STRATEGIES.map((strategy) => strategy.name),
			"mmreplay strategies lists them",
		),
	});
}

/** Import a file or folder into `writer` and finish it. @throws BadInputError, UsageError; the writer is then aborted */
export async function importInto(
	source: string,
	options: CaptureOptions,
	writer: TraceWriter,
): Promise<{ header: TraceHeader; written: WrittenTrace }> {
	const [{ importCapture }, { readEventList }, { missingLogs, readFolder }] = await Promise.all([
		import("../import/capture.js"),
		import("../import/eventlist.js"),
		import("../import/folder.js"),
	]);
	try {
		const named = [...(options.access ?? []), ...[options.stats, options.events].filter((path) => path !== undefined)];
		for (const path of [source, ...named]) expectFile(path);
		expectStrategy(options.capturedStrategy, "--captured-strategy");
		const found = statSync(source).isDirectory() ? readFolder(source) : { trace: source, access: [], stats: undefined, events: undefined };
		const sources = {
			trace: found.trace,
			access: options.access !== undefined && options.access.length > 0 ? options.access : found.access,
			stats: options.stats ?? found.stats,
			kernel: options.kernel,
			strategy: options.capturedStrategy,
			lenient: options.lenient === true,
		};
		const missing = await missingLogs(sources);
		const header = await importCapture(sources, writer);
		if (missing !== null) {
			header.warnings.unshift(missing);
			if (header.access === "complete") header.access = "inferred";
		}
		const events = options.events ?? found.events;
		if (events !== undefined) {
			const list = await readEventList(events);
			header.warnings.push(...list.warnings);
			header.sources.push({ ...list.source, format: "events" });
		}
		return { header, written: writer.finish(header) };
	} catch (error) {
		writer.abort();
		throw error;
	}
}
