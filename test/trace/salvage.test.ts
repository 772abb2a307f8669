// After damage every good block is kept, what was lost is said, and what is written from it is a whole trace.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { BadInputError } from "../../src/errors.js";
import { openTrace } from "../../src/trace/reader.js";
import { salvage, salvageTo } from "../../src/trace/salvage.js";
import { validate } from "../../src/trace/validate.js";
import { MemorySink, readAll, sample, sequenced, withIndex } from "./arbitraries.js";

const list = sample(2000);
const whole = withIndex(list, { causesPerBlock: 100, observationsPerBlock: 40 });
const blocks = [...openTrace(whole).blocks()];

function salvaged(bytes: Uint8Array) {
	const sink = new MemorySink();
	const { report, written } = salvageTo(bytes, sink);
	return { report, written, bytes: sink.bytes() };
}

function keptOffsets(bytes: Uint8Array): number[] {
	return [...salvage(bytes).blocks()].map(({ payloadCrc32c }) => payloadCrc32c);
}

describe("salvage", () => {
	it("of a whole trace loses nothing", () => {
		const { report, bytes } = salvaged(whole);
		expect(report).toEqual({
			goodBlocks: blocks.length,
			badBlocks: 0,
			bytesLost: 0,
			causesLost: 0,
			cut: false,
			headerLost: false,
			unknownBlocks: 0,
			losses: [],
		});
		expect(readAll(bytes)).toEqual(sequenced(list));
	});

	it("keeps every block that the damage did not touch", () => {
		const edits = fc.array(fc.record({ at: fc.nat(whole.length - 1), length: fc.integer({ min: 1, max: 400 }), byte: fc.nat(255) }), {
			minLength: 1,
			maxLength: 6,
		});
		fc.assert(
			fc.property(edits, (places) => {
				const bytes = whole.slice();
				for (const { at, length, byte } of places) bytes.fill(byte, at, at + length);
				// The lengths before a header say nothing that the header does not: a block is good where header and payload are.
				const untouched = blocks.filter(({ payloadOffset, end }) => {
					const header = payloadOffset - 64;
					return Buffer.compare(bytes.subarray(header, end), whole.subarray(header, end)) === 0;
				});
				const kept = new Set(keptOffsets(bytes));
				for (const { payloadCrc32c } of untouched) expect(kept).toContain(payloadCrc32c);
			}),
			{ seed: 8, numRuns: 300 },
		);
	});

	it("keeps the blocks after bytes that are missing or too many", () => {
		fc.assert(
			fc.property(fc.nat(blocks.length - 2), fc.integer({ min: 1, max: 30 }), fc.boolean(), (which, count, missing) => {
				const at = blocks[which].payloadOffset + 10;
				const bytes = missing
					? Buffer.concat([whole.subarray(0, at), whole.subarray(at + count)])
					: Buffer.concat([whole.subarray(0, at), new Uint8Array(count), whole.subarray(at)]);
				const kept = keptOffsets(new Uint8Array(bytes));
				expect(kept).toEqual(blocks.filter((_, index) => index !== which).map(({ payloadCrc32c }) => payloadCrc32c));
			}),
			{ seed: 9, numRuns: 60 },
		);
	});

	it("says what was lost, in the report and in the new trace's header", () => {
		const bad = blocks.findIndex(({ type }, index) => type === 1 && index > 4);
		const bytes = whole.slice();
		bytes[blocks[bad].payloadOffset + 7] ^= 1;
		const { report, bytes: after } = salvaged(bytes);
		expect(report).toMatchObject({ goodBlocks: blocks.length - 1, badBlocks: 1, causesLost: 100, cut: false, headerLost: false });
		expect(report.losses).toEqual([{ from: blocks[bad].offset, to: blocks[bad].end, reason: expect.stringMatching(/checksum/) }]);
		const trace = openTrace(after);
		expect(trace.header.warnings[0]).toMatch(/100 causes between good blocks and 1 damaged blocks were lost/);
		expect(trace.header.losses).toContainEqual({ name: "salvage.causes", count: 100 });
		const lost = blocks[bad].firstSequence;
		const expected = sequenced(list).filter(
			({ sequence, record }, at) => list[at].observation || sequence < lost || sequence >= lost + 100 || record === undefined,
		);
		expect(readAll(after).map(({ record }) => record)).toEqual(expected.map(({ record }) => record));
		expect(validate(after).problems).toEqual([]);
	});

	it("of a cut trace has every whole block", () => {
		const { report, written } = salvaged(whole.slice(0, blocks[9].payloadOffset + 5));
		expect(report).toMatchObject({ goodBlocks: 9, cut: true });
		expect(written.blocks).toBeGreaterThan(0);
	});

	it("does without the header", () => {
		const bytes = whole.slice();
		bytes[20] ^= 255;
		const { report, bytes: after } = salvaged(bytes);
		expect(report).toMatchObject({ goodBlocks: blocks.length, headerLost: true });
		expect(readAll(after)).toEqual(sequenced(list));
	});

	it("of something else finds nothing, and says so", () => {
		expect(() => salvageTo(new Uint8Array(5000).fill(0x12), new MemorySink())).toThrow(BadInputError);
		expect(() => salvageTo(new Uint8Array(0), new MemorySink())).toThrow(/nothing of the trace can be salvaged/);
	});

	it("of forged headers ends soon", () => {
		const frame = whole.slice(blocks[0].offset, blocks[0].payloadOffset);
		const forged = new Uint8Array(Buffer.concat(Array.from({ length: 20_000 }, () => frame)));
		const started = performance.now();
		expect([...salvage(forged).blocks()]).toEqual([]);
		expect(performance.now() - started).toBeLessThan(10_000);
	});
});

describe("validation", () => {
	it("reports every problem, with its place", () => {
		const bytes = whole.slice();
		bytes[blocks[2].payloadOffset + 3] ^= 4;
		bytes[blocks[5].payloadOffset - 30] ^= 4;
		bytes[bytes.length - 40] ^= 4;
		const { problems, index, complete } = validate(bytes);
		expect(complete).toBe(true);
		expect(index).toBe("damaged");
		expect(problems).toContainEqual({
			offset: blocks[2].offset,
			block: 2,
			event: undefined,
			reason: expect.stringMatching(/wrong checksum/),
		});
		expect(problems).toContainEqual({ offset: blocks[5].offset, reason: "a block header with a wrong checksum" });
		expect(problems.some(({ reason }) => /causes are missing before this block/.test(reason))).toBe(true);
		expect(problems.some(({ reason }) => /index's checksum/.test(reason))).toBe(true);
	});
});
