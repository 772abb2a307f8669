// Parts of a trace, each replayed by an engine of its own, make what one engine makes of all of it, or say that they cannot (src/engine/split.ts).
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { SPLITTABLE_OPERATIONS } from "../../src/engine/boundary.js";
import { CannotSplit } from "../../src/engine/cannotsplit.js";
import { type ReplayOptions, replayTrace } from "../../src/engine/replay.js";
import { replayThreads } from "../../src/engine/threads.js";
import { generatedHeader, generateInto } from "../../src/generate/generate.js";
import { WORKLOADS } from "../../src/generate/workload.js";
import { STRATEGIES } from "../../src/strategies/index.js";
import { AgentKind } from "../../src/trace/kinds.js";
import { openTrace } from "../../src/trace/reader.js";
import type { TraceRecord } from "../../src/trace/record.js";
import { TraceWriter } from "../../src/trace/writer.js";
import { mmreplay } from "../cli/process.js";
import { expectEqual } from "./compare.js";
import { kernelWorld } from "./kernelworlds.js";
import { replayInParts } from "./parts.js";
import { MANY, SMALL, traceBytes } from "./traces.js";
import { randomWorld } from "./worlds.js";

const WORLDS = Number(process.env.MMREPLAY_WORLDS ?? 180);
const SEED = Number(process.env.MMREPLAY_SEED ?? 20);
const WINDOWS = 16;

/** A VM for each mm, windows and records as parts can have them; some worlds are beyond them even so. */
function apart(records: readonly TraceRecord[]): TraceRecord[] {
	return records.flatMap((record): TraceRecord[] => {
		const { agent } = record;
		const ofVm = agent.kind === AgentKind.guest || agent.kind === AgentKind.vm;
		const own = ofVm ? { ...agent, mm: agent.vm } : agent;
		if (record.kind !== "operation") return [{ ...record, agent: own }];
		if (!SPLITTABLE_OPERATIONS.includes(record.name)) return [];
		const hasWindow = record.args.length > 2 && !["fault", "memslot", "dirtyLog", "mark"].includes(record.name);
		const args = hasWindow ? record.args.map((value, at) => (at === 1 ? value + own.mm * WINDOWS : value)) : record.args;
		return [{ ...record, agent: own, args }];
	});
}

describe("parts of random worlds", () => {
	it.each(["release", "scalar", "debug"] as const)("are what one engine makes of them, %s build", { timeout: 600_000 }, (build) => {
		let split = 0;
		let whole = 0;
		fc.assert(
			fc.property(
				fc.oneof(randomWorld, kernelWorld),
				fc.record({ pages: fc.constantFrom("fixed", "delta"), causesPerBlock: fc.constantFrom(1, 3, 17, 8192) }),
				fc.shuffledSubarray([...MANY], { minLength: 1, maxLength: 5 }),
				fc.constantFrom(2, 3),
				(world, writing, strategies, of) => {
					const trace = openTrace(traceBytes(apart(world.records), world.copiesRecorded, writing));
					const options = { strategies, machine: world.machine, host: world.host, check: true, build };
					const parts = replayInParts(trace, options, of);
					if (parts instanceof CannotSplit) {
						whole++;
						return;
					}
					split++;
					const one = replayTrace(trace, options);
					expectEqual(parts, one);
					expect(parts.intervals).toEqual(one.intervals);
				},
			),
			{ seed: SEED + build.length, numRuns: Math.ceil(WORLDS / 3) },
		);
		// Neither is rare, or the other was not tried.
		expect(split).toBeGreaterThan(WORLDS / 20);
		expect(whole).toBeGreaterThan(WORLDS / 100);
	});
});

