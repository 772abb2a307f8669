// Bytes that stand in a text as they are, compared four at a time.

export interface Literal {
	readonly length: number;
	/** Whole words of it, as a little-endian machine has them; -1 counts as one like any other. */
	readonly words: Int32Array;
	/** What is left over, and which bits of a word it takes. */
	readonly tail: number;
	readonly mask: number;
}

/** Bytes that must be readable behind any place where a literal is looked for. */
export const LITERAL_SLACK = 4;

export function literalOf(text: string | Uint8Array): Literal {
	const bytes = typeof text === "string" ? Buffer.from(text, "latin1") : text;
	const words = new Int32Array(bytes.length >> 2);
	for (let at = 0; at < words.length * 4; at++) words[at >> 2] |= bytes[at] << ((at & 3) * 8);
	let tail = 0;
	for (let at = words.length * 4; at < bytes.length; at++) tail |= bytes[at] << ((at & 3) * 8);
	return { length: bytes.length, words, tail, mask: (1 << ((bytes.length & 3) * 8)) - 1 };
}

/** Whether the bytes at a place are the literal. */
export function startsWith(view: DataView, from: number, { words, tail, mask }: Literal): boolean {
	let at = from;
	for (let word = 0; word < words.length; word++) {
		if (view.getInt32(at, true) !== words[word]) return false;
		at += 4;
	}
	return mask === 0 || ((view.getInt32(at, true) ^ tail) & mask) === 0;
}
