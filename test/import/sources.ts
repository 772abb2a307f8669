// Sources made up for a test, and what importing them gives.
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "vitest";
import { MmreplayError } from "../../src/errors.js";
import { type ImportOptions, importSources } from "../../src/import/index.js";
import { isObservation, operationRecord } from "../../src/trace/operations.js";
import type { OperationRecord, TraceHeader, TraceRecord } from "../../src/trace/record.js";
import { TraceWriter } from "../../src/trace/writer.js";

const folder = mkdtempSync(join(tmpdir(), "mmreplay-formats-"));
let files = 0;

/** A file with a name that says nothing. */
export function file(content: string | Uint8Array): string {
	const path = join(folder, `source-${++files}`);
	writeFileSync(path, content);
	return path;
}

export interface ImportedSources {
	readonly header: TraceHeader;
	readonly causes: TraceRecord[];
	readonly observations: OperationRecord[];
}

export async function importedSources(sources: readonly string[], options: Partial<ImportOptions> = {}): Promise<ImportedSources> {
	const causes: TraceRecord[] = [];
	const observations: OperationRecord[] = [];
	const header = await importSources(
		{ sources, lenient: false, ...options },
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

export const imported = (content: string | Uint8Array, options: Partial<ImportOptions> = {}): Promise<ImportedSources> =>
	importedSources([file(content)], options);

/** Causes and observations by kind, an operation that is split counted once. */
export function operations({ causes, observations }: ImportedSources): Record<string, number> {
	const counts: Record<string, number> = {};
	for (const record of [...causes, ...observations]) {
		const name = record.kind === "access" ? "access" : record.name;
		const split = record.kind === "operation" && SPLIT.has(name) && (record.args[0] ?? 0) > 1;
		if (!split) counts[name] = (counts[name] ?? 0) + 1;
	}
	return counts;
}

const SPLIT = new Set(["fault", "ksmWriteProtect", "ksmReplace", "cow", "unshare", "zap", "protect", "invalidate", "fork"]);

/** The error that importing ends in: one of ours, with its status, and never another. */
export async function failure(content: string | Uint8Array, options: Partial<ImportOptions> = {}): Promise<MmreplayError> {
	const error = await imported(content, options).then(
		() => undefined,
		(reason: unknown) => reason,
	);
	expect(error).toBeInstanceOf(MmreplayError);
	return error as MmreplayError;
}

/** Importing into a trace ends, with one that is written or with one of our errors. */
export async function survives(content: string | Uint8Array): Promise<void> {
	const writer = new TraceWriter({ write: () => undefined });
	try {
		writer.finish(await importSources({ sources: [file(content)], lenient: false }, writer));
	} catch (error) {
		writer.abort();
		if (!(error instanceof MmreplayError)) throw error;
	}
}
