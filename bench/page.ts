// npm run bench:page: what a reader of reports waits for, in Debian's Chromium (CHROMIUM=FILE names another). The report of 10 million events under
// five strategies: its size, and how long until it is drawn. The page that replays, on a million events: its speed beside the command line's, the
// longest pause of the tab while it works, and how long a cancel takes.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { type Browser, chromium, type Page } from "playwright-core";

const RUNS = 5;
const folder = mkdtempSync(join(tmpdir(), "mmreplay-bench-"));
const file = (name: string): string => join(folder, name);

function mmreplay(...args: string[]): string {
	const ended = spawnSync(process.execPath, ["bin/mmreplay.js", ...args, "--quiet"], { encoding: "utf8", maxBuffer: 1 << 28 });
	if (ended.status !== 0) throw new Error(`mmreplay ${args.join(" ")}: ${ended.stderr}`);
	return ended.stdout;
}

let missed = 0;

function say(what: string, value: string, holds: boolean, target: string): void {
	if (!holds) missed++;
	console.log(`${holds ? "    " : "MISS"} ${what.padEnd(46)} ${value.padStart(14)}  (${target})`);
}

const rate = (value: number): string => `${(value / 1e6).toFixed(2)} M/s`;
const ms = (value: number): string => `${value.toFixed(0)} ms`;

async function opened(browser: Browser, name: string): Promise<number> {
	const page = await browser.newPage({ viewport: { width: 1200, height: 900 } });
	await page.goto(pathToFileURL(file(name)).href);
	// Two frames behind the load event: it has been painted.
	const until = (await page.evaluate(
		"new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now()))))",
	)) as number;
	await page.close();
	return until;
}

async function benchReport(browser: Browser): Promise<void> {
	mmreplay("generate", "mixed", "-n", "10000000", "--vms", "4", "-o", file("ten.mmtrace"));
	mmreplay("compare", file("ten.mmtrace"), "--html", file("ten.html"));
	const { size } = statSync(file("ten.html"));
	say("report of 10 M events, 5 strategies: size", `${(size / 1000).toFixed(0)} kB`, size < 2_000_000, "under 2 MB");
	const times: number[] = [];
	for (let run = 0; run < RUNS; run++) times.push(await opened(browser, "ten.html"));
	const median = times.sort((a, b) => a - b)[RUNS >> 1] ?? 0;
	say(`opened and drawn, the median of ${RUNS}`, ms(median), median < 1000, "under a second");
}

const PAUSES =
	"globalThis.longest = 0; let before = performance.now(); setInterval(() => { const now = performance.now(); globalThis.longest = Math.max(globalThis.longest, now - before); before = now; }, 5)";

async function replayed(page: Page): Promise<number> {
	await page.getByRole("button", { name: "Replay again" }).click();
	await page.getByRole("button", { name: "Cancel" }).waitFor({ state: "hidden" });
	return 1e6 / Number(/ in ([\d.]+) s/.exec((await page.locator("#status").textContent()) ?? "")?.[1]);
}

async function benchInteractive(browser: Browser, workload: string): Promise<void> {
	const trace = file(`${workload}.mmtrace`);
	mmreplay("generate", workload, "-n", "1000000", "-o", trace);
	const page = await browser.newPage();
	await page.goto(pathToFileURL(file("replay.html")).href);
	await page.getByLabel("A trace (.mmtrace)").setInputFiles(trace);
	await page.getByText("Strategies side by side").waitFor();
	await page.evaluate(PAUSES);
	const inPage: number[] = [];
	const command: number[] = [];
	// In turns: a machine that slows down slows both.
	for (let run = 0; run < RUNS; run++) {
		inPage.push(await replayed(page));
		const { replay } = JSON.parse(mmreplay("compare", trace, "--json")) as { replay: { eventsPerSecond: number } };
		command.push(replay.eventsPerSecond);
	}
	const share = Math.max(...inPage) / Math.max(...command);
	console.log(`     ${workload}: the page ${rate(Math.max(...inPage))}, the command line ${rate(Math.max(...command))}`);
	say(`${workload}: the page's speed, of the command line's`, share.toFixed(2), share >= 0.7, "at least 0.7");
	const longest = Number(await page.evaluate("globalThis.longest"));
	say(`${workload}: longest pause of the tab`, ms(longest), longest < 500, "under half a second");
	await page.getByRole("button", { name: "Replay again" }).click();
	const began = performance.now();
	await page.getByRole("button", { name: "Cancel" }).click();
	await page.getByText("cancelled").waitFor();
	say(`${workload}: cancelled after`, ms(performance.now() - began), performance.now() - began < 1000, "under a second");
	await page.close();
}

const browser = await chromium.launch({
	executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
	args: ["--no-sandbox", "--disable-gpu"],
});
try {
	mmreplay("report", "--interactive", "-o", file("replay.html"));
	await benchReport(browser);
	for (const workload of ["h", "z", "mixed"]) await benchInteractive(browser, workload);
} finally {
	await browser.close();
	rmSync(folder, { recursive: true, force: true });
}
if (missed > 0) process.exitCode = 1;
