// What esbuild makes one file of: each command, because a module costs a start about a millisecond and a kilobyte that is not needed 50 ns, the threads
// that commands start, and the scripts of pages.

import { readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { exists, root } from "./stamp.mjs";

const pages = ["report", "app", "worker"];
const threads = ["readerthread", "partthread"];

/** @returns the files written, and what went wrong in one text ("" where nothing did) */
async function bundle(files, options) {
	const { build } = await import("esbuild");
	const { errors } = await build({ absWorkingDir: root, bundle: true, legalComments: "none", logLevel: "silent", ...options }).catch(
		(error) => ({ errors: error.errors ?? [{ text: String(error) }] }),
	);
	return {
		files,
		complaint: errors.map(({ text, location }) => `${location ? `${location.file}:${location.line}: ` : ""}${text}`).join("\n"),
	};
}

/** What is loaded when it is asked for stays a file of its own; so do the errors, which are told apart by their class. Paths as seen from dist/cli. */
const apart = {
	name: "apart",
	setup({ onResolve }) {
		onResolve({ filter: /^\.{1,2}\// }, ({ path, kind, resolveDir }) => {
			const file = join(resolveDir, path);
			if (kind !== "dynamic-import" && file !== join(root, "src", "errors.js")) return undefined;
			const seen = relative(join(root, "src", "cli"), file).replaceAll("\\", "/");
			return { path: seen.startsWith(".") ? seen : `./${seen}`, external: true };
		});
	},
};

/** dist/cli, in place of tsc's: main.js, each command and what reads captures, with what each needs. Dependencies that are CommonJS ask for `require`. */
export function buildCommands() {
	const names = ["main", "importer", ...commands()];
	return bundle(
		names.flatMap((name) => [`dist/cli/${name}.js`, `dist/cli/${name}.js.map`]),
		{
			entryPoints: names.map((name) => `src/cli/${name}.ts`),
			outdir: join(root, "dist", "cli"),
			format: "esm",
			platform: "node",
			target: "node20",
			minifySyntax: true,
			minifyWhitespace: true,
			lineLimit: 160,
			sourcemap: true,
			plugins: [apart],
			banner: { js: 'import{createRequire as requireOf}from"node:module";const require=requireOf(import.meta.url);' },
		},
	);
}

/** What a thread runs: dist/engine/NAME.js, in place of tsc's. */
export function buildThreads() {
	return bundle(
		threads.flatMap((name) => [`dist/engine/${name}.js`, `dist/engine/${name}.js.map`]),
		{
			entryPoints: threads.map((name) => `src/engine/${name}.ts`),
			outdir: join(root, "dist", "engine"),
			format: "esm",
			platform: "node",
			target: "node20",
			minifySyntax: true,
			minifyWhitespace: true,
			lineLimit: 160,
			sourcemap: true,
			banner: { js: 'import{createRequire as requireOf}from"node:module";const require=requireOf(import.meta.url);' },
		},
	);
}

/** The files that src/cli/commands.ts loads. */
function commands() {
	const source = readFileSync(join(root, "src", "cli", "commands.ts"), "utf8");
	return Array.from(source.matchAll(/import\("\.\/(\w+)\.js"\)/g), ([, name]) => name);
}

/** src/web into dist/page, for browsers. */
export function buildPages() {
	const names = pages.filter((name) => exists(`src/web/${name}.ts`));
	return bundle(
		names.map((name) => `dist/page/${name}.js`),
		{
			entryPoints: names.map((name) => `src/web/${name}.ts`),
			outdir: join(root, "dist", "page"),
			format: "iife",
			platform: "browser",
			target: "es2022",
			minify: true,
			// What a worker has instead of Node: files that its reader chose.
			alias: Object.fromEntries(
				["fs", "crypto", "zlib", "worker_threads"].map((name) => [`node:${name}`, join(root, "src", "web", "node", `${name}.ts`)]),
			),
			define: { "import.meta.url": '"file:///dist/page/page.js"', "process.version": '"a browser"' },
		},
	);
}
