// Random records and traces for the tests of the file format.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { emptyHeader } from "../../src/trace/header.js";
import type { Access, AgentKind } from "../../src/trace/kinds.js";
import { FIRST_OBSERVATION } from "../../src/trace/kinds.js";
import { MMUS } from "../../src/trace/kvmhost.js";
import { OPERATION_BY_CODE, type OperationShape } from "../../src/trace/operations.js";
import { openTrace } from "../../src/trace/reader.js";
import type { Agent, TraceHeader, TraceRecord } from "../../src/trace/record.js";
import { records, type Sequenced } from "../../src/trace/records.js";
import { TraceWriter, type WriterOptions, type WrittenTrace } from "../../src/trace/writer.js";

/** A record with its stream, in the order of the capture. */
export interface Entry {
	readonly observation: boolean;
	readonly record: TraceRecord;
}

const id = fc.oneof({ weight: 5, arbitrary: fc.nat(7) }, fc.nat(0xffff_ffff));

const agent: fc.Arbitrary<Agent> = fc.record({
	kind: fc.integer({ min: 1, max: 5 }).map((kind) => kind as AgentKind),
	vm: id,
	vcpu: id,
	mm: id,
	thread: id,
});

const page = fc.oneof(
	{ weight: 5, arbitrary: fc.nat(1000) },
	{ weight: 3, arbitrary: fc.integer({ min: 2 ** 35 - 5, max: 2 ** 35 + 5 }) },
	fc.integer({ min: 2 ** 32 - 3, max: 2 ** 32 + 3 }),
	fc.maxSafeNat(),
);

const shapes = OPERATION_BY_CODE.filter((shape): shape is OperationShape => shape !== undefined);

function operation(observation: boolean, places: { agent: Agent; page: number }): fc.Arbitrary<TraceRecord> {
	return fc.constantFrom(...shapes.filter(({ code }) => code >= FIRST_OBSERVATION === observation)).chain((shape) => {
		const values = shape.args.map((_, index) =>
			index === shape.text
				? fc.constant(0)
				: fc.oneof(
						fc.nat(Math.min(shape.max[index], 9)),
						fc.maxSafeNat().map((n) => n % (shape.max[index] + 1)),
					),
		);
		return fc.record({
			kind: fc.constant("operation" as const),
			name: fc.constant(shape.name),
			args: fc.tuple(...values),
			...(shape.text < 0 ? {} : { text: fc.string({ unit: "grapheme", maxLength: 30 }) }),
			agent: fc.constant(places.agent),
			page: fc.constant(places.page),
		});
	});
}

function access(places: { agent: Agent; page: number }): fc.Arbitrary<TraceRecord> {
	return fc.integer({ min: 0, max: 6 }).map((kind) => ({ kind: "access", access: kind as Access, ...places }));
}

function stamped(entry: Entry, ns: number | undefined, offset: number | undefined): Entry {
	const record = { ...entry.record, ...(ns === undefined ? {} : { ns }), ...(offset === undefined ? {} : { offset }) };
	return { ...entry, record };
}

const entry: fc.Arbitrary<Entry> = fc
	.record({ agent, page, choice: fc.nat(9) })
	.chain(({ choice, ...places }) => {
		if (choice < 5) return access(places).map((record) => ({ observation: false, record }));
		return operation(choice > 7, places).map((record) => ({ observation: choice > 7, record }));
	})
	.chain((made) =>
		fc
			.record({
				ns: fc.oneof({ weight: 4, arbitrary: fc.nat(1_000_000) }, fc.maxSafeNat()),
				offset: fc.option(fc.nat(4095), { nil: undefined }),
			})
			.map(({ ns, offset }) => stamped(made, ns, offset)),
	);

/** times: every record has one, none, or some. */
export const entries: fc.Arbitrary<Entry[]> = fc
	.record({ list: fc.array(entry, { maxLength: 120, size: "max" }), times: fc.constantFrom("all", "none", "some"), offsets: fc.boolean() })
	.map(({ list, times, offsets }) =>
		list.map(({ observation, record }, index) => {
			const { ns, offset, ...bare } = record;
			const timed = times === "all" || (times === "some" && index % 7 < 4);
			return stamped({ observation, record: bare as TraceRecord }, timed ? ns : undefined, offsets ? offset : undefined);
		}),
	);

