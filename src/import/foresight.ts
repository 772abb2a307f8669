// What must be known of a capture with access logs before its first record can be written: what each page was when it began, whether it records brackets,
// where its phases lie and what else ran in them. The events that were read for it stay in a spool.
import type { AccessLog } from "./accesslog.js";
import { Code, type EventBatch, type KernelEvent } from "./event.js";
import { EventSpool } from "./eventspool.js";
import { CapturedHost, logsByVm } from "./host.js";
import type { KnownVm } from "./knownvm.js";
import { Phase, type PhaseNature, type PhaseSpan, phaseOf } from "./phases.js";
import { Places } from "./places.js";
import { Timeline } from "./timeline.js";
import { Tracker } from "./tracker.js";

/** Events between two times that what was found is forgotten. */
const STEP = 4096;
/** Parts of the spool between two turns of the event loop. */
const PARTS_A_TURN = 16;

const CONCURRENT: PhaseNature = { concurrent: true, copies: [] };
const ALONE: PhaseNature = { concurrent: false, copies: [] };

export interface ForeseenPhase {
	readonly span: PhaseSpan;
	readonly nature: PhaseNature;
}

export class Foresight {
	readonly phases: ForeseenPhase[] = [];
	readonly #spool = new EventSpool();
	readonly #tracker: Tracker;
	readonly #places = new Places();
	readonly #logs: ReturnType<typeof logsByVm>;
	/** The phase that is being read. */
	#phase: Phase | null = null;
	#foreign = false;
	#copies: number[] = [];

	constructor(logs: readonly AccessLog[], known: readonly KnownVm[]) {
		const host = new CapturedHost(logs, known);
		this.#logs = logsByVm(logs, host);
		this.#places.forget();
		this.#tracker = new Tracker(host, new Timeline(this.#places, true));
	}

	get host(): CapturedHost {
		return this.#tracker.host;
	}

	/** There is a bracket. */
	get brackets(): boolean {
		return this.#tracker.brackets.any;
	}

	read(batch: EventBatch): void {
		batch.each(this.#visit);
	}

	readonly #visit = (event: KernelEvent): void => {
		const tracker = this.#tracker;
		const { timeline } = tracker;
		this.#spool.push(event);
		timeline.at = this.#places.push(event.ns);
		if (event.code === Code.mark) this.#mark(event.text);
		else tracker.feed(event);
		if (timeline.at % STEP === STEP - 1) this.#forget();
	};

	#mark(text: string): void {
		const number = phaseOf(text);
		if (number < 0) return;
		const { at } = this.#tracker.timeline;
		this.#endPhase(at);
		this.#phase = new Phase({ number, begin: at, end: at }, this.#logs);
	}

	/** The phase that was read ends at a place, if there is one. */
	#endPhase(end: number): void {
		this.#forget();
		const phase = this.#phase;
		if (phase === null) return;
		phase.span.end = end;
		const concurrent = phase.actors.length > 0 && (this.#foreign || phase.actors.length > 1);
		const nature = concurrent ? CONCURRENT : this.#copies.length === 0 ? ALONE : { concurrent, copies: this.#copies };
		this.phases.push({ span: phase.span, nature });
		this.#foreign = false;
		if (this.#copies.length > 0) this.#copies = [];
	}

	/** What was found has told what it tells. */
	#forget(): void {
		const { timeline, hostFaults, childCopies, host } = this.#tracker;
		const phase = this.#phase;
		if (phase !== null && phase.actors.length > 0 && !this.#foreign)
			for (const item of timeline.items) {
				const part = phase.partOf(item);
				if (part === "foreign") this.#foreign = true;
				else if (part === "copy" && item.kind === "bracket" && item.source === "other") this.#copies.push(item.page);
			}
		for (const list of [timeline.items, timeline.observed, hostFaults, childCopies]) list.length = 0;
		for (const { tentative } of host.vms) tentative.length = 0;
	}

	end(): void {
		this.#endPhase(this.#tracker.timeline.at + 1);
	}

	/** The events once more. */
	async *again(): AsyncGenerator<EventBatch> {
		let parts = 0;
		for (const batch of this.#spool.batches()) {
			yield batch;
			// A signal is seen between two turns of the event loop.
			if (++parts % PARTS_A_TURN === 0) await new Promise((resolve) => setImmediate(resolve));
		}
	}

	close(): void {
		this.#spool.close();
	}
}
