// A trace through a pipe: written without an index, read from front to back in bounded memory.
import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { emptyHeader } from "../../src/trace/header.js";
import { openTrace } from "../../src/trace/reader.js";
import { records } from "../../src/trace/records.js";
import { validate } from "../../src/trace/validate.js";
import { TraceWriter } from "../../src/trace/writer.js";
import { append, readAll, sample, sequenced, writeTo } from "./arbitraries.js";

const list = sample(30_000);
let directory = "";
let path = "";
beforeAll(() => {
	directory = mkdtempSync(join(tmpdir(), "mmtrace-"));
	path = join(directory, "t.mmtrace");
	writeTo(path, list, { causesPerBlock: 1000 });
});
afterAll(() => rmSync(directory, { recursive: true }));

function fifo(name: string): string {
	const pipe = join(directory, name);
	execFileSync("sh", ["-c", `mkfifo "${pipe}"`]);
	return pipe;
}

/** Another process puts a file's bytes into a new pipe, `bytes` of them, and slowly if asked. */
function fed(name: string, command: string): string {
	const pipe = fifo(name);
	spawn("sh", ["-c", `${command} > "${pipe}"`], { stdio: "ignore" });
	return pipe;
}

describe.skipIf(process.platform === "win32")("a pipe", () => {
	it("gives the same records as the file", () => {
		expect(readAll(fed("whole", `cat "${path}"`))).toEqual(sequenced(list));
	});

	it("gives them in whatever pieces they come", () => {
		expect(readAll(fed("pieces", `dd if="${path}" bs=777 2>/dev/null`))).toEqual(sequenced(list));
	});

	it("has its payloads skipped where nobody wants them, and a digest at its end", () => {
		const trace = openTrace(fed("skip", `cat "${path}"`));
		expect(() => trace.digest()).toThrow(/known at its end/);
		const observations = [...records(trace, { causes: false })];
		expect(observations.length).toBe(list.filter(({ observation }) => observation).length);
		expect(trace.digest()).toBe(openTrace(path).digest());
		trace.close();
	});

	it("that ends early gives every whole block, then one error", () => {
		const blocks = [...openTrace(path).blocks()];
		const trace = openTrace(fed("cut", `head -c ${blocks[4].payloadOffset + 100} "${path}"`));
		const seen: number[] = [];
		expect(() => {
			for (const block of trace.blocks()) {
				trace.payload(block);
				seen.push(block.index);
			}
		}).toThrow(/cut off after 4 whole blocks/);
		expect(seen).toEqual([0, 1, 2, 3]);
		trace.close();
	});

	it("can be validated", () => {
		expect(validate(fed("check", `cat "${path}"`))).toMatchObject({ problems: [], complete: true, index: "none" });
	});

	it("can be written to, and then has no index", async () => {
		const pipe = fifo("out");
		const copy = join(directory, "copy.mmtrace");
		const reader = spawn("sh", ["-c", `cat "${pipe}" > "${copy}"`], { stdio: "ignore" });
		const ended = new Promise((resolve) => reader.on("close", resolve));
		const writer = new TraceWriter(pipe, { causesPerBlock: 1000 });
		append(writer, list);
		const written = writer.finish(emptyHeader());
		await ended;
		expect(readFileSync(copy).length).toBe(written.bytes);
		expect(readAll(copy)).toEqual(sequenced(list));
		const trace = openTrace(copy);
		expect(trace.storedIndex()).toBeUndefined();
		expect(trace.digest()).toBe(written.digest);
		trace.close();
	});

	it("that nobody reads any more is the system's EPIPE, for the command to end quietly", async () => {
		const pipe = fifo("closed");
		const reader = spawn("sh", ["-c", `head -c 100 "${pipe}" > /dev/null`], { stdio: "ignore" });
		const ended = new Promise((resolve) => reader.on("close", resolve));
		const writer = new TraceWriter(pipe, { header: emptyHeader(), causesPerBlock: 1000 });
		expect(() => {
			for (let round = 0; round < 5; round++) append(writer, list);
			writer.finish();
		}).toThrow(expect.objectContaining({ code: "EPIPE" }));
		writer.abort();
		await ended;
	});
});

describe("a device", () => {
	it.skipIf(process.platform === "win32")("is written to, never replaced", () => {
		const writer = new TraceWriter("/dev/null");
		append(writer, list.slice(0, 100));
		expect(writer.finish(emptyHeader()).causes).toBeGreaterThan(0);
		openSync("/dev/null", "w");
		expect(() => openTrace("/dev/null")).toThrow(/not an mmreplay trace/);
	});
});
