// Captures to traces: what `import` does, and what every command does on the way where it is given a capture.
import { existsSync, statSync } from "node:fs";
import { basename } from "node:path";
import { UsageError } from "../errors.js";
import type { TraceHeader } from "../trace/record.js";
import type { TraceWriter, WrittenTrace } from "../trace/writer.js";
import { namedStrategy } from "./choices.js";
import { Scratch, spoolInput } from "./scratch.js";

/** What a user can tell of a capture. */
export interface CaptureOptions {
	readonly access?: readonly string[] | undefined;
	readonly stats?: string | undefined;
	readonly events?: string | undefined;
	readonly memslots?: string | undefined;
	readonly overlay?: string | undefined;
	readonly from?: string | undefined;
	readonly kernel?: string | undefined;
	readonly capturedStrategy?: string | undefined;
	readonly lenient?: boolean | undefined;
}

/** @throws UsageError where there is no such file */
export function expectFile(path: string): void {
	if (!existsSync(path)) throw new UsageError("no such file or directory", { where: path });
}

/** Import a folder, or files of one host, into `writer` and finish it. @throws BadInputError, UsageError; the writer is then aborted */
export async function importInto(
	named: readonly string[],
	options: CaptureOptions,
	writer: TraceWriter,
): Promise<{ header: TraceHeader; written: WrittenTrace }> {
	const [{ importSources }, { readEventList }, { missingLogs, readFolder }, { parseOverlay }] = await Promise.all([
		import("../import/index.js"),
		import("../import/eventlist.js"),
		import("../import/folder.js"),
		import("../import/overlay.js"),
	]);
	const scratch = new Scratch();
	try {
		// A source is read more than once, and told by its first bytes.
		if (named.includes("-")) spoolInput(scratch.file);
		const sources = named.map((path) => (path === "-" ? scratch.file : path));
		const beside = [...(options.access ?? []), ...[options.stats, options.events, options.memslots].filter((path) => path !== undefined)];
		for (const path of [...sources, ...beside]) expectFile(path);
		if (options.capturedStrategy !== undefined) namedStrategy(options.capturedStrategy, "--captured-strategy");
		const folder = sources.find((path) => statSync(path).isDirectory());
		if (folder !== undefined && sources.length > 1) throw new UsageError("a folder is imported by itself", { where: folder });
		const found = folder === undefined ? undefined : readFolder(folder);
		const told = {
			sources: found === undefined ? sources : [found.trace],
			from: options.from,
			access: options.access !== undefined && options.access.length > 0 ? options.access : (found?.access ?? []),
			stats: options.stats ?? found?.stats,
			events: options.events ?? found?.events,
			memslots: options.memslots,
			kernel: options.kernel ?? found?.kernel,
			strategy: options.capturedStrategy,
			lenient: options.lenient === true,
			overlay: options.overlay === undefined ? undefined : parseOverlay(options.overlay),
		};
		const missing = await missingLogs(told);
		const header = await importSources(told, writer);
		header.losses.push(...(found?.losses ?? []));
		header.warnings.push(...(found?.warnings ?? []));
		if (missing !== null) {
			header.warnings.unshift(missing);
			if (header.access === "complete") header.access = "inferred";
		}
		if (told.events !== undefined) {
			const list = await readEventList(told.events);
			header.warnings.push(...list.warnings);
			header.sources.push({ ...list.source, format: "events" });
		}
		for (const source of header.sources) if (named.includes("-") && source.name === basename(scratch.file)) source.name = "standard input";
		return { header, written: writer.finish(header) };
	} catch (error) {
		writer.abort();
		throw error;
	} finally {
		scratch.remove();
	}
}
