// npm test: set-up, then the checks and the unit suites, all of them even where one fails.
// --ci: only the suites that need ../shared or a system package; --browser: only those in Chromium. --summary FILE: the counts, as JSON. All else goes to vitest.

import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { node, tools } from "./run.mjs";
import { setUp } from "./setup.mjs";
import { exists, root } from "./stamp.mjs";

const args = process.argv.slice(2);

function take(name, following) {
	const at = args.indexOf(name);
	return at < 0 ? [] : args.splice(at, 1 + following);
}

const ci = take("--ci", 0).length > 0;
const browser = take("--browser", 0).length > 0;
const [, summary] = take("--summary", 1);
await setUp();

const checks = [
	{ name: "lint", script: tools.biome, args: ["check", "--error-on-warnings"] },
	{ name: "lint of assembly/", script: "scripts/assembly-style.mjs" },
	{ name: "types", script: tools.tsc, args: ["--pretty", "false"] },
	{ name: "dead exports", script: tools.knip },
];
const results = [];

async function check({ name, script, args }) {
	const started = performance.now();
	const { code, output } = await node(script, args);
	const seconds = ((performance.now() - started) / 1000).toFixed(1);
	console.log(`${code === 0 ? "passed" : "FAILED"}  ${name} (${seconds} s)`);
	if (code !== 0) console.log(`${output.trimEnd()}\n`);
	results.push({ name, passed: code === 0 ? 1 : 0, failed: code === 0 ? 0 : 1, skipped: 0 });
}

async function suites(project, args) {
	const report = join(root, "dist", `.vitest-${project}.json`);
	rmSync(report, { force: true });
	const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${report}`];
	const { code } = await node(tools.vitest, ["run", "--project", project, ...reporters, ...args], { stdio: "inherit" });
	const counts = { name: `${project} tests`, passed: 0, failed: 0, skipped: 0 };
	if (exists(`dist/.vitest-${project}.json`)) {
		const found = JSON.parse(readFileSync(report, "utf8"));
		counts.passed = found.numPassedTests;
		// A file that cannot be loaded has no tests to count, and is a failure all the same.
		const unloaded = found.testResults.filter(({ status, assertionResults }) => status === "failed" && assertionResults.length === 0);
		counts.failed = found.numFailedTests + unloaded.length;
		counts.skipped = found.numPendingTests + found.numTodoTests;
	}
	if (code !== 0 && counts.failed === 0) counts.failed = 1;
	results.push(counts);
}

if (ci) await suites("ci", ["--passWithNoTests", ...args]);
else if (browser) await suites("browser", args);
else {
	for (const each of checks) await check(each);
	await suites("unit", args);
}

const failed = results.filter((result) => result.failed > 0);
if (summary !== undefined) {
	mkdirSync(dirname(resolve(summary)), { recursive: true });
	writeFileSync(summary, JSON.stringify(results));
}
if (failed.length > 0) {
	console.log(`FAILED: ${failed.map(({ name, failed }) => `${name} (${failed})`).join(", ")}`);
	process.exitCode = 1;
}
