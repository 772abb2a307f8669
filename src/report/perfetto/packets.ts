// Packets of a Perfetto trace (docs/perfetto.proto): tracks, slices, instants, counters and flows, with interned names. Field numbers are Perfetto's.
import protobuf from "protobufjs/minimal.js";

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

export interface EventExtras {
	readonly annotations?: Annotations;
	/** Flows that go through the event, and one that ends here. */
	readonly flow?: number | undefined;
	readonly flowEnd?: number | undefined;
}

type Kind = "categories" | "names" | "annotations";
const INTERNED_FIELD: Readonly<Record<Kind, number>> = { categories: 1, names: 2, annotations: 3 };

/** Where the bytes of each packet go. */
export type PacketSink = (bytes: Uint8Array) => void;

export class PacketWriter {
	readonly #sink: PacketSink;
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
		this.#descriptor((writer) => {
			writer.uint32(tag(1, 0)).uint64(uuid);
			writer.uint32(tag(3, 2)).fork().uint32(tag(1, 0)).int32(uuid).uint32(tag(6, 2)).string(name).ldelim();
			writer.uint32(tag(11, 0)).int32(EXPLICIT_ORDER);
			if (description !== "") writer.uint32(tag(14, 2)).string(description);
		});
		return uuid;
	}

	track(parent: number, name: string, counter = false): number {
		const uuid = ++this.#tracks;
		this.#descriptor((writer) => {
			writer.uint32(tag(1, 0)).uint64(uuid).uint32(tag(2, 2)).string(name).uint32(tag(5, 0)).uint64(parent);
			if (counter) writer.uint32(tag(8, 2)).fork().uint32(tag(3, 0)).int32(UNIT_COUNT).ldelim();
			writer.uint32(tag(12, 0)).int32(uuid);
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

	#descriptor(fill: (writer: protobuf.Writer) => void): void {
		this.#packet((writer) => {
			writer.uint32(tag(60, 2)).fork();
			fill(writer);
			writer.ldelim();
		}, undefined);
	}

	#event(type: number, track: number, ns: number, name: string, category: string, extras: EventExtras, value?: number): void {
		this.events++;
		const { annotations = {}, flow, flowEnd } = extras;
		const body = protobuf.Writer.create();
		if (category !== "") body.uint32(tag(3, 0)).uint64(this.#iid("categories", category));
		for (const [key, annotation] of Object.entries(annotations)) {
			body.uint32(tag(4, 2)).fork().uint32(tag(1, 0)).uint64(this.#iid("annotations", key));
			if (typeof annotation === "number") body.uint32(tag(3, 0)).uint64(annotation);
			else body.uint32(tag(6, 2)).string(annotation);
			body.ldelim();
		}
		body.uint32(tag(9, 0)).int32(type);
		if (name !== "") body.uint32(tag(10, 0)).uint64(this.#iid("names", name));
		body.uint32(tag(11, 0)).uint64(track);
		if (value !== undefined) body.uint32(tag(30, 0)).int64(value);
		if (flow !== undefined) body.uint32(tag(47, 1)).fixed64(flow);
		if (flowEnd !== undefined) body.uint32(tag(48, 1)).fixed64(flowEnd);
		this.#packet((writer) => writer.uint32(tag(11, 2)).bytes(body.finish()), ns);
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

	#packet(fill: (writer: protobuf.Writer) => void, ns: number | undefined): void {
		const writer = protobuf.Writer.create();
		writer.uint32(tag(1, 2)).fork();
		if (ns !== undefined) writer.uint32(tag(8, 0)).uint64(ns);
		writer.uint32(tag(10, 0)).uint32(SEQUENCE_ID);
		fill(writer);
		if (this.#fresh.length > 0) {
			writer.uint32(tag(12, 2)).fork();
			for (const { kind, iid, name } of this.#fresh) {
				writer.uint32(tag(INTERNED_FIELD[kind], 2)).fork().uint32(tag(1, 0)).uint64(iid).uint32(tag(2, 2)).string(name).ldelim();
			}
			writer.ldelim();
			this.#fresh = [];
		}
		writer.uint32(tag(13, 0)).uint32(this.#first ? FIRST_FLAGS : NEEDS_STATE);
		this.#first = false;
		if (ns !== undefined) writer.uint32(tag(58, 0)).uint32(CLOCK);
		writer.ldelim();
		this.#sink(writer.finish());
	}
}
