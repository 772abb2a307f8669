// What a start costs: `mmreplay replay` of a small trace as a process, against node with nothing to do, in turn.
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";

const MAIN = fileURLToPath(new URL("../cli/main.js", import.meta.url));

function milliseconds(args: readonly string[]): number {
	const began = performance.now();
	execFileSync(process.execPath, args, { stdio: "ignore" });
	return performance.now() - began;
}

/** Milliseconds above an empty node, run by run. */
export function startup(trace: string, runs: number): number[] {
	return Array.from({ length: runs }, () => {
		const empty = milliseconds(["-e", "0"]);
		return milliseconds([MAIN, "replay", trace, "-s", "drop", "--json"]) - empty;
	});
}
