// Generated workloads: the same bytes for the same seed, valid, without a violation under safe strategies; and what each replays to is recorded
// in test/fixtures/workloads.json and must not move. Renew it with MMREPLAY_RENEW=1 npx vitest run --project unit test/generate/workloads.test.ts
import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { COUNTER_PATHS } from "../../src/counters.js";
import { defaultBuild, Engine } from "../../src/engine/engine.js";
import { feed } from "../../src/engine/feed.js";
import { replayTrace } from "../../src/engine/replay.js";
import { generatedHeader, generateInto, Repetition } from "../../src/generate/generate.js";
import { power, Random } from "../../src/generate/random.js";
import { WORKLOADS, type Workload } from "../../src/generate/workload.js";
import { DEFAULT_MACHINE } from "../../src/machine/machine.js";
import { stateDigest } from "../../src/state.js";
import { STRATEGIES } from "../../src/strategies/index.js";
import { openTrace } from "../../src/trace/reader.js";
import { records } from "../../src/trace/records.js";
import { TraceWriter, type WriterOptions } from "../../src/trace/writer.js";
import { expectEqual } from "../engine/compare.js";
import { referenceReplay } from "../engine/reference.js";
import { collector } from "../engine/traces.js";

const RECORDED = fileURLToPath(new URL("../fixtures/workloads.json", import.meta.url));
const SAFE = STRATEGIES.filter(({ safe }) => safe);
const EVENTS = 20_000;
/** r has as many pages as its name says only where it is measured. */
const SMALLER: Readonly<Record<string, Partial<Workload>>> = { r: { pages: 4096 }, m: { pages: 4096 } };

interface Facts {
	readonly sha256: string;
	/** By strategy: the counters that are not 0, and the digest of the state without them. */
	readonly results: Readonly<Record<string, { readonly counters: Readonly<Record<string, number>>; readonly state: string }>>;
}

function workloadOf(name: string): Workload {
	const known = WORKLOADS.find((workload) => workload.name === name);
	if (known === undefined) throw new Error(`no workload ${name}`);
	return { ...known.workload, ...SMALLER[name] };
}

async function bytesOf(name: string, seed = 1, options: WriterOptions = {}, blockEvents = 8192, events = EVENTS): Promise<Uint8Array> {
	const workload = workloadOf(name);
	const { sink, bytes } = collector();
	const writer = new TraceWriter(sink, { ...options, header: generatedHeader(`${name} --seed ${seed}`, workload) });
	await generateInto(writer, workload, { events, seed, blockEvents });
	writer.finish();
	return bytes();
}

/** The digest of the state alone: it stays when a counter is added. */
function statesOf(bytes: Uint8Array, strategies: typeof STRATEGIES): string[] {
	const engine = new Engine(defaultBuild());
	const trace = openTrace(bytes);
	engine.begin({ strategies, machine: DEFAULT_MACHINE, check: false, copiesRecorded: trace.header.copiesRecorded });
	feed(trace, [engine], { mark: () => undefined, block: () => undefined });
	return strategies.map((_, index) => stateDigest({ ...engine.state(index), counters: new BigUint64Array(0) }));
}

const RECORDED_STRATEGIES = STRATEGIES.filter(({ name }) => ["drop", "wrapped", "fix", "establish-map"].includes(name));

function factsOf(bytes: Uint8Array): Facts {
	const result = replayTrace(openTrace(bytes), { strategies: RECORDED_STRATEGIES, machine: DEFAULT_MACHINE, check: true });
	const states = RECORDED_STRATEGIES.map((strategy) => statesOf(bytes, [strategy])[0] ?? "");
	return {
		sha256: createHash("sha256").update(bytes).digest("hex"),
		results: Object.fromEntries(
			result.strategies.map(({ name, counters }, at) => [
				name,
				{
					counters: Object.fromEntries(
						COUNTER_PATHS.map((path, index) => [path, Number(counters[index])]).filter(([, value]) => value !== 0),
					),
					state: states[at] ?? "",
				},
			]),
		),
	};
}

