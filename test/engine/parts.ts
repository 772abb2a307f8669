// A trace replayed in parts, one after the other on one thread, and joined as threads' are (src/engine/threads.ts).
import { CannotSplit } from "../../src/engine/cannotsplit.js";
import { memberOf, type OnProgress, type ReplayOptions, type ReplayResult, replayGroups } from "../../src/engine/replay.js";
import { joinParts } from "../../src/engine/split.js";
import type { TraceReader } from "../../src/trace/reader.js";

/** The result, or why a part cannot be one. @throws as replayTrace */
export function replayInParts(trace: TraceReader, options: ReplayOptions, of: number, onProgress?: OnProgress): ReplayResult | CannotSplit {
	try {
		const parts = Array.from({ length: of }, (_, index) => {
			const { result, groups } = replayGroups(trace, { ...options, part: { index, of } }, onProgress);
			return { result, groups };
		});
		return joinParts(
			parts.map(({ result }) => result),
			(place) =>
				parts.map(({ groups }) => {
					const { engine, index } = memberOf(groups, place);
					return { batches: engine.state(index).entries()[Symbol.iterator](), ksmPages: engine.ksmPages() };
				}),
		);
	} catch (error) {
		if (error instanceof CannotSplit) return error;
		throw error;
	}
}
