// The engine's failure codes as the errors of the command line.
import { BadInputError, LimitError } from "../errors.js";
import { OPERATION_BY_CODE } from "../trace/operations.js";
import { Failure, FIRST_LIMIT } from "./boundary.js";
import { CannotSplit } from "./cannotsplit.js";

/** What went wrong and where, as the engine's exports give it. */
export interface EngineFailure {
	readonly code: number;
	/** A number that belongs to it: a field, a code, a page, bytes. */
	readonly detail: number;
}

/** Fields of EventBlock by number (traces/mmtrace.proto). */
const FIELDS = ["", "events", "agent", "strings", "op", "page", "page_delta", "argument", "offset", "time", "position"];

function argumentText(code: number, place: number): string {
	const shape = OPERATION_BY_CODE[code];
	return `argument ${shape?.args[place] ?? place} of operation ${shape?.name ?? code} means nothing`;
}

function text({ code, detail }: EngineFailure): string {
	const field = FIELDS[detail] ?? `field ${detail}`;
	switch (code) {
		case Failure.truncated:
			return `${field} ends in the middle of a value`;
		case Failure.tooWide:
			return `${field} has a value beyond its width`;
		case Failure.wireType:
			return `${field} has the wrong wire type`;
		case Failure.twice:
			return `${field} stands twice`;
		case Failure.columnLength:
			return `column ${field} has another number of values than the block has records`;
		case Failure.continuation:
			return `a continuation bit in column ${field}, which has one byte a record`;
		case Failure.events:
			return "the block's number of events is not that of its header";
		case Failure.tableLimit:
			return `more in ${field} than a table may have`;
		case Failure.agent:
			return `agent ${detail} is not valid`;
		case Failure.agentIndex:
			return `a record names agent ${detail}, which the block does not have`;
		case Failure.pageColumns:
			return "not exactly one of the columns page and page_delta";
		case Failure.pageRange:
			return "column page_delta leaves 32 bits";
		case Failure.position:
			return "column position among causes";
		case Failure.argumentsEnd:
			return "column argument is used up";
		case Failure.operationCode:
			return `operation code ${detail}`;
		case Failure.argumentCount:
			return `operation ${detail} with another number of arguments than it takes`;
		case Failure.argumentValue:
			return argumentText(Math.floor(detail / 8), detail % 8);
		case Failure.argumentsLeft:
			return `${detail} bytes are left over in column argument`;
		case Failure.stringIndex:
			return `a mark names string ${detail}, which the block does not have`;
		case Failure.addressSpace:
			return `a memslot in address space ${detail}`;
		case Failure.pageLimit:
			return `page ${detail} is beyond 48-bit addresses`;
		case Failure.kpage:
			return `KSM page ${detail} is over 32 bits`;
		case Failure.file:
			return `file or page of a file ${detail} is more than a replay keeps`;
		case Failure.memory:
			return `the replay needs more memory than it may have: ${Math.ceil(detail / 2 ** 20)} MiB`;
		case Failure.frames:
			return "more than 2^26 page frames, or 2^24 mappings of one";
		default:
			return `engine failure ${code}`;
	}
}

/** `where`: the block; offset and event are added by the caller, where there are any. */
export function failureError(failure: EngineFailure, where: string): Error {
	if (failure.code === Failure.none) return new Error(`the engine failed without a reason (${where})`);
	if (failure.code === Failure.split) return new CannotSplit(failure.detail);
	if (failure.code >= FIRST_LIMIT) {
		return new LimitError(text(failure), { where, hint: "replay fewer strategies at once, or a part of the trace (mmreplay slice)" });
	}
	return new BadInputError(`a damaged block: ${text(failure)}`, { where, hint: "mmreplay validate says all that is wrong" });
}
