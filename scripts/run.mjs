// Child processes of the drivers: the tools of node_modules, started by node itself so that no shell is needed.

import { spawn } from "node:child_process";
import { root } from "./stamp.mjs";

export const tools = {
	asc: "node_modules/assemblyscript/bin/asc.js",
	biome: "node_modules/@biomejs/biome/bin/biome",
	knip: "node_modules/knip/bin/knip.js",
	tsc: "node_modules/typescript/bin/tsc",
	vitest: "node_modules/vitest/vitest.mjs",
};

/** Run a script under node; resolves to its exit status and, unless `stdio` says otherwise, all it printed. */
export function node(script, args = [], options = {}) {
	return run(process.execPath, [script, ...args], options);
}

export function run(command, args, { stdio = ["ignore", "pipe", "pipe"], cwd = root, ...options } = {}) {
	return new Promise((resolve, reject) => {
		const child = spawn(command, args, { cwd, stdio, ...options });
		let output = "";
		for (const stream of [child.stdout, child.stderr]) {
			stream?.setEncoding("utf8").on("data", (text) => {
				output += text;
			});
		}
		child.on("error", reject);
		child.on("close", (code, signal) => resolve({ code: code ?? (signal === "SIGINT" ? 130 : 1), output }));
	});
}
