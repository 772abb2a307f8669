// Where the phases of a trace begin: the same rule for what a replay counted and for what the captured kernel was seen to do. A phase begins at
// a `mark` with edge 0 and runs to the next one; what comes before the first belongs to none.
import { Operation, Point } from "../trace/kinds.js";
import type { Block, TraceReader } from "../trace/reader.js";
import { records } from "../trace/records.js";
import { hasBit } from "../trace/tally.js";
import { BlockType } from "../trace/wire.js";

export interface PhaseStart {
	/** Number in the capture. */
	readonly phase: number;
	readonly label: string;
	/** Number of the mark among the causes. */
	readonly sequence: number;
}

/** Blocks of causes that hold a mark, as the index says; all where it does not. */
function* blocksWithMarks(trace: TraceReader): Generator<Block> {
	const { entries } = trace.index();
	let at = 0;
	for (const block of trace.blocks()) {
		while ((entries[at + 1]?.offset ?? Number.POSITIVE_INFINITY) <= block.offset) at++;
		const entry = entries[at];
		if (block.type === BlockType.events && (entry === undefined || hasBit(entry.causeKinds, Operation.mark.code))) yield block;
	}
}

/** In the order of the trace. */
export function phaseStarts(trace: TraceReader): PhaseStart[] {
	const starts: PhaseStart[] = [];
	for (const { record, sequence } of records(trace, { observations: false, blocks: blocksWithMarks(trace) })) {
		if (record.kind !== "operation" || record.name !== "mark" || record.args[1] !== 0) continue;
		starts.push({ phase: record.args[0] ?? 0, label: record.text ?? "", sequence });
	}
	return starts;
}

/**
 * Place (in `starts`) of the first phase in which more than one actor worked: two agents with accesses, or accesses and ksmd. Their order among
 * each other is inferred. `starts.length` where there is none. Only asked where the importer says that there is one: it reads every cause.
 */
export function firstConcurrentPhase(trace: TraceReader, starts: readonly PhaseStart[]): number {
	let phase = -1;
	let actors = new Set<string>();
	for (const { record, sequence } of records(trace, { observations: false })) {
		while (phase + 1 < starts.length && (starts[phase + 1]?.sequence ?? 0) <= sequence) {
			phase++;
			actors = new Set();
		}
		if (phase < 0) continue;
		const { agent } = record;
		if (record.kind === "access" || record.name === "access") actors.add(`${agent.kind}.${agent.vm}.${agent.mm}.${agent.vcpu}`);
		else if (record.name === "ksmWriteProtect" || record.name === "ksmReplace") actors.add("ksmd");
		// An operation with something between its begin and its end ran at the same time as that.
		else if (record.name !== "fault" && Operation[record.name].args[0] === "point" && record.args[0] !== Point.whole)
			return Math.max(phase, 0);
		if (actors.size > 1) return phase;
	}
	return starts.length;
}
