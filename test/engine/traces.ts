// Traces of random worlds, in memory.
import type { ReplayOptions } from "../../src/engine/replay.js";
import { STRATEGIES } from "../../src/strategies/index.js";
import { withOptions } from "../../src/strategies/options.js";
import type { Strategy } from "../../src/strategies/steps.js";
import { emptyHeader } from "../../src/trace/header.js";
import type { TraceRecord } from "../../src/trace/record.js";
import type { ByteSink } from "../../src/trace/sink.js";
import { TraceWriter, type WriterOptions } from "../../src/trace/writer.js";

/** A sink for a TraceWriter, and the bytes that were written to it. */
export function collector(): { sink: ByteSink; bytes: () => Uint8Array } {
	const parts: Uint8Array[] = [];
	return { sink: { write: (bytes) => void parts.push(bytes.slice()) }, bytes: () => Buffer.concat(parts) };
}

export function traceBytes(records: Iterable<TraceRecord>, copiesRecorded: boolean, options: WriterOptions = {}): Uint8Array {
	const { sink, bytes } = collector();
	const writer = new TraceWriter(sink, { ...options, header: { ...emptyHeader(), copiesRecorded } });
	for (const record of records) writer.cause(record);
	writer.finish();
	return bytes();
}

/** The strategies that there are, and what leaving a step out makes of some. */
export const MANY: readonly Strategy[] = [
	...STRATEGIES,
	...STRATEGIES.filter(({ name }) => ["fix", "flag", "fix-map"].includes(name)).flatMap((strategy) => [
		withOptions(strategy, { seqBump: false }),
		withOptions(strategy, { deferFlush: true }),
	]),
	...STRATEGIES.filter(({ name }) => ["wrapped", "drop", "fix", "establish-map"].includes(name)).map((strategy) =>
		withOptions(strategy, { ownCowAware: true }),
	),
	...STRATEGIES.filter(({ name }) => ["wrapped", "flag"].includes(name)).map((strategy) => withOptions(strategy, { archFlush: true })),
	...STRATEGIES.filter(({ name }) => ["fix", "fix-map"].includes(name)).flatMap((strategy) => [
		withOptions(strategy, { writeProtectStep: false }),
		withOptions(strategy, { reuseInWindow: true }),
	]),
];

/** A small machine: 2 x 2 and 3 x 4. */
export const SMALL: ReplayOptions["machine"] = {
	tlb: { l1: { entries: 4, ways: 2 }, l2: { entries: 12, ways: 4 } },
	guestLevels: 4,
	hostLevels: 4,
};
