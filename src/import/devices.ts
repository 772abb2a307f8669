// Devices told to an import (`--device`): no capture shows them. They are attached where a VM's memory is, as VFIO's listener maps it: with each memslot,
// or over a range of host addresses (docs/devices.md).
import { UsageError } from "../errors.js";
import { AgentKind, DeviceKind, MAX_DEVICE_TLB, Operation } from "../trace/kinds.js";
import type { Agent, OperationRecord, TraceRecord } from "../trace/record.js";
import type { BlockSink } from "./causeblock.js";
import type { RecordSink } from "./emit.js";

export interface DeviceSpec {
	/** As it was told. */
	readonly text: string;
	readonly kind: keyof typeof DeviceKind;
	/** Host pages [first, end); absent: every memslot. An SVA device has the whole mm. */
	readonly range: { readonly first: number; readonly end: number } | undefined;
	/** Of this VM only. */
	readonly vm: number | undefined;
	/** Of an SVA device's TLB. */
	readonly entries: number;
}

const DEFAULT_ENTRIES = 1024;
const PAGE = 4096;
/** 48-bit addresses. */
const ADDRESS_LIMIT = 2 ** 48;
const SHAPE = "pinned, mirror:0x7f3bdfe00000-0x7f3bdfec3000,vm=1 or sva:entries=64";

function wholeNumber(text: string, most: number, what: string, where: string): number {
	const value = /^(0x[0-9a-f]+|\d+)$/i.test(text) ? Number(text) : Number.NaN;
	if (Number.isNaN(value) || value > most) throw new UsageError(`${what} ${text} is not a whole number up to ${most}`, { where });
	return value;
}

/** `kind[:first-end][,vm=N][,entries=N]`; the parts behind the colon in any order. @throws UsageError */
export function parseDevice(text: string): DeviceSpec {
	const where = `--device ${text}`;
	const [word = "", ...rest] = text.split(":");
	if (!isKind(word) || rest.length > 1)
		throw new UsageError(`${word === "" ? "nothing" : word} is no device`, { where, hint: `for example ${SHAPE}` });
	let range: DeviceSpec["range"];
	let vm: number | undefined;
	let entries = DEFAULT_ENTRIES;
	for (const part of (rest[0] ?? "").split(",").filter((one) => one !== "")) {
		const [key = "", value = "", ...more] = part.split("=");
		if (more.length > 0) throw new UsageError(`${part} is not understood`, { where, hint: `for example ${SHAPE}` });
		if (key === "vm") vm = wholeNumber(value, 0xffff_ffff, "vm", where);
		else if (key === "entries" && word === "sva") entries = wholeNumber(value, MAX_DEVICE_TLB, "entries", where);
		else if (/^[0-9a-fx]+-[0-9a-fx]+$/i.test(part) && word !== "sva") range = readRange(part, where);
		else throw new UsageError(`a device of kind ${word} has no ${part}`, { where, hint: `for example ${SHAPE}` });
	}
	if (entries === 0) throw new UsageError("a device TLB has at least one entry", { where });
	return { text, kind: word, range, vm, entries };
}

function readRange(part: string, where: string): { first: number; end: number } {
	const [from = "", to = ""] = part.split("-");
	const first = Math.floor(wholeNumber(from, ADDRESS_LIMIT, "address", where) / PAGE);
	const end = Math.ceil(wholeNumber(to, ADDRESS_LIMIT, "address", where) / PAGE);
	if (end <= first) throw new UsageError(`the range ${part} is empty`, { where });
	return { first, end };
}

function isKind(word: string): word is keyof typeof DeviceKind {
	return Object.hasOwn(DeviceKind, word);
}

/** What the devices do where a memslot is set or deleted. */
export class Devices {
	readonly #specs: readonly DeviceSpec[];
	/** Numbers of devices by spec, mm, and memslot where there is one for each. */
	readonly #numbers = new Map<string, number>();
	/** Devices attached, all in all. */
	attached = 0;

	constructor(specs: readonly DeviceSpec[]) {
		this.#specs = specs;
	}

	/** Records that follow a memslot's. SMM's address space shows the same memory again. */
	follow({ agent, page, args, ns }: Pick<OperationRecord, "agent" | "page" | "args" | "ns">): OperationRecord[] {
		const [slot = 0, as = 0, , pages = 0] = args;
		if (as !== 0) return [];
		const found: OperationRecord[] = [];
		for (const [at, spec] of this.#specs.entries()) {
			if (spec.vm !== undefined && spec.vm !== agent.vm) continue;
			const once = spec.kind === "sva" || spec.range !== undefined;
			const key = `${at} ${agent.mm}${once ? "" : ` ${slot}`}`;
			const known = this.#numbers.get(key);
			if (once && (known !== undefined || pages === 0)) continue;
			if (known === undefined && pages === 0) continue;
			const number = known ?? this.#numbers.size + 1;
			this.#numbers.set(key, number);
			const device: Agent = { kind: AgentKind.device, vm: 0, vcpu: 0, mm: agent.mm, thread: number };
			const common = { kind: "operation", agent: device, ...(ns === undefined ? {} : { ns }) } as const;
			if (pages === 0) {
				found.push({ ...common, name: "deviceDetach", page: 0, args: [] });
				continue;
			}
			const first = spec.range?.first ?? page;
			const length = spec.range === undefined ? pages : spec.range.end - spec.range.first;
			const entries = spec.kind === "sva" ? spec.entries : 0;
			found.push({ ...common, name: "deviceAttach", page: first, args: [DeviceKind[spec.kind], length, entries] });
			this.attached++;
		}
		return found;
	}

	/** For the header: results of such a trace are no longer those of the host that was captured. */
	get warning(): string {
		const told = this.#specs.map(({ text }) => text).join(" ");
		if (this.attached === 0) return `--device ${told}: no memslot of such a VM, so nothing is attached`;
		return `the capture does not show the devices that were told (--device ${told}): what it observed is not what they would have made of it`;
	}
}

/** A sink in which the devices follow the memslots. Blocks of columns come from access streams, which have asked themselves (StreamVm). */
export class DeviceSink implements RecordSink, BlockSink {
	readonly #sink: RecordSink & BlockSink;
	readonly #devices: Devices;

	constructor(sink: RecordSink & BlockSink, devices: Devices) {
		this.#sink = sink;
		this.#devices = devices;
	}

	cause(record: TraceRecord): void {
		this.#sink.cause(record);
		if (record.kind !== "operation" || record.name !== "memslot") return;
		for (const attachment of this.#devices.follow(record)) this.#sink.cause(attachment);
	}

	observe(record: TraceRecord): void {
		this.#sink.observe(record);
	}

	operation(code: number, agent: Agent, page: number, values: Float64Array, from: number, ns: number): void {
		this.#sink.operation(code, agent, page, values, from, ns);
		if (code !== Operation.memslot.code) return;
		const args = [...values.subarray(from, from + Operation.memslot.args.length)];
		for (const attachment of this.#devices.follow({ agent, page, args, ns })) this.#sink.cause(attachment);
	}

	block(columns: Parameters<BlockSink["block"]>[0]): void {
		this.#sink.block(columns);
	}
}
