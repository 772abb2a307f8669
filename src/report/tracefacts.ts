// What a trace holds, by kind.
import { Operation, type OperationName } from "../trace/kinds.js";
import type { TraceReader } from "../trace/reader.js";
import { records } from "../trace/records.js";
import { BlockType } from "../trace/wire.js";

export interface TraceCounts {
	readonly blocks: number;
	/** Causes. */
	readonly events: number;
	/** By the names of kinds.ts; a plain access is `access`. */
	readonly causes: Readonly<Record<string, number>>;
	readonly observations: Readonly<Record<string, number>>;
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
	const causes: Record<string, number> = {};
	const observations: Record<string, number> = {};
	const add = (code: number, by: number): void => {
		const into = code < FIRST_OBSERVATION ? causes : observations;
		const name = code === 0 ? "access" : (NAMES.get(code) ?? `code ${code}`);
		into[name] = (into[name] ?? 0) + by;
	};
	const { totals } = trace.index();
	if (totals !== undefined) for (const [code, count] of totals) add(code, count);
	else for (const { record } of records(trace)) add(record.kind === "access" ? 0 : Operation[record.name].code, 1);
	return { blocks, events, causes, observations, index: trace.storedIndex() !== undefined };
}
