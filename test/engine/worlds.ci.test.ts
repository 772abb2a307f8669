// Ten thousand random worlds and more: any records in any order (engine = reference model), and worlds that a kernel could have made (no safe strategy
// breaks an invariant, one primary state). A counterexample is shrunk and written as a trace (worldfile.ts).
// MMREPLAY_WORLDS: how many of each kind; MMREPLAY_SEED: others than always.
import { describe, expect, it } from "vitest";
import { replayTrace } from "../../src/engine/replay.js";
import { STRATEGIES } from "../../src/strategies/index.js";
import { openTrace } from "../../src/trace/reader.js";
import { expectEqual } from "./compare.js";
import { expectCoherent, primaryStates } from "./invariants.js";
import { kernelWorld } from "./kernelworlds.js";
import { referenceReplay } from "./reference.js";
import { MANY, traceBytes } from "./traces.js";
import { holdWorlds } from "./worldfile.js";
import { type RandomWorld, randomWorld } from "./worlds.js";

const WORLDS = Number(process.env.MMREPLAY_WORLDS ?? 10_000);
const SEED = Number(process.env.MMREPLAY_SEED ?? 2027);

/** Four strategies a world, others from world to world. */
function someOf(world: RandomWorld): typeof MANY {
	const first = world.records.length % MANY.length;
	return [...MANY.slice(first), ...MANY].slice(0, 4);
}

describe.concurrent("many random worlds", { timeout: 1_800_000 }, () => {
	it("are replayed alike by the engine and the model, whatever their records", () => {
		const equal = (world: RandomWorld): void => {
			const trace = openTrace(traceBytes(world.records, world.copiesRecorded));
			const options = { strategies: someOf(world), machine: world.machine, host: world.host, check: true };
			expectEqual(replayTrace(trace, options), referenceReplay(trace, options));
		};
		holdWorlds(randomWorld, equal, { name: "random-worlds", seed: SEED, runs: WORLDS });
	});

	it("break no invariant under a safe strategy where a kernel could have made them", () => {
		const holds = (world: RandomWorld): void => {
			expectCoherent(world, STRATEGIES);
			const [first, ...others] = primaryStates(world, STRATEGIES.slice(0, 2));
			for (const other of others) expect(other).toEqual(first);
		};
		holdWorlds(kernelWorld, holds, { name: "kernel-worlds", seed: SEED + 1, runs: Math.ceil(WORLDS / 4) });
	});
});