const recorded: Record<string, Facts> = existsSync(RECORDED) ? JSON.parse(readFileSync(RECORDED, "utf8")) : {};

describe("generated workloads", () => {
	it.each(WORKLOADS.map(({ name }) => name))("%s: bytes, counters and states as recorded", async (name) => {
		const facts = factsOf(await bytesOf(name));
		if (process.env.MMREPLAY_RENEW === "1") {
			recorded[name] = facts;
			writeFileSync(RECORDED, `${JSON.stringify(recorded, null, "\t")}\n`);
		}
		const expected = recorded[name];
		expect(facts.sha256).toBe(expected?.sha256);
		for (const [strategy, { counters, state }] of Object.entries(expected?.results ?? {})) {
			expect(facts.results[strategy]?.counters, strategy).toMatchObject(counters);
			expect(facts.results[strategy]?.state, strategy).toBe(state);
		}
	});

	it.each(WORKLOADS.map(({ name }) => name))("%s: no violation under a safe strategy, and the reference model agrees", async (name) => {
		const bytes = await bytesOf(name, 7, {}, 1000, 6000);
		const options = { strategies: SAFE, machine: DEFAULT_MACHINE, check: true };
		const result = replayTrace(openTrace(bytes), options);
		expect(result.strategies.map(({ violations }) => violations)).toEqual(SAFE.map(() => []));
		const two = { ...options, strategies: STRATEGIES.filter((strategy) => strategy.name === "drop" || strategy.name === "fix") };
		expectEqual(replayTrace(openTrace(bytes), two), referenceReplay(openTrace(bytes), two));
	});

	it("parameters of every kind: bytes as recorded", async () => {
		const odd: [name: string, changes: Partial<Workload>, seed: number, blockEvents: number, options: WriterOptions][] = [
			["hits", { cold: 0.5, vcpus: 3, vms: 5, writes: 0.7 }, 2 ** 53 - 1, 333, {}],
			["uniform", { pages: 2 ** 23, vms: 4, contents: 2 ** 31, merges: 0.3 }, 2 ** 32 + 5, 8192, { pages: "auto" }],
			["scan", { vcpus: 60, vms: 64, pages: 100, zaps: 0.1, host: 0.1, warm: true }, 0, 4096, { pages: "delta" }],
			["ksm-merge-storm", { vms: 7, breaks: 0.2, zaps: 0.01 }, 4, 1, { pages: "auto" }],
			["mixed", { exponent: 0, pages: 1, merges: 0.25, breaks: 0.25 }, 5, 65_536, {}],
		];
		const found: string[] = [];
		for (const [name, changes, seed, blockEvents, options] of odd) {
			const workload = { ...workloadOf(name), ...changes };
			const { sink, bytes } = collector();
			const writer = new TraceWriter(sink, { ...options, header: generatedHeader(name, workload) });
			await generateInto(writer, workload, { events: 6000, seed, blockEvents });
			writer.finish();
			found.push(createHash("sha256").update(bytes()).digest("hex").slice(0, 16));
		}
		expect(found).toMatchInlineSnapshot(`
			[
			  "58d52590e55559bd",
			  "a37b44caf197c3c5",
			  "77ca58f8a3364437",
			  "a1383cc9d13d5f2f",
			  "d81f09d6f81c07a9",
			]
		`);
	});

	it("another seed gives other bytes, the same one the same", async () => {
		const [one, again, other] = [await bytesOf("mixed", 1), await bytesOf("mixed", 1), await bytesOf("mixed", 2)];
		expect(Buffer.compare(one, again)).toBe(0);
		expect(Buffer.compare(one, other)).not.toBe(0);
	});

	it.each(["z", "mixed", "ksm-merge-storm"])("%s: page encodings, codecs and block sizes change no result", async (name) => {
		const options = { strategies: SAFE, machine: DEFAULT_MACHINE, check: false };
		const first = replayTrace(openTrace(await bytesOf(name)), options);
		const written: [WriterOptions, number][] = [
			[{ pages: "delta" }, 8192],
			[{ pages: "delta" }, 1],
			[{ pages: "auto", codec: "deflate-raw" }, 4096],
			[{ pages: "fixed" }, 333],
			[{ pages: "fixed" }, 65_536],
		];
		for (const [how, blockEvents] of written) {
			const other = replayTrace(openTrace(await bytesOf(name, 1, how, blockEvents)), options);
			expectEqual(other, first);
		}
	});

	it("one pass over all strategies gives what a pass for each gives", async () => {
		const bytes = await bytesOf("mixed");
		const options = { machine: DEFAULT_MACHINE, check: true };
		const together = replayTrace(openTrace(bytes), { ...options, strategies: STRATEGIES });
		for (const [at, strategy] of STRATEGIES.entries()) {
			const alone = replayTrace(openTrace(bytes), { ...options, strategies: [strategy] });
			expect(alone.strategies[0]?.digest, strategy.name).toBe(together.strategies[at]?.digest);
			expect(alone.strategies[0]?.counters, strategy.name).toEqual(together.strategies[at]?.counters);
		}
	});

	it("a capture repeated counts as often as it was repeated", async () => {
		const path = fileURLToPath(new URL("../fixtures/drop-tiny.mmtrace", import.meta.url));
		const options = { strategies: SAFE, machine: DEFAULT_MACHINE, check: true };
		const counts: bigint[] = [];
		for (const rounds of [1, 2, 5]) {
			const repetition = new Repetition(path, "repeat", 999, "fixed");
			const { sink, bytes } = collector();
			const writer = new TraceWriter(sink, { header: repetition.header });
			await repetition.writeInto(writer, repetition.events * rounds);
			const { causes } = writer.finish();
			expect(causes).toBe(repetition.events * rounds);
			const result = replayTrace(openTrace(bytes()), options);
			expect(result.strategies.map(({ violations }) => violations)).toEqual(SAFE.map(() => []));
			counts.push(result.strategies[0]?.counters[COUNTER_PATHS.indexOf("vmexits")] ?? 0n);
		}
		const [one = 0n, two, five] = counts;
		expect(one).toBeGreaterThan(0n);
		expect(two).toBe(2n * one);
		expect(five).toBe(5n * one);
	});
});

