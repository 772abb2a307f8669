// Packets of a Perfetto trace (docs/perfetto.proto): tracks, slices, instants, counters and flows, with interned names. Field numbers are Perfetto's.
import { ByteBuffer } from "./bytes.js";

/** Tag of a field: its number and wire type (0 varint, 1 fixed64, 2 bytes). */
const tag = (field: number, wireType: 0 | 1 | 2): number => field * 8 + wireType;

const SEQUENCE_ID = 1;
/** BUILTIN_CLOCK_BOOTTIME: the default of ui.perfetto.dev, so that no clock has to be translated. */
const CLOCK = 6;
const FIRST_FLAGS = 1;
const NEEDS_STATE = 2;
const EXPLICIT_ORDER = 3;
const UNIT_COUNT = 2;

const Type = { begin: 1, end: 2, instant: 3, counter: 4 } as const;

type Annotations = Readonly<Record<string, number | string>>;

/** A flow's number: 64 bits in two words, not both 0. */
export interface Flow {
	readonly low: number;
	readonly high: number;
}

export interface EventExtras {
	readonly annotations?: Annotations;
	/** Flows that go through the event, and one that ends here. */
	readonly flow?: Flow | undefined;
	readonly flowEnd?: Flow | undefined;
}

type Kind = "categories" | "names" | "annotations";
const INTERNED_FIELD: Readonly<Record<Kind, number>> = { categories: 1, names: 2, annotations: 3 };

/** Where packets go, many at a time; the bytes are taken before it returns. */
export type PacketSink = (bytes: Uint8Array) => void;

/** Packets are kept until there are so many bytes. */
const HELD_BYTES = 1 << 19;

export class PacketWriter {
	readonly #sink: PacketSink;
	readonly #out = new ByteBuffer();
	readonly #interned: Record<Kind, Map<string, number>> = { categories: new Map(), names: new Map(), annotations: new Map() };
	#fresh: { kind: Kind; iid: number; name: string }[] = [];
	#first = true;
	#tracks = 0;
	/** Events written. */
	events = 0;

	constructor(sink: PacketSink) {
		this.#sink = sink;
	}

	/** A process groups tracks and has none of its own. */
	process(name: string, description = ""): number {
		const uuid = ++this.#tracks;
		const out = this.#out;
		this.#descriptor(() => {
			this.#number(1, uuid);
			const process = this.#message(3);
			this.#number(1, uuid);
			this.#text(6, name);
			out.close(process);
			this.#number(11, EXPLICIT_ORDER);
			if (description !== "") this.#text(14, description);
		});
		return uuid;
	}

	track(parent: number, name: string, counter = false): number {
		const uuid = ++this.#tracks;
		this.#descriptor(() => {
			this.#number(1, uuid);
			this.#text(2, name);
			this.#number(5, parent);
			if (counter) {
				const descriptor = this.#message(8);
				this.#number(3, UNIT_COUNT);
				this.#out.close(descriptor);
			}
			this.#number(12, uuid);
		});
		return uuid;
	}

	begin(track: number, ns: number, name: string, category: string, extras: EventExtras = {}): void {
		this.#event(Type.begin, track, ns, name, category, extras);
	}

	end(track: number, ns: number): void {
		this.#event(Type.end, track, ns, "", "", {});
	}

	instant(track: number, ns: number, name: string, category: string, extras: EventExtras = {}): void {
		this.#event(Type.instant, track, ns, name, category, extras);
	}

	counter(track: number, ns: number, value: number): void {
		this.#event(Type.counter, track, ns, "", "", {}, value);
	}

	/** Hand over what is held. */
	flush(): void {
		if (this.#out.length > 0) this.#sink(this.#out.written());
		this.#out.length = 0;
	}

	#number(field: number, value: number): void {
		this.#out.varint(tag(field, 0));
		this.#out.varint(value);
	}

	#text(field: number, value: string): void {
		this.#out.varint(tag(field, 2));
		this.#out.text(value);
	}

	#message(field: number): number {
		this.#out.varint(tag(field, 2));
		return this.#out.open();
	}

	#descriptor(fill: () => void): void {
		const packet = this.#packet(undefined);
		const descriptor = this.#message(60);
		fill();
		this.#out.close(descriptor);
		this.#close(packet);
	}

	#event(type: number, track: number, ns: number, name: string, category: string, extras: EventExtras, value?: number): void {
		this.events++;
		const out = this.#out;
		const { annotations, flow, flowEnd } = extras;
		const packet = this.#packet(ns);
		const event = this.#message(11);
		if (category !== "") this.#number(3, this.#iid("categories", category));
		if (annotations !== undefined) {
			for (const key in annotations) {
				const annotation = annotations[key] ?? 0;
				const body = this.#message(4);
				this.#number(1, this.#iid("annotations", key));
				if (typeof annotation === "number") this.#number(3, annotation);
				else this.#text(6, annotation);
				out.close(body);
			}
		}
		this.#number(9, type);
		if (name !== "") this.#number(10, this.#iid("names", name));
		this.#number(11, track);
		if (value !== undefined) {
			out.varint(tag(30, 0));
			out.int64(value);
		}
		if (flow !== undefined) {
			out.varint(tag(47, 1));
			out.fixed64(flow.low, flow.high);
		}
		if (flowEnd !== undefined) {
			out.varint(tag(48, 1));
			out.fixed64(flowEnd.low, flowEnd.high);
		}
		out.close(event);
		this.#close(packet);
	}

	/** The number of a name; a new one is told in the packet that uses it first. */
	#iid(kind: Kind, name: string): number {
		const known = this.#interned[kind];
		const found = known.get(name);
		if (found !== undefined) return found;
		const iid = known.size + 1;
		known.set(name, iid);
		this.#fresh.push({ kind, iid, name });
		return iid;
	}

	#packet(ns: number | undefined): number {
		const packet = this.#message(1);
		if (ns !== undefined) this.#number(8, ns);
		this.#number(10, SEQUENCE_ID);
		return packet;
	}

	#close(packet: number): void {
		const out = this.#out;
		if (this.#fresh.length > 0) {
			const interned = this.#message(12);
			for (const { kind, iid, name } of this.#fresh) {
				const entry = this.#message(INTERNED_FIELD[kind]);
				this.#number(1, iid);
				this.#text(2, name);
				out.close(entry);
			}
			out.close(interned);
			this.#fresh = [];
		}
		this.#number(13, this.#first ? FIRST_FLAGS : NEEDS_STATE);
		if (this.#first) {
			// What every packet of the sequence has: its clock.
			const defaults = this.#message(59);
			this.#number(58, CLOCK);
			out.close(defaults);
		}
		this.#first = false;
		out.close(packet);
		if (out.length >= HELD_BYTES) this.flush();
	}
}
