// What esbuild makes one file of: each command, because a module costs a start about a millisecond and a kilobyte that is not needed 50 ns, the threads
// that commands start, and the scripts of pages.

import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, relative } from "node:path";
import { exists, root } from "./stamp.mjs";

const pages = ["report", "app", "worker"];
const threads = ["readerthread", "partthread"];
/** How src/cli/commands.ts loads a command, and src/cli/capture.ts the importer. */
const COMMAND = /import\("\.\/(\w+)\.js"\)/g;

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

/** What main.js and the commands must have one of: errors are told apart by their class, and Commander is large. Paths as seen from dist/cli. */
const shared = {
	name: "shared",
	setup({ onLoad, onResolve }) {
		const places = { commander: "./commander.cjs", errors: "../errors.cjs" };
		onResolve({ filter: /^commander$/ }, ({ kind, path }) => (kind === "entry-point" ? undefined : { path, namespace: "shared" }));
		onResolve({ filter: /\/errors\.js$/ }, ({ path, resolveDir }) =>
			join(resolveDir, path) === join(root, "src", "errors.js") ? { path: "errors", namespace: "shared" } : undefined,
		);
		onResolve({ filter: /\.cjs$/ }, ({ path }) => ({ path, external: true }));
		onLoad({ filter: /./, namespace: "shared" }, ({ path }) => ({ contents: `module.exports=require("${places[path]}");` }));
	},
};

/**
 * What is loaded when it is asked for stays a file of its own, as tsc wrote it. Commands are required, not imported: to import the first file costs a
 * seventh of an empty Node's start, to require one next to nothing.
 */
const apart = {
	name: "apart",
	setup({ onLoad, onResolve }) {
		onLoad({ filter: /[\\/]src[\\/]cli[\\/](capture|commands)\.ts$/ }, ({ path }) => ({
			contents: readFileSync(path, "utf8").replaceAll(COMMAND, 'Promise.resolve(require("./$1.cjs"))'),
			loader: "ts",
		}));
		onResolve({ filter: /^\.{1,2}\// }, ({ path, kind, resolveDir }) => {
			if (kind !== "dynamic-import") return undefined;
			const seen = relative(join(root, "src", "cli"), join(resolveDir, path)).replaceAll("\\", "/");
			return { path: seen.startsWith(".") ? seen : `./${seen}`, external: true };
		});
	},
};

/** Node's own modules that a start seldom needs, each some milliseconds: loaded when something of theirs is first asked for. */
const LATE = ["node:child_process", "node:crypto", "node:os", "node:v8", "node:vm", "node:worker_threads", "node:zlib"];
/** What newer Nodes than that of the build have. */
const NEWER = { "node:zlib": ["zstdCompressSync", "zstdDecompressSync"] };

const late = {
	name: "late",
	setup({ onLoad, onResolve }) {
		// What protobufjs tries for 64-bit numbers; without it they are numbers, which src/trace holds against what a number has exactly.
		onResolve({ filter: /^long$/ }, ({ path }) => ({ path, namespace: "none" }));
		onLoad({ filter: /./, namespace: "none" }, () => ({ contents: "module.exports=null;" }));
		onResolve({ filter: /^node:/ }, ({ path, namespace }) =>
			namespace !== "late" && LATE.includes(path) ? { path, namespace: "late" } : undefined,
		);
		onLoad({ filter: /^node:/, namespace: "late" }, async ({ path }) => {
			const known = Object.keys(await import(path)).filter((name) => name !== "default");
			const names = new Set([...known, ...(NEWER[path] ?? [])]);
			const members = Array.from(names, (name) => `get ${name}(){return require("${path}").${name}}`);
			return { contents: `module.exports={${members.join(",")}};`, loader: "js" };
		});
	},
};

const compact = { platform: "node", target: "node20", minifySyntax: true, minifyWhitespace: true, lineLimit: 160, sourcemap: true };
/** Dependencies that are CommonJS ask for `require`. */
const REQUIRE = 'import{createRequire as requireOf}from"node:module";const require=requireOf(import.meta.url);';
const URL_HERE = 'const urlHere=require("node:url").pathToFileURL(__filename).href;';

/** dist/cli, in place of tsc's: main.js, each command and what reads captures with what each needs, and what they share. */
export async function buildCommands() {
	const plugins = [shared, apart, late];
	const main = await bundle(withMap("cli/main.js"), {
		...compact,
		entryPoints: [{ in: "src/cli/main.ts", out: "cli/main" }],
		outdir: join(root, "dist"),
		format: "esm",
		plugins,
		banner: { js: REQUIRE },
	});
	const names = ["importer", ...commands()];
	const called = await bundle([...names.map((name) => `cli/${name}.cjs`), "cli/commander.cjs", "errors.cjs"].flatMap(withMap), {
		...compact,
		entryPoints: [
			...names.map((name) => ({ in: `src/cli/${name}.ts`, out: `cli/${name}` })),
			{ in: "commander", out: "cli/commander" },
			{ in: "src/errors.ts", out: "errors" },
		],
		outdir: join(root, "dist"),
		outExtension: { ".js": ".cjs" },
		format: "cjs",
		plugins,
		define: { "import.meta.url": "urlHere" },
		banner: { js: URL_HERE },
	});
	const complaint = [main.complaint, called.complaint].filter((each) => each !== "").join("\n");
	if (complaint === "") oneOfErrors();
	return { files: [...main.files, ...called.files], complaint };
}

const withMap = (path) => [`dist/${path}`, `dist/${path}.map`];

/** For what tsc wrote, dist/errors.js has the very classes of dist/errors.cjs. */
function oneOfErrors() {
	const here = createRequire(import.meta.url);
	const cjs = join(root, "dist", "errors.cjs");
	delete here.cache[cjs];
	writeFileSync(join(root, "dist", "errors.js"), `${REQUIRE}export const{${Object.keys(here(cjs)).join(",")}}=require("./errors.cjs");\n`);
}

/** What a thread runs: dist/engine/NAME.js, in place of tsc's. */
export function buildThreads() {
	return bundle(
		threads.flatMap((name) => [`dist/engine/${name}.js`, `dist/engine/${name}.js.map`]),
		{
			...compact,
			entryPoints: threads.map((name) => `src/engine/${name}.ts`),
			outdir: join(root, "dist", "engine"),
			format: "esm",
			banner: { js: REQUIRE },
		},
	);
}

/** The files that src/cli/commands.ts loads. */
function commands() {
	const source = readFileSync(join(root, "src", "cli", "commands.ts"), "utf8");
	return Array.from(source.matchAll(COMMAND), ([, name]) => name);
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
