// Lint and format of assembly/ (--write: apply). AssemblyScript decorates functions and constants (@inline), which Biome cannot
// parse, so it is given a copy in which such a decorator, on a line of its own, is a comment; line numbers stay the same.

import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { node, tools } from "./run.mjs";
import { root } from "./stamp.mjs";

const write = process.argv.includes("--write");
const hide = (source) => source.replace(/^([ \t]*)(@[a-z]+(?:\(.*\))?[ \t]*)$/gm, "$1//$2");
const show = (source) => source.replace(/^([ \t]*)\/\/(@[a-z]+(?:\(.*\))?[ \t]*)$/gm, "$1$2");

const copy = mkdtempSync(join(tmpdir(), "mmreplay-style-"));
try {
	cpSync(join(root, "assembly"), join(copy, "assembly"), { recursive: true });
	const files = readdirSync(join(copy, "assembly"), { recursive: true }).filter((name) => name.endsWith(".ts"));
	for (const name of files) {
		const path = join(copy, "assembly", name);
		writeFileSync(path, hide(readFileSync(path, "utf8")));
	}
	// The project's own settings, but for what leaves assembly/ out.
	const own = readFileSync(join(root, "biome.jsonc"), "utf8");
	writeFileSync(
		join(copy, "biome.jsonc"),
		own.replace('"!assembly/**/*.ts"', '"!biome.jsonc"').replace('"enabled": true', '"enabled": false'),
	);
	symlinkSync(join(root, "node_modules"), join(copy, "node_modules"), "junction");
	const { code, output } = await node(join(root, tools.biome), ["check", "--error-on-warnings", ...(write ? ["--write"] : [])], {
		cwd: copy,
	});
	if (write) {
		for (const name of files) {
			const original = readFileSync(join(root, "assembly", name), "utf8");
			const styled = show(readFileSync(join(copy, "assembly", name), "utf8"));
			if (styled !== original) writeFileSync(join(root, "assembly", name), styled);
		}
	}
	if (code !== 0) console.error(output.trimEnd());
	process.exitCode = code;
} finally {
	rmSync(copy, { recursive: true, force: true });
}
