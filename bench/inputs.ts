// Captures of any length in every format, for measuring imports: a small run of KVM and KSM over and over, later each time and on other pages.
import { closeSync, openSync, readFileSync, writeSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { asBpftrace, asBpftraceJson, asLatency, asPerf, asReport, asTracefs, type RunEvent, smallRun } from "../test/import/encode.js";
import { asPerfetto, asTraceDat } from "../test/import/encodebinary.js";

/** Places in the guest that the runs take turns with. */
const PLACES = 64;
const PLACE_PAGES = 16n;
const once = smallRun();
const begin = once[0]?.ns ?? 0;
const PERIOD = (once.at(-1)?.ns ?? 0) - begin + 1_000_000;
const RUNS: readonly RunEvent[][] = Array.from({ length: PLACES }, (_, place) => smallRun(BigInt(place) * PLACE_PAGES));
export const EVENTS_PER_RUN = once.length;

function runs(from: number, count: number): RunEvent[] {
	return Array.from({ length: count }, (_, at) =>
		(RUNS[(from + at) % PLACES] ?? once).map((event) => ({ ...event, ns: event.ns + (from + at) * PERIOD })),
	).flat();
}

/** A format of text, and how many lines of its own stand before the first event. */
export const TEXTS = {
	tracefs: { encode: asTracefs, head: 3 },
	"tracefs, latency": { encode: asLatency, head: 4 },
	"trace-cmd report": { encode: (events: readonly RunEvent[]) => asReport(events, false), head: 1 },
	"trace-cmd report -R": { encode: (events: readonly RunEvent[]) => asReport(events, true), head: 1 },
	"perf script": { encode: asPerf, head: 0 },
	bpftrace: { encode: asBpftrace, head: 1 },
	"bpftrace, JSON": { encode: asBpftraceJson, head: 2 },
} as const;

const RUNS_AT_ONCE = 256;

function behindLines(text: string, lines: number): string {
	let at = 0;
	for (let line = 0; line < lines; line++) at = text.indexOf("\n", at) + 1;
	return text.slice(at);
}

/** Writes a file of at least `bytes`, a part at a time; how many events are in it. */
export function writeText(path: string, format: keyof typeof TEXTS, bytes: number): number {
	const { encode, head } = TEXTS[format];
	const fd = openSync(path, "w");
	let written = 0;
	let events = 0;
	for (let run = 0; written < bytes; run += RUNS_AT_ONCE) {
		const part = runs(run, RUNS_AT_ONCE);
		const text = encode(part);
		written += writeSync(fd, run === 0 ? text : behindLines(text, head));
		events += part.length;
	}
	closeSync(fd);
	return events;
}

/** Perfetto, with typed or generic events, in parts that each carry their descriptors. */
export function writePerfetto(path: string, encoding: "generic" | "dynamic", count: number): number {
	const fd = openSync(path, "w");
	for (let run = 0; run < count; run += RUNS_AT_ONCE)
		writeSync(fd, asPerfetto(runs(run, Math.min(RUNS_AT_ONCE, count - run)), encoding, "none"));
	closeSync(fd);
	return count * EVENTS_PER_RUN;
}

export const traceDat = (count: number, version: 6 | 7): Buffer =>
	asTraceDat(runs(0, count), { version, compression: version === 6 ? "none" : "zlib" });

/** An address of a program that walks 64 MiB. */
const walked = (at: number): number => 0x10_0000 + ((at * 4093) % (1 << 26));

export const lackey = (accesses: number): string =>
	Array.from({ length: accesses }, (_, at) => ` ${at % 3 === 0 ? "S" : "L"} ${walked(at).toString(16)},8\n`).join("");

export const qemuPlugin = (accesses: number): string =>
	Array.from(
		{ length: accesses },
		(_, at) => `${at & 1} ${at % 3 === 0 ? "W" : "R"} 8 7f00${walked(at).toString(16)} ${walked(at).toString(16)} ffffffff81000000\n`,
	).join("");

export const damon = (regions: number): string =>
	Array.from({ length: regions }, (_, at) => {
		const page = (at * 16) % (1 << 14);
		return `     kdamond.0-77 [000] .... ${(100 + at / 1000).toFixed(6)}: damon_aggregated: target_id=0 nr_regions=64 ${page * 4096}-${(page + 16) * 4096}: ${at % 3} 4\n`;
	}).join("");

export function champsim(records: number): Buffer {
	const bytes = Buffer.alloc(records * 64);
	const words = new Uint32Array(bytes.buffer, bytes.byteOffset, records * 16);
	for (let at = 0; at < records; at++) {
		words[at * 16] = 0x40_0000 + (at % 4096) * 4;
		words[at * 16 + 8] = 0x1000_0000 + ((at * 4093) % (1 << 26));
	}
	return bytes;
}

const CAPTURE = new URL("../../test/fixtures/captures/stock-tiny/", import.meta.url);
const captured = (name: string): string[] =>
	gunzipSync(readFileSync(new URL(name, CAPTURE)))
		.toString()
		.trimEnd()
		.split("\n");
const STAMP = /( +)(\d+\.\d{6})(: .*)/;
const PHASE = /PHASE (\d+) /;

/**
 * A real capture over and over, its phases numbered on, until the text has so many bytes, and the access log of its VM; how many lines both have. What ran
 * between the first phase and the last is repeated.
 */
export function writeLogged(trace: string, log: string, bytes: number): number {
	const lines = captured("trace.txt.gz");
	const first = lines.findIndex((line) => line.includes(" BEGIN "));
	const last = lines.findLastIndex((line) => line.includes(" END "));
	const phases = Number(PHASE.exec(lines[last] ?? "")?.[1]);
	const body = lines.slice(first, last + 1).map((line) => {
		const [, , stamp = "0", rest = ""] = STAMP.exec(line) ?? [];
		return { begin: line.slice(0, line.indexOf(stamp)).trimEnd(), seconds: Number(stamp), rest };
	});
	const period = (body.at(-1)?.seconds ?? 0) - (body[0]?.seconds ?? 0) + 0.001;
	const accesses = captured("access.vm0.txt.gz");
	const head = accesses.filter((line) => line.startsWith("#"));
	const logged = accesses.filter((line) => !line.startsWith("#")).map((line) => /^(\d+)(.*)$/.exec(line) ?? []);
	const text = openSync(trace, "w");
	const beside = openSync(log, "w");
	let written = writeSync(text, `${lines.slice(0, first).join("\n")}\n`);
	writeSync(beside, `${head.join("\n")}\n`);
	let count = first + head.length;
	for (let run = 0; written < bytes; run++) {
		const number = (phase: string): number => Number(phase) + run * phases;
		const part = body.map(({ begin, seconds, rest }) => {
			const stamp = (seconds + run * period).toFixed(6).padStart(13);
			return `${begin}${stamp}${rest.replace(PHASE, (_, phase: string) => `PHASE ${number(phase)} `)}\n`;
		});
		written += writeSync(text, part.join(""));
		writeSync(beside, logged.map(([, phase = "", rest = ""]) => `${number(phase)}${rest}\n`).join(""));
		count += part.length + logged.length;
	}
	closeSync(text);
	closeSync(beside);
	return count;
}
