// npm run pictures: the pictures of README.md, from a trace of the repository. The terminal's is an SVG of what it prints; the report's is taken in Chromium.

import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { build } from "./build.mjs";
import { node } from "./run.mjs";
import { root } from "./stamp.mjs";

const trace = "traces/linux-guests-6.1-stock.mmtrace";
const folder = join(root, "docs", "pictures");
const scratch = join(root, "dist", ".pictures");

/** Spaces that stay, wherever the picture is shown. */
const escaped = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll(" ", "\u00a0");

/** Lines of a terminal as an SVG; a character is 0.6 of the font's size wide. */
function terminalSvg(lines) {
	const size = 14;
	const height = 19;
	const width = Math.ceil(Math.max(...lines.map((line) => line.length)) * size * 0.602) + 32;
	const text = lines.map((line, at) => `<text x="16" y="${30 + at * height}">${escaped(line)}</text>`).join("\n");
	return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${lines.length * height + 32}" viewBox="0 0 ${width} ${lines.length * height + 32}" role="img" aria-label="mmreplay compare on a terminal">
<rect width="100%" height="100%" rx="8" fill="#0f1419"/>
<g fill="#e4e8ec" font-family="ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace" font-size="${size}">
${text}
</g>
</svg>
`;
}

/** Sentences are wrapped as a terminal would. */
function wrapped(line, columns) {
	const lines = [""];
	for (const word of line.split(/(?<= )/)) {
		if ((lines.at(-1) + word).trimEnd().length > columns) lines.push("  ");
		lines[lines.length - 1] += word;
	}
	return lines.map((part) => part.trimEnd());
}

async function terminalPicture() {
	const columns = 110;
	// The command asks its terminal: a small module makes standard output one.
	const preload = join(scratch, "terminal.mjs");
	writeFileSync(preload, `process.stdout.isTTY = true; process.stdout.columns = ${columns};\n`);
	const { code, output } = await node(
		"--import",
		[pathToFileURL(preload).href, "bin/mmreplay.js", "compare", trace, "--no-color", "--quiet"],
		{
			env: { ...process.env, LANG: "C.UTF-8", LC_ALL: "C.UTF-8" },
		},
	);
	if (code !== 0) throw new Error(output);
	// The replay's own speed is another one each time.
	const kept = output
		.trimEnd()
		.split("\n")
		.filter((line) => !line.startsWith("replayed "));
	const prompt = `$ npx mmreplay compare ${trace}`;
	writeFileSync(
		join(folder, "terminal.svg"),
		terminalSvg([prompt, ...kept.flatMap((line) => (line.length > columns ? wrapped(line, columns) : [line]))]),
	);
}

async function reportPicture() {
	const { chromium } = await import("playwright-core");
	const file = join(scratch, "report.html");
	const { code, output } = await node("bin/mmreplay.js", ["compare", trace, "--html", file, "--quiet"]);
	if (code !== 0) throw new Error(output);
	const browser = await chromium.launch({
		executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
		args: ["--no-sandbox", "--disable-gpu"],
	});
	try {
		const page = await browser.newPage({ viewport: { width: 1100, height: 1150 }, colorScheme: "light" });
		await page.goto(pathToFileURL(file).href);
		await page.screenshot({ path: join(folder, "report.png") });
	} finally {
		await browser.close();
	}
}

if (!(await build())) process.exit(1);
mkdirSync(folder, { recursive: true });
mkdirSync(scratch, { recursive: true });
try {
	await terminalPicture();
	await reportPicture();
} finally {
	rmSync(scratch, { recursive: true, force: true });
}
