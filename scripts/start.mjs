// npm start: set-up, then the comparison of the strategies on a trace that comes with the project, as a table and as JSON.

import { mkdirSync, openSync, readdirSync } from "node:fs";
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
const compare = (options, stdout) =>
	node("bin/mmreplay.js", ["compare", `traces/${trace}`, ...process.argv.slice(2), ...options], { stdio: ["inherit", stdout, "inherit"] });
let { code } = await compare([], "inherit");
if (code === 0 || code === 1) {
	mkdirSync(join(root, "report"), { recursive: true });
	({ code } = await compare(["--json", "--quiet"], openSync(join(root, report), "w")));
	if (code === 0 || code === 1) console.log(`report: ${report}`);
}
process.exitCode = code;