let folder = "";
beforeAll(() => {
	folder = mkdtempSync(join(tmpdir(), "mmreplay-threads-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

async function made(name: string, events: number, blockEvents: number): Promise<string> {
	const path = join(folder, `${name}-${events}-${blockEvents}.mmtrace`);
	const workload = WORKLOADS.find((one) => one.name === name)?.workload;
	if (workload === undefined) throw new Error(name);
	const writer = new TraceWriter(path, { header: generatedHeader(name, workload) });
	await generateInto(writer, workload, { events, seed: 7, blockEvents });
	writer.finish();
	return path;
}

const options: ReplayOptions = { strategies: STRATEGIES.filter(({ safe }) => safe).slice(0, 4), machine: SMALL, check: true };

describe("threads", () => {
	it.each(["h", "z", "ksm-merge-storm", "mixed"])("make of %s what one makes", { timeout: 60_000 }, async (name) => {
		const trace = openTrace(await made(name, 20_000, 1024));
		const one = replayTrace(trace, options);
		const two = replayThreads(trace, options, 2);
		expect(two.whole).toBeUndefined();
		expect(two.threads).toBe(2);
		expectEqual(two, one);
		expect(two.intervals).toEqual(one.intervals);
		for (const of of [2, 3]) {
			const parts = replayInParts(trace, options, of);
			if (parts instanceof CannotSplit) throw parts;
			expectEqual(parts, one);
		}
		trace.close();
	});

	it("are one where a trace has one VM, an operation of several mms, or is no file", { timeout: 60_000 }, async () => {
		const path = await made("hits", 20_000, 1024);
		const trace = openTrace(path);
		expect(replayThreads(trace, options, 2)).toMatchObject({ threads: 1, whole: "it has one VM" });
		expect(replayThreads(openTrace(readFileSync(path)), options, 2)).toMatchObject({ threads: 1, whole: "it is no file" });
		trace.close();
	});

	it("are one where a strategy leaves stale translations to shared KSM pages, and tell so before anything is wrong", async () => {
		const trace = openTrace(await made("ksm-merge-storm", 20_000, 1024));
		const unsafe = { ...options, strategies: STRATEGIES.filter(({ safe }) => !safe) };
		const threaded = replayThreads(trace, unsafe, 2);
		const one = replayTrace(trace, unsafe);
		expectEqual(threaded, one);
		expect([1, 2]).toContain(threaded.threads);
		trace.close();
	});

	it("share the memory, and one has all of it where a share is too small", { timeout: 60_000 }, async () => {
		const trace = openTrace(await made("mixed", 20_000, 1024));
		const one = replayTrace(trace, options);
		const memoryBytes = one.peakMemoryBytes;
		const threaded = replayThreads(trace, { ...options, memoryBytes: Math.max(memoryBytes, 8 << 20) }, 8);
		expectEqual(threaded, one);
		expect(() => replayThreads(trace, { ...options, memoryBytes: 1 << 20 }, 2)).toThrow(/more memory/);
		trace.close();
	});

	it("refuse a damaged trace as one does, and end", { timeout: 60_000 }, async () => {
		const bytes = readFileSync(await made("h", 20_000, 1024));
		const at = Math.floor(bytes.length / 2);
		bytes[at] = (bytes[at] ?? 0) ^ 4;
		const bad = join(folder, "bad.mmtrace");
		writeFileSync(bad, bytes);
		const [one, two] = await Promise.all(["1", "2"].map((threads) => mmreplay(["replay", bad, "--threads", threads, "--json"])));
		expect(two).toEqual(one);
		expect(one?.status).toBe(3);
	});

	it("print one document, whatever their number", { timeout: 60_000 }, async () => {
		const path = await made("z", 20_000, 1024);
		const documents = await Promise.all(
			["1", "2"].map(async (threads) => {
				const { stdout, stderr, status } = await mmreplay(["compare", path, "--threads", threads, "--json"]);
				expect({ stderr, status }).toEqual({ stderr: "", status: 0 });
				const document = JSON.parse(stdout) as { replay: { threads: number } };
				// What a run took differs from run to run.
				const rest = JSON.stringify(document, (key, value: unknown) => (key === "replay" ? undefined : value));
				return { threads: document.replay.threads, rest: JSON.parse(rest) as unknown };
			}),
		);
		expect(documents.map(({ threads }) => threads)).toEqual([1, 2]);
		expect(documents[1]?.rest).toEqual(documents[0]?.rest);
		const refused = await mmreplay(["compare", path, "--threads", "0"]);
		expect(refused.status).toBe(2);
	});
});
