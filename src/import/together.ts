// The sources of one import, read together: one alone as it comes, several merged by their clock.
import type { EventBatch, KernelEvent } from "./event.js";
import type { Intake } from "./intake.js";
import { mergeByTime } from "./merge.js";
import type { EventSource, SourceFacts } from "./source.js";

interface Together {
	readonly facts: readonly SourceFacts[];
	readonly batches: AsyncGenerator<EventBatch>;
}

/** `met` is told of the events of several sources, by the number of the source. */
export function readTogether(
	sources: readonly EventSource[],
	intakes: readonly Intake[],
	met: (source: number, event: KernelEvent) => void = () => undefined,
): Together {
	const readings = sources.map((source, at) => source.take(intakes[at]));
	const facts = readings.map((reading) => reading.facts);
	const [only] = readings;
	if (readings.length === 1) return { facts, batches: only.batches };
	return { facts, batches: merged(readings.map(({ batches }, at) => copies(batches, (event) => met(at, event)))) };
}

/** Events to keep. */
async function* copies(batches: AsyncGenerator<EventBatch>, met: (event: KernelEvent) => void): AsyncGenerator<KernelEvent[]> {
	for await (const batch of batches) {
		const out: KernelEvent[] = [];
		batch.each((event) => {
			met(event);
			out.push(event.copy());
		});
		yield out;
	}
}

async function* merged(sources: readonly AsyncGenerator<KernelEvent[]>[]): AsyncGenerator<EventBatch> {
	for await (const events of mergeByTime(sources))
		yield {
			each: (visit) => {
				for (const event of events) visit(event);
			},
		};
}
