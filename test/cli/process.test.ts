// The conventions of cli.md, on the command as a process: exit statuses, error lines, what goes where.
import { spawn } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { MAIN, mmreplay } from "./process.js";
import { fixture, memslot, read, withFolder, writeTrace } from "./traces.js";

const TRACE = fixture("stock-tiny");
const ERROR_LINE = /^mmreplay: error: .+ \(.+\)$/;

describe("errors", () => {
	const cases: [what: string, args: string[], status: number, error: RegExp, hint?: RegExp][] = [
		["an unknown command", ["compar", "x"], 2, /unknown command compar/, /did you mean compare\?/],
		["an unknown option", ["compare", TRACE, "--stratgies", "fix"], 2, /unknown option --stratgies/, /did you mean --strategies\?/],
		["an unknown option before a command", ["--jsno"], 2, /unknown option --jsno/],
		["an unknown strategy", ["compare", TRACE, "--strategies", "drop,fxi"], 2, /unknown strategy fxi/, /did you mean fix\?/],
		["a strategy named twice", ["compare", TRACE, "--strategies", "fix,fix"], 2, /named twice/],
		["an unknown baseline", ["compare", TRACE, "--baseline", "dorp"], 2, /unknown strategy dorp \(--baseline\)/, /drop/],
		["an unknown machine", ["compare", TRACE, "--machine", "skylake"], 2, /unknown machine skylake/, /skylake-sp/],
		["a missing strategy file", ["compare", TRACE, "--strategies", "./none.json"], 2, /no such file: \.\/none\.json/],
		["a missing argument", ["compare"], 2, /missing required argument/],
		["a missing option", ["import", TRACE], 2, /--output/],
		["a missing trace", ["info", "no/such/trace"], 2, /no such file/],
		["a number that is none", ["head", TRACE, "-n", "ten"], 2, /whole number/],
		["an import of a trace", ["import", TRACE, "-o", "/dev/null"], 2, /a trace already/],
		["a captured strategy that is none", ["fidelity", TRACE, "--captured-strategy", "dop"], 2, /unknown strategy dop/, /drop/],
		["a file that is neither trace nor capture", ["info", MAIN], 3, /no format that can be read/],
		["salvage without a target", ["validate", "--salvage", TRACE], 2, /--output/],
	];
	it.each(cases)("%s", async (_what, args, status, error, hint) => {
		const ended = await mmreplay(args);
		expect(ended.status).toBe(status);
		expect(ended.stdout).toBe("");
		const [first = "", second] = ended.stderr.trimEnd().split("\n");
		expect(first).toMatch(ERROR_LINE);
		expect(first).toMatch(error);
		if (hint !== undefined) expect(second).toMatch(hint);
		if (second !== undefined) expect(second).toMatch(/^hint: /);
		expect(ended.stderr).not.toMatch(/\n\s+at /);
	});

	it("show a stack with MMREPLAY_DEBUG=1 only", async () => {
		const ended = await mmreplay(["info", "no/such/trace"], { env: { MMREPLAY_DEBUG: "1" } });
		expect(ended.status).toBe(2);
		expect(ended.stderr).toMatch(/\n\s+at /);
	});

	it("say where a trace is cut off, and salvage keeps what is before", async () => {
		await withFolder(async (folder) => {
			const path = join(folder, "cut.mmtrace");
			copyFileSync(fixture("stock-tiny"), path);
			truncateSync(path, readFileSync(path).length - 400);
			const ended = await mmreplay(["compare", path]);
			expect(ended.status).toBe(3);
			expect(ended.stderr).toMatch(/cut off .*byte \d+/);
			expect((await mmreplay(["validate", path])).status).toBe(3);
			const saved = join(folder, "saved.mmtrace");
			expect((await mmreplay(["validate", path, "--salvage", "-o", saved])).status).toBe(0);
			const info = await mmreplay(["info", saved, "--json"]);
			const document = JSON.parse(info.stdout) as { warnings: string[] };
			expect(document.warnings.join()).toMatch(/salvaged/);
			// What was lost stands in every later report.
			expect((await mmreplay(["compare", saved])).stdout).toMatch(/warning: salvaged/);
		});
	});

	it("say which byte is damaged", async () => {
		await withFolder(async (folder) => {
			const path = join(folder, "bad.mmtrace");
			const bytes = readFileSync(fixture("stock-tiny"));
			const at = bytes.length >> 1;
			bytes.writeUInt8(bytes.readUInt8(at) ^ 0x55, at);
			writeFileSync(path, bytes);
			const ended = await mmreplay(["compare", "--json", path]);
			expect(ended.status).toBe(3);
			expect(ended.stdout).toBe("");
			expect(ended.stderr).toMatch(/bad\.mmtrace, byte \d+/);
		});
	});

	it("name the field of a bad file", async () => {
		await withFolder(async (folder) => {
			const strategy = JSON.parse((await mmreplay(["strategies", "fix"])).stdout) as { operations: { cow: { step: string }[] } };
			const [first] = strategy.operations.cow;
			if (first !== undefined) first.step = "aloc-copy";
			writeFileSync(join(folder, "mine.json"), JSON.stringify(strategy));
			const ended = await mmreplay(["compare", TRACE, "--strategies", "./mine.json"], { cwd: folder });
			expect(ended.status).toBe(3);
			expect(ended.stderr).toMatch(/operations\.cow\[0\]\.step: must be one of/);
			writeFileSync(join(folder, "machine.json"), '{"name":"x","hz":1e9,"tlb":{"l1":{"entries":64,"ways":5},"l2":{"entries":8,"ways":8}}}');
			expect((await mmreplay(["compare", TRACE, "--machine", "./machine.json"], { cwd: folder })).stderr).toMatch(/tlb\.l1\.ways: /);
			writeFileSync(join(folder, "costs.json"), '{"items":{"vmexits":1}}');
			expect((await mmreplay(["compare", TRACE, "--costs", "costs.json"], { cwd: folder })).stderr).toMatch(
				/items\.vmexits: there is no such field/,
			);
		});
	});

	it("are defects of ours with status 70 only where they are", async () => {
		const ended = await mmreplay(["compare", fixture("stock-tiny"), "--csv", "/nonexistent/x.csv"]);
		expect(ended.status).toBe(2);
	});
});

