// All that can be checked of one block: its payload's checksum, codec, columns and every record.
import { BadInputError, LimitError } from "../errors.js";
import { type Complain, decodeColumns } from "./decode.js";
import { rangeFlaw } from "./range.js";
import type { TraceReader } from "./reader.js";
import { RecordCursor } from "./records.js";
import { type Block, isKnownType } from "./scan.js";
import { BlockType } from "./wire.js";

/** Where the problem lies with the block as a whole: what its payload is, rather than what it says. */
export const PAYLOAD = -1;

/** Complains of everything that is wrong with a block (`at` is PAYLOAD where its bytes are). Blocks of unknown types have nothing to check. */
export function checkBlock(trace: TraceReader, block: Block, complain: Complain): void {
	try {
		if (block.type === BlockType.metadata) trace.metadata(block);
		else if (block.type === BlockType.events || block.type === BlockType.observations) {
			const columns = decodeColumns(trace.payload(block), block, trace.limits, complain);
			const cursor = columns && new RecordCursor(columns, complain);
			let event = 0;
			for (let record = cursor?.next(); record !== undefined; record = cursor?.next()) {
				const flaw = rangeFlaw(record);
				if (flaw !== undefined) complain({ at: columns?.argument.from ?? 0, event, reason: flaw });
				event++;
			}
		} else if (isKnownType(block.type)) trace.payload(block);
	} catch (error) {
		if (!(error instanceof BadInputError || error instanceof LimitError)) throw error;
		complain({ at: PAYLOAD, reason: error.what });
	}
}
