// Perfetto traces as a source of events: ftrace bundles, with the few typed events that matter here and generic events in both encodings, which is
// where x86's KVM, KSM and every kprobe land (formats.md 1.2, 1.3).
import { Packet, packetsOf } from "./perfettowire.js";
import { fieldsOf, signed, utf8, type WireField } from "./protobuf.js";
import { type EventSource, lose, newFacts, type Reading, type SourceFacts } from "./source.js";
import type { TracefsEvent } from "./tracefs.js";

const Bundle = { cpu: 1, event: 2, lostEvents: 3, clock: 5, descriptors: 11 } as const;
const Event = { timestamp: 1, pid: 2, generic: 327, dynamic: 65536 } as const;
const Descriptor = { fieldId: 1, message: 2 } as const;
/** google.protobuf.FieldDescriptorProto.Type of those whose numbers are signed. */
const SIGNED_TYPES = new Set([3, 5, 15, 16, 17, 18]);
const MAX_DESCRIPTORS = 65536;

/** Typed events that are read, by their field in FtraceEvent; fields by number. */
const TYPED: Readonly<Record<number, { readonly name: string; readonly fields: readonly (string | undefined)[] }>> = {
	3: { name: "print", fields: [undefined, "ip", "buf"] },
	307: { name: "mm_page_alloc", fields: [undefined, "gfp_flags", "migratetype", "order", "page", "pfn"] },
	370: { name: "kvm_age_hva", fields: [undefined, "end", "start"] },
	376: { name: "kvm_entry", fields: [] },
	377: { name: "kvm_exit", fields: [] },
	388: { name: "kvm_set_spte_hva", fields: [undefined, "hva"] },
	391: { name: "kvm_test_age_hva", fields: [undefined, "hva"] },
	398: { name: "kvm_unmap_hva_range", fields: [undefined, "end", "start"] },
};
/** sched_switch, task_rename, task_newtask: only their names of tasks, by {pid, comm}. */
const COMMS: Readonly<Record<number, { readonly pid: number; readonly comm: number }>> = {
	4: { pid: 6, comm: 5 },
	235: { pid: 1, comm: 2 },
	236: { pid: 1, comm: 3 },
};

const CLOCKS = ["boot", "", "global", "local", "mono_raw"] as const;

interface MessageShape {
	readonly name: string;
	readonly fields: ReadonlyMap<number, { readonly name: string; readonly signed: boolean }>;
}

/** Numbers as hex, so that nobody takes them for decimal; negative ones in decimal. */
const number = (value: bigint): string => (value < 0n ? String(value) : `0x${value.toString(16)}`);

export function perfettoSource(path: string, lenient: boolean): EventSource {
	// Descriptors may stand behind the events that need them: collected once, before the first reading.
	let shapes: Promise<ReadonlyMap<number, MessageShape>> | undefined;
	return {
		path,
		format: "perfetto",
		read: (): Reading => {
			const facts = newFacts("", 1, lenient);
			shapes ??= collectShapes(path);
			return { facts, batches: batchesOf(path, facts, shapes) };
		},
	};
}

async function collectShapes(path: string): Promise<ReadonlyMap<number, MessageShape>> {
	const shapes = new Map<number, MessageShape>();
	for await (const packets of packetsOf(path, newFacts("", 1, true))) {
		for (const packet of packets)
			for (const bundle of fieldsOf(packet, path)) {
				if (bundle.number !== Packet.ftraceEvents || bundle.wire !== 2) continue;
				for (const field of fieldsOf(bundle.bytes, path))
					if (field.number === Bundle.descriptors && shapes.size < MAX_DESCRIPTORS) addShape(field.bytes, shapes, path);
			}
	}
	return shapes;
}

