// Captures to traces: what `import` does, and what every command does on the way where it is given a capture.
import { existsSync, statSync } from "node:fs";
import { basename } from "node:path";
import { UsageError } from "../errors.js";
import { knownParts, type RecordedHost } from "../trace/kvmhost.js";
import type { TraceHeader } from "../trace/record.js";
import type { TraceWriter, WrittenTrace } from "../trace/writer.js";
import { namedStrategy } from "./choices.js";
import { asOfStandardInput, Scratch, spoolInput } from "./scratch.js";

/** What a user can tell of a capture. */
export interface CaptureOptions {
	readonly access?: readonly string[] | undefined;
	readonly stats?: string | undefined;
	readonly events?: string | undefined;
	readonly memslots?: string | undefined;
	readonly overlay?: string | undefined;
	readonly device?: readonly string[] | undefined;
	readonly from?: string | undefined;
	readonly kernel?: string | undefined;
	readonly capturedStrategy?: string | undefined;
	readonly lenient?: boolean | undefined;
	/** KVM on the captured host. */
	readonly host?: RecordedHost | undefined;
}

/** @throws UsageError where there is no such file */
export function expectFile(path: string): void {
	if (!existsSync(path)) throw new UsageError("no such file or directory", { where: path });
}

const RELEASE = /^\d+\.\d+/;

/** @throws UsageError where --kernel names no release */
export function expectRelease(kernel: string | undefined): void {
	if (kernel !== undefined && !RELEASE.test(kernel))
		throw new UsageError(`${kernel === "" ? "an empty word" : kernel} is no kernel release`, {
			where: "--kernel",
			hint: "as uname -r says it: 6.1, or 6.1.0-50-amd64",
		});
}

/** Files that go with a capture, beside its sources. */
export function filesBeside({ access = [], stats, events, memslots }: CaptureOptions): string[] {
	return [...access, ...[stats, events, memslots].filter((path) => path !== undefined)];
}

/** Import a folder, or files of one host, into `writer` and finish it. @throws BadInputError, UsageError; the writer is then aborted */
export async function importInto(
	named: readonly string[],
	options: CaptureOptions,
	writer: TraceWriter,
): Promise<{ header: TraceHeader; written: WrittenTrace }> {
	const { importSources, missingLogs, parseDevice, parseOverlay, readEventList, readFolder } = await import("./importer.js");
	expectRelease(options.kernel);
	const scratch = new Scratch();
	try {
		// A source is read more than once, and told by its first bytes.
		if (named.includes("-")) await spoolInput(scratch.file);
		const sources = named.map((path) => (path === "-" ? scratch.file : path));
		for (const path of [...sources, ...filesBeside(options)]) expectFile(path);
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
			devices: (options.device ?? []).map(parseDevice),
		};
		const missing = await missingLogs(told);
		const header = await importSources(told, writer);
		header.host = { ...header.host, ...knownParts(options.host ?? {}) };
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
		if (named.includes("-")) {
			for (const source of header.sources) if (source.name === basename(scratch.file)) source.name = "standard input";
			header.warnings = header.warnings.map((warning) =>
				warning.replaceAll(scratch.file, "<stdin>").replaceAll(basename(scratch.file), "<stdin>"),
			);
		}
		return { header, written: writer.finish(header) };
	} catch (error) {
		writer.abort();
		throw named.includes("-") ? asOfStandardInput(error, scratch.file) : error;
	} finally {
		scratch.remove();
	}
}
