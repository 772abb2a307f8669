// npm run profile -- TRACE [STRATEGY,...]: a CPU profile of a replay that names the engine's functions. It takes a build of its own, release with names.
// The whole profile stays in .bench/ for Chrome's DevTools.

import { mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { build } from "./build.mjs";
import { node, tools } from "./run.mjs";
import { root } from "./stamp.mjs";

const SHOWN = 25;
const [trace, strategies = "drop"] = process.argv.slice(2);
if (trace === undefined) {
	console.error("usage: npm run profile -- TRACE [STRATEGY,...]     (mmreplay generate z -o z.mmtrace -n 20000000 makes a trace)");
	process.exit(2);
}
if (!(await build())) process.exit(1);
const { code: compiled, output } = await node(tools.asc, ["--target", "profile"]);
if (compiled !== 0) {
	console.error(output);
	process.exit(1);
}
const folder = join(root, ".bench", "profile");
rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });
const task = { mode: "engine", trace: resolve(trace), strategies: strategies.split(","), check: false, skip: 0, build: "profile" };
const flags = ["--cpu-prof", "--cpu-prof-interval", "200", `--cpu-prof-dir=${folder}`];
const ran = await node(flags[0], [...flags.slice(1), join(root, "dist/bench/child.js"), JSON.stringify(task)]);
if (ran.code !== 0) {
	console.error(ran.output);
	process.exit(1);
}
const [name = ""] = readdirSync(folder);
const { nodes, samples, timeDeltas } = JSON.parse(readFileSync(join(folder, name), "utf8"));
const byId = new Map(nodes.map((each) => [each.id, each.callFrame]));
const self = new Map();
let all = 0;
for (const [at, id] of samples.entries()) {
	const { functionName, url } = byId.get(id);
	const place = url.startsWith("wasm") ? "engine" : url.split("/").slice(-2).join("/") || "V8";
	const key = `${functionName || "(anonymous)"}\t${place}`;
	self.set(key, (self.get(key) ?? 0) + timeDeltas[at]);
	all += timeDeltas[at];
}
for (const [key, time] of [...self].sort(([, a], [, b]) => b - a).slice(0, SHOWN)) {
	const [functionName, place] = key.split("\t");
	console.log(`${((100 * time) / all).toFixed(1).padStart(5)}% ${(time / 1000).toFixed(0).padStart(7)} ms  ${functionName} (${place})`);
}
console.log(`\nthe whole profile: ${join(".bench", "profile", name)}`);