describe("numbers of generated traces", () => {
	it("draws are those of sfc32", () => {
		const random = new Random(42);
		expect(Array.from({ length: 4 }, () => random.next() >>> 0)).toMatchInlineSnapshot(`
			[
			  1251167922,
			  656401615,
			  478193053,
			  3278332503,
			]
		`);
	});

	it("powers are right to the last digits", () => {
		for (const [base, exponent] of [
			[1, 1.2],
			[2, 0.5],
			[384, 1.2],
			[65_536, 3],
			[4_194_304, 0.99],
		] as const) {
			expect(power(base, exponent) / base ** exponent).toBeCloseTo(1, 12);
		}
	});

	it("Zipf's law holds within the error of a sample", async () => {
		const draws = 200_000;
		const workload = { ...workloadOf("zipf"), vcpus: 1, pages: 64, exponent: 1 };
		const { sink, bytes } = collector();
		const writer = new TraceWriter(sink, { header: generatedHeader("zipf", workload) });
		// The memslot is a record too.
		await generateInto(writer, workload, { events: draws + 1, seed: 9, blockEvents: 8192 });
		writer.finish();
		const counts = new Float64Array(64);
		for (const { record } of records(openTrace(bytes()))) if (record.kind === "access") counts[record.page]++;
		const sorted = [...counts].sort((a, b) => b - a);
		const harmonic = Array.from({ length: 64 }, (_, rank) => 1 / (rank + 1)).reduce((sum, weight) => sum + weight, 0);
		for (const rank of [1, 2, 4, 8]) {
			const expected = draws / (rank * harmonic);
			expect(Math.abs((sorted[rank - 1] ?? 0) - expected)).toBeLessThan(6 * Math.sqrt(expected));
		}
	});
});
