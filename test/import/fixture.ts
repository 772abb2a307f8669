// A small real capture (stock-tiny, linux-6.12-tiny) and broken copies of it.
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";
import { type ImportOptions, importSources } from "../../src/import/index.js";
import { isObservation, operationRecord } from "../../src/trace/operations.js";
import type { OperationRecord, TraceHeader, TraceRecord } from "../../src/trace/record.js";

export const fixture = (name: string): string => fileURLToPath(new URL(`../fixtures/captures/${name}/`, import.meta.url));

export interface CaptureSources extends Pick<ImportOptions, "stats" | "kernel" | "strategy" | "lenient"> {
	readonly trace: string;
	readonly access: readonly string[];
}

export function sourcesOf(name: string): CaptureSources {
	const folder = fixture(name);
	return { trace: `${folder}trace.txt.gz`, access: [`${folder}access.vm0.txt.gz`], stats: `${folder}stats.jsonl`, lenient: false };
}

export const traceText = (name: string): string => gunzipSync(readFileSync(`${fixture(name)}trace.txt.gz`)).toString("utf8");

/** The capture with its trace text changed, as a file of its own. */
export function broken(name: string, change: (text: string) => string | Uint8Array, options: Partial<CaptureSources> = {}): CaptureSources {
	const path = join(mkdtempSync(join(tmpdir(), "mmreplay-import-")), "trace.txt");
	writeFileSync(path, change(traceText(name)));
	return { ...sourcesOf(name), trace: path, ...options };
}

export interface Imported {
	readonly header: TraceHeader;
	readonly causes: TraceRecord[];
	readonly observations: OperationRecord[];
}

export async function imported(sources: CaptureSources): Promise<Imported> {
	const causes: TraceRecord[] = [];
	const observations: OperationRecord[] = [];
	const { trace, ...options } = sources;
	const header = await importSources(
		{ sources: [trace], ...options },
		{
			cause: (record) => causes.push(record),
			observe: (record) => {
				if (record.kind === "operation") observations.push(record);
			},
			operation: (...given) => {
				const record = operationRecord(...given);
				if (isObservation(record)) observations.push(record);
				else causes.push(record);
			},
			block: () => {
				throw new Error("an access stream");
			},
		},
	);
	return { header, causes, observations };
}

export function kinds(records: readonly TraceRecord[]): Record<string, number> {
	const counts: Record<string, number> = {};
	for (const record of records) {
		const name = record.kind === "access" ? "plain access" : record.name;
		counts[name] = (counts[name] ?? 0) + 1;
	}
	return counts;
}