function addShape(message: Uint8Array, shapes: Map<number, MessageShape>, where: string): void {
	let id = 0;
	let name = "";
	const fields = new Map<number, { name: string; signed: boolean }>();
	for (const field of fieldsOf(message, where)) {
		if (field.number === Descriptor.fieldId) id = Number(field.value);
		else if (field.number === Descriptor.message) {
			for (const part of fieldsOf(field.bytes, where)) {
				if (part.number === 1) name = utf8(part.bytes);
				else if (part.number === 2) {
					const known = { name: "", number: 0, type: 0 };
					for (const of of fieldsOf(part.bytes, where)) {
						if (of.number === 1) known.name = utf8(of.bytes);
						else if (of.number === 3) known.number = Number(of.value);
						else if (of.number === 5) known.type = Number(of.value);
					}
					fields.set(known.number, { name: known.name, signed: SIGNED_TYPES.has(known.type) });
				}
			}
		}
	}
	if (id >= Event.dynamic && name !== "") shapes.set(id, { name, fields });
}

async function* batchesOf(
	path: string,
	facts: SourceFacts,
	shapes: Promise<ReadonlyMap<number, MessageShape>>,
): AsyncGenerator<TracefsEvent[]> {
	const reader = new BundleReader(await shapes, facts, path);
	for await (const packets of packetsOf(path, facts)) {
		const batch: TracefsEvent[] = [];
		for (const packet of packets) reader.packet(packet, batch);
		yield batch;
	}
	reader.finish();
}

class BundleReader {
	readonly #shapes: ReadonlyMap<number, MessageShape>;
	readonly #facts: SourceFacts;
	readonly #where: string;
	readonly #comms = new Map<number, string>();
	readonly #groups = new Map<number, number>();
	#unknown = 0;

	constructor(shapes: ReadonlyMap<number, MessageShape>, facts: SourceFacts, where: string) {
		this.#shapes = shapes;
		this.#facts = facts;
		this.#where = where;
	}

