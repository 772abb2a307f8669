// npm start: set-up, then the comparison of the strategies on a trace that comes with the project, as a table, as JSON and as a page.

import { mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { node } from "./run.mjs";
import { setUp } from "./setup.mjs";
import { root } from "./stamp.mjs";

await setUp();
const traces = readdirSync(join(root, "traces"))
	.filter((name) => name.endsWith(".mmtrace"))
	.sort();
const trace = traces.find((name) => name.startsWith("linux-guests")) ?? traces[0];
if (trace === undefined) {
	console.error("start: no traces/*.mmtrace to compare on");
	process.exit(1);
}

const report = "report/compare.json";
const page = "report/compare.html";
mkdirSync(join(root, "report"), { recursive: true });
const args = ["compare", `traces/${trace}`, "-o", report, "--html", page, ...process.argv.slice(2)];
const { code } = await node("bin/mmreplay.js", args, { stdio: "inherit" });
if (code === 0 || code === 1) console.error(`report: ${report}, ${page}`);
process.exitCode = code;
