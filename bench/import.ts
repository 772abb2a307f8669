// How fast imports are, as whole processes: lines or records a second, and the most memory that each took (`npm run bench:import`; `-- --gb 2` also makes
// and reads a text of that size; `-- FILE…` measures files of yours). The input is one small run of KVM and KSM over and over, later each time.
import { spawnSync } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, statSync, writeFileSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { asPerf, asReport, asTracefs, type RunEvent, smallRun } from "../test/import/encode.js";
import { asPerfetto, asTraceDat, gzipped } from "../test/import/encodebinary.js";

const MAIN = fileURLToPath(new URL("../cli/main.js", import.meta.url));
/** Said by the process itself when it ends. */
const ACCOUNT = `data:text/javascript,${encodeURIComponent(
	'process.on("exit",()=>{const u=process.resourceUsage();process.stderr.write("\\nUSED "+u.maxRSS+" "+(u.userCPUTime+u.systemCPUTime)+"\\n")})',
)}`;

interface Measured {
	readonly input: string;
	readonly MB: string;
	readonly "M lines or records": string;
	readonly s: string;
	readonly "CPU s": string;
	readonly "M/s": string;
	readonly "M/s of CPU": string;
	readonly "peak MB": string;
}

/** @param units lines or records in the file */
function measure(input: string, path: string, units: number, folder: string): Measured {
	const out = join(folder, "out.mmtrace");
	const from = performance.now();
	const ended = spawnSync(process.execPath, ["--import", ACCOUNT, MAIN, "import", path, "-o", out, "-q"], {
		encoding: "utf8",
		maxBuffer: 1 << 26,
	});
	const seconds = (performance.now() - from) / 1000;
	const used = /USED (\d+) (\d+)/.exec(ended.stderr);
	if (ended.status !== 0 || used === null) throw new Error(`${input}: ${ended.stderr.slice(0, 500)}`);
	const cpu = Number(used[2]) / 1e6;
	return {
		input,
		MB: (statSync(path).size / 1e6).toFixed(0),
		"M lines or records": (units / 1e6).toFixed(2),
		s: seconds.toFixed(2),
		"CPU s": cpu.toFixed(2),
		"M/s": (units / 1e6 / seconds).toFixed(2),
		"M/s of CPU": (units / 1e6 / cpu).toFixed(2),
		"peak MB": (Number(used[1]) / 1024).toFixed(0),
	};
}

const once = smallRun();
const [first, last] = [once[0]?.ns ?? 0, once.at(-1)?.ns ?? 0];
const PERIOD = last - first + 1_000_000;

function runs(from: number, count: number): RunEvent[] {
	return Array.from({ length: count }, (_, at) => once.map((event) => ({ ...event, ns: event.ns + (from + at) * PERIOD }))).flat();
}

const RUNS_AT_ONCE = 500;

/** Text of any length, a part at a time; how many lines of events it has. */
function writeText(path: string, bytes: number): number {
	const fd = openSync(path, "w");
	let lines = 0;
	for (let size = 0, run = 0; size < bytes; run += RUNS_AT_ONCE) {
		const events = runs(run, RUNS_AT_ONCE);
		const text = asTracefs(events);
		// The header stands once.
		const body = run === 0 ? text : text.slice(text.search(/^[^#]/m));
		writeSync(fd, body);
		size += body.length;
		lines += events.length;
	}
	closeSync(fd);
	return lines;
}

/** Accesses of a program that walks 64 MiB, in the formats of streams. */
function lackey(accesses: number): string {
	return Array.from(
		{ length: accesses },
		(_, at) => ` ${at % 3 === 0 ? "S" : "L"} ${(0x10_0000 + ((at * 4093) % (1 << 26))).toString(16)},8\n`,
	).join("");
}

function champsim(records: number): Buffer {
	const bytes = Buffer.alloc(records * 64);
	for (let at = 0; at < records; at++) {
		bytes.writeBigUInt64LE(BigInt(0x40_0000 + (at % 4096) * 4), at * 64);
		bytes.writeBigUInt64LE(BigInt(0x1000_0000 + ((at * 4093) % (1 << 26))), at * 64 + 32);
	}
	return bytes;
}

const args = process.argv.slice(2);
const gb = args[0] === "--gb" ? Number(args[1]) : 0;
const named = gb > 0 ? [] : args;
const folder = mkdtempSync(join(tmpdir(), "mmreplay-bench-"));
const rows: Measured[] = [];
try {
	const add = (input: string, content: string | Buffer, units: number): void => {
		const path = join(folder, "input");
		writeFileSync(path, content);
		rows.push(measure(input, path, units, folder));
	};
	for (const path of named)
		rows.push(measure(path.split("/").at(-1) ?? path, path, readFileSync(path).filter((byte) => byte === 10).length, folder));
	if (gb > 0) {
		const path = join(folder, "big");
		rows.push(measure(`tracefs, ${gb} GB`, path, writeText(path, gb * 1e9), folder));
	}
	if (args.length === 0) {
		const events = runs(0, 5000);
		const text = asTracefs(events);
		add("tracefs", text, events.length);
		add("tracefs, gzip", gzipped(text), events.length);
		add("trace-cmd report", asReport(events, false), events.length);
		const fewer = runs(0, 1000);
		add("trace-cmd report -R", asReport(fewer, true), fewer.length);
		add("perf script", asPerf(fewer), fewer.length);
		add("trace.dat v6", asTraceDat(fewer, { version: 6, compression: "none" }), fewer.length);
		add("trace.dat v7, zlib", asTraceDat(fewer, { version: 7, compression: "zlib" }), fewer.length);
		add("Perfetto", asPerfetto(fewer, "dynamic", "none"), fewer.length);
		add("lackey", lackey(4_000_000), 4_000_000);
		add("ChampSim", champsim(2_000_000), 2_000_000);
	}
	console.table(rows);
} finally {
	rmSync(folder, { recursive: true, force: true });
}