describe("output", () => {
	it.each([
		["compare", [TRACE]],
		["replay", [TRACE]],
		["fidelity", [TRACE]],
		["info", [TRACE]],
		["strategies", []],
		["machines", []],
		["validate", [TRACE]],
	])("%s --json is one document with its schema first", async (command, args) => {
		const ended = await mmreplay([command, ...args, "--json"]);
		expect(ended.stderr).toBe("");
		expect(ended.status).toBe(0);
		expect(Object.entries(JSON.parse(ended.stdout) as object)[0]).toEqual(["schema", `mmreplay/${command}/1`]);
	});

	it("has no escape codes in a pipe", async () => {
		const ended = await mmreplay(["compare", TRACE]);
		expect(ended.stdout).not.toContain("\x1b");
		expect(ended.stderr).toBe("");
	});

	it("ends quietly when the pipe is closed", async () => {
		const child = spawn(process.execPath, [MAIN, "cat", TRACE], { stdio: ["ignore", "pipe", "pipe"] });
		let errors = "";
		child.stderr.on("data", (chunk: Buffer) => {
			errors += chunk.toString();
		});
		child.stdout.destroy();
		const status = await new Promise((resolve) => child.on("close", resolve));
		expect(errors).toBe("");
		expect(status).toBe(0);
	});

	it("reads a trace and a capture from standard input", async () => {
		const bytes = readFileSync(TRACE);
		const [piped, named] = await Promise.all([mmreplay(["info", "-", "--json"], { input: bytes }), mmreplay(["info", TRACE, "--json"])]);
		const [a, b] = [JSON.parse(piped.stdout), JSON.parse(named.stdout)] as Record<string, unknown>[];
		expect(a?.digest).toBe(b?.digest);
		expect(a?.path).toBe("-");
	});

	it("writes a trace to standard output", async () => {
		await withFolder(async (folder) => {
			const path = join(folder, "t.mmtrace");
			writeTrace(path, { causes: [memslot(4), read(1)], header: { access: "complete" } });
			const piped = await mmreplay(["validate", "--salvage", "-o", "-", path]);
			expect(piped.status).toBe(0);
			expect(piped.stdout.length).toBeGreaterThan(0);
		});
	});

	it("shows help and version on standard output", async () => {
		for (const args of [[], ["--help"], ["help"], ["compare", "--help"], ["help", "compare"], ["--version"]]) {
			const ended = await mmreplay(args);
			expect(ended.status).toBe(0);
			expect(ended.stdout).not.toBe("");
			expect(ended.stderr).toBe("");
		}
	});

	it("goes to the files that are asked for", async () => {
		await withFolder(async (folder) => {
			const [csv, markdown, json] = ["c.csv", "c.md", "c.json"].map((name) => join(folder, name));
			if (csv === undefined || markdown === undefined || json === undefined) throw new Error("three names");
			const ended = await mmreplay(["compare", TRACE, "--csv", csv, "--markdown", markdown, "-o", json]);
			expect(ended.status).toBe(0);
			expect(ended.stdout).toMatch(/^# trace: /);
			expect(readFileSync(csv, "utf8").split("\r\n")[0]).toMatch(/^trace,strategy,/);
			expect(readFileSync(markdown, "utf8")).toMatch(/\| strategy \|/);
			expect(JSON.parse(readFileSync(json, "utf8"))).toHaveProperty("schema", "mmreplay/compare/1");
		});
	});
});

describe("captures", () => {
	it("in an empty folder or without events are said to be none", async () => {
		await withFolder(async (folder) => {
			expect((await mmreplay(["info", folder])).status).toBe(3);
			mkdirSync(join(folder, "c"));
			writeFileSync(join(folder, "c", "trace.txt"), "# tracer: nop\n#\n");
			const ended = await mmreplay(["import", join(folder, "c"), "-o", join(folder, "t.mmtrace")]);
			expect(ended.status).toBe(3);
			expect(ended.stderr).toMatch(/no trace events/);
			expect(existsSync(join(folder, "t.mmtrace"))).toBe(false);
		});
	});
});

describe("outputs", () => {
	it.each([
		["the trace that is read", (at: string) => ["compare", at, "--json", "-o", at]],
		["a second output", (at: string) => ["compare", at, "--csv", `${at}.x`, "--markdown", `${at}.x`]],
		["another document on standard output", (at: string) => ["compare", at, "--json", "--csv", "-"]],
	])("never overwrite %s", async (_, words) => {
		await withFolder(async (folder) => {
			const path = join(folder, "t.mmtrace");
			copyFileSync(TRACE, path);
			const ended = await mmreplay(words(path));
			expect(ended.status).toBe(2);
			expect(ended.stdout).toBe("");
			expect(readFileSync(path).equals(readFileSync(TRACE))).toBe(true);
		});
	});

	it.runIf(existsSync("/dev/full"))("on a full disk end with the status of a limit", async () => {
		const ended = await mmreplay(["compare", TRACE, "-o", "/dev/full"]);
		expect(ended.status).toBe(4);
		expect(ended.stderr).toMatch(/no room for the file/);
	});
});

describe("an access log that lost lines", () => {
	const capture = fileURLToPath(new URL("../fixtures/captures/stock-tiny", import.meta.url));
	it.each([
		["from its middle", (lines: string[]) => lines.toSpliced(99, 1), /not at the place that they number/],
		["from its end", (lines: string[]) => lines.slice(0, -40), /fewer accesses than the rig made/],
	])("%s is not called complete", async (_, lose, warning) => {
		await withFolder(async (folder) => {
			for (const name of ["trace.txt.gz", "stats.jsonl", "events.txt"]) copyFileSync(join(capture, name), join(folder, name));
			const log = gunzipSync(readFileSync(join(capture, "access.vm0.txt.gz"))).toString();
			writeFileSync(join(folder, "access.vm0.txt"), `${lose(log.trimEnd().split("\n")).join("\n")}\n`);
			const ended = await mmreplay(["import", folder, "-o", join(folder, "t.mmtrace")]);
			expect(ended.status).toBe(0);
			expect(ended.stderr).toMatch(warning);
			expect(ended.stdout).toMatch(/^accesses inferred/m);
		});
	});
});

describe("violations", () => {
	it("of a trace of nobody's kernel are none", async () => {
		await withFolder(async (folder) => {
			const path = join(folder, "t.mmtrace");
			writeTrace(path, { causes: [memslot(4), read(1), read(2)], header: { access: "complete" } });
			const ended = await mmreplay(["compare", path, "--json", "--check"]);
			expect(ended.status).toBe(0);
			expect(ended.stdout).toMatch(/which strategy the captured kernel ran is not known/);
			// Nothing is known to hold it against.
			expect((await mmreplay(["fidelity", path])).status).toBe(3);
		});
	});
});
