// Google's own compiler reads the file by the published schema, and knows every field: what it prints, it encodes to the same bytes.
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { emptyHeader } from "../../src/trace/header.js";
import { sample, writeTo } from "./arbitraries.js";
import { blocksOf, decodeEvents } from "./published.js";

const schema = fileURLToPath(new URL("../../traces", import.meta.url));
const compiler = "protoc";
const missing = spawnSync(compiler, ["--version"]).error !== undefined;
if (missing) console.log("skipped: protoc is not installed (Debian: apt-get install protobuf-compiler)");

function protoc(mode: "decode" | "encode", type: string, input: Uint8Array): Uint8Array {
	return execFileSync(compiler, [`--${mode}`, `mmreplay.${type}`, "-I", schema, "mmtrace.proto"], { input, maxBuffer: 1 << 30 });
}

/** Values of a repeated number in protoc's text. */
function values(text: string, field: string): number[] {
	return [...text.matchAll(new RegExp(`^${field}: (-?\\d+)$`, "gm"))].map(([, value]) => Number(value));
}

let directory = "";
beforeAll(() => {
	directory = mkdtempSync(join(tmpdir(), "mmtrace-"));
});
afterAll(() => rmSync(directory, { recursive: true }));

describe.skipIf(missing)("protoc", () => {
	for (const pages of ["fixed", "delta"] as const) {
		it(`reads a trace with ${pages} pages, and writes the same bytes`, () => {
			const path = join(directory, `${pages}.mmtrace`);
			const facts = { ...emptyHeader(), kernel: "6.12.0-é", warnings: ["one", 'two\n"three"'], losses: [{ name: "ring", count: 2 ** 40 }] };
			writeTo(path, sample(4000), { pages, causesPerBlock: 700 }, facts);
			const bytes = readFileSync(path);
			const text = protoc("decode", "Trace", bytes);
			expect(Buffer.compare(protoc("encode", "Trace", text), bytes)).toBe(0);
			for (const block of blocksOf(bytes)) {
				const payload = protoc("decode", "EventBlock", block.payload);
				expect(Buffer.compare(protoc("encode", "EventBlock", payload), block.payload)).toBe(0);
				const columns = decodeEvents(block);
				const lines = payload.toString();
				expect(values(lines, "op")).toEqual(columns.op);
				expect(values(lines, "page")).toEqual(columns.page);
				expect(values(lines, "page_delta")).toEqual(columns.pageDelta);
				expect(values(lines, "argument")).toEqual(columns.argument);
				expect(values(lines, "time")).toEqual(columns.time);
				expect(values(lines, "position")).toEqual(columns.position);
			}
		});
	}
});
