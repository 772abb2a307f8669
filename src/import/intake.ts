// From the events of a source as its text has them to those of the tracker: recognised, looked at, and without the damaged ones.
import type { DamagedEvents } from "./damaged.js";
import { type EventBatch, KernelEvent } from "./event.js";
import type { Recogniser } from "./recognise.js";
import type { Scout } from "./scout.js";
import type { EventSource, TakenReading } from "./source.js";
import type { Template } from "./template.js";
import type { TracefsEvent } from "./tracefs.js";

export class Intake {
	readonly #recogniser: Recogniser;
	readonly #scout: Scout | null;
	readonly #damaged: DamagedEvents;
	readonly #event = new KernelEvent();

	constructor(recogniser: Recogniser, scout: Scout | null, damaged: DamagedEvents) {
		this.#recogniser = recogniser;
		this.#scout = scout;
		this.#damaged = damaged;
	}

	/** The tracker's event, until the next one; null where there is none. @throws BadInputError on a damaged one, unless lenient */
	take(raw: TracefsEvent): KernelEvent | null {
		const recognised = this.#recogniser.recognise(raw);
		this.#scout?.lookRaw(raw);
		if (recognised === null || !this.#damaged.accepts(recognised)) return null;
		this.#event.read(recognised);
		this.#scout?.look(this.#event);
		return this.#event;
	}

	/** An event that was read by a template. */
	look(event: KernelEvent): void {
		this.#scout?.look(event);
	}

	template(raw: TracefsEvent): Template | null {
		return this.#recogniser.template(raw);
	}

	values(raw: TracefsEvent): ReturnType<Recogniser["values"]> {
		return this.#recogniser.values(raw);
	}

	/** More events like one that `take` gave nothing for, because its kind has no meaning. */
	skip(name: string, events: number): void {
		this.#recogniser.count(name, events);
	}

	isSkipped(raw: TracefsEvent): boolean {
		return this.#recogniser.isWithoutMeaning(raw.name);
	}
}

/** Batches of a source whose events are read as text. */
async function* taken(batches: AsyncGenerator<TracefsEvent[]>, intake: Intake): AsyncGenerator<EventBatch> {
	for await (const batch of batches)
		yield {
			each: (visit) => {
				for (const raw of batch) {
					const event = intake.take(raw);
					if (event !== null) visit(event);
				}
			},
		};
}

/** The tracker's events of a source. */
export function takeFrom(source: EventSource, intake: Intake): TakenReading {
	if (source.take !== undefined) return source.take(intake);
	const { facts, batches } = source.read();
	return { facts, batches: taken(batches, intake) };
}

/** Events to keep. */
export async function* kept(batches: AsyncGenerator<EventBatch>): AsyncGenerator<KernelEvent[]> {
	for await (const batch of batches) {
		const out: KernelEvent[] = [];
		batch.each((event) => out.push(event.copy()));
		yield out;
	}
}
