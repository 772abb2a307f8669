// What the build reads, and whether dist/ still matches it. Node built-ins only, and few of them: bin/ asks on every start.

import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("..", import.meta.url));
export const stampFile = join(root, "dist", ".stamp.json");

const shared = ["package-lock.json"];
const inputs = {
	command: ["src", "tsconfig.json", "tsconfig.build.json", ...shared],
	engine: ["assembly", "asconfig.json", ...shared],
	generators: ["traces/mmtrace.proto", "scripts"],
};
const outputs = { command: "dist/cli/main.js", engine: "dist/engine/release.wasm" };
const sources = { command: "src/cli/main.ts", engine: "assembly/index.ts" };

function* walk(path) {
	const stat = statSync(`${root}${path}`, { throwIfNoEntry: false });
	if (stat?.isFile()) yield { path, size: stat.size, mtime: stat.mtimeMs };
	if (stat?.isDirectory()) yield* below(path);
}

function* below(folder) {
	// In one order, whatever the file system's; a folder is not asked for its times.
	const entries = readdirSync(`${root}${folder}`, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1));
	for (const entry of entries) {
		const { name } = entry;
		if (name.startsWith(".") || name.endsWith("~")) continue;
		if (entry.isDirectory()) yield* below(`${folder}/${name}`);
		else yield* walk(`${folder}/${name}`);
	}
}

/** Every input file of a part of the build (of all parts by default). */
export function* inputFiles(part) {
	const paths = part === undefined ? [...new Set(Object.values(inputs).flat())] : inputs[part];
	for (const path of paths) yield* walk(path);
}

/** Names, sizes and times of all inputs: cheap to take, so it is compared first; contents decide where it differs. */
export function listing() {
	let lines = "";
	for (const { path, size, mtime } of inputFiles()) lines += `${path} ${size} ${mtime}\n`;
	return lines;
}

export function exists(path) {
	return statSync(join(root, path), { throwIfNoEntry: false }) !== undefined;
}

/** Whether a part's output is there, or its source is not. */
export function isPresent(part) {
	return exists(outputs[part]) || !exists(sources[part]);
}

export function readStamp() {
	try {
		return JSON.parse(readFileSync(stampFile, "utf8"));
	} catch {
		return undefined;
	}
}

export function isFresh() {
	return isPresent("command") && isPresent("engine") && readStamp()?.listing === listing();
}
