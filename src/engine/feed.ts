// Blocks of a trace into engines: a payload is read straight into the first one's memory (or has been read ahead: readahead.ts) and copied to the
// others', if there are any, and each engine is called once a block, and once more behind each mark that begins a phase.
import type { Block, TraceReader } from "../trace/reader.js";
import { BlockType, Codec } from "../trace/wire.js";
import type { Engine } from "./engine.js";
import { ReadAhead } from "./readahead.js";

/** What has been fed so far. */
export interface Fed {
	events: number;
	/** Of payloads, after their codecs. */
	bytes: number;
	/** Spent in finding, checking and widening columns. */
	decodeSeconds: number;
}

export interface FeedListener {
	/** An engine (by its place) stands behind a mark that begins a phase. */
	mark(engine: number, where: string): void;
	/** A block has been replayed by all of them. */
	block(fed: Readonly<Fed>, block: Block): void;
}

/** Replay all causes of a trace. `ahead`: who reads it, until its end. @throws BadInputError, LimitError */
export function feed(
	trace: TraceReader,
	engines: readonly Engine[],
	listener: FeedListener,
	ahead: ReadAhead | null = ReadAhead.begin(trace) ?? null,
): Readonly<Fed> {
	const fed: Fed = { events: 0, bytes: 0, decodeSeconds: 0 };
	try {
		for (const block of trace.blocks(undefined, ahead?.foreseen)) {
			if (block.type !== BlockType.events) continue;
			feedBlock(trace, block, engines, listener, fed, ahead);
			fed.events += block.events;
			fed.bytes += block.rawLength;
			listener.block(fed, block);
		}
	} finally {
		ahead?.end();
	}
	return fed;
}

/** Read a block's payload into an engine's memory, which has the faster checksum too. @throws BadInputError, LimitError */
export function readInto(engine: Engine, trace: TraceReader, block: Block, where: string, ahead?: ReadAhead | null): Uint8Array {
	const target = engine.payload(block.rawLength, where);
	const payload = ahead?.payload(block);
	if (payload !== undefined) {
		target.set(payload);
		return target;
	}
	trace.readPayload(block, target, "caller");
	if (block.codec === Codec.none && engine.checksum(block.rawLength) !== block.payloadCrc32c) throw trace.wrongChecksum(block);
	return target;
}

function feedBlock(
	trace: TraceReader,
	block: Block,
	engines: readonly Engine[],
	listener: FeedListener,
	fed: Fed,
	ahead: ReadAhead | null,
): void {
	const where = trace.where(block);
	let first: Uint8Array | undefined;
	for (const engine of engines) {
		if (first === undefined) first = readInto(engine, trace, block, where, ahead);
		else engine.payload(block.rawLength, where).set(first);
	}
	const started = performance.now();
	for (const engine of engines) engine.decode(block, trace.limits, where);
	fed.decodeSeconds += (performance.now() - started) / 1000;
	for (const [place, engine] of engines.entries()) while (engine.run(where)) listener.mark(place, where);
}
