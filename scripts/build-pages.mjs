// The scripts of pages: src/web bundled by esbuild into dist/page, one file each, for browsers.

import { join } from "node:path";
import { exists, root } from "./stamp.mjs";

const entries = ["report", "app", "worker"];

/** @returns the files written, and what went wrong in one text ("" where nothing did) */
export async function buildPages() {
	const { build } = await import("esbuild");
	const names = entries.filter((name) => exists(`src/web/${name}.ts`));
	const { errors } = await build({
		absWorkingDir: root,
		entryPoints: names.map((name) => `src/web/${name}.ts`),
		outdir: join(root, "dist", "page"),
		bundle: true,
		format: "iife",
		platform: "browser",
		target: "es2022",
		minify: true,
		// What a worker has instead of Node: files that its reader chose.
		alias: Object.fromEntries(["fs", "crypto", "zlib"].map((name) => [`node:${name}`, join(root, "src", "web", "node", `${name}.ts`)])),
		define: { "import.meta.url": '"file:///dist/page/page.js"', "process.version": '"a browser"' },
		legalComments: "none",
		logLevel: "silent",
	}).catch((error) => ({ errors: error.errors ?? [{ text: String(error) }] }));
	return {
		files: names.map((name) => `dist/page/${name}.js`),
		complaint: errors.map(({ text, location }) => `${location ? `${location.file}:${location.line}: ` : ""}${text}`).join("\n"),
	};
}
