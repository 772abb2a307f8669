// A trace in memory.
import type { ByteSink } from "../../src/trace/sink.js";

/** A sink for a TraceWriter, and the bytes that were written to it. */
export function collector(): { sink: ByteSink; bytes: () => Uint8Array } {
	const parts: Uint8Array[] = [];
	return { sink: { write: (bytes) => void parts.push(bytes.slice()) }, bytes: () => Buffer.concat(parts) };
}
