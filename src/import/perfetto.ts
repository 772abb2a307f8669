// Perfetto traces as a source of events: ftrace bundles, with the few typed events that matter here and generic events in both encodings, which is
// where x86's KVM, KSM and every kprobe land (formats.md 1.2, 1.3).
import { type EventBatch, KernelEvent } from "./event.js";
import type { Intake } from "./intake.js";
import { GENERIC, KnownMessages } from "./perfettoevents.js";
import { collectShapes, DYNAMIC, type MessageShape } from "./perfettoshapes.js";
import { Packet, packetsOf } from "./perfettowire.js";
import { DamagedMessage, FieldWalk, fieldsOf, signed, utf8, type WireField } from "./protobuf.js";
import { damage, type EventSource, lose, newFacts, type SourceFacts } from "./source.js";
import type { TracefsEvent } from "./tracefs.js";

const Bundle = { event: 2, lostEvents: 3, clock: 5 } as const;
const Event = { timestamp: 1, pid: 2 } as const;
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

/** Numbers as hex, so that nobody takes them for decimal; negative ones in decimal. */
const number = (value: bigint): string => (value < 0n ? String(value) : `0x${value.toString(16)}`);

export function perfettoSource(path: string, lenient: boolean): EventSource {
	return {
		path,
		format: "perfetto",
		take: (intake) => {
			const facts = newFacts("", 1, lenient);
			return { facts, batches: batchesOf(path, facts, intake) };
		},
	};
}

async function* batchesOf(path: string, facts: SourceFacts, intake: Intake): AsyncGenerator<EventBatch> {
	const reader = new BundleReader(await collectShapes(path), facts, path, intake);
	for await (const packets of packetsOf(path, facts))
		yield {
			each: (visit) => {
				for (const packet of packets) reader.packet(packet, visit);
			},
		};
	reader.finish();
}

type Visit = (event: KernelEvent) => void;

class BundleReader {
	readonly #shapes: ReadonlyMap<number, MessageShape>;
	readonly #facts: SourceFacts;
	readonly #where: string;
	readonly #intake: Intake;
	readonly #known: KnownMessages;
	readonly #comms = new Map<number, string>();
	readonly #groups = new Map<number, number>();
	readonly #event = new KernelEvent();
	readonly #inPacket = new FieldWalk();
	readonly #inBundle = new FieldWalk();
	readonly #inEvent = new FieldWalk();
	#unknown = 0;

	constructor(shapes: ReadonlyMap<number, MessageShape>, facts: SourceFacts, where: string, intake: Intake) {
		this.#shapes = shapes;
		this.#facts = facts;
		this.#where = where;
		this.#intake = intake;
		this.#known = new KnownMessages(shapes, where);
	}

	packet(packet: Uint8Array, visit: Visit): void {
		try {
			this.#packet(packet, visit);
		} catch (error) {
			this.#passOver(error);
		}
	}

	/** What is damaged is left out where that is asked for: an event, or the rest of a packet. */
	#passOver(error: unknown): void {
		if (!this.#facts.lenient || !(error instanceof DamagedMessage)) throw error;
		damage(this.#facts, error.what, this.#where);
	}

	#packet(packet: Uint8Array, visit: Visit): void {
		const walk = this.#inPacket.begin(packet, 0, packet.length, this.#where);
		while (walk.next()) {
			if (walk.wire !== 2) continue;
			if (walk.number === Packet.ftraceEvents) this.#bundle(packet, walk.from, walk.to, visit);
			else if (walk.number === Packet.processTree) this.#processes(packet.subarray(walk.from, walk.to));
			else if (walk.number === Packet.systemInfo) this.#system(packet.subarray(walk.from, walk.to));
		}
	}

	finish(): void {
		if (this.#unknown > 0) this.#facts.warnings.push(`${this.#unknown} generic events have no descriptor in the trace and were left out`);
	}

	#bundle(packet: Uint8Array, from: number, to: number, visit: Visit): void {
		let clock = 0;
		let found = false;
		const walk = this.#inBundle.begin(packet, from, to, this.#where);
		while (walk.next()) {
			if (walk.number === Bundle.clock) clock = walk.value;
			else if (walk.number === Bundle.lostEvents && walk.value !== 0) lose(this.#facts, "lostBundles", 1);
			else if (walk.number === Bundle.event && walk.wire === 2 && this.#eventOr(packet, walk.from, walk.to, visit)) found = true;
		}
		if (found) this.#facts.clock ||= CLOCKS[clock] ?? "";
	}

	#eventOr(packet: Uint8Array, from: number, to: number, visit: Visit): boolean {
		if (!this.#facts.lenient) return this.#eventAt(packet, from, to, visit);
		try {
			return this.#eventAt(packet, from, to, visit);
		} catch (error) {
			this.#passOver(error);
			return false;
		}
	}

	/** Whether it is one. */
	#eventAt(packet: Uint8Array, from: number, to: number, visit: Visit): boolean {
		const walk = this.#inEvent.begin(packet, from, to, this.#where);
		let ns = 0;
		let pid = 0;
		let contents = 0;
		let content = 0;
		let begin = 0;
		let end = 0;
		while (walk.next()) {
			if (walk.number === Event.timestamp) ns = walk.value;
			else if (walk.number === Event.pid) pid = walk.low | 0;
			else if (walk.wire === 2) {
				contents++;
				content = walk.number;
				begin = walk.from;
				end = walk.to;
			}
		}
		if (contents === 0) return false;
		const taken = this.#event;
		const fast = contents === 1 && ns <= Number.MAX_SAFE_INTEGER;
		if (fast && this.#known.read(content, packet, begin, end, taken)) {
			taken.ns = ns;
			this.#name(taken, pid);
			visit(taken);
			return true;
		}
		const raw = this.#raw(packet.subarray(from, to));
		if (raw === undefined) return false;
		const event = this.#intake.take(raw);
		if (event !== null) visit(event);
		if (fast) this.#known.learn(content, packet.subarray(begin, end), raw, this.#intake);
		return true;
	}

	#name(event: KernelEvent, pid: number): void {
		if (event.pid === pid && event.comm !== "") return;
		event.pid = pid;
		event.comm = this.#comms.get(pid) ?? "";
		event.tgid = this.#groups.get(pid) ?? -1;
	}

	/** The event as text has it. */
	#raw(message: Uint8Array): TracefsEvent | undefined {
		let ns = 0;
		let pid = 0;
		let found: { name: string; text: string } | undefined;
		for (const field of fieldsOf(message, this.#where)) {
			if (field.number === Event.timestamp) ns = Number(field.value);
			else if (field.number === Event.pid) pid = Number(BigInt.asIntN(32, field.value));
			else if (field.wire === 2) found = this.#content(field) ?? found;
		}
		return found && { comm: this.#comms.get(pid) ?? "", pid, tgid: this.#groups.get(pid) ?? -1, cpu: 0, ns, ...found };
	}

	#content(field: WireField): { name: string; text: string } | undefined {
		if (field.number === GENERIC) return generic(field.bytes, this.#where);
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
		if (field.number < DYNAMIC) return undefined;
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
		if (pid > 0 && comm !== "") this.#called(pid, comm);
	}

	#called(pid: number, comm: string): void {
		this.#comms.set(pid, comm);
		// Looked up again.
		this.#event.comm = "";
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
			if (name !== "" && !this.#comms.has(id)) this.#called(id, name.split("/").pop() ?? name);
			this.#event.comm = "";
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
