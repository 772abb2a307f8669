// What a start costs: `mmreplay replay` of a small trace as a process, against node with nothing to do, in turn.
import { spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const MAIN = fileURLToPath(new URL("../cli/main.js", import.meta.url));
/** Required before anything else: says at the end what processor time it took, all threads together, in microseconds. */
const TELLS = 'process.on("exit",()=>{const{user,system}=process.cpuUsage();require("node:fs").writeSync(2,"\\n"+(user+system))});\n';

export interface Start {
	/** Milliseconds above an empty node: by the clock, and of processor time. */
	readonly clock: number;
	readonly cpu: number;
}

function run(tells: string, args: readonly string[]): Start {
	const began = performance.now();
	const { stderr, status } = spawnSync(process.execPath, ["-r", tells, ...args], { stdio: ["ignore", "ignore", "pipe"], encoding: "utf8" });
	const clock = performance.now() - began;
	if (status !== 0) throw new Error(`a start to be timed ended with status ${status}: ${stderr}`);
	return { clock, cpu: Number(stderr.split("\n").at(-1)) / 1000 };
}

/** Run by run. `cache`: for a file of our own. */
export function startup(cache: string, trace: string, runs: number): Start[] {
	mkdirSync(cache, { recursive: true });
	const tells = join(cache, "tells.cjs");
	writeFileSync(tells, TELLS);
	return Array.from({ length: runs }, () => {
		const empty = run(tells, ["-e", "0"]);
		const one = run(tells, [MAIN, "replay", trace, "-s", "drop", "--json"]);
		return { clock: one.clock - empty.clock, cpu: one.cpu - empty.cpu };
	});
}
