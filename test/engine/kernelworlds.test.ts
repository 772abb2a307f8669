// Worlds that a kernel could have made: no safe strategy breaks an invariant of kernel.md section 6, all strategies reach the same primary state, and
// the engine equals the reference model. MMREPLAY_WORLDS: how many; MMREPLAY_SEED: others than always.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { findStrategy, STRATEGIES } from "../../src/strategies/index.js";
import type { Strategy } from "../../src/strategies/steps.js";
import { openTrace } from "../../src/trace/reader.js";
import { records } from "../../src/trace/records.js";
import { mmreplay } from "../cli/process.js";
import { expectCoherent, primaryStates } from "./invariants.js";
import { kernelWorld } from "./kernelworlds.js";
import { holdWorlds } from "./worldfile.js";

const WORLDS = Number(process.env.MMREPLAY_WORLDS ?? 90);
const SEED = Number(process.env.MMREPLAY_SEED ?? 11);

describe("worlds that a kernel could have made", { timeout: 600_000 }, () => {
	it("break no invariant under a safe strategy, in the engine or in the model", () => {
		holdWorlds(kernelWorld, (world) => expectCoherent(world, STRATEGIES), { name: "kernel-worlds", seed: SEED, runs: WORLDS });
	});

	it("have one primary state under all strategies", () => {
		const equal = (world: Parameters<typeof primaryStates>[0]): void => {
			const [first, ...others] = primaryStates(world, STRATEGIES);
			for (const other of others) expect(other).toEqual(first);
		};
		holdWorlds(kernelWorld, equal, { name: "primary-states", seed: SEED + 1, runs: Math.ceil(WORLDS / 3) });
	});

	it("show a strategy that is wrongly called safe, and leave its smallest trace", async () => {
		const naive = findStrategy("establish-naive");
		if (naive === undefined) throw new Error("no establish-naive");
		const mislabelled: Strategy = { ...naive, safe: true };
		const folder = mkdtempSync(join(tmpdir(), "mmreplay-worlds-"));
		try {
			const hold = (): void =>
				holdWorlds(kernelWorld, (world) => expectCoherent(world, [mislabelled]), { name: "defect", seed: 3, runs: 3000, folder });
			expect(hold).toThrow(/^defect: seed 3, path [\d:]+, after \d+ worlds; shrunk to \d+ records in .*defect-3\.mmtrace: /);
			const path = join(folder, "defect-3.mmtrace");
			const trace = openTrace(path);
			expect([...records(trace, { observations: false })].length).toBeLessThanOrEqual(16);
			trace.close();
			const ended = await mmreplay(["replay", path, "--strategy", "establish-naive", "--check", "--json"]);
			const { coherence } = JSON.parse(ended.stdout) as { coherence: { violations: number; list: { rule: string }[] } };
			expect(coherence.violations).toBeGreaterThan(0);
			expect(coherence.list.map(({ rule }) => rule)).toContain("I-6");
			const drop = await mmreplay(["replay", path, "--strategy", "drop", "--check"]);
			expect(drop.status).toBe(0);
		} finally {
			rmSync(folder, { recursive: true, force: true });
		}
	});
});