	packet(packet: Uint8Array, batch: TracefsEvent[]): void {
		for (const field of fieldsOf(packet, this.#where)) {
			if (field.wire !== 2) continue;
			if (field.number === Packet.ftraceEvents) this.#bundle(field.bytes, batch);
			else if (field.number === Packet.processTree) this.#processes(field.bytes);
			else if (field.number === Packet.systemInfo) this.#system(field.bytes);
		}
	}

	finish(): void {
		if (this.#unknown > 0) this.#facts.warnings.push(`${this.#unknown} generic events have no descriptor in the trace and were left out`);
	}

	#bundle(bundle: Uint8Array, batch: TracefsEvent[]): void {
		let cpu = 0;
		let clock = 0;
		const events: TracefsEvent[] = [];
		for (const field of fieldsOf(bundle, this.#where)) {
			if (field.number === Bundle.cpu) cpu = Number(field.value);
			else if (field.number === Bundle.clock) clock = Number(field.value);
			else if (field.number === Bundle.lostEvents && field.value !== 0n) lose(this.#facts, "lostBundles", 1);
			else if (field.number === Bundle.event && field.wire === 2) this.#event(field.bytes, events);
		}
		// The CPU may stand behind its events.
		for (const event of events) batch.push(cpu === 0 ? event : { ...event, cpu });
		if (events.length > 0) this.#facts.clock ||= CLOCKS[clock] ?? "";
	}

	#event(message: Uint8Array, events: TracefsEvent[]): void {
		let ns = 0;
		let pid = 0;
		let found: { name: string; text: string } | undefined;
		for (const field of fieldsOf(message, this.#where)) {
			if (field.number === Event.timestamp) ns = Number(field.value);
			else if (field.number === Event.pid) pid = Number(BigInt.asIntN(32, field.value));
			else if (field.wire === 2) found = this.#content(field) ?? found;
		}
		if (found === undefined) return;
		events.push({ comm: this.#comms.get(pid) ?? "", pid, tgid: this.#groups.get(pid) ?? -1, cpu: 0, ns, ...found });
	}

	#content(field: WireField): { name: string; text: string } | undefined {
		if (field.number === Event.generic) return generic(field.bytes, this.#where);
		const typed = TYPED[field.number];
		if (typed !== undefined) {
			const pairs = [];
			for (const part of fieldsOf(field.bytes, this.#where)) {
				const name = typed.fields[part.number];
				if (name !== undefined) pairs.push(`${name}=${part.wire === 2 ? utf8(part.bytes) : number(part.value)}`);
			}
			return { name: typed.name, text: pairs.join(" ") };
		}
		const comm = COMMS[field.number];
		if (comm !== undefined) this.#taskName(field.bytes, comm);
		if (field.number < Event.dynamic) return undefined;
		const shape = this.#shapes.get(field.number);
		if (shape === undefined) {
			this.#unknown++;
			return undefined;
		}
		const pairs = [];
		for (const part of fieldsOf(field.bytes, this.#where)) {
			const known = shape.fields.get(part.number);
			if (known === undefined) continue;
			const value = part.wire === 2 ? utf8(part.bytes) : number(known.signed ? signed(part.value) : part.value);
			pairs.push(`${known.name}=${value}`);
		}
		return { name: shape.name, text: pairs.join(" ") };
	}

	#taskName(message: Uint8Array, at: { readonly pid: number; readonly comm: number }): void {
		let pid = -1;
		let comm = "";
		for (const field of fieldsOf(message, this.#where)) {
			if (field.number === at.pid && field.wire === 0) pid = Number(BigInt.asIntN(32, field.value));
			else if (field.number === at.comm && field.wire === 2) comm = utf8(field.bytes);
		}
		if (pid > 0 && comm !== "") this.#comms.set(pid, comm);
	}

	/** ProcessTree { processes = 1 {pid 1, cmdline 3}, threads = 2 {tid 1, name 2, tgid 3} }. */
	#processes(message: Uint8Array): void {
		for (const entry of fieldsOf(message, this.#where)) {
			if (entry.wire !== 2 || (entry.number !== 1 && entry.number !== 2)) continue;
			let id = -1;
			let name = "";
			let group = -1;
			for (const field of fieldsOf(entry.bytes, this.#where)) {
				if (field.number === 1 && field.wire === 0) id = Number(field.value);
				else if (field.wire === 2 && field.number === (entry.number === 1 ? 3 : 2)) name ||= utf8(field.bytes);
				else if (entry.number === 2 && field.number === 3 && field.wire === 0) group = Number(field.value);
			}
			if (id < 0) continue;
			this.#groups.set(id, entry.number === 1 ? id : group);
			if (name !== "" && !this.#comms.has(id)) this.#comms.set(id, name.split("/").pop() ?? name);
		}
	}

	/** SystemInfo { utsname = 1 { release = 3 } }. */
	#system(message: Uint8Array): void {
		for (const field of fieldsOf(message, this.#where))
			if (field.number === 1 && field.wire === 2)
				for (const part of fieldsOf(field.bytes, this.#where))
					if (part.number === 3 && part.wire === 2) this.#facts.kernel ||= utf8(part.bytes);
	}
}

/** GenericFtraceEvent { event_name = 1; field = 2 { name = 1; str_value = 3 | int_value = 4 | uint_value = 5 } }. */
function generic(message: Uint8Array, where: string): { name: string; text: string } | undefined {
	let name = "";
	const pairs: string[] = [];
	for (const field of fieldsOf(message, where)) {
		if (field.wire !== 2) continue;
		if (field.number === 1) name = utf8(field.bytes);
		else if (field.number === 2) {
			let key = "";
			let value = "";
			for (const part of fieldsOf(field.bytes, where)) {
				if (part.number === 1) key = utf8(part.bytes);
				else if (part.number === 3) value = utf8(part.bytes);
				else if (part.number === 4) value = number(signed(part.value));
				else if (part.number === 5) value = number(part.value);
			}
			if (!key.startsWith("common_")) pairs.push(`${key}=${value}`);
		}
	}
	return name === "" ? undefined : { name, text: pairs.join(" ") };
}
