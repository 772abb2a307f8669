// Damaged payloads whose checksums are right: the engine reads what the strict reader reads, or refuses cleanly; no trap gets out.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Build, Engine } from "../../src/engine/engine.js";
import { type ReplayOptions, type ReplayResult, replayTrace } from "../../src/engine/replay.js";
import { BadInputError, LimitError } from "../../src/errors.js";
import { STRATEGIES } from "../../src/strategies/index.js";
import { openTrace } from "../../src/trace/reader.js";
import { records } from "../../src/trace/records.js";
import { agent, message, sealedBlock, sealedTrace, varints, words } from "../trace/sealed.js";
import { SMALL, traceBytes } from "./traces.js";
import { randomWorld } from "./worlds.js";

const options: ReplayOptions = { strategies: STRATEGIES.slice(0, 3), machine: SMALL, check: true, memoryBytes: 32 << 20 };

/** The result, or the clean error; anything else is thrown on. */
function attempt<T>(work: () => T): T | BadInputError | LimitError {
	try {
		return work();
	} catch (error) {
		if (error instanceof BadInputError || error instanceof LimitError) return error;
		throw error;
	}
}

function replayed(bytes: Uint8Array, build: Build): ReplayResult | BadInputError | LimitError {
	return attempt(() => replayTrace(openTrace(bytes), { ...options, build }));
}

/** What the engine refuses and the format does not: pages, address spaces and ids beyond the machine's. */
const BEYOND = /beyond 48-bit|address space|over 32 bits|a replay keeps|more memory|page frames|host address space/;
/** What the engine has no need of and does not look at: contents of strings, offsets and times. */
const UNREAD = /UTF-8|column offset|column time/;

const edits = fc.array(
	fc.record({ how: fc.constantFrom("set", "set", "flip", "insert", "remove"), at: fc.nat(1 << 16), byte: fc.nat(255) }),
	{ minLength: 1, maxLength: 3 },
);

describe("a damaged payload", () => {
	it("is replayed as the strict reader reads it, or refused", { timeout: 300_000 }, () => {
		let read = 0;
		fc.assert(
			fc.property(randomWorld, fc.constantFrom("fixed" as const, "delta" as const), edits, (world, pages, changes) => {
				const trace = openTrace(traceBytes(world.records.slice(0, 40), world.copiesRecorded, { pages }));
				for (const block of trace.blocks()) {
					let payload: Uint8Array = trace.payload(block).slice();
					for (const { how, at, byte } of changes) {
						const place = at % payload.length;
						const [before, after] = [payload.subarray(0, place), payload.subarray(place)];
						if (how === "set") payload = Buffer.concat([before, Uint8Array.of(byte), after.subarray(1)]);
						else if (how === "flip")
							payload = Buffer.concat([before, Uint8Array.of((after[0] ?? 0) ^ (1 << (byte % 8))), after.subarray(1)]);
						else if (how === "insert") payload = Buffer.concat([before, Uint8Array.of(byte), after]);
						else payload = Buffer.concat([before, after.subarray(1)]);
					}
					const bytes = sealedTrace([sealedBlock(new Uint8Array(payload), { events: block.events })]);
					const strict = attempt(() => [...records(openTrace(bytes))].length);
					const result = replayed(bytes, "release");
					if (result instanceof Error) {
						if (!(strict instanceof Error)) expect(result.message).toMatch(BEYOND);
					} else {
						if (strict instanceof Error) expect(strict.message).toMatch(UNREAD);
						read++;
					}
					const again = replayed(bytes, "debug");
					expect(again instanceof Error).toBe(result instanceof Error);
					if (!(result instanceof Error) && !(again instanceof Error)) expect(again.strategies).toEqual(result.strategies);
				}
			}),
			{ seed: 40, numRuns: 1200 },
		);
		expect(read).toBeGreaterThan(60);
	});
});

/** One block of one record: an agent, an op, a page, arguments. */
function oneRecord(fields: Record<number, Uint8Array | number>, events = 1): Uint8Array {
	const whole: Record<number, Uint8Array | number> = { 1: 1, 2: agent(3), 4: varints(7), 5: words(5), 7: varints(16, 0), ...fields };
	const payload = message(...Object.entries(whole).map(([field, value]) => [Number(field), value] as const));
	return sealedTrace([sealedBlock(payload, { events })]);
}

