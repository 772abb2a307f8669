// The fields of a trace one after another: blocks, the end, or what is wrong and where it goes on after it. Reading, salvage and
// validation are three answers to the same steps.

import {
	BLOCK_HEADER_BYTES,
	type BlockHeader,
	FRAME_BYTES,
	findSync,
	framePrefixBytes,
	parseBlockHeader,
	payloadPrefixBytes,
} from "./frame.js";
import type { Input } from "./source.js";
import { parseTrailer } from "./trailer.js";
import { BlockType, Codec, type Limits, REQUIRED_TYPE, Tag, TRAILER_BYTES } from "./wire.js";

/** A block, its payload not yet read. */
export interface Block extends BlockHeader {
	/** Among the blocks of this pass, from 0. */
	readonly index: number;
	/** A BlockType without REQUIRED_TYPE. */
	readonly type: number;
	/** Of the block's field in the file. */
	readonly offset: number;
	readonly payloadOffset: number;
	readonly end: number;
}

/** What is wrong with the bytes at `offset`; `limit`: they are whole, and beyond a cap. */
export interface Damage {
	readonly kind: "damage";
	readonly offset: number;
	readonly what: string;
	readonly limit: boolean;
	readonly hint?: string;
}

export type Step =
	| { readonly kind: "block"; readonly block: Block }
	| Damage
	/** After a damage: where the next block was found, or the end of the bytes. */
	| { readonly kind: "resync"; readonly offset: number }
	/** The bytes end where something is missing. */
	| { readonly kind: "cut"; readonly offset: number }
	| { readonly kind: "end"; readonly offset: number };

/** The whole block at an offset, where somebody has looked at its header already; it is the `index`th of its pass. */
export type Foreseen = (offset: number, index: number) => Block | undefined;

/** Bytes looked at in one go for a sync word. */
const SEARCH_BYTES = 1 << 18;

export function isKnownType(type: number): boolean {
	return type >= BlockType.events && type <= BlockType.metadata;
}

/** A varint of up to five bytes at `at`, under 2^32; undefined where it is longer or cut. */
export function varintAt(bytes: Uint8Array, at: number): { value: number; end: number } | undefined {
	let value = 0;
	for (let index = 0; index < 5 && at + index < bytes.length; index++) {
		const byte = bytes[at + index];
		value += (byte & 127) * 2 ** (7 * index);
		if (byte < 128) return value < 2 ** 32 ? { value, end: at + index + 1 } : undefined;
	}
	return undefined;
}

export class Scan {
	readonly #input: Input;
	readonly #limits: Limits;
	readonly #foreseen: Foreseen | undefined;
	#offset: number;
	#blocks = 0;
	/** Bytes gone back over, all in all. */
	#again = 0;

	constructor(input: Input, limits: Limits, offset: number, foreseen?: Foreseen) {
		this.#input = input;
		this.#limits = limits;
		this.#foreseen = foreseen;
		this.#offset = offset;
	}

	/** Where the next field is looked for. */
	get offset(): number {
		return this.#offset;
	}

	/** Blocks passed so far. */
	get blocks(): number {
		return this.#blocks;
	}

	/**
	 * Whoever found a payload damaged: a block may begin inside what its header announced (bytes were lost). Files only, and only until the
	 * file was gone over twice more, so that a file made of forged headers costs no more than that.
	 */
	resumeIn(block: Block): void {
		const { size } = this.#input;
		if (size === undefined || this.#again > size * 2) return;
		const found = this.#search(block.payloadOffset);
		if (found === undefined || found.offset >= block.end) return;
		this.#again += block.end - found.offset;
		this.#offset = found.offset;
	}

	*steps(): Generator<Step, void, void> {
		for (;;) {
			const foreseen = this.#foreseen?.(this.#offset, this.#blocks);
			const step: Step = foreseen === undefined ? this.#at(this.#offset) : { kind: "block", block: foreseen };
			if (step.kind === "block") {
				this.#offset = step.block.end;
				this.#blocks++;
			}
			yield step;
			if (step.kind === "end" || step.kind === "cut") return;
			if (step.kind === "block") continue;
			const found = this.#search(step.offset);
			this.#offset = found?.offset ?? this.#input.size ?? step.offset;
			yield { kind: "resync", offset: this.#offset };
			if (found === undefined) return;
			this.#offset = found.end;
			this.#blocks++;
			yield { kind: "block", block: found };
		}
	}

	#at(offset: number): Step {
		const bytes = this.#input.peek(offset, FRAME_BYTES);
		if (bytes.length === 0) return { kind: "cut", offset };
		if (bytes[0] === Tag.block) return this.#blockAt(offset, bytes);
		if (bytes[0] === Tag.indexOffset) return this.#trailerAt(offset, offset, 0);
		if (bytes[0] === Tag.index) {
			const length = varintAt(bytes, 1);
			if (length !== undefined) return this.#trailerAt(offset, offset + length.end + length.value, offset);
			return bytes.length < 6 ? { kind: "cut", offset } : damage(offset, "an index without a length");
		}
		return damage(offset, `neither a block nor an index where one begins (byte ${bytes[0]})`);
	}

	#trailerAt(offset: number, at: number, indexOffset: number): Step {
		const bytes = this.#input.peek(at, TRAILER_BYTES + 1);
		if (bytes.length < TRAILER_BYTES) return { kind: "cut", offset };
		if (bytes.length > TRAILER_BYTES || parseTrailer(bytes) !== indexOffset) return damage(offset, "no end where the trace should end");
		return { kind: "end", offset };
	}

