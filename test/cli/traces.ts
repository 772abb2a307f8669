// Traces for tests: the fixtures, and small ones made here.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { emptyHeader } from "../../src/trace/header.js";
import { Access, AgentKind } from "../../src/trace/kinds.js";
import type { Agent, TraceHeader, TraceRecord } from "../../src/trace/record.js";
import { TraceWriter } from "../../src/trace/writer.js";

const FIXTURES = fileURLToPath(new URL("../fixtures/", import.meta.url));
/** Captures outside the repository; they need not be there. */
export const CAPTURES = fileURLToPath(new URL("../../../shared/data/captures/", import.meta.url));

export const GUESTS = fileURLToPath(new URL("../../../shared/data/guests/", import.meta.url));

export const fixture = (name: string): string => join(FIXTURES, `${name}.mmtrace`);

/** A folder that is gone after `use`. */
export async function withFolder<T>(use: (folder: string) => Promise<T> | T): Promise<T> {
	const folder = mkdtempSync(join(tmpdir(), "mmreplay-test-"));
	try {
		return await use(folder);
	} finally {
		rmSync(folder, { recursive: true, force: true });
	}
}

const none = { vm: 0, vcpu: 0, mm: 0, thread: 0 };
export const GUEST: Agent = { ...none, kind: AgentKind.guest };
const VM: Agent = { ...none, kind: AgentKind.vm };
export const MM: Agent = { ...none, kind: AgentKind.mm };

export const memslot = (pages: number): TraceRecord => ({
	kind: "operation",
	name: "memslot",
	agent: VM,
	page: 256,
	args: [0, 0, 0, pages, 0],
});
export const read = (gfn: number): TraceRecord => ({ kind: "access", agent: GUEST, page: gfn, access: Access.guestRead });
export const mark = (phase: number, edge: number): TraceRecord => ({
	kind: "operation",
	name: "mark",
	agent: MM,
	page: 0,
	args: [phase, edge, 0],
	text: `phase ${phase}`,
});

export interface Written {
	readonly causes?: readonly TraceRecord[];
	/** Behind all causes. */
	readonly observations?: readonly TraceRecord[];
	readonly header?: Partial<TraceHeader>;
}

/** Write a small trace; its bytes, or a file. */
export function writeTrace(path: string, { causes = [], observations = [], header = {} }: Written): void {
	const writer = new TraceWriter(path);
	for (const record of causes) writer.cause(record);
	for (const record of observations) writer.observe(record);
	writer.finish({ ...emptyHeader(), ...header });
}
