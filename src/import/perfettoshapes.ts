// What generic events of a Perfetto trace look like: the descriptors that a trace carries for them, by field in FtraceEvent (formats.md 1.3).
import { Packet, packetsOf } from "./perfettowire.js";
import { DamagedMessage, FieldWalk, fieldsOf, utf8 } from "./protobuf.js";
import { newFacts } from "./source.js";

/** Where descriptors stand in a bundle. */
const DESCRIPTORS = 11;
const Descriptor = { fieldId: 1, message: 2 } as const;
/** google.protobuf.FieldDescriptorProto.Type of those whose numbers are signed. */
const SIGNED_TYPES = new Set([3, 5, 15, 16, 17, 18]);
const MAX_DESCRIPTORS = 65536;
/** The first of the fields that descriptors give. */
export const DYNAMIC = 65536;

export interface MessageShape {
	readonly name: string;
	readonly fields: ReadonlyMap<number, { readonly name: string; readonly signed: boolean }>;
}

/** They may stand behind the events that need them: the whole of a trace is looked at, and what is damaged passed over. */
export async function collectShapes(path: string): Promise<ReadonlyMap<number, MessageShape>> {
	const shapes = new Map<number, MessageShape>();
	const packet = new FieldWalk();
	const bundle = new FieldWalk();
	const look = (bytes: Uint8Array): void => {
		packet.begin(bytes, 0, bytes.length, path);
		while (packet.next()) {
			if (packet.number !== Packet.ftraceEvents || packet.wire !== 2) continue;
			bundle.begin(bytes, packet.from, packet.to, path);
			while (bundle.next())
				if (bundle.number === DESCRIPTORS && shapes.size < MAX_DESCRIPTORS) addShape(bytes.subarray(bundle.from, bundle.to), shapes, path);
		}
	};
	for await (const packets of packetsOf(path, newFacts("", 1, true)))
		for (const bytes of packets) {
			try {
				look(bytes);
			} catch (error) {
				// Whoever reads its events will say so.
				if (!(error instanceof DamagedMessage)) throw error;
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
	if (id >= DYNAMIC && name !== "") shapes.set(id, { name, fields });
}
