// Constants of the file format: tags, magic numbers, block types, codecs and caps (docs/trace-format.md; traces/mmtrace.proto).

/** Version of the format that this code writes; it reads every minor of the same major. */
export const FORMAT = { major: 1, minor: 0 } as const;

/** Wire tags, field number << 3 | wire type. All of the frame's field numbers are under 16, so each tag is one byte. */
export const Tag = {
	header: 0x0a,
	block: 0x12,
	index: 0x1a,
	indexOffset: 0x79,
	blockHeader: 0x0a,
	blockPayload: 0x12,
} as const;

/** Header.magic: "mmtrace\n". */
export const MAGIC = Uint8Array.of(0x6d, 0x6d, 0x74, 0x72, 0x61, 0x63, 0x65, 0x0a);

/** The last field of every whole file: tag and a fixed64. */
export const TRAILER_BYTES = 9;

/** Header and Index end with `crc32c = 31`: a two-byte tag and a fixed32. */
export const CHECKSUM_BYTES = 6;
export const CHECKSUM_TAG = [0xfd, 0x01] as const;

/** BlockHeader.sync: what a reader searches for after damage. */
export const SYNC = 0xb1d7_4d4d;

export const BlockType = { events: 1, observations: 2, checkpoint: 3, metadata: 4 } as const;
/** Bit of BlockHeader.type: a reader that does not know the type must refuse the file. */
export const REQUIRED_TYPE = 0x8000_0000;

export const Codec = { none: 0, "deflate-raw": 1, zstd: 2 } as const;
export type CodecName = keyof typeof Codec;

/** Value of the `offset` column where a record has no offset within its page. */
export const NO_OFFSET = 4096;

/** Pages of one agent entry share everything above their low 32 bits. */
export const PAGE_SPAN = 2 ** 32;
/** So that every page stays a safe integer. */
export const MAX_BASE_PAGE = 2 ** 53 - PAGE_SPAN;

/** Caps, checked before anything is allocated; only an explicit option raises one. */
export interface Limits {
	/** Bytes of the Header message. */
	readonly headerBytes: number;
	/** Bytes of a payload, stored and raw alike. */
	readonly blockBytes: number;
	readonly events: number;
	/** Entries of a table of agents, strings or notes, and of the index. */
	readonly entries: number;
	readonly stringBytes: number;
	readonly indexBytes: number;
	/** Observations held back until the causes that come before them are read. */
	readonly pendingObservations: number;
}

export const LIMITS: Limits = {
	headerBytes: 64 << 10,
	blockBytes: 32 << 20,
	events: 1 << 20,
	entries: 1 << 20,
	stringBytes: 4 << 10,
	indexBytes: 16 << 20,
	pendingObservations: 1 << 21,
};
