// The package's version, and how a run was made with it.
import { readFileSync } from "node:fs";
import { arch, cpus, type as system } from "node:os";
import { basename } from "node:path";
import type { Made } from "../report/savedrun.js";

export function version(): string {
	const text = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
	return String((JSON.parse(text) as { version: unknown }).version);
}

/** An argument as a shell takes it; a path loses its folders, which are nobody's business but the user's. */
function shown(argument: string): string {
	const word = argument.startsWith("/") ? basename(argument) : argument;
	return /^[\w./:=,@+-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** This run of the command line. */
export function made(): Made {
	const threads = cpus();
	const cpu = threads[0]?.model.trim() ?? "";
	return {
		version: version(),
		command: ["mmreplay", ...process.argv.slice(2).map(shown)].join(" "),
		runtime: `Node ${process.versions.node}`,
		platform: `${system()} ${arch()}${cpu === "" ? "" : `, ${threads.length} x ${cpu}`}`,
		at: new Date().toISOString(),
	};
}
