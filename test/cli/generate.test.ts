// mmreplay generate as a process: files, pipes, and arguments that cannot be.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { mmreplay } from "./process.js";
import { fixture, withFolder } from "./traces.js";

describe("generate", () => {
	it("writes what validate and compare take, to a file and to a pipe", async () => {
		await withFolder(async (folder) => {
			const path = join(folder, "z.mmtrace");
			const made = await mmreplay(["generate", "z", "-o", path, "--events", "3000", "--seed", "5", "--json"]);
			expect(made.stderr).toBe("");
			expect(JSON.parse(made.stdout)).toMatchObject({ schema: "mmreplay/generate/1", workload: "z", seed: 5, causes: 3000 });
			const info = await mmreplay(["info", path, "--json"]);
			const { events, access, sources } = JSON.parse(info.stdout);
			expect({ events, access }).toEqual({ events: 3000, access: "complete" });
			expect(sources[0].name).toContain("--seed 5");
			expect((await mmreplay(["validate", path])).status).toBe(0);
			const compared = await mmreplay(["compare", path, "--check", "--json"]);
			expect(compared.status).toBe(0);
		});
	});

	it("leaves no file behind where it cannot", async () => {
		await withFolder(async (folder) => {
			const ended = await mmreplay(["generate", "zipf", "-o", join(folder, "none", "t.mmtrace"), "-n", "10"]);
			expect(ended.status).toBe(2);
			expect(readdirSync(folder)).toEqual([]);
		});
	});

	const wrong: [what: string, args: string[], error: RegExp, hint?: RegExp][] = [
		["an unknown workload", ["zipff", "-o", "x"], /unknown workload zipff/, /did you mean zipf\?/],
		["no events", ["zipf", "-o", "x", "--events", "0"], /from 1 to .*: 0 \(--events\)/],
		["too many events", ["zipf", "-o", "x", "--events", "1e300"], /--events/],
		["events that are none", ["zipf", "-o", "x", "--events", "many"], /not a whole number .*many/],
		["a negative seed", ["zipf", "-o", "x", "--seed=-1"], /--seed/],
		["a fraction above one", ["zipf", "-o", "x", "--writes", "1.5"], /not a number from 0 to 1: 1\.5 \(--writes\)/],
		["fractions above one together", ["zipf", "-o", "x", "--merges", "0.7", "--host", "0.7"], /more than all of them/],
		["too much memory", ["uniform", "-o", "x", "--vms", "100", "--pages", "30000000"], /pages in all, more than/],
		["more hot pages than pages", ["hits", "-o", "x", "--pages", "4"], /32 hot pages of 4/],
		["a block of no records", ["hits", "-o", "x", "--block", "0"], /--block/],
		["no trace to repeat", ["repeat", "-o", "x"], /no trace to repeat/, /--from/],
		["a trace that is not there", ["repeat", "--from", "none", "-o", "x"], /no such file/],
		["a parameter of a repetition", ["k", "--pages", "7", "-o", "x"], /takes a capture as it is \(--pages\)/],
		["a trace to repeat over itself", ["repeat", "--from", fixture("drop-tiny"), "-o", fixture("drop-tiny")], /overwrite an input/],
	];
	it.each(wrong)("%s", async (_what, args, error, hint) => {
		const ended = await mmreplay(["generate", ...args]);
		expect(ended.status).toBe(2);
		const [first = "", second] = ended.stderr.trimEnd().split("\n");
		expect(first).toMatch(/^mmreplay: error: .+ \(.+\)$/);
		expect(first).toMatch(error);
		if (hint !== undefined) expect(second).toMatch(hint);
	});

	it("a file that is no trace is bad input", async () => {
		await withFolder(async (folder) => {
			const ended = await mmreplay(["generate", "repeat", "--from", new URL(import.meta.url).pathname, "-o", join(folder, "t")]);
			expect(ended.status).toBe(3);
			expect(readdirSync(folder)).toEqual([]);
			expect(readFileSync(fixture("drop-tiny")).length).toBeGreaterThan(0);
		});
	});
});
