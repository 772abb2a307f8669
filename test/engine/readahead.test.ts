// What a thread has read ahead is what the replay would have read itself, and so is what went wrong (src/engine/readahead.ts).
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ReadAhead } from "../../src/engine/readahead.js";
import { type ReplayOptions, type ReplayResult, replayTrace } from "../../src/engine/replay.js";
import { BadInputError } from "../../src/errors.js";
import { generatedHeader, generateInto } from "../../src/generate/generate.js";
import { WORKLOADS, type Workload } from "../../src/generate/workload.js";
import { STRATEGIES } from "../../src/strategies/index.js";
import { openTrace } from "../../src/trace/reader.js";
import type { CodecName } from "../../src/trace/wire.js";
import { TraceWriter } from "../../src/trace/writer.js";
import { MAIN } from "../cli/process.js";
import { SMALL } from "./traces.js";

const options: ReplayOptions = { strategies: STRATEGIES.slice(0, 3), machine: SMALL, check: true };

function workload(name: string): Workload {
	const found = WORKLOADS.find((one) => one.name === name);
	if (found === undefined) throw new Error(name);
	return found.workload;
}

let folder = "";
beforeAll(() => {
	folder = mkdtempSync(join(tmpdir(), "mmreplay-ahead-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

async function made(name: string, events: number, blockEvents: number, codec: CodecName = "none"): Promise<string> {
	const path = join(folder, `${name}-${events}-${blockEvents}-${codec}.mmtrace`);
	const writer = new TraceWriter(path, { header: generatedHeader(name, workload(name)), codec });
	await generateInto(writer, workload(name), { events, seed: 7, blockEvents });
	writer.finish();
	return path;
}

interface Run {
	readonly result: Omit<ReplayResult, "seconds" | "decodeSeconds"> | string;
	readonly digest: string;
}

/** Replay a file, with a thread or without; what it ends in. */
function run(path: string, withThread: boolean, meanwhile?: (events: number) => void): Run {
	const trace = openTrace(path);
	try {
		const ahead = withThread ? ReadAhead.begin(trace, 0) : undefined;
		if (withThread) expect(ahead?.up(20_000)).toBe(true);
		const { seconds: _, decodeSeconds: __, ...result } = replayTrace(trace, { ...options, ahead }, meanwhile);
		return { result, digest: trace.digest() };
	} catch (error) {
		if (!(error instanceof BadInputError)) throw error;
		return { result: `${error.message}\n${error.hint}`, digest: "" };
	} finally {
		trace.close();
	}
}

describe("a trace read ahead", () => {
	it.each(["none", "deflate-raw"] as const)("is replayed as one that is not, codec %s", async (codec) => {
		for (const [name, blockEvents] of [
			["mixed", 512],
			["hits", 4096],
		] as const) {
			const path = await made(name, 40_000, blockEvents, codec);
			expect(run(path, true)).toEqual(run(path, false));
		}
	});

	it("leaves blocks that are too long for the ring to the replay", async () => {
		const path = await made("uniform", 600_000, 1 << 18);
		expect(run(path, true)).toEqual(run(path, false));
	});

	it("is handed over by the thread, not read again", async () => {
		const trace = openTrace(await made("mixed", 40_000, 512));
		const ahead = ReadAhead.begin(trace, 0);
		expect(ahead?.up(20_000)).toBe(true);
		let payloads = 0;
		for (const block of trace.blocks(undefined, ahead?.foreseen)) {
			const payload = ahead?.payload(block);
			if (payload === undefined) continue;
			payloads++;
			expect(Buffer.compare(payload, trace.payload(block))).toBe(0);
		}
		ahead?.end();
		trace.close();
		// On a loaded machine the replay overtakes the thread, and then reads itself.
		expect(payloads).toBeGreaterThan(0);
	});

	it("is refused in the same words where it is damaged, wherever that is", async () => {
		const path = await made("mixed", 40_000, 2048);
		const good = readFileSync(path);
		const bad = join(folder, "bad.mmtrace");
		for (let at = 400; at < good.length; at += Math.floor(good.length / 7)) {
			const bytes = Buffer.from(good);
			bytes[at] = (bytes[at] ?? 0) ^ 0x40;
			writeFileSync(bad, bytes);
			const alone = run(bad, false);
			expect(run(bad, true)).toEqual(alone);
			writeFileSync(bad, good.subarray(0, at));
			expect(run(bad, true)).toEqual(run(bad, false));
		}
	});

	it("that shrinks meanwhile is cut off where its bytes end", async () => {
		const path = await made("hits", 200_000, 2048);
		const ended = run(path, true, (events) => {
			if (events >= 20_480) truncateSync(path, 500_000);
		});
		expect(ended.result).toMatch(/the trace is cut off after \d+ whole blocks/);
	});

	it("of a pipe's or of memory's bytes has no thread", async () => {
		const path = await made("hits", 40_000, 4096);
		expect(ReadAhead.begin(openTrace(readFileSync(path)), 0)).toBeUndefined();
		const trace = openTrace(path);
		expect(ReadAhead.begin(trace)).toBeUndefined();
		trace.close();
	});
});

describe("a process that reads ahead", () => {
	/** Long enough for a thread. */
	let long = "";
	beforeAll(async () => {
		long = await made("hits", 7_000_000, 32_768);
	}, 60_000);

	const start = (path: string): ReturnType<typeof spawn> =>
		spawn(process.execPath, [MAIN, "replay", path, "--no-check", "--json"], { stdio: ["ignore", "pipe", "pipe"] });

	it("ends after its result, and after an error in the last block", { timeout: 60_000 }, async () => {
		const bytes = readFileSync(long);
		const bad = join(folder, "last.mmtrace");
		bytes[bytes.length - 50_000] = (bytes[bytes.length - 50_000] ?? 0) ^ 1;
		writeFileSync(bad, bytes);
		for (const [path, status] of [
			[long, 0],
			[bad, 3],
		] as const) {
			const child = start(path);
			let out = "";
			let err = "";
			child.stdout?.on("data", (chunk) => {
				out += String(chunk);
			});
			child.stderr?.on("data", (chunk) => {
				err += String(chunk);
			});
			const ended = await new Promise((resolve) => child.on("close", resolve));
			expect(err).toMatch(
				status === 0 ? /^$/ : /^mmreplay: error: the trace is damaged: block 213 has a wrong checksum \(.*\)\nhint: .*\n$/,
			);
			expect(ended).toBe(status);
			if (status === 0) expect(JSON.parse(out)).toMatchObject({ trace: { events: 7_000_000 } });
		}
	});

	it("goes at an interrupt", { timeout: 60_000 }, async () => {
		const child = start(long);
		// Where it comes to its end first: a pipe that nobody reads never closes.
		child.stdout?.resume();
		child.stderr?.resume();
		const closed = new Promise<unknown[]>((resolve) => child.on("close", (...how) => resolve(how)));
		await new Promise((resolve) => setTimeout(resolve, 200));
		child.kill("SIGINT");
		const [status, signal] = await closed;
		// It may have come to its end before.
		expect(signal === "SIGINT" || status === 0).toBe(true);
	});
});