	#blockAt(offset: number, bytes: Uint8Array): Step {
		const outer = varintAt(bytes, 1);
		if (outer === undefined) return bytes.length < 6 ? { kind: "cut", offset } : damage(offset, "a block without a length");
		const start = outer.end + 2;
		if (start + BLOCK_HEADER_BYTES > bytes.length) return { kind: "cut", offset };
		if (bytes[outer.end] !== Tag.blockHeader || bytes[outer.end + 1] !== BLOCK_HEADER_BYTES)
			return damage(offset, "a block without a header");
		const header = parseBlockHeader(bytes, start);
		if (typeof header === "string") return damage(offset, header);
		const refused = this.#refusal(header, offset);
		if (refused !== undefined) return refused;
		const payloadTag = start + BLOCK_HEADER_BYTES;
		const inner = varintAt(bytes, payloadTag + 1);
		if (inner === undefined && bytes.length < payloadTag + 6) return { kind: "cut", offset };
		const agrees =
			inner !== undefined &&
			bytes[payloadTag] === Tag.blockPayload &&
			inner.value === header.storedLength &&
			outer.value === inner.end - outer.end + header.storedLength;
		if (!agrees) return damage(offset, "a block whose lengths do not agree");
		const payloadOffset = offset + inner.end;
		const end = payloadOffset + header.storedLength;
		if (this.#input.size !== undefined && end > this.#input.size) return { kind: "cut", offset };
		return { kind: "block", block: this.#block(header, offset, payloadOffset) };
	}

	#block(header: BlockHeader, offset: number, payloadOffset: number): Block {
		const type = (header.type & ~REQUIRED_TYPE) >>> 0;
		return { ...header, type, index: this.#blocks, offset, payloadOffset, end: payloadOffset + header.storedLength };
	}

	/** Why a whole header's block must not be read, before anything is allocated for it. */
	#refusal(header: BlockHeader, offset: number): Damage | undefined {
		const limits = this.#limits;
		const type = (header.type & ~REQUIRED_TYPE) >>> 0;
		if (header.type !== type && !isKnownType(type)) {
			return { ...damage(offset, `block type ${type}, which a reader must know`), hint: "a newer mmreplay wrote this trace" };
		}
		const length = Math.max(header.storedLength, header.rawLength);
		if (length > limits.blockBytes) return { ...damage(offset, `a block of ${length} bytes, more than ${limits.blockBytes}`), limit: true };
		if (header.events > limits.events)
			return { ...damage(offset, `a block of ${header.events} records, more than ${limits.events}`), limit: true };
		if (header.codec === Codec.none && header.storedLength !== header.rawLength) return damage(offset, "a stored block of two lengths");
		return undefined;
	}

	/** The next block at or after `from` whose header is whole, by its sync word and checksum. The bytes between are not believed. */
	#search(from: number): Block | undefined {
		for (let base = from; ; ) {
			const bytes = this.#input.peek(base, SEARCH_BYTES);
			let at = findSync(bytes, 0);
			for (; at >= 0 && at + BLOCK_HEADER_BYTES <= bytes.length; at = findSync(bytes, at + 1)) {
				const header = parseBlockHeader(bytes, at);
				if (typeof header === "string" || this.#refusal(header, base + at) !== undefined) continue;
				const offset = base + at - framePrefixBytes(header.storedLength);
				const payloadOffset = base + at + BLOCK_HEADER_BYTES + payloadPrefixBytes(header.storedLength);
				if (this.#input.size !== undefined && payloadOffset + header.storedLength > this.#input.size) continue;
				return this.#block(header, offset, payloadOffset);
			}
			if (bytes.length < SEARCH_BYTES) return undefined;
			// A header may straddle two windows.
			base += at >= 0 ? at : bytes.length - BLOCK_HEADER_BYTES;
		}
	}
}

function damage(offset: number, what: string): Damage {
	return { kind: "damage", offset, what, limit: false };
}
