// Traces put together by hand, their checksums right whatever they say: for what checksums do not catch.
import { crc32c } from "../../src/trace/crc32c.js";
import { lengthField } from "../../src/trace/footer.js";
import { type BlockHeader, encodeFrame } from "../../src/trace/frame.js";
import { emptyHeader, encodeHeader } from "../../src/trace/header.js";
import { encodeTrailer } from "../../src/trace/trailer.js";
import { VarintBuffer } from "../../src/trace/varint.js";
import { BlockType, Tag } from "../../src/trace/wire.js";

export function sealedBlock(payload: Uint8Array, header: Partial<BlockHeader> = {}): Uint8Array {
	const whole: BlockHeader = {
		type: BlockType.events,
		codec: 0,
		storedLength: payload.length,
		rawLength: payload.length,
		events: 0,
		firstSequence: 0,
		firstNs: 0,
		payloadCrc32c: crc32c(payload),
		...header,
	};
	return Buffer.concat([encodeFrame(whole), payload]);
}

export function sealedTrace(blocks: readonly Uint8Array[], message: Uint8Array = encodeHeader(emptyHeader())): Uint8Array {
	return new Uint8Array(Buffer.concat([lengthField(Tag.header, message.length), message, ...blocks, encodeTrailer(0)]));
}

/** A message's last field, `crc32c = 31`, made right. */
export function resealed(message: Uint8Array): Uint8Array {
	const bytes = message.slice();
	new DataView(bytes.buffer).setUint32(bytes.length - 4, crc32c(bytes, 0, bytes.length - 6), true);
	return bytes;
}

/** A message by hand: each field's number, and a varint or the bytes of a length-delimited field. */
export function message(...fields: readonly (readonly [number, number | Uint8Array])[]): Uint8Array {
	const parts: Uint8Array[] = [];
	for (const [field, value] of fields) {
		const head = new VarintBuffer();
		head.unsigned(field * 8 + (typeof value === "number" ? 0 : 2));
		head.unsigned(typeof value === "number" ? value : value.length);
		parts.push(head.view());
		if (typeof value !== "number") parts.push(value);
	}
	return new Uint8Array(Buffer.concat(parts));
}

/** A column of varints. */
export function varints(...values: readonly number[]): Uint8Array {
	const buffer = new VarintBuffer();
	for (const value of values) buffer.unsigned(value);
	return buffer.view();
}

/** A column of fixed32. */
export function words(...values: readonly number[]): Uint8Array {
	return new Uint8Array(Uint32Array.from(values).buffer);
}

/** An Agent message. */
export function agent(kind: number, ids: readonly number[] = [0, 0, 0, 0], base: Uint8Array = new Uint8Array(8)): Uint8Array {
	const [vm, vcpu, mm, thread] = ids;
	return new Uint8Array(Buffer.concat([message([1, kind], [2, vm], [3, vcpu], [4, mm], [5, thread]), Uint8Array.of(0x31), base]));
}
