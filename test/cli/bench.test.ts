// mmreplay bench as a process, small: its yardsticks count what the engine counts, and a baseline gates exact figures. Times are for bench itself.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { mmreplay } from "./process.js";
import { withFolder } from "./traces.js";

describe("bench", () => {
	it("measures, agrees with its yardsticks, and fails where a counter moved", { timeout: 240_000 }, async () => {
		await withFolder(async (folder) => {
			const baseline = join(folder, "baseline.json");
			const args = ["bench", "--quick", "--rounds", "1", "--events", "100000", "--only", "h,z", "--cache", folder];
			const first = await mmreplay([...args, "--json", "--write-baseline", baseline]);
			expect(first.stderr.replaceAll(/mmreplay: warning: no native floor.*\n/g, "")).toBe("");
			expect(first.status).toBe(0);
			const document = JSON.parse(first.stdout);
			expect(document).toMatchObject({ schema: "mmreplay/bench/1", rounds: 1, disagreements: [], gate: null });
			const names = document.figures.map(({ name }: { name: string }) => name);
			expect(names).toContain("h: four strategies over one");
			expect(names).toContain("z: plain JavaScript over engine");
			const recorded = JSON.parse(readFileSync(baseline, "utf8"));
			const [workload = ""] = Object.keys(recorded.exact);
			recorded.exact[workload] = "0".repeat(64);
			writeFileSync(baseline, JSON.stringify(recorded));
			const second = await mmreplay([...args, "--only", "h", "--format", "github-action-benchmark", "--baseline", baseline]);
			expect(second.status).toBe(1);
			expect(second.stderr).toContain(`exact figures moved: ${workload}`);
			expect(JSON.parse(second.stdout)[0]).toMatchObject({ name: expect.any(String), unit: expect.any(String), value: expect.any(Number) });
		});
	});

	const wrong: [what: string, args: string[], status: number, error: RegExp][] = [
		["no such baseline", ["--baseline", "none.json"], 2, /no such file \(none\.json\)/],
		["an unknown workload", ["--only", "h,x"], 2, /some of p,h,z,m,r,k/],
		["no rounds", ["--rounds", "0"], 2, /whole number from 1/],
		["an unknown format", ["--format", "xml"], 2, /--format/],
	];
	it.each(wrong)("%s", async (_what, args, status, error) => {
		const ended = await mmreplay(["bench", ...args]);
		expect(ended.status).toBe(status);
		expect(ended.stderr).toMatch(error);
		expect(ended.stdout).toBe("");
	});

	it("a file that is no baseline", async () => {
		await withFolder(async (folder) => {
			const path = join(folder, "baseline.json");
			for (const text of [
				"",
				"{",
				"[]",
				'{"schema":"mmreplay/bench-baseline/1","cpu":"x","yardstick":"native floor","ratios":{"a":["b"]},"exact":{}}',
			]) {
				writeFileSync(path, text);
				const ended = await mmreplay(["bench", "--baseline", path]);
				expect(ended.status).toBe(3);
				expect(ended.stderr).toMatch(/not a baseline of the benchmark/);
			}
		});
	});
});
