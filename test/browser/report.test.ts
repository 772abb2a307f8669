// The report in a browser: right numbers, an empty console, wide and narrow, light and dark, by keyboard, on paper.
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { mmreplay } from "../cli/process.js";
import { fixture } from "../cli/traces.js";
import { HAS_CHROMIUM, openPage, screenshot, seriousFlaws, startChromium } from "./chromium.js";

interface Saved {
	strategies: { name: string; digest: string; counters: { vmexits: number; cowBreaks: number } }[];
}

describe.skipIf(!HAS_CHROMIUM)("the report", () => {
	const folder = mkdtempSync(join(tmpdir(), "mmreplay-browser-"));
	const file = join(folder, "report.html");
	let browser: Browser;
	let saved: Saved;

	beforeAll(async () => {
		browser = await startChromium();
		const run = join(folder, "run.json");
		const compared = await mmreplay([
			"compare",
			fixture("stock-tiny"),
			"-o",
			run,
			"--strategies",
			"wrapped,drop,fix,establish,establish-map,establish-naive",
			"--litmus",
		]);
		expect(compared.stderr).toBe("");
		const made = await mmreplay(["report", run, "-o", file]);
		expect(made.stderr).toBe("");
		saved = JSON.parse(readFileSync(run, "utf8")) as Saved;
	});
	afterAll(async () => {
		await browser?.close();
		rmSync(folder, { recursive: true, force: true });
	});

	const sizes = [360, 1600].flatMap((width) => (["light", "dark"] as const).map((colorScheme) => ({ width, colorScheme })));
	it.each(sizes)("at $width pixels, $colorScheme", async ({ width, colorScheme }) => {
		const { page, complaints, close } = await openPage(browser, file, { viewport: { width, height: 900 }, colorScheme });
		const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
		expect(overflow).toBeLessThanOrEqual(0);
		expect(await seriousFlaws(page)).toEqual([]);
		await screenshot(page, `report-${width}-${colorScheme}`);
		expect(complaints).toEqual([]);
		await close();
	});

	it("shows the numbers of the run", async () => {
		const { page, close } = await openPage(browser, file, { viewport: { width: 1600, height: 900 } });
		const table = page.getByRole("table", { name: "Strategies side by side" });
		for (const { name, counters, digest } of saved.strategies) {
			const row = table.getByRole("row").filter({ has: page.getByRole("rowheader", { name: new RegExp(`^${name}($| \\()`) }) });
			expect(await row.getByRole("cell").first().textContent()).toBe(String(counters.vmexits));
			expect(await page.getByText(digest).count()).toBeGreaterThan(0);
		}
		expect(await page.locator(".verdict").textContent()).toMatch(/of 91 vmexits under drop/i);
		expect(await page.getByRole("img", { name: "vmexits in the memory of VM 0 under drop: 91 in all" }).count()).toBe(1);
		expect(await page.getByText("establish-naive (unsafe)").count()).toBeGreaterThan(0);
		await close();
	});

	it("works by keyboard: skips to the content, zooms, moves the cost of a vmexit", async () => {
		const { page, complaints, close } = await openPage(browser, file, { viewport: { width: 1200, height: 900 } });
		await page.keyboard.press("Tab");
		expect(await page.evaluate(() => document.activeElement?.textContent)).toBe("To the content");
		const chart = page.locator("figure[data-zoom] svg").first();
		const whole = await chart.getAttribute("viewBox");
		await page.getByRole("button", { name: "Zoom in" }).focus();
		await page.keyboard.press("Enter");
		expect(await chart.getAttribute("viewBox")).not.toBe(whole);
		await page.getByRole("button", { name: "All" }).focus();
		await page.keyboard.press("Space");
		expect(await chart.getAttribute("viewBox")).toBe(whole);
		const output = page.locator("output");
		const before = await output.textContent();
		await page.getByRole("slider", { name: "A vmexit costs" }).focus();
		await page.keyboard.press("ArrowRight");
		expect(await output.textContent()).not.toBe(before);
		await page.getByText("Table: vmexits by cause").focus();
		await page.keyboard.press("Enter");
		expect(await page.getByRole("table", { name: "vmexits by cause" }).isVisible()).toBe(true);
		expect(complaints).toEqual([]);
		await close();
	});

	it("of 10 million events under 5 strategies is under 2 MB and opens", async () => {
		const trace = join(folder, "long.mmtrace");
		await mmreplay(["generate", "mixed", "-n", "10000000", "--vms", "4", "-o", trace]);
		const long = join(folder, "long.html");
		const made = await mmreplay(["compare", trace, "--html", long]);
		expect(made.stderr).toBe("");
		expect(made.stdout).toContain("replayed 10000000 events under 5 strategies");
		expect(statSync(long).size).toBeLessThan(2_000_000);
		const { page, complaints, close } = await openPage(browser, long, { viewport: { width: 1200, height: 900 } });
		const loaded = await page.evaluate(() => performance.getEntriesByType("navigation").map((entry) => entry.duration));
		// How long it takes is measured by npm run bench:page, where nothing else runs.
		console.info(`opened in ${(loaded[0] ?? 0).toFixed(0)} ms`);
		await page.getByRole("button", { name: "Zoom in" }).click();
		expect(complaints).toEqual([]);
		await screenshot(page, "report-long");
		await close();
	});

	it("is small, quick to open and whole without scripts", async () => {
		expect(statSync(file).size).toBeLessThan(300_000);
		const { page, close } = await openPage(browser, file, { javaScriptEnabled: false });
		expect(await page.locator("figure.lines path.line").count()).toBeGreaterThan(5);
		await page.emulateMedia({ media: "print" });
		expect(await page.locator(".verdict").isVisible()).toBe(true);
		await close();
	});
});
