// What checksums do not catch: traces whose every checksum is right and whose contents are wrong, and lengths that promise too much.

import { deflateRawSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { BadInputError, LimitError } from "../../src/errors.js";
import type { BlockHeader } from "../../src/trace/frame.js";
import { emptyHeader, encodeHeader } from "../../src/trace/header.js";
import { openTrace } from "../../src/trace/reader.js";
import { records } from "../../src/trace/records.js";
import { validate } from "../../src/trace/validate.js";
import { readAll, sample, withIndex, writeToMemory } from "./arbitraries.js";
import { agent, message, resealed, sealedBlock, sealedTrace, varints, words } from "./sealed.js";

const guest: [number, Uint8Array] = [2, agent(1)];
const causes = (payload: Uint8Array, header: Partial<BlockHeader> = {}) => sealedTrace([sealedBlock(payload, { events: 1, ...header })]);
const observations = (payload: Uint8Array) => causes(payload, { type: 2 });
const good = message([1, 1], guest, [4, varints(0)], [5, words(7)]);

/** Each: what is wrong, the trace, the reason that reading and validation give. */
const wrong: [string, Uint8Array, RegExp][] = [
	[
		"another number of events than the header's",
		causes(message([1, 2], guest, [4, varints(0)], [5, words(7)])),
		/the block has 2 events, its header 1/,
	],
	["no events field", causes(message(guest, [4, varints(0)], [5, words(7)])), /no number of events/],
	["two events fields", causes(message([1, 1], [1, 1], guest, [4, varints(0)], [5, words(7)])), /second events/],
	["two chunks of a column", causes(message([1, 1], guest, [4, varints(0)], [4, varints(0)], [5, words(7)])), /second chunk of column op/],
	["a column that is too short", causes(message([1, 1], guest, [4, varints(0)], [5, words()])), /column page has 0 bytes for 1 records/],
	["a column that is too long", causes(message([1, 1], guest, [4, varints(0, 0)], [5, words(7)])), /column op has 2 values/],
	["a continuation bit in place", causes(message([1, 1], guest, [4, Uint8Array.of(0x80)], [5, words(7)])), /continuation bit in column op/],
	[
		"an offset column that ends in a varint",
		causes(message([1, 1], guest, [4, varints(0)], [5, words(7)], [8, Uint8Array.of(0x80)])),
		/column offset/,
	],
	["an offset beyond the page", causes(message([1, 1], guest, [4, varints(0)], [5, words(7)], [8, varints(4097)])), /offset 4097/],
	["a time before the first", causes(message([1, 1], guest, [4, varints(0)], [5, words(7)], [9, varints(1)])), /leaves 53 bits/],
	["pages twice", causes(message([1, 1], guest, [4, varints(0)], [5, words(7)], [6, varints(14)])), /both page and page_delta/],
	["no pages", causes(message([1, 1], guest, [4, varints(0)])), /neither page nor page_delta/],
	["a page delta below 0", causes(message([1, 1], guest, [4, varints(0)], [6, varints(1)])), /leaves 32 bits/],
	["an agent that is not in the table", causes(message([1, 1], guest, [4, varints(8)], [5, words(7)])), /names agent 1 of 1/],
	["an agent of no kind", causes(message([1, 1], [2, agent(6)], [4, varints(0)], [5, words(7)])), /agent kind 6/],
	["an agent that is cut", causes(message([1, 1], [2, agent(1).slice(0, 9)], [4, varints(0)], [5, words(7)])), /agent 0/],
	[
		"a base page over 53 bits",
		causes(message([1, 1], [2, agent(1, [0, 0, 0, 0], new Uint8Array(8).fill(255))], [4, varints(0)], [5, words(7)])),
		/base_page/,
	],
	[
		"a base page that is not a multiple of 2^32",
		causes(message([1, 1], [2, agent(1, [0, 0, 0, 0], Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0))], [4, varints(0)], [5, words(7)])),
		/base_page 1/,
	],
	["no arguments", causes(message([1, 1], guest, [4, varints(7)], [5, words(7)])), /argument is used up/],
	["arguments of nobody", causes(message([1, 1], guest, [4, varints(0)], [5, words(7)], [7, varints(16, 0)])), /left over/],
	[
		"an argument too few",
		causes(message([1, 1], guest, [4, varints(7)], [5, words(7)], [7, varints(7, 2, 0, 0)])),
		/cow with 2 arguments, not 3/,
	],
	["an argument cut", causes(message([1, 1], guest, [4, varints(7)], [5, words(7)], [7, varints(7, 3, 0, 0)])), /ends inside a varint/],
	[
		"an argument over 53 bits",
		causes(message([1, 1], guest, [4, varints(7)], [5, words(7)], [7, Uint8Array.of(16, 0, 255, 255)])),
		/left over/,
	],
	["an unknown operation", causes(message([1, 1], guest, [4, varints(7)], [5, words(7)], [7, varints(63, 0)])), /operation code 63/],
	["an access of no kind", causes(message([1, 1], guest, [4, varints(7)], [5, words(7)], [7, varints(1, 2, 7, 0)])), /access 7/],
	[
		"a string that is not in the table",
		causes(message([1, 1], guest, [4, varints(7)], [5, words(7)], [7, varints(14, 3, 0, 0, 0)])),
		/names string 0 of 0/,
	],
	["a string that is not UTF-8", causes(message([1, 1], guest, [3, Uint8Array.of(0xff)], [4, varints(0)], [5, words(7)])), /not UTF-8/],
	["a string that is too long", causes(message([1, 1], guest, [3, new Uint8Array(4097)], [4, varints(0)], [5, words(7)])), /4097 bytes/],
	[
		"an observation among causes",
		causes(message([1, 1], guest, [4, varints(7)], [5, words(7)], [7, varints(72, 0)])),
		/flush among causes/,
	],
	[
		"a cause among observations",
		observations(message([1, 1], guest, [4, varints(7)], [5, words(7)], [7, varints(16, 0)], [10, varints(0)])),
		/exit among observations/,
	],
	[
		"an access among observations",
		observations(message([1, 1], guest, [4, varints(0)], [5, words(7)], [10, varints(0)])),
		/an access among observations/,
	],
	[
		"observations without positions",
		observations(message([1, 1], guest, [4, varints(7)], [5, words(7)], [7, varints(72, 0)])),
		/without column position/,
	],
	["positions among causes", causes(message([1, 1], guest, [4, varints(0)], [5, words(7)], [10, varints(0)])), /position among causes/],
	["a group", causes(Uint8Array.of(8, 1, 0x5b, 0x5c)), /wire type 3/],
	["a field beyond the end", causes(Uint8Array.of(8, 1, 0x22, 100)), /beyond the block's end/],
	["a column as a number", causes(message([1, 1], guest, [4, 0], [5, words(7)])), /wrong wire type/],
	["an empty payload", causes(new Uint8Array(0)), /column op has 0 bytes for 1 records|no number of events/],
	["an unknown codec", causes(good, { codec: 9 }), /unknown codec 9/],
	["bytes that do not inflate", causes(Uint8Array.of(255, 255, 255), { codec: 1, rawLength: 50 }), /does not decompress/],
	["a payload that inflates to less", causes(deflateRawSync(good), { codec: 1, rawLength: good.length + 1 }), /says it has/],
	["a payload that inflates to more", causes(deflateRawSync(new Uint8Array(1 << 24)), { codec: 1, rawLength: 100 }), /does not decompress/],
	["a stored payload of two lengths", causes(good, { rawLength: good.length + 1 }), /two lengths/],
	["a step in the sequence", causes(good, { firstSequence: 5 }), /cause 0 to 5|5 causes are missing/],
	["a block type that a reader must know", sealedTrace([sealedBlock(good, { type: 0x8000_0063 })]), /block type 99/],
	["a metadata block of other bytes", sealedTrace([sealedBlock(Uint8Array.of(10, 200), { type: 4 })]), /metadata/],
];

describe("a trace with right checksums", () => {
	it.each(wrong)("and %s is refused, with the reason", (_, bytes, reason) => {
		const metadata = () => {
			const trace = openTrace(bytes);
			for (const block of trace.blocks()) if (block.type === 4) trace.metadata(block);
		};
		expect(() => {
			readAll(bytes);
			metadata();
		}).toThrow(reason);
		expect(() => {
			readAll(bytes);
			metadata();
		}).toThrow(BadInputError);
		expect(
			validate(bytes)
				.problems.map((problem) => problem.reason)
				.join("; "),
		).toMatch(reason);
	});

	it("and nothing wrong is read", () => {
		expect(readAll(causes(good)).length).toBe(1);
		expect(validate(causes(good)).problems).toEqual([]);
	});

	it("but with what no replay can take is readable, and validate says so", () => {
		const far = Uint8Array.of(0, 0, 0, 0, 16, 0, 0, 0);
		const host = causes(message([1, 1], [2, agent(2, [0, 0, 0, 0], far)], [4, varints(3)], [5, words(7)]));
		expect(readAll(host).length).toBe(1);
		expect(validate(host).problems).toMatchObject([{ event: 0, reason: `page ${2 ** 36 + 7} is beyond 48-bit addresses` }]);
		const kpage = causes(message([1, 1], [2, agent(3)], [4, varints(7)], [5, words(7)], [7, varints(6, 2, 2 ** 32, 0)]));
		expect(validate(kpage).problems).toMatchObject([{ event: 0, reason: `KSM page ${2 ** 32} is over 32 bits` }]);
		const file = causes(message([1, 1], [2, agent(3)], [4, varints(7)], [5, words(7)], [7, varints(32, 4, 1, 1, 2 ** 24, 3)]));
		expect(validate(file).problems).toMatchObject([{ event: 0, reason: `page 3 of file ${2 ** 24} is more than a replay keeps` }]);
	});

	it("of another major version, or with an unknown required feature, says so", () => {
		const head = encodeHeader(emptyHeader());
		const major = new Uint8Array(head);
		major[11] = 2;
		expect(() => openTrace(sealedTrace([], resealed(major)))).toThrow(/format version 2\.0/);
		expect(() => openTrace(sealedTrace([], encodeHeader(emptyHeader(), ["quantum"])))).toThrow(
			/required features that this version lacks: quantum/,
		);
	});

	it("has its unknown block types left out, and checked by their checksums only", () => {
		const bytes = sealedTrace([sealedBlock(Uint8Array.of(1, 2, 3), { type: 77 }), sealedBlock(good, { events: 1 })]);
		expect(readAll(bytes).length).toBe(1);
		expect(validate(bytes).problems).toEqual([]);
	});

	it("may have fields that a newer minor version adds", () => {
		const newer = message([1, 1], guest, [4, varints(0)], [5, words(7)], [11, varints(1)], [12, 5]);
		expect(readAll(causes(newer)).length).toBe(1);
	});

	it("is read or refused cleanly whatever its payloads say", () => {
		const traces = [writeToMemory(sample(120)), writeToMemory(sample(120), { pages: "delta" })];
		const blocks = traces.flatMap((bytes) => {
			const trace = openTrace(bytes);
			return [...trace.blocks()].map((block) => ({ block, payload: trace.payload(block).slice() }));
		});
		const edit = fc.record({ at: fc.nat(1 << 16), byte: fc.nat(255), length: fc.nat(3) });
		let read = 0;
		fc.assert(
			fc.property(fc.nat(blocks.length - 1), fc.array(edit, { minLength: 1, maxLength: 4 }), (which, edits) => {
				const { block } = blocks[which];
				let { payload } = blocks[which];
				for (const { at, byte, length } of edits) {
					const place = at % payload.length;
					payload = new Uint8Array(Buffer.concat([payload.subarray(0, place), Uint8Array.of(byte), payload.subarray(place + length)]));
				}
				const { type, events, firstNs } = block;
				const bytes = sealedTrace([sealedBlock(payload, { type, events, firstNs })]);
				try {
					readAll(bytes);
					read++;
				} catch (error) {
					expect(error).toBeInstanceOf(BadInputError);
				}
				const { problemCount } = validate(bytes);
				expect(problemCount >= 0).toBe(true);
			}),
			{ seed: 6, numRuns: 5000 },
		);
		expect(read).toBeGreaterThan(50);
	}, 60_000);

	it("is opened or refused cleanly whatever its header and index say", () => {
		const indexed = withIndex(sample(200), { causesPerBlock: 20 });
		const start = Number(Buffer.from(indexed).readBigUInt64LE(indexed.length - 8));
		const head = encodeHeader({ ...emptyHeader(), warnings: ["a", "b"], vms: [{ id: 1, mm: 2, vcpus: 3, memoryBytes: 4 }] });
		fc.assert(
			fc.property(fc.nat(1 << 16), fc.nat(255), (at, byte) => {
				const changed = new Uint8Array(head);
				changed[at % (changed.length - 6)] = byte;
				try {
					openTrace(sealedTrace([], resealed(changed)));
				} catch (error) {
					expect(error).toBeInstanceOf(BadInputError);
				}
				const lengthBytes = 3;
				const footer = indexed.slice(start + lengthBytes, indexed.length - 9);
				footer[at % (footer.length - 6)] = byte;
				const bytes = indexed.slice();
				bytes.set(resealed(footer), start + lengthBytes);
				expect(openTrace(bytes).index().entries.length).toBeLessThan(100);
				validate(bytes);
			}),
			{ seed: 7, numRuns: 2000 },
		);
	});
});

describe("a length that promises too much", () => {
	const allocated = () => process.memoryUsage().arrayBuffers;

	it.each([
		["a stored length", { storedLength: 0xffff_ffff, rawLength: 0xffff_ffff }],
		["a raw length", { codec: 1, rawLength: 0xffff_ffff }],
		["a number of events", { events: 0xffff_ffff }],
	])("%s over the cap is a LimitError, and nothing is allocated", (_, header) => {
		const bytes = causes(good, header);
		const start = allocated();
		expect(() => readAll(bytes)).toThrow(LimitError);
		expect(allocated() - start).toBeLessThan(1 << 20);
		expect(validate(bytes).problems[0].reason).toMatch(/more than/);
	});

	it("goes with a raised cap, but not beyond what is there", () => {
		const bytes = causes(good, { storedLength: 0x7000_0000, rawLength: 0x7000_0000 });
		const start = allocated();
		expect(() => [...openTrace(bytes, { limits: { blockBytes: 2 ** 31 } }).blocks()]).toThrow(/cut off after 0 whole blocks/);
		expect(allocated() - start).toBeLessThan(1 << 20);
	});

	it("a million events of no bytes are not allocated", () => {
		const bytes = causes(message([1, 1 << 20], guest, [4, varints(0)], [5, words(7)]), { events: 1 << 20 });
		const start = allocated();
		expect(() => readAll(bytes)).toThrow(/column op has 1 bytes for 1048576 records/);
		expect(allocated() - start).toBeLessThan(1 << 20);
	});

	it("a header over the cap is a LimitError", () => {
		const bytes = sealedTrace([]);
		const long = Buffer.concat([Uint8Array.of(0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f), bytes.subarray(2)]);
		expect(() => openTrace(new Uint8Array(long))).toThrow(LimitError);
	});

	it("more agents, strings or notes than the cap are refused", () => {
		const many = Array.from({ length: 40 }, () => guest);
		const bytes = causes(message([1, 1], ...many, [4, varints(0)], [5, words(7)]));
		expect(validate(bytes, { limits: { entries: 39 } }).problems[0].reason).toMatch(/more than 39 agents/);
		expect(validate(bytes).problems).toEqual([]);
	});

	it("more notes than the cap are a LimitError", () => {
		const note = message([1, Uint8Array.of(97)], [2, Uint8Array.of(98)]);
		const bytes = sealedTrace([sealedBlock(message([1, note], [1, note], [1, note]), { type: 4 })]);
		const trace = openTrace(bytes, { limits: { entries: 2 } });
		const [block] = trace.blocks();
		expect(() => trace.metadata(block)).toThrow(LimitError);
		expect(openTrace(bytes).metadata(block)).toHaveLength(3);
	});

	it("observations far ahead of their causes are a LimitError", () => {
		const ahead = (count: number) =>
			message(
				[1, count],
				guest,
				[4, new Uint8Array(count).fill(7)],
				[5, new Uint8Array(count * 4)],
				[7, new Uint8Array(Buffer.alloc(count * 2, Uint8Array.of(72, 0)))],
				[10, new Uint8Array(count).fill(1)],
			);
		const block = sealedBlock(ahead(1000), { type: 2, events: 1000 });
		const bytes = sealedTrace(Array.from({ length: 5 }, () => block));
		expect(readAll(bytes).length).toBe(5000);
		const trace = openTrace(bytes, { limits: { pendingObservations: 3000 } });
		expect(() => [...records(trace)]).toThrow(LimitError);
	});
});
