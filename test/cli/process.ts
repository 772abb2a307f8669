// The command line as a process, from the built dist/.
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

export const MAIN = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));

export interface Ended {
	readonly status: number | null;
	readonly signal: NodeJS.Signals | null;
	readonly stdout: string;
	readonly stderr: string;
}

export interface RunOptions {
	readonly input?: Uint8Array | string;
	readonly env?: Readonly<Record<string, string>>;
	readonly cwd?: string;
}

/** Run `mmreplay ARGS`. */
export function mmreplay(args: readonly string[], options: RunOptions = {}): Promise<Ended> {
	const { MMREPLAY_DEBUG: _, NO_COLOR: __, ...env } = process.env;
	const child = spawn(process.execPath, [MAIN, ...args], {
		stdio: ["pipe", "pipe", "pipe"],
		env: { ...env, ...options.env },
		...(options.cwd === undefined ? {} : { cwd: options.cwd }),
	});
	const out: Buffer[] = [];
	const err: Buffer[] = [];
	child.stdout.on("data", (chunk: Buffer) => out.push(chunk));
	child.stderr.on("data", (chunk: Buffer) => err.push(chunk));
	// A command that never reads its input closes it under us.
	child.stdin.on("error", () => undefined);
	child.stdin.end(options.input ?? "");
	return new Promise((resolve, reject) => {
		child.on("error", reject);
		child.on("close", (status, signal) => {
			resolve({ status, signal, stdout: Buffer.concat(out).toString(), stderr: Buffer.concat(err).toString() });
		});
	});
}
