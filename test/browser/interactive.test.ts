// The page that replays: the command line's counters and digests, its errors, progress, cancel, another baseline and other costs.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { mmreplay } from "../cli/process.js";
import { fixture } from "../cli/traces.js";
import { HAS_CHROMIUM, openPage, screenshot, seriousFlaws, startChromium } from "./chromium.js";

interface Compared {
	strategies: { name: string; digest: string; counters: { vmexits: number } }[];
}

const VIEWPORT = { viewport: { width: 1200, height: 900 } };

async function replayFile(page: Page, file: string): Promise<void> {
	await page.getByLabel("A trace (.mmtrace)").setInputFiles(file);
	await page.getByText("Strategies side by side").or(page.getByRole("alert")).first().waitFor({ timeout: 50_000 });
}

async function vmexits(page: Page, strategy: string): Promise<string | null> {
	const table = page.getByRole("table", { name: "Strategies side by side" });
	const row = table.getByRole("row").filter({ has: page.getByRole("rowheader", { name: new RegExp(`^${strategy}($| \\()`) }) });
	return row.getByRole("cell").first().textContent();
}

describe.skipIf(!HAS_CHROMIUM)("the page that replays", () => {
	const folder = mkdtempSync(join(tmpdir(), "mmreplay-browser-"));
	const file = join(folder, "replay.html");
	let browser: Browser;

	beforeAll(async () => {
		browser = await startChromium();
		const made = await mmreplay(["report", "--interactive", "-o", file]);
		expect(made.stderr).toBe("");
	});
	afterAll(async () => {
		await browser?.close();
		rmSync(folder, { recursive: true, force: true });
	});

	it.each(["stock-tiny", "fix-tiny", "linux-6.12-tiny"])("counts %s as the command line does, digest for digest", async (name) => {
		const { page, complaints, close } = await openPage(browser, file, VIEWPORT);
		await replayFile(page, fixture(name));
		const ended = await mmreplay(["compare", fixture(name), "--json"]);
		const { strategies } = JSON.parse(ended.stdout) as Compared;
		for (const { name: strategy, counters, digest } of strategies) {
			expect(await vmexits(page, strategy)).toBe(String(counters.vmexits));
			expect(await page.getByText(digest).count()).toBe(1);
		}
		expect(await page.getByText("equals the captured kernel in all").count()).toBe(1);
		expect(complaints).toEqual([]);
		await close();
	});

	it("changes with strategies, baseline and costs", async () => {
		const { page, complaints, close } = await openPage(browser, file, VIEWPORT);
		await replayFile(page, fixture("stock-tiny"));
		await page.getByRole("checkbox", { name: "establish-lean" }).check();
		await page.getByRole("rowheader", { name: "establish-lean", exact: true }).first().waitFor();
		await page.getByRole("combobox", { name: "Baseline" }).selectOption("fix");
		expect(await page.locator(".verdict").textContent()).toMatch(/of 72 vmexits under fix/i);
		const before = await page.getByRole("table", { name: "Strategies side by side" }).textContent();
		await page.getByText("Costs", { exact: true }).click();
		await page.getByRole("spinbutton", { name: "vmexit", exact: true }).fill("9000");
		await page.getByRole("spinbutton", { name: "vmexit", exact: true }).blur();
		expect(await page.getByRole("table", { name: "Strategies side by side" }).textContent()).not.toBe(before);
		expect(await page.getByText("marked: 9 k").count()).toBe(1);
		expect(complaints).toEqual([]);
		await close();
	});

	const damaged: [string, (bytes: Uint8Array) => Uint8Array][] = [
		["cut", (bytes) => bytes.subarray(0, 9000)],
		["flipped", (bytes) => bytes.map((byte, at) => (at === 6000 ? byte ^ 0x40 : byte))],
		["text", () => Buffer.from("nothing of the kind\n".repeat(20))],
		["empty", () => new Uint8Array(0)],
	];
	it.each(damaged)("says of a file that is %s what the command line says", async (name, damage) => {
		const { page, complaints, close } = await openPage(browser, file, VIEWPORT);
		const path = join(folder, `${name}.mmtrace`);
		writeFileSync(path, damage(readFileSync(fixture("stock-tiny"))));
		const ended = await mmreplay(["compare", basename(path)], { cwd: folder });
		expect(ended.status).toBe(3);
		await replayFile(page, path);
		expect(await page.getByRole("alert").textContent()).toBe(ended.stderr.trimEnd());
		expect(complaints).toEqual([]);
		await close();
	});

	it("cancels, and replays again", async () => {
		const { page, close } = await openPage(browser, file, VIEWPORT);
		const trace = new URL("../../traces/linux-guests-6.1-stock.mmtrace", import.meta.url).pathname;
		await page.getByLabel("A trace (.mmtrace)").setInputFiles(trace);
		await page.getByRole("button", { name: "Cancel" }).click();
		expect(await page.locator("#status").textContent()).toBe("cancelled");
		await page.getByRole("button", { name: "Replay again" }).click();
		await page.getByText("Strategies side by side").waitFor({ timeout: 50_000 });
		await close();
	});

	it("replays a million events to the same digests, while the tab goes on", async () => {
		const trace = join(folder, "million.mmtrace");
		await mmreplay(["generate", "mixed", "-n", "1000000", "-o", trace]);
		const { page, complaints, close } = await openPage(browser, file, VIEWPORT);
		await page.evaluate("globalThis.ticks = 0; setInterval(() => globalThis.ticks++, 5)");
		await replayFile(page, trace);
		// A page that the replay stopped would have ticked once or twice.
		expect(Number(await page.evaluate("globalThis.ticks"))).toBeGreaterThan(20);
		const ended = await mmreplay(["compare", trace, "--json"]);
		const { strategies } = JSON.parse(ended.stdout) as Compared;
		expect(strategies).toHaveLength(5);
		for (const { digest } of strategies) expect(await page.getByText(digest).count()).toBe(1);
		expect(complaints).toEqual([]);
		await close();
	});

	it.each([360, 1600])("has no serious flaw at %i pixels", async (width) => {
		const { page, complaints, close } = await openPage(browser, file, {
			viewport: { width, height: 900 },
			colorScheme: width === 360 ? "dark" : "light",
		});
		await replayFile(page, fixture("stock-tiny"));
		expect(await seriousFlaws(page)).toEqual([]);
		expect(await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth)).toBeLessThanOrEqual(0);
		await screenshot(page, `interactive-${width}`);
		expect(complaints).toEqual([]);
		await close();
	});
});
