// Whatever ends a writer, no half trace stands under the final name, and what stood there before stays.
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { UsageError } from "../../src/errors.js";
import { emptyHeader } from "../../src/trace/header.js";
import { TraceWriter } from "../../src/trace/writer.js";
import { append, readAll, sample, sequenced, writeTo } from "./arbitraries.js";

const built = new URL("../../dist/trace/", import.meta.url);
const list = sample(500);
let directory = "";
let path = "";
beforeEach(() => {
	directory = mkdtempSync(join(tmpdir(), "mmtrace-"));
	path = join(directory, "t.mmtrace");
});
afterEach(() => rmSync(directory, { recursive: true }));

/** Writes without end, letting the event loop turn now and then, as an importer does. */
function endlessWriter(header: boolean) {
	const program = `
    import { TraceWriter } from "${built}writer.js";
    import { emptyHeader } from "${built}header.js";
    const writer = new TraceWriter(${JSON.stringify(path)}, { spoolBytes: 1000, ...(${header} ? { header: emptyHeader() } : {}) });
    const agent = { kind: 1, vm: 0, vcpu: 0, mm: 0, thread: 0 };
    function more() {
      for (let page = 0; page < 50000; page++) writer.cause({ kind: "access", access: 0, agent, page });
      process.stdout.write("more\\n");
      setImmediate(more);
    }
    more();`;
	return spawn(process.execPath, ["--input-type=module", "--eval", program], { stdio: ["ignore", "pipe", "inherit"] });
}

async function killedWith(signal: NodeJS.Signals, header: boolean): Promise<string | number | null> {
	const child = endlessWriter(header);
	const ended = new Promise<string | number | null>((resolve) => child.on("close", (code, by) => resolve(by ?? code)));
	let turns = 0;
	child.stdout.on("data", () => {
		if (++turns === 5) child.kill(signal);
	});
	return ended;
}

describe.skipIf(!existsSync(built))("a writer that is killed in the middle", () => {
	it.each([true, false])("leaves nothing under the final name, header known early: %s", async (header) => {
		expect(await killedWith("SIGKILL", header)).toBe("SIGKILL");
		expect(existsSync(path)).toBe(false);
		for (const name of readdirSync(directory)) expect(name).toMatch(/^\.t\.mmtrace\..*\.tmp$/);
	});

	it.each(["SIGINT", "SIGTERM"] as const)("removes its temporary on %s", async (signal) => {
		writeFileSync(path, "before");
		expect(await killedWith(signal, true)).toBe(signal === "SIGINT" ? 130 : 143);
		expect(readdirSync(directory)).toEqual(["t.mmtrace"]);
		expect(readFileSync(path, "utf8")).toBe("before");
	});
});

describe("a writer", () => {
	it("that is aborted leaves what was there, and no temporary", () => {
		writeFileSync(path, "before");
		const listeners = process.listenerCount("SIGINT");
		const writer = new TraceWriter(path, { header: emptyHeader() });
		expect(process.listenerCount("SIGINT")).toBe(listeners + 1);
		append(writer, list);
		writer.abort();
		writer.abort();
		expect(readdirSync(directory)).toEqual(["t.mmtrace"]);
		expect(readFileSync(path, "utf8")).toBe("before");
		expect(process.listenerCount("SIGINT")).toBe(listeners);
		expect(() => writer.finish()).toThrow(/finished/);
	});

	it("whose header is over its cap leaves nothing", () => {
		const writer = new TraceWriter(path);
		append(writer, list);
		expect(() => writer.finish({ ...emptyHeader(), kernel: "x".repeat(70_000) })).toThrow(/the header has/);
		expect(readdirSync(directory)).toEqual([]);
	});

	it("replaces what a symbolic link points to, and keeps the link", () => {
		mkdirSync(join(directory, "real"));
		const real = join(directory, "real", "t.mmtrace");
		writeFileSync(real, "before");
		symlinkSync(real, path);
		writeTo(path, list);
		expect(readAll(real)).toEqual(sequenced(list));
		expect(readdirSync(join(directory, "real"))).toEqual(["t.mmtrace"]);
	});

	it("says where it cannot write", () => {
		expect(() => new TraceWriter(join(directory, "none", "t.mmtrace"))).toThrow(UsageError);
		expect(() => new TraceWriter(directory)).toThrow(/is a directory/);
	});
});
