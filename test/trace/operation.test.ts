// Operations written by their code and arguments give the bytes that their records give, and are refused where those are.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { emptyHeader } from "../../src/trace/header.js";
import { AgentKind, Operation } from "../../src/trace/kinds.js";
import { OPERATION_BY_NAME } from "../../src/trace/operations.js";
import type { Agent } from "../../src/trace/record.js";
import { TraceWriter, type WriterOptions } from "../../src/trace/writer.js";
import { append, type Entry, entries, MemorySink, writerOptions } from "./arbitraries.js";

/** Where the arguments stand among others. */
const FROM = 3;

function written(list: readonly Entry[], options: WriterOptions, add: (writer: TraceWriter, list: readonly Entry[]) => void): Uint8Array {
	const sink = new MemorySink();
	const writer = new TraceWriter(sink, { ...options, header: emptyHeader() });
	add(writer, list);
	writer.finish();
	return sink.bytes();
}

/** By their code where that can be: with a time, without a text and an offset. */
function appendByCode(writer: TraceWriter, list: readonly Entry[]): void {
	for (const entry of list) {
		const { record } = entry;
		const shape = record.kind === "operation" ? OPERATION_BY_NAME.get(record.name) : undefined;
		if (record.kind !== "operation" || shape === undefined || shape.text >= 0 || record.ns === undefined || record.offset !== undefined)
			append(writer, [entry]);
		else {
			const values = new Float64Array(FROM + record.args.length + 1).fill(-1);
			values.set(record.args, FROM);
			writer.operation(shape.code, record.agent, record.page, values, FROM, record.ns);
		}
	}
}

describe("operations by their code", () => {
	it("are the records that they stand for, with any options", () => {
		fc.assert(
			fc.property(entries, writerOptions, fc.constantFrom("keep" as const, "drop" as const), (list, options, times) => {
				const all = { ...options, times };
				expect(written(list, all, appendByCode)).toEqual(written(list, all, append));
			}),
			{ numRuns: 25 },
		);
	});

	it("are refused where the record would be, and leave the trace whole", () => {
		const vm: Agent = { kind: AgentKind.vm, vm: 0, vcpu: 0, mm: 0, thread: 0 };
		const { code } = Operation.rangeStart;
		const good = (writer: TraceWriter): void => writer.operation(code, vm, 7, Float64Array.of(1, 2), 0, 5);
		const refused: ((writer: TraceWriter) => void)[] = [
			(writer) => writer.operation(code, vm, -1, Float64Array.of(1, 2), 0, 5),
			(writer) => writer.operation(code, vm, 7, Float64Array.of(1, Number.NaN), 0, 5),
			(writer) => writer.operation(code, vm, 7, Float64Array.of(1), 0, 5),
			(writer) => writer.operation(code, vm, 7, Float64Array.of(1, 2), 0, -5),
			(writer) => writer.operation(code, vm, 7, Float64Array.of(1, 2), 0, 0.5),
			(writer) => writer.operation(Operation.changePte.code, vm, 7, Float64Array.of(2), 0, 5),
			(writer) => writer.operation(Operation.mark.code, vm, 7, Float64Array.of(1, 2, 0), 0, 5),
			(writer) => writer.operation(127, vm, 7, Float64Array.of(1, 2), 0, 5),
		];
		const bytes = (bad: readonly ((writer: TraceWriter) => void)[]): Uint8Array =>
			written([], {}, (writer) => {
				good(writer);
				for (const one of bad) expect(() => one(writer)).toThrow(RangeError);
				good(writer);
			});
		expect(bytes(refused)).toEqual(bytes([]));
	});
});