export const header: fc.Arbitrary<TraceHeader> = fc.record({
	kernel: fc.string(),
	strategy: fc.string(),
	strategyEvidence: fc.array(fc.string()),
	clock: fc.string({ unit: "grapheme" }),
	clockResolutionNs: fc.nat(),
	durationNs: fc.maxSafeNat(),
	access: fc.constantFrom("complete" as const, "inferred" as const, "none" as const),
	copiesRecorded: fc.boolean(),
	concurrent: fc.boolean(),
	host: fc.record({ mmu: fc.constantFrom(...MMUS), eptAd: fc.boolean(), pml: fc.boolean() }, { requiredKeys: [] }),
	losses: fc.array(fc.record({ name: fc.string(), count: fc.maxSafeNat() })),
	warnings: fc.array(fc.string({ unit: "grapheme" })),
	sources: fc.array(fc.record({ name: fc.string(), sha256: fc.string(), format: fc.string() })),
	importer: fc.string(),
	importerVersion: fc.string(),
	vms: fc.array(fc.record({ id: fc.nat(), mm: fc.nat(), vcpus: fc.nat(), memoryBytes: fc.maxSafeNat() })),
});

export const writerOptions: fc.Arbitrary<WriterOptions> = fc.record({
	pages: fc.constantFrom("fixed" as const, "delta" as const, "auto" as const),
	codec: fc.constantFrom("none" as const, "deflate-raw" as const),
	causesPerBlock: fc.integer({ min: 1, max: 40 }),
	observationsPerBlock: fc.integer({ min: 1, max: 40 }),
	blockBytes: fc.constantFrom(64, 1 << 20),
	spoolBytes: fc.constantFrom(0, 1 << 20),
});

/** Takes a trace's bytes in memory. */
export class MemorySink {
	readonly #chunks: Uint8Array[] = [];

	write(bytes: Uint8Array): void {
		this.#chunks.push(new Uint8Array(bytes));
	}

	bytes(): Uint8Array {
		return new Uint8Array(Buffer.concat(this.#chunks));
	}
}

export function append(writer: TraceWriter, list: readonly Entry[]): void {
	for (const { observation, record } of list) {
		if (observation) writer.observe(record);
		else writer.cause(record);
	}
}

export function writeTo(
	path: string,
	list: readonly Entry[],
	options: WriterOptions = {},
	facts: TraceHeader = emptyHeader(),
): WrittenTrace {
	const writer = new TraceWriter(path, options);
	append(writer, list);
	return writer.finish(options.header === undefined ? facts : undefined);
}

export function writeToMemory(list: readonly Entry[], options: WriterOptions = {}, facts: TraceHeader = emptyHeader()): Uint8Array {
	const sink = new MemorySink();
	const writer = new TraceWriter(sink, options);
	append(writer, list);
	writer.finish(options.header === undefined ? facts : undefined);
	return sink.bytes();
}

/** What reading back must give: each record with the number of causes before it. */
export function sequenced(list: readonly Entry[]): Sequenced[] {
	let causes = 0;
	return list.map(({ observation, record }) => ({ sequence: observation ? causes : causes++, record }));
}

export function readAll(source: string | Uint8Array): Sequenced[] {
	const trace = openTrace(source);
	try {
		return [...records(trace)];
	} finally {
		trace.close();
	}
}

/** A plausible trace of `count` records: eight vCPUs, a few operations and observations. Deterministic. */
export function sample(count: number): Entry[] {
	const agents: Agent[] = Array.from({ length: 8 }, (_, vcpu) => ({ kind: 1, vm: vcpu >> 2, vcpu: vcpu & 3, mm: vcpu >> 2, thread: 0 }));
	const mm: Agent = { kind: 3, vm: 0, vcpu: 0, mm: 1, thread: 0 };
	return Array.from({ length: count }, (_, index): Entry => {
		const word = Math.imul(index + 1, 0x9e3779b1) >>> 0;
		const ns = index * 1000 + (word % 700);
		const place = { agent: agents[word % 8], page: word % 5000, ns };
		if (index % 50 === 7) {
			return {
				observation: false,
				record: { kind: "operation", name: "cow", args: [0, 1, 2], agent: mm, page: 0x7_f000_0000 + (word % 999), ns },
			};
		}
		if (index % 50 === 9) {
			return {
				observation: false,
				record: { kind: "operation", name: "mark", args: [index, 2, 0], text: `phase ${index % 3}`, agent: mm, page: 0, ns },
			};
		}
		if (index % 5 === 3)
			return { observation: true, record: { kind: "operation", name: "vmexit", args: [word % 3, 0, word % 11], ...place } };
		return { observation: false, record: { kind: "access", access: (word % 3) as Access, ...place } };
	});
}

/** The bytes of a trace as a file has them, with an index; `writeToMemory` streams and has none. */
export function withIndex(list: readonly Entry[], options: WriterOptions = {}): Uint8Array {
	const directory = mkdtempSync(join(tmpdir(), "mmtrace-"));
	try {
		writeTo(join(directory, "t.mmtrace"), list, options);
		return new Uint8Array(readFileSync(join(directory, "t.mmtrace")));
	} finally {
		rmSync(directory, { recursive: true });
	}
}
