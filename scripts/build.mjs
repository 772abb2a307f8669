// The build: generated sources, then dist/ from src/ (tsc; esbuild for what is one file) and dist/engine/ from assembly/ (asc). Only what changed is built
// again.

import { createHash } from "node:crypto";
import { copyFileSync, mkdirSync, readdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { buildCommands, buildPages, buildThreads } from "./bundles.mjs";
import { withLock } from "./lock.mjs";
import { node, tools } from "./run.mjs";
import { exists, inputFiles, isFresh, isPresent, listing, readStamp, root, stampFile } from "./stamp.mjs";

// Constants first: the schema's module may use them, and both are sources of what follows.
const generators = ["scripts/generate-constants.mjs", "scripts/generate-schema.mjs"];
const engineTargets = ["release", "scalar", "debug"];
// The targets share their warnings.
const printed = new Set();

class BuildError extends Error {}

async function step(name, script, args) {
	const { code, output } = await node(script, args);
	if (output.trim() !== "" && !printed.has(output)) console.error(output.trimEnd());
	printed.add(output);
	if (code !== 0) throw new BuildError(`${name} failed`);
}

function contentHash(part) {
	const hash = createHash("sha256");
	for (const { path, size } of inputFiles(part)) hash.update(`${path} ${size}\n`).update(readFileSync(join(root, path)));
	return hash.digest("hex");
}

function* filesBelow(directory) {
	for (const entry of readdirSync(join(root, directory), { withFileTypes: true })) {
		const path = `${directory}/${entry.name}`;
		if (entry.isDirectory()) yield* filesBelow(path);
		else if (!entry.name.startsWith(".")) yield path;
	}
}

/** tsc leaves out what is not TypeScript (a generated module, a page's template): copied. What lost its source goes. */
async function buildCommand() {
	const { code, output } = await node(tools.tsc, ["-p", "tsconfig.build.json", "--listEmittedFiles", "--pretty", "false"]);
	const lines = output.split("\n").filter((line) => line !== "");
	const emitted = lines.filter((line) => line.startsWith("TSFILE: "));
	if (code !== 0) {
		console.error(lines.filter((line) => !line.startsWith("TSFILE: ")).join("\n"));
		throw new BuildError("tsc failed");
	}
	const written = emitted.map((line) => relative(root, line.slice("TSFILE: ".length)).replaceAll("\\", "/"));
	// The bundles have all of it.
	const kept = new Set(written.filter((path) => !path.startsWith("dist/cli/")));
	for (const source of filesBelow("src")) {
		if (source.endsWith(".ts")) continue;
		const copy = source.replace(/^src/, "dist");
		mkdirSync(dirname(join(root, copy)), { recursive: true });
		copyFileSync(join(root, source), join(root, copy));
		kept.add(copy);
	}
	for (const bundle of [buildCommands, buildThreads, buildPages]) {
		const { files, complaint } = await bundle();
		if (complaint !== "") {
			console.error(complaint);
			throw new BuildError("esbuild failed");
		}
		for (const path of files) kept.add(path);
	}
	for (const path of filesBelow("dist")) {
		if (!kept.has(path) && !/\.wasm(\.map)?$/.test(path)) rmSync(join(root, path));
	}
}

async function buildEngine() {
	for (const target of engineTargets) await step(`asc (${target})`, tools.asc, ["--target", target]);
	await step("asc (generator)", tools.asc, ["--config", "assembly/generator/asconfig.json", "--target", "release"]);
}

async function buildChanged(force) {
	const before = force ? undefined : readStamp();
	if (!exists(tools.tsc)) throw new BuildError("the compilers are not installed (npm ci brings them)");
	const current = () => ({ all: contentHash(), command: contentHash("command"), engine: contentHash("engine") });
	let parts = current();
	if (before?.parts.all !== parts.all || !isPresent("command") || !isPresent("engine")) {
		console.error("building mmreplay");
		for (const script of generators) if (exists(script)) await step(script, script);
		parts = current();
	}
	const taken = listing();
	const work = { command: exists("src") && buildCommand, engine: exists("assembly/index.ts") && buildEngine };
	const failures = [];
	await Promise.all(
		Object.keys(work).map(async (part) => {
			if (!work[part] || (before?.parts[part] === parts[part] && isPresent(part))) return;
			try {
				await work[part]();
			} catch (error) {
				failures.push(error);
				parts[part] = undefined;
			}
		}),
	);
	// A part that was built stays so, even beside one that failed.
	const complete = failures.length === 0;
	mkdirSync(dirname(stampFile), { recursive: true });
	writeFileSync(stampFile, JSON.stringify(complete ? { parts, listing: taken } : { parts: { ...parts, all: undefined } }));
	if (!complete) throw failures.find((error) => !(error instanceof BuildError)) ?? failures[0];
}

/** Bring dist/ up to date. @returns false where something failed; what it was has been printed. */
export async function build({ force = false } = {}) {
	if (!force && isFresh()) return true;
	try {
		await withLock(async () => {
			if (force || !isFresh()) await buildChanged(force);
		});
		return true;
	} catch (error) {
		if (!(error instanceof BuildError)) throw error;
		console.error(`build: ${error.message}`);
		return false;
	}
}

if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
	if (!(await build({ force: process.argv.includes("--force") }))) process.exitCode = 1;
}
