// Blocks of a trace into engines: a payload is read straight into the first one's memory and copied to the others', if there are any, and each
// engine is called once a block, and once more behind each mark that begins a phase.
import type { Block, TraceReader } from "../trace/reader.js";
import { BlockType } from "../trace/wire.js";
import type { Engine } from "./engine.js";

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

/** Replay all causes of a trace. @throws BadInputError, LimitError */
export function feed(trace: TraceReader, engines: readonly Engine[], listener: FeedListener): Readonly<Fed> {
	const fed: Fed = { events: 0, bytes: 0, decodeSeconds: 0 };
	for (const block of trace.blocks()) {
		if (block.type !== BlockType.events) continue;
		feedBlock(trace, block, engines, listener, fed);
		fed.events += block.events;
		fed.bytes += block.rawLength;
		listener.block(fed, block);
	}
	return fed;
}

function feedBlock(trace: TraceReader, block: Block, engines: readonly Engine[], listener: FeedListener, fed: Fed): void {
	const where = trace.where(block);
	let first: Uint8Array | undefined;
	for (const engine of engines) {
		const target = engine.payload(block.rawLength, where);
		if (first === undefined) {
			trace.readPayload(block, target);
			first = target;
		} else target.set(first);
	}
	const started = performance.now();
	for (const engine of engines) engine.decode(block, trace.limits, where);
	fed.decodeSeconds += (performance.now() - started) / 1000;
	for (const [place, engine] of engines.entries()) while (engine.run(where)) listener.mark(place, where);
}
