// Sources in every format with something done to them, by a seed; and what must hold of importing them: a trace that is valid and that the engine
// replays as the model does, or one line and a status.
import { expect } from "vitest";
import { replayTrace } from "../../src/engine/replay.js";
import { MmreplayError } from "../../src/errors.js";
import { importSources } from "../../src/import/index.js";
import { DEFAULT_MACHINE } from "../../src/machine/machine.js";
import { STRATEGIES } from "../../src/strategies/index.js";
import { openTrace } from "../../src/trace/reader.js";
import { validate } from "../../src/trace/validate.js";
import { TraceWriter } from "../../src/trace/writer.js";
import { expectEqual } from "../engine/compare.js";
import { referenceReplay } from "../engine/reference.js";
import { collector } from "../engine/traces.js";
import { asBpftrace, asBpftraceJson, asLatency, asPerf, asReport, asTracefs, smallRun } from "./encode.js";
import { asPerfetto, asTraceDat } from "./encodebinary.js";
import { file } from "./sources.js";

const run = smallRun();

export const SPOILED: Readonly<Record<string, { readonly whole: Buffer; readonly binary: boolean }>> = Object.fromEntries([
	...Object.entries({
		tracefs: asTracefs(run),
		latency: asLatency(run),
		"trace-cmd report": asReport(run, false),
		"trace-cmd report -R": asReport(run, true),
		"perf script": asPerf(run),
		bpftrace: asBpftrace(run),
		"bpftrace, JSON": asBpftraceJson(run),
	}).map(([name, text]) => [name, { whole: Buffer.from(text), binary: false }]),
	...Object.entries({
		"trace.dat v6": asTraceDat(run, { version: 6, compression: "none" }),
		"trace.dat v7, zlib": asTraceDat(run, { version: 7, compression: "zlib" }),
		"trace.dat v7, zstd": asTraceDat(run, { version: 7, compression: "zstd" }),
		"Perfetto, named fields": asPerfetto(run, "generic", "none"),
		"Perfetto, descriptors, deflate": asPerfetto(run, "dynamic", "deflate"),
	}).map(([name, whole]) => [name, { whole, binary: true }]),
]);

/** Marsaglia's xorshift: numbers below `n`. */
function drawer(seed: number): (n: number) => number {
	let state = (Math.imul(seed + 1, 2_654_435_761) | 0) ^ 0x2545_f491 || 1;
	return (n) => {
		state ^= state << 13;
		state ^= state >>> 17;
		state ^= state << 5;
		return Math.floor(((state >>> 0) / 2 ** 32) * n);
	};
}

const NUMBERS = [
	"0x0",
	"-1",
	"0xffffffffffffffff",
	"18446744073709551615",
	"0xffff888100000000",
	"0x8000000000000000",
	"",
	"NaN",
	"0x7f0000001001",
	"1e9",
];
const WORDS = [0n, 1n, 0xffff_ffff_ffff_ffffn, 1n << 63n, 1n << 53n, 4096n, (1n << 62n) + 5n];

function spoiledText(whole: Buffer, draw: (n: number) => number): Buffer {
	const lines = whole.toString("latin1").split("\n");
	const at = draw(lines.length);
	const line = lines[at] ?? "";
	switch (draw(7)) {
		case 0:
			lines[at] = line.slice(0, draw(line.length + 1));
			break;
		case 1:
			lines[at] = line.slice(draw(line.length + 1));
			break;
		case 2:
			lines.splice(draw(lines.length), 0, ...lines.splice(at, draw(20)));
			break;
		case 3:
			lines.splice(at, 0, line);
			break;
		case 4:
			lines[at] = line.replace(/0x[0-9a-f]+|\b\d+\b/g, (number) => (draw(4) === 0 ? (NUMBERS[draw(NUMBERS.length)] ?? "") : number));
			break;
		case 5:
			lines.splice(at, 0, Buffer.from(Array.from({ length: draw(60) }, () => draw(256))).toString("latin1"));
			break;
		default:
			return whole.subarray(0, draw(whole.length));
	}
	return Buffer.from(lines.join("\n"), "latin1");
}

function spoiledBytes(whole: Buffer, draw: (n: number) => number): Buffer {
	const at = draw(whole.length - 8);
	const copy = Buffer.from(whole);
	switch (draw(5)) {
		case 0:
			copy[at] = draw(256);
			return copy;
		case 1:
			copy.writeBigUInt64LE(WORDS[draw(WORDS.length)] ?? 0n, at);
			return copy;
		case 2:
			return Buffer.concat([copy.subarray(0, at), copy.subarray(at + draw(300))]);
		case 3:
			return Buffer.concat([copy.subarray(0, at), whole.subarray(0, draw(300)), copy.subarray(at)]);
		default:
			return copy.subarray(0, at);
	}
}

const OPTIONS = { strategies: STRATEGIES.filter(({ name }) => name === "fix"), machine: DEFAULT_MACHINE, check: true };

/** Imports a spoiled source as it is and with --lenient. */
export async function spoiledEndsCleanly(name: string, seed: number): Promise<void> {
	const draw = drawer(seed);
	const { whole, binary } = SPOILED[name] ?? { whole: Buffer.alloc(0), binary: false };
	let content = whole;
	for (let times = 1 + draw(3); times > 0; times--)
		content = content.length < 16 ? content : (binary ? spoiledBytes : spoiledText)(content, draw);
	const path = file(content);
	for (const lenient of [false, true]) {
		const { sink, bytes } = collector();
		const writer = new TraceWriter(sink);
		try {
			writer.finish(await importSources({ sources: [path], lenient }, writer));
		} catch (error) {
			writer.abort();
			if (!(error instanceof MmreplayError)) throw error;
			expect([3, 4], `${name}, seed ${seed}`).toContain(error.exitCode);
			expect(error.message).not.toMatch(/\p{Cc}/u);
			expect(error.where, error.message).toBeDefined();
			continue;
		}
		const trace = file(bytes());
		expect(validate(trace).problems, `${name}, seed ${seed}`).toEqual([]);
		const opened = openTrace(trace);
		expectEqual(replayTrace(opened, OPTIONS), referenceReplay(opened, OPTIONS));
		opened.close();
	}
}
