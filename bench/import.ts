// How fast imports are, as whole processes: lines or records a second, and the most memory that each took (`npm run bench:import`; `-- --gb 2` also makes
// and reads texts of that size; `-- FILE…` measures files of yours). The inputs: inputs.ts.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { champsim, damon, EVENTS_PER_RUN, lackey, qemuPlugin, TEXTS, traceDat, writeLogged, writePerfetto, writeText } from "./inputs.js";

const MAIN = fileURLToPath(new URL("../cli/main.js", import.meta.url));
/** Said by the process itself when it ends. */
const ACCOUNT = `data:text/javascript,${encodeURIComponent(
	'process.on("exit",()=>{const u=process.resourceUsage();process.stderr.write("\\nUSED "+u.maxRSS+" "+(u.userCPUTime+u.systemCPUTime)+"\\n")})',
)}`;

/** Text of 1.1 million lines or more in every layout, and runs of as many events. */
const TEXT_BYTES = 165e6;
const RUNS = 5000;

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

function newlines(path: string): number {
	const bytes = readFileSync(path);
	let count = 0;
	for (let at = bytes.indexOf(10); at >= 0; at = bytes.indexOf(10, at + 1)) count++;
	return count;
}

/** @param units lines or records in the file */
function measure(input: string, path: string, units: number, folder: string, options: readonly string[] = []): Measured {
	const out = join(folder, "out.mmtrace");
	const from = performance.now();
	const ended = spawnSync(process.execPath, ["--import", ACCOUNT, MAIN, "import", path, ...options, "-o", out, "-q"], {
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

const args = process.argv.slice(2);
const gb = args[0] === "--gb" ? Number(args[1]) : 0;
const named = gb > 0 ? [] : args;
const folder = mkdtempSync(join(tmpdir(), "mmreplay-bench-"));
const rows: Measured[] = [];

/** With the access log of its VM. */
function logged(input: string, path: string, bytes: number): void {
	const log = `${path}.log`;
	const lines = writeLogged(path, log, bytes);
	rows.push(measure(input, path, lines, folder, ["--access", log]));
	rmSync(log);
}

function all(path: string): void {
	const add = (input: string, content: string | Buffer, units: number): void => {
		writeFileSync(path, content);
		rows.push(measure(input, path, units, folder));
	};
	for (const format of Object.keys(TEXTS) as (keyof typeof TEXTS)[]) {
		const lines = writeText(path, format, TEXT_BYTES);
		rows.push(measure(format, path, lines, folder));
		if (format === "tracefs") add("tracefs, gzip", gzipSync(readFileSync(path), { level: 1 }), lines);
	}
	logged("tracefs, with an access log", path, TEXT_BYTES);
	const events = RUNS * EVENTS_PER_RUN;
	add("trace.dat v6", traceDat(RUNS, 6), events);
	add("trace.dat v7, zlib", traceDat(RUNS, 7), events);
	for (const encoding of ["dynamic", "generic"] as const) {
		writePerfetto(path, encoding, RUNS);
		rows.push(measure(`Perfetto, ${encoding}`, path, events, folder));
	}
	add("lackey", lackey(4_000_000), 4_000_000);
	add("QEMU plugin", qemuPlugin(4_000_000), 4_000_000);
	add("DAMON", damon(1_000_000), 1_000_000);
	add("ChampSim", champsim(4_000_000), 4_000_000);
}

try {
	const path = join(folder, "input");
	for (const file of named) rows.push(measure(file.split("/").at(-1) ?? file, file, newlines(file), folder));
	if (gb > 0) {
		rows.push(measure(`tracefs, ${gb} GB`, path, writeText(path, "tracefs", gb * 1e9), folder));
		logged(`tracefs, ${gb} GB, with an access log`, path, gb * 1e9);
	}
	if (args.length === 0) all(path);
	console.table(rows);
} finally {
	rmSync(folder, { recursive: true, force: true });
}
