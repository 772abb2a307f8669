// An access stream given as bytes, imported and read back: what the tests of the formats share.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseOverlay } from "../../src/import/overlay.js";
import { importChunks, importStream, STREAM_FORMATS, type StreamFormat } from "../../src/import/streams.js";
import type { OperationName } from "../../src/trace/kinds.js";
import { openTrace } from "../../src/trace/reader.js";
import type { TraceHeader, TraceRecord } from "../../src/trace/record.js";
import { records } from "../../src/trace/records.js";
import { TraceWriter } from "../../src/trace/writer.js";

export interface Imported {
	readonly header: TraceHeader;
	readonly records: TraceRecord[];
	readonly digest: string;
}

export interface StreamCase {
	readonly overlay?: string;
	readonly lenient?: boolean;
	/** Bytes of a chunk. */
	readonly chunk?: number;
}

export function formatNamed(name: string): StreamFormat {
	const format = STREAM_FORMATS.find((candidate) => candidate.name === name);
	if (format === undefined) throw new Error(`no format ${name}`);
	return format;
}

/** Names of the formats that a head looks like. */
export function detected(head: Uint8Array | string): string[] {
	const bytes = typeof head === "string" ? Buffer.from(head) : head;
	return STREAM_FORMATS.filter((format) => format.looksLike(bytes)).map((format) => format.name);
}

async function written(importInto: (writer: TraceWriter) => Promise<TraceHeader>): Promise<Imported> {
	const folder = mkdtempSync(join(tmpdir(), "streams-"));
	try {
		const path = join(folder, "t.mmtrace");
		const writer = new TraceWriter(path);
		let header: TraceHeader;
		try {
			header = await importInto(writer);
		} catch (error) {
			writer.abort();
			throw error;
		}
		const { digest } = writer.finish(header);
		const trace = openTrace(path);
		try {
			return { header: trace.header, records: [...records(trace)].map(({ record }) => record), digest };
		} finally {
			trace.close();
		}
	} finally {
		rmSync(folder, { recursive: true });
	}
}

export function importBytes(
	name: string,
	source: Uint8Array | string,
	{ overlay, lenient = false, chunk = 1 << 16 }: StreamCase = {},
): Promise<Imported> {
	const bytes = typeof source === "string" ? Buffer.from(source) : source;
	async function* chunks(): AsyncGenerator<Uint8Array> {
		for (let at = 0; at < bytes.length; at += chunk) yield bytes.subarray(at, at + chunk);
	}
	const options = { lenient, overlay: overlay === undefined ? undefined : parseOverlay(overlay) };
	return written((writer) => importChunks(formatNamed(name), chunks, "in.txt", writer, options));
}

export function importFile(name: string, path: string, overlay?: string): Promise<Imported> {
	const options = { lenient: false, overlay: overlay === undefined ? undefined : parseOverlay(overlay) };
	return written((writer) => importStream(formatNamed(name), path, writer, options));
}

/** A file with these bytes, while `use` runs. */
export async function withFile<T>(bytes: Uint8Array, use: (path: string) => Promise<T>): Promise<T> {
	const folder = mkdtempSync(join(tmpdir(), "streams-"));
	try {
		const path = join(folder, "source");
		writeFileSync(path, bytes);
		return await use(path);
	} finally {
		rmSync(folder, { recursive: true });
	}
}

/** Records by kind: accesses by their number as `access0` … `access6`, operations by name. */
export function kinds(of: Imported): Record<string, number> {
	const counts: Record<string, number> = {};
	for (const record of of.records) {
		const kind: OperationName | string = record.kind === "access" ? `access${record.access}` : record.name;
		counts[kind] = (counts[kind] ?? 0) + 1;
	}
	return counts;
}

/** `R 1234:56` for each access, in order: kind, page and offset, hexadecimal. */
export function accesses(of: Imported): string[] {
	return of.records.flatMap((record) =>
		record.kind === "access" ? [`${"RWFrw"[record.access] ?? "?"} ${record.page.toString(16)}:${(record.offset ?? -1).toString(16)}`] : [],
	);
}
