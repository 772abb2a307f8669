// The real gate, once each way: the same build passes, one that is three times slower does not. Machines that run this are busy; what a gate finds on a
// quiet one, and how often it is wrong, is in docs/performance.md.
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { mmreplay } from "../cli/process.js";
import { withFolder } from "../cli/traces.js";

describe("bench --baseline", () => {
	// Once in a hundred runs the same build fails, by what the gate states of itself.
	it("lets the same build pass and stops a slower one", { timeout: 900_000, retry: 1 }, async () => {
		await withFolder(async (folder) => {
			const baseline = join(folder, "baseline.json");
			const args = ["bench", "--gated", "--only", "h", "--rounds", "6", "--events", "1000000", "--cache", folder, "--json"];
			const first = await mmreplay([...args, "--write-baseline", baseline]);
			expect(first.status).toBe(0);
			const same = await mmreplay([...args, "--baseline", baseline]);
			expect(same.stderr).not.toContain("slower");
			expect(same.status).toBe(0);
			const slowed = await mmreplay([...args, "--slowed", "200", "--baseline", baseline]);
			expect(slowed.status).toBe(1);
			expect(slowed.stderr).toMatch(/slower: all by/);
			expect(JSON.parse(slowed.stdout).gate.verdicts.some(({ failed }: { failed: boolean }) => failed)).toBe(true);
		});
	});
});
