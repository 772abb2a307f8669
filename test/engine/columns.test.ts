// What the engine does many bytes at a time: checksums, and page columns of deltas; each against the plain way, in every build.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Build, Engine } from "../../src/engine/engine.js";
import { replayTrace } from "../../src/engine/replay.js";
import { DEFAULT_MACHINE } from "../../src/machine/machine.js";
import { STRATEGIES } from "../../src/strategies/index.js";
import { crc32c } from "../../src/trace/crc32c.js";
import { Access, AgentKind } from "../../src/trace/kinds.js";
import { openTrace } from "../../src/trace/reader.js";
import type { Agent, TraceRecord } from "../../src/trace/record.js";
import { expectEqual } from "./compare.js";
import { traceBytes } from "./traces.js";

const BUILDS: readonly Build[] = ["release", "scalar", "debug"];
const [DROP] = STRATEGIES.filter(({ name }) => name === "drop");
if (DROP === undefined) throw new Error("no strategy drop");

function begun(build: Build): Engine {
	const engine = new Engine(build);
	engine.begin({ strategies: [DROP as NonNullable<typeof DROP>], machine: DEFAULT_MACHINE, check: false, copiesRecorded: false });
	return engine;
}

describe("checksum", () => {
	it.each(BUILDS)("%s: of any length and content", (build) => {
		const engine = begun(build);
		const of = (bytes: Uint8Array): number => {
			engine.payload(bytes.length, "here").set(bytes);
			return engine.checksum(bytes.length);
		};
		expect(of(Buffer.from("123456789"))).toBe(0xe306_9283);
		fc.assert(
			fc.property(fc.uint8Array({ maxLength: 700, size: "max" }), (bytes) => {
				expect(of(bytes)).toBe(crc32c(bytes));
			}),
			{ seed: 3, numRuns: 300 },
		);
		const long = Uint8Array.from({ length: 100_003 }, (_, at) => (at * 7919) >>> 3);
		expect(of(long)).toBe(crc32c(long));
	});
});

const agentOf = (kind: Agent["kind"]): Agent => ({ kind, vm: 0, vcpu: 0, mm: 0, thread: 0 });
const SLOT: TraceRecord = {
	kind: "operation",
	name: "memslot",
	agent: agentOf(AgentKind.vm),
	page: 0x7_0000_0000,
	args: [0, 0, 0, 2 ** 32, 0],
};

function traceOf(pages: readonly number[]): TraceRecord[] {
	return [
		SLOT,
		...pages.map((page): TraceRecord => ({ kind: "access", agent: agentOf(AgentKind.guest), page, access: Access.guestWrite })),
	];
}

/** Steps of every width of a varint, to and fro, and places near both ends of 32 bits. */
const pages = fc
	.array(
		fc.oneof(
			fc.integer({ min: -70, max: 70 }),
			fc.integer({ min: -9000, max: 9000 }),
			fc.integer({ min: -(2 ** 21), max: 2 ** 21 }),
			fc.integer({ min: -(2 ** 28), max: 2 ** 28 }),
			fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
		),
		{ maxLength: 90, size: "max" },
	)
	.chain((steps) =>
		fc.constantFrom(0, 5, 2 ** 31, 2 ** 32 - 1).map((first) => {
			let page = first;
			return [first, ...steps.map((step) => (page = Math.min(Math.max(page + step, 0), 2 ** 32 - 1)))];
		}),
	);

describe("page columns of deltas", () => {
	it.each(BUILDS)("%s: lead to the pages that were written", (build) => {
		const options = { strategies: [DROP], machine: DEFAULT_MACHINE, check: false, build };
		fc.assert(
			fc.property(pages, fc.constantFrom(8192, 50, 7), (all, causesPerBlock) => {
				const [delta, fixed] = (["delta", "fixed"] as const).map((encoding) =>
					replayTrace(openTrace(traceBytes(traceOf(all), false, { pages: encoding, causesPerBlock })), options),
				);
				if (delta === undefined || fixed === undefined) throw new Error("never");
				expectEqual(delta, fixed);
			}),
			{ seed: 5, numRuns: 120 },
		);
	});

	it.each(BUILDS)("%s: a delta that leaves 32 bits is found wherever it stands", (build) => {
		const engine = begun(build);
		const limits = { entries: 100, stringBytes: 100 };
		for (let bad = 0; bad < 23; bad++) {
			for (const [first, step] of [
				[0, [1]],
				[2 ** 32 - 1, [2]],
				[3, [7]],
			] as const) {
				// zigzag: 1 is -1, 2 is +1, 7 is -4.
				const column = Array.from({ length: 23 }, (_, at) => (at === bad && at > 0 ? step : at === 0 ? varint(first * 2) : [0])).flat();
				const payload = blockOf(23, column);
				engine.payload(payload.length, "here").set(payload);
				const decode = (): void => engine.decode({ rawLength: payload.length, events: 23, firstSequence: 0, firstNs: 0 }, limits, "here");
				if (bad === 0) expect(decode).not.toThrow();
				else expect(decode).toThrow(/page_delta leaves 32 bits/);
			}
		}
	});
});

function varint(value: number): number[] {
	const bytes: number[] = [];
	let rest = value;
	for (; rest > 127; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128);
	return [...bytes, rest];
}

/** An EventBlock of so many reads by one guest. */
function blockOf(events: number, pageDelta: readonly number[]): Uint8Array {
	const agent = [8, 1, 16, 0, 24, 0, 32, 0, 40, 0, 49, 0, 0, 0, 0, 0, 0, 0, 0];
	return Uint8Array.from([
		8,
		events,
		18,
		agent.length,
		...agent,
		34,
		events,
		...new Array(events).fill(0),
		50,
		pageDelta.length,
		...pageDelta,
	]);
}
