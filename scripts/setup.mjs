// From a fresh clone to something that runs: install from the lockfile and build, each only where needed.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "./build.mjs";
import { withLock } from "./lock.mjs";
import { run } from "./run.mjs";
import { root } from "./stamp.mjs";

function packages(path) {
	try {
		return JSON.parse(readFileSync(join(root, path), "utf8")).packages;
	} catch {
		return undefined;
	}
}

/** Whether node_modules holds what the lockfile asks for, by the record that npm leaves there. File times would not do: a checkout moves them. */
function isInstalled() {
	const wanted = packages("package-lock.json");
	const present = packages("node_modules/.package-lock.json");
	if (present === undefined) return false;
	return Object.entries(wanted).every(([path, { version, optional }]) => {
		return path === "" || (path in present ? present[path].version === version : optional === true);
	});
}

async function install() {
	if (isInstalled()) return true;
	console.error("installing the packages of package-lock.json");
	// The scripts of packages are not needed, and the own one is the build that follows.
	const args = ["ci", "--include=dev", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
	const npm = process.env.npm_execpath;
	const stdio = ["ignore", "pipe", "pipe"];
	const { code, output } = npm?.endsWith(".js")
		? await run(process.execPath, [npm, ...args], { stdio })
		: await run("npm", args, { stdio, shell: process.platform === "win32" });
	if (code !== 0) console.error(`${output.trimEnd()}\nset-up: npm ci failed`);
	return code === 0;
}

/** Leaves with status 1 where the set-up failed; what failed has been printed. */
export async function setUp() {
	const ready = (isInstalled() || (await withLock(install))) && (await build());
	if (!ready) process.exit(1);
}
