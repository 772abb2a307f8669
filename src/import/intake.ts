// From the events of a source as its text has them to those of the tracker: recognised, and without the damaged ones.
import type { DamagedEvents } from "./damaged.js";
import { KernelEvent } from "./event.js";
import type { Recogniser } from "./recognise.js";
import type { Scout } from "./scout.js";
import type { Template } from "./template.js";
import type { TracefsEvent } from "./tracefs.js";

export class Intake {
	readonly #recogniser: Recogniser;
	readonly #scout: Scout | null;
	readonly #damaged: DamagedEvents;
	readonly #event = new KernelEvent();

	/** `scout` sees the events as their text has them; who reads the tracker's shows it those. */
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
		return this.#event;
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