describe("a block is refused", () => {
	it.each([
		["with another number of events", oneRecord({ 1: 2 }), "number of events"],
		["with a column too short", oneRecord({ 5: words() }), "column page"],
		["with a column too long", oneRecord({ 4: varints(7, 7) }), "column op"],
		["with a continuation bit in a one-byte column", oneRecord({ 4: Uint8Array.of(0x87) }), "continuation"],
		["with both page columns", oneRecord({ 6: varints(10) }), "page_delta"],
		["with deltas below 0", oneRecord({ 5: new Uint8Array(0), 6: varints(9) }), "page"],
		["that names an agent it does not have", oneRecord({ 4: varints(15) }), "agent 1"],
		["with an agent of no kind", oneRecord({ 2: agent(6) }), "agent 0"],
		["with an operation that is none", oneRecord({ 7: varints(50, 0) }), "operation code 50"],
		["with an observation", oneRecord({ 7: varints(72, 0) }), "operation code 72"],
		["with too few arguments", oneRecord({ 7: varints(16, 1, 0) }), "another number of arguments"],
		["with an argument that means nothing", oneRecord({ 7: varints(3, 2, 7, 0) }), "argument access of operation mmio means nothing"],
		["with a point that is none", oneRecord({ 7: varints(21, 4, 5, 0, 1, 1) }), "argument point of operation mkclean means nothing"],
		["with a fault cut behind its set-pte", oneRecord({ 7: varints(2, 3, 4, 0, 0) }), "argument point of operation fault means nothing"],
		["with an mremap to beyond 48 bits", oneRecord({ 7: varints(24, 5, 0, 0, 4, 0, 2 ** 36 - 3) }), "48-bit"],
		["with arguments cut off", oneRecord({ 7: varints(4, 3, 0) }), "means nothing"],
		["with arguments left over", oneRecord({ 7: varints(16, 0, 1) }), "1 bytes are left over"],
		["with no arguments", oneRecord({ 7: new Uint8Array(0) }), "used up"],
		["with a mark without its label", oneRecord({ 7: varints(14, 3, 0, 0, 0) }), "string 0"],
		["with positions", oneRecord({ 10: varints(0) }), "position"],
		["with too few times", oneRecord({ 9: varints(0, 0) }), "column time"],
		["with a memslot in address space 2", oneRecord({ 7: varints(13, 5, 0, 2, 0, 1, 0) }), "address space 2"],
		["with a memslot beyond 48 bits", oneRecord({ 7: varints(13, 5, 0, 0, 2 ** 36, 1, 0) }), "48-bit"],
		["with a dirty log of address space 2", oneRecord({ 7: varints(46, 4, 0, 2, 0, 1) }), "address space 2"],
		["with an ageing callback that is none", oneRecord({ 7: varints(45, 2, 1, 3) }), "argument young of operation age means nothing"],
		["with too few arguments of a dirty log", oneRecord({ 7: varints(46, 3, 0, 0, 0) }), "another number of arguments"],
		["with a VMA of no kind", oneRecord({ 7: varints(32, 4, 1, 6, 0, 0) }), "argument vma of operation mmap means nothing"],
		["with a file beyond what is kept", oneRecord({ 7: varints(32, 4, 1, 1, 2 ** 24, 0) }), "more than a replay keeps"],
		["with a page of a file beyond what is kept", oneRecord({ 7: varints(32, 4, 1, 1, 0, 2 ** 36) }), "more than a replay keeps"],
		[
			"with a page of a file to remap beyond what is kept",
			oneRecord({ 7: varints(33, 5, 0, 0, 4, 1, 2 ** 36) }),
			"more than a replay keeps",
		],
		["with pages in a state that is none", oneRecord({ 7: varints(12, 2, 4, 5) }), "argument state of operation populate means nothing"],
		["with a KSM page over 32 bits", oneRecord({ 7: varints(6, 2, 2 ** 32, 0) }), "KSM page"],
	])("%s", (_, bytes, reason) => {
		const result = replayed(bytes, "release");
		expect(result).toBeInstanceOf(BadInputError);
		if (!(result instanceof Error)) return;
		expect(result.message).toContain(reason);
		expect(result.message).toMatch(/memory, byte \d+, block 0, payload byte \d+/);
		expect(replayed(bytes, "debug")).toBeInstanceOf(BadInputError);
	});
});

describe("memory", () => {
	const huge = oneRecord({ 7: varints(12, 2, 2 ** 36, 1) });

	it("beyond the cap is a limit, and the engine goes on with the next trace", () => {
		for (const build of ["release", "scalar", "debug"] as const) {
			const result = replayed(huge, build);
			expect(result).toBeInstanceOf(LimitError);
			expect(result).toHaveProperty("exitCode", 4);
			expect(replayed(oneRecord({}), build)).toHaveProperty("events", 1);
		}
	});

	it("that an instance has used before starts empty again", () => {
		const engine = new Engine("release");
		const setup = { ...options, copiesRecorded: false };
		engine.begin(setup);
		const fresh = engine.state(0);
		const empty = [...fresh.entries()].length;
		const trace = openTrace(oneRecord({ 7: varints(12, 2, 3, 1) }));
		for (const block of trace.blocks()) {
			trace.readPayload(block, engine.payload(block.rawLength, ""));
			engine.decode(block, trace.limits, "");
			engine.run("");
		}
		expect([...engine.state(0).entries()].length).toBe(empty + 1);
		engine.begin(setup);
		expect([...engine.state(0).entries()].length).toBe(empty);
		expect(engine.counters()[0]?.every((value) => value === 0n)).toBe(true);
	});
});
