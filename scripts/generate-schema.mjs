// The static protobufjs module of the trace file: traces/mmtrace.proto -> src/trace/generated/schema.{js,d.ts}.
// Its input is the hot-path twin of the published schema: every packed column becomes a `bytes` field, which is the same on the wire
// (one chunk), so that a column reaches its decoder as bytes of the block and never as an array of numbers.

import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { node } from "./run.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const target = join(root, "src/trace/generated");
// Only these messages have code: frames and block headers are read by hand, before a byte of what they announce is believed.
const messages = ["Header", "EventBlock", "Metadata", "Index"];

const published = readFileSync(join(root, "traces/mmtrace.proto"), "utf8");
const column = /^(\s*)repeated \w+ (\w+) = (\d+) \[packed = true\];/gm;
const twin = published.replace(column, "$1optional bytes $2 = $3;");

const scratch = mkdtempSync(join(tmpdir(), "mmreplay-schema-"));
try {
	writeFileSync(join(scratch, "schema.proto"), twin);
	writeFileSync(join(scratch, "filter.json"), JSON.stringify({ messageNames: messages.map((name) => `mmreplay.${name}`) }));
	const { code, output } = await node(join(root, "node_modules/protobufjs-cli/bin/pbjs"), [
		...["--target", "static-module", "--wrap", "esm", "--dts", "--root", "mmreplay-trace"],
		...["--no-create", "--no-verify", "--no-convert", "--no-delimited", "--no-typeurl", "--no-service"],
		...["--filter", join(scratch, "filter.json"), "--out", join(scratch, "schema.js"), join(scratch, "schema.proto")],
	]);
	if (code !== 0) {
		console.error(output.trimEnd());
		process.exitCode = 1;
	} else {
		mkdirSync(target, { recursive: true });
		for (const name of ["schema.js", "schema.d.ts"]) {
			const text = readFileSync(join(scratch, name), "utf8");
			const path = join(target, name);
			if (!existsSync(path) || readFileSync(path, "utf8") !== text) writeFileSync(path, text);
		}
	}
} finally {
	rmSync(scratch, { recursive: true, force: true });
}
