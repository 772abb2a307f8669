// The payload of a METADATA block: facts about the capture that no replay needs (traces/mmtrace.proto, message Metadata).
import { BadInputError, LimitError } from "../errors.js";
import { mmreplay } from "./generated/schema.js";
import { VarintError, VarintReader } from "./varint.js";
import { LIMITS, type Limits } from "./wire.js";

export interface Note {
	readonly name: string;
	readonly text: string;
}

/** @throws RangeError on a note over the cap of a string, or too many */
export function encodeMetadata(notes: readonly Note[]): Uint8Array {
	for (const { name, text } of notes) {
		if (Math.max(Buffer.byteLength(name), Buffer.byteLength(text)) > LIMITS.stringBytes) {
			throw new RangeError(`note ${name} is longer than ${LIMITS.stringBytes} bytes`);
		}
	}
	const payload = mmreplay.Metadata.encode({ note: [...notes] }).finish();
	if (payload.length > LIMITS.blockBytes) throw new RangeError(`notes of ${payload.length} bytes`);
	return payload;
}

/** Fields of the message; every one is an object once it is decoded. */
function countFields(payload: Uint8Array): number {
	const reader = new VarintReader(payload);
	let count = 0;
	for (; !reader.done; count++) {
		if ((reader.uint32() & 7) !== 2) throw new VarintError(reader.at, "has a field that is not a note");
		const length = reader.uint32();
		reader.at += length;
	}
	return count;
}

/** @throws BadInputError, LimitError */
export function decodeMetadata(payload: Uint8Array, limits: Limits, where: string): Note[] {
	let notes: mmreplay.Metadata;
	try {
		const count = countFields(payload);
		if (count > limits.entries) throw new LimitError(`a metadata block with ${count} notes, more than ${limits.entries}`, { where });
		notes = mmreplay.Metadata.decode(payload);
	} catch (cause) {
		if (cause instanceof LimitError) throw cause;
		throw new BadInputError("a metadata block is not a valid message", { where, cause });
	}
	return notes.note.map(({ name, text }) => {
		if (Math.max(Buffer.byteLength(name), Buffer.byteLength(text)) > limits.stringBytes) {
			throw new LimitError(`a note of more than ${limits.stringBytes} bytes`, { where });
		}
		return { name, text };
	});
}
