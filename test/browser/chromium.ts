// Debian's Chromium, driven by playwright-core: pages open from files, and whatever they say on the console is kept.
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";

const EXECUTABLE = process.env.CHROMIUM ?? "/usr/bin/chromium";
export const HAS_CHROMIUM = existsSync(EXECUTABLE);
if (!HAS_CHROMIUM) console.warn(`skipped: no ${EXECUTABLE} (Debian's package chromium; CHROMIUM names another)`);

const FLAGS = [
	"--no-sandbox",
	"--disable-gpu",
	"--disable-quic",
	"--no-first-run",
	"--disable-background-networking",
	"--disable-component-update",
	"--disable-sync",
];

export function startChromium(): Promise<Browser> {
	return chromium.launch({ executablePath: EXECUTABLE, headless: true, args: FLAGS });
}

export interface Opened {
	readonly page: Page;
	/** Console messages, errors of scripts, and requests that go beyond files. */
	readonly complaints: string[];
	close(): Promise<void>;
}

export async function openPage(browser: Browser, file: string, options: BrowserContextOptions): Promise<Opened> {
	const context = await browser.newContext(options);
	const page = await context.newPage();
	const complaints: string[] = [];
	page.on("console", (message) => complaints.push(`${message.type()}: ${message.text()}`));
	page.on("pageerror", (error) => complaints.push(`error: ${error.message}`));
	page.on("request", (request) => {
		if (!/^(file|data|blob):/.test(request.url())) complaints.push(`request: ${request.url()}`);
	});
	await page.goto(pathToFileURL(file).href);
	return { page, complaints, close: () => context.close() };
}

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

interface AxeResult {
	violations: { id: string; impact: string | null; nodes: { html: string }[] }[];
}

/** What axe finds serious or critical. */
export async function seriousFlaws(page: Page): Promise<string[]> {
	await page.evaluate(AXE);
	const { violations } = (await page.evaluate("axe.run()")) as AxeResult;
	return violations
		.filter(({ impact }) => impact === "serious" || impact === "critical")
		.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(" ")}`.slice(0, 400));
}

const SCREENSHOTS = fileURLToPath(new URL("../../dist/.screenshots/", import.meta.url));

/** Kept to be looked at. */
export async function screenshot(page: Page, name: string): Promise<void> {
	mkdirSync(SCREENSHOTS, { recursive: true });
	await page.screenshot({ path: join(SCREENSHOTS, `${name}-first.png`) });
	await page.screenshot({ path: join(SCREENSHOTS, `${name}.png`), fullPage: true });
}
