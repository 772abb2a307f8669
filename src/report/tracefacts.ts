// What a trace holds, by kind.
import { Operation, type OperationName } from "../trace/kinds.js";
import type { TraceReader } from "../trace/reader.js";
import { records } from "../trace/records.js";
import { BlockType } from "../trace/wire.js";

export interface KindCounts {
	/** By the names of kinds.ts; a plain access is `access`. */
	readonly causes: Readonly<Record<string, number>>;
	readonly observations: Readonly<Record<string, number>>;
}

export interface TraceCounts extends KindCounts {
	readonly blocks: number;
	/** Causes. */
	readonly events: number;
	/** The file has an index. */
	readonly index: boolean;
}

const FIRST_OBSERVATION = 64;
const NAMES = new Map(Object.entries(Operation).map(([name, { code }]) => [code as number, name as OperationName]));

/** From the index where it counts the kinds, else from the records themselves. @throws BadInputError, LimitError */
export function countTrace(trace: TraceReader): TraceCounts {
	let blocks = 0;
	let events = 0;
	for (const block of trace.blocks()) {
		blocks++;
		if (block.type === BlockType.events) events += block.events;
	}
	return { blocks, events, ...kindsOf(trace.index().totals ?? totalsOf(trace)), index: trace.storedIndex() !== undefined };
}

function totalsOf(trace: TraceReader): Map<number, number> {
	const totals = new Map<number, number>();
	for (const { record } of records(trace)) {
		const code = record.kind === "access" ? 0 : Operation[record.name].code;
		totals.set(code, (totals.get(code) ?? 0) + 1);
	}
	return totals;
}

/** By name, of counts by code. */
export function kindsOf(totals: ReadonlyMap<number, number>): KindCounts {
	const causes: Record<string, number> = {};
	const observations: Record<string, number> = {};
	for (const [code, count] of totals)
		(code < FIRST_OBSERVATION ? causes : observations)[code === 0 ? "access" : (NAMES.get(code) ?? `code ${code}`)] = count;
	return { causes, observations };
}
