// The records of a workload, block by block: assembly/generator makes their columns, here they get their agents and become a block's payload. No object
// a record, so that writing keeps up with the disk.
import { readFileSync } from "node:fs";
import { instantiateSync } from "@assemblyscript/loader";
import { LimitError } from "../errors.js";
import type { AgentEntry } from "../trace/agents.js";
import { agentFields, type BuiltBlock, type PageEncoding } from "../trace/columns.js";
import { lengthField } from "../trace/footer.js";
import { mmreplay } from "../trace/generated/schema.js";
import { AgentKind, FIRST_OBSERVATION } from "../trace/kinds.js";
import type { Agent } from "../trace/record.js";
import { Tally } from "../trace/tally.js";
import { LIMITS, PAGE_SPAN } from "../trace/wire.js";
import { Pattern, ZIPF_COLUMN_BYTES } from "./boundary.js";
import { regionPages, type Workload } from "./workload.js";
import { zipfColumns } from "./zipf.js";

/** Host virtual pages of every VM's memory begin here, each in an address space of its own. */
const HVA_BASE = 7 * PAGE_SPAN;
/** Added to the seed for where Zipf's popular pages lie. */
const ZIPF_SEED = 0x5eed;

/** assembly/generator/index.ts. */
interface Exports extends Record<string, unknown> {
	sizes(pattern: number, vms: number, vcpus: number, pages: number, hot: number, contents: number, zipf: number, most: number): number;
	fractions(merges: number, breaks: number, host: number, zaps: number, cold: number, writes: number): void;
	start(seedLow: number, seedHigh: number, region: number, warm: boolean): void;
	take(records: number): void;
	differences(records: number): void;
	opColumn(): number;
	opBytes(): number;
	pageColumn(): number;
	argumentColumn(): number;
	argumentBytes(): number;
	deltaColumn(): number;
	deltaBytes(): number;
	operationTotals(): number;
}

let compiled: WebAssembly.Module | undefined;

function module(): WebAssembly.Module {
	// From src/generate and from dist/generate alike.
	compiled ??= new WebAssembly.Module(readFileSync(new URL("../../dist/engine/generator.wasm", import.meta.url)));
	return compiled;
}

/** Guests by VM and vCPU, then of each VM its mm, a thread of its host, and itself: the order that assembly/generator counts on. */
function agentsOf({ vms, vcpus }: Workload): AgentEntry[] {
	const none = { vm: 0, vcpu: 0, thread: 0 };
	const each = (entry: (vm: number) => Agent): AgentEntry[] => {
		return Array.from({ length: vms }, (_, vm) => ({ agent: entry(vm), basePage: HVA_BASE }));
	};
	const guests = Array.from({ length: vms * vcpus }, (_, guest): AgentEntry => {
		const vm = Math.floor(guest / vcpus);
		return { agent: { kind: AgentKind.guest, vm, vcpu: guest % vcpus, mm: vm, thread: 0 }, basePage: 0 };
	});
	return [
		...guests,
		...each((vm) => ({ ...none, kind: AgentKind.mm, mm: vm })),
		...each((vm) => ({ ...none, kind: AgentKind.host, mm: vm })),
		...each((vm) => ({ ...none, kind: AgentKind.vm, vm, mm: vm })),
	];
}

export class Stream {
	readonly #exports: Exports;
	readonly #memory: WebAssembly.Memory;
	readonly #encoding: PageEncoding;
	/** The agent table on the wire, the same in every block. */
	readonly #agents: Uint8Array;
	readonly #vms: Tally["vms"];
	#payload = new Uint8Array(0);

	/** `most`: records of a block. @throws LimitError beyond the memory */
	constructor(workload: Workload, seed: number, encoding: PageEncoding, most: number) {
		const { exports } = instantiateSync<Exports>(module());
		if (exports.memory === undefined) throw new Error("the generator has no memory");
		this.#exports = exports;
		this.#memory = exports.memory;
		const { pattern, vms, vcpus, pages, hot, contents } = workload;
		const region = regionPages(workload);
		const popular = pattern === "zipf" || pattern === "mixed" ? region : 0;
		const at = exports.sizes(Pattern[pattern], vms, vcpus, pages, hot, contents, popular, Math.min(most, LIMITS.events)) >>> 0;
		if (at === 0) throw new LimitError("no memory for the workload", { where: "generate", hint: "fewer pages, or smaller blocks" });
		if (popular > 0) {
			const columns = new Uint32Array(this.#memory.buffer, at, (popular * ZIPF_COLUMN_BYTES) / 4);
			zipfColumns(columns, workload.exponent, seed + ZIPF_SEED);
		}
		exports.fractions(workload.merges, workload.breaks, workload.host, workload.zaps, workload.cold, workload.writes);
		exports.start(seed | 0, Math.floor(seed / 2 ** 32) | 0, region, workload.warm);
		const agents = agentsOf(workload);
		const tally = new Tally();
		for (const { agent } of agents) tally.agent(agent);
		this.#vms = tally.vms;
		// Of a message without records, what stands between their number and their columns.
		this.#agents = mmreplay.EventBlock.encode({ events: 0, agent: agentFields(agents) })
			.finish()
			.slice(2);
		this.#encoding = encoding;
	}

	/** The next `count` records; the payload is valid until the next call. */
	take(count: number): BuiltBlock {
		const exports = this.#exports;
		exports.take(count);
		const op = this.#bytes(exports.opColumn(), exports.opBytes());
		const argument = this.#bytes(exports.argumentColumn(), exports.argumentBytes());
		const fields = [field(FieldTag.op, op), this.#pages(count), ...(argument.length > 0 ? [field(FieldTag.argument, argument)] : [])];
		// A number is a tag and a varint too.
		const parts = [lengthField(FieldTag.events, count), this.#agents, ...fields.flat()];
		const length = parts.reduce((sum, part) => sum + part.length, 0);
		// The same memory for every block: memory that was never touched costs more than the records.
		if (length > this.#payload.length) this.#payload = new Uint8Array(length + (length >> 2));
		let at = 0;
		for (const part of parts) {
			this.#payload.set(part, at);
			at += part.length;
		}
		return { payload: this.#payload.subarray(0, length), events: count, firstNs: 0, tally: this.#tally(count) };
	}

	#pages(count: number): Uint8Array[] {
		const fixed = (): Uint8Array[] => field(FieldTag.page, this.#bytes(this.#exports.pageColumn(), count * 4));
		if (this.#encoding === "fixed") return fixed();
		this.#exports.differences(count);
		const bytes = this.#exports.deltaBytes();
		if (this.#encoding === "auto" && bytes >= count * 4) return fixed();
		return field(FieldTag.pageDelta, this.#bytes(this.#exports.deltaColumn(), bytes));
	}

	#tally(count: number): Tally {
		const tally = new Tally();
		tally.vms = this.#vms;
		const totals = new Uint32Array(this.#memory.buffer, this.#exports.operationTotals() >>> 0, FIRST_OBSERVATION);
		tally.totals.set(totals);
		tally.totals[0] = count - totals.reduce((sum, each) => sum + each, 0);
		return tally;
	}

	#bytes(at: number, length: number): Uint8Array {
		return new Uint8Array(this.#memory.buffer, at >>> 0, length);
	}
}

/** Tags of an EventBlock's fields (traces/mmtrace.proto). */
const FieldTag = { events: 0x08, op: 0x22, page: 0x2a, pageDelta: 0x32, argument: 0x3a } as const;

function field(tag: number, bytes: Uint8Array): Uint8Array[] {
	return [lengthField(tag, bytes.length), bytes];
}
