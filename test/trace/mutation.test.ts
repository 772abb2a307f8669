// Any bytes whatever end in success or one clean error, soon, and without more memory than the caps allow.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { BadInputError, LimitError } from "../../src/errors.js";
import { openTrace } from "../../src/trace/reader.js";
import { salvageTo } from "../../src/trace/salvage.js";
import { validate } from "../../src/trace/validate.js";
import type { WriterOptions } from "../../src/trace/writer.js";
import { MemorySink, readAll, sample, withIndex, writeToMemory } from "./arbitraries.js";

const options: WriterOptions = { causesPerBlock: 60, observationsPerBlock: 20 };
const list = sample(300);
const traces = {
	stored: writeToMemory(list, options),
	delta: writeToMemory(list, { ...options, pages: "delta" }),
	deflated: writeToMemory(list, { ...options, codec: "deflate-raw" }),
	indexed: withIndex(list, options),
};
type Name = keyof typeof traces;
const names = Object.keys(traces) as Name[];

interface Mutation {
	readonly name: Name;
	readonly edits: readonly {
		readonly how: "set" | "cut" | "insert" | "remove" | "repeat";
		readonly at: number;
		readonly byte: number;
		readonly length: number;
	}[];
}

const mutation: fc.Arbitrary<Mutation> = fc.record({
	name: fc.constantFrom(...names),
	edits: fc.array(
		fc.record({
			how: fc.constantFrom("set", "set", "set", "cut", "insert", "remove", "repeat"),
			at: fc.nat(1 << 20),
			byte: fc.nat(255),
			length: fc.nat(300),
		}),
		{ minLength: 1, maxLength: 5 },
	),
});

function mutated({ name, edits }: Mutation): Uint8Array {
	let bytes = traces[name];
	for (const { how, at, byte, length } of edits) {
		const place = at % (bytes.length + 1);
		const [before, after] = [bytes.subarray(0, place), bytes.subarray(place)];
		if (how === "set") bytes = Buffer.concat([before, Uint8Array.of(byte), after.subarray(1)]);
		else if (how === "cut") bytes = before.slice();
		else if (how === "insert") bytes = Buffer.concat([before, new Uint8Array(length).fill(byte), after]);
		else if (how === "remove") bytes = Buffer.concat([before, after.subarray(length)]);
		else bytes = Buffer.concat([before, after.subarray(0, length), after]);
	}
	return new Uint8Array(bytes);
}

/** The result, or the clean error; anything else is thrown on. */
function attempt<T>(work: () => T): T | BadInputError | LimitError {
	try {
		return work();
	} catch (error) {
		if (error instanceof BadInputError || error instanceof LimitError) return error;
		throw error;
	}
}

describe("a damaged trace", () => {
	it("is read, validated and salvaged, or refused cleanly", () => {
		const before = process.memoryUsage().arrayBuffers;
		fc.assert(
			fc.property(mutation, (how) => {
				const bytes = mutated(how);
				const read = attempt(() => readAll(bytes));
				const report = attempt(() => validate(bytes));
				attempt(() => openTrace(bytes).index());
				if (!(report instanceof Error) && report.problemCount === 0) expect(read).toBeInstanceOf(Array);
				const sink = new MemorySink();
				const salvaged = attempt(() => salvageTo(bytes, sink));
				// What is salvaged is whole.
				if (!(salvaged instanceof Error)) {
					expect(validate(sink.bytes()).problems).toEqual([]);
					expect(readAll(sink.bytes()).length).toBe(salvaged.written.causes + salvaged.written.observations);
				}
			}),
			{ seed: 5, numRuns: 4000 },
		);
		expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(256 << 20);
	}, 120_000);

	it("never passes for whole with one byte changed", () => {
		for (const name of ["stored", "deflated"] as const) {
			const whole = traces[name];
			const records = readAll(whole);
			for (let at = 0; at < whole.length; at++) {
				const bytes = whole.slice();
				bytes[at] ^= 1 << (at % 8);
				const result = attempt(() => readAll(bytes));
				expect(result, `byte ${at}`).toBeInstanceOf(Error);
				expect(validate(bytes).problemCount, `byte ${at}`).toBeGreaterThan(0);
			}
			expect(readAll(whole)).toEqual(records);
		}
	}, 120_000);

	it("keeps its records with one byte of the index changed, or refuses the end", () => {
		const whole = traces.indexed;
		const records = readAll(whole);
		const start = Number(Buffer.from(whole).readBigUInt64LE(whole.length - 8));
		for (let at = start; at < whole.length; at++) {
			const bytes = whole.slice();
			bytes[at] ^= 1 << (at % 8);
			const result = attempt(() => readAll(bytes));
			if (!(result instanceof Error)) expect(result, `byte ${at}`).toEqual(records);
			expect(validate(bytes).index, `byte ${at}`).not.toBe("good");
			expect(openTrace(bytes).index().entries.length, `byte ${at}`).toBe(openTrace(whole).index().entries.length);
		}
	});

	it("cut anywhere gives every whole block, then one error that says where", () => {
		const whole = traces.indexed;
		const blocks = [...openTrace(whole).blocks()];
		const first = blocks[0].offset;
		for (let length = 0; length < whole.length; length++) {
			const bytes = whole.slice(0, length);
			const found: number[] = [];
			const error = attempt(() => {
				for (const { end } of openTrace(bytes).blocks()) found.push(end);
			});
			expect(error).toBeInstanceOf(BadInputError);
			const complete = blocks.filter(({ end }) => end <= length);
			expect(found).toEqual(complete.map(({ end }) => end));
			if (length >= first && error instanceof Error) {
				const last = complete.at(-1)?.end ?? first;
				expect(error.what).toBe(`the trace is cut off after ${complete.length} whole blocks`);
				expect(error.where).toBe(`memory, byte ${last}`);
			}
		}
	});
});
