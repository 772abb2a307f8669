// The engine against the reference model on random small worlds: every counter, the first violation, the state, the phases.
// MMREPLAY_WORLDS: how many; MMREPLAY_SEED: others than always.
import fc from "fast-check";
import { describe, it } from "vitest";
import type { Build } from "../../src/engine/engine.js";
import { replayTrace } from "../../src/engine/replay.js";
import { openTrace } from "../../src/trace/reader.js";
import type { WriterOptions } from "../../src/trace/writer.js";
import { expectEqual } from "./compare.js";
import { referenceReplay } from "./reference.js";
import { MANY, traceBytes } from "./traces.js";
import { randomWorld } from "./worlds.js";

const WORLDS = Number(process.env.MMREPLAY_WORLDS ?? 2400);
const SEED = Number(process.env.MMREPLAY_SEED ?? 20);

const writing: fc.Arbitrary<WriterOptions> = fc.record({
	pages: fc.constantFrom("fixed", "delta", "auto"),
	codec: fc.constantFrom("none", "deflate-raw"),
	causesPerBlock: fc.constantFrom(1, 3, 17, 8192),
});

/** Their number decides how the tables are laid out. */
const chosen = fc.shuffledSubarray([...MANY], { minLength: 1, maxLength: 8 });

describe("on random worlds the engine equals the reference model", () => {
	it.each<Build>(["release", "scalar", "debug"])("%s build", { timeout: 600_000 }, (build) => {
		fc.assert(
			fc.property(randomWorld, writing, chosen, (world, options, strategies) => {
				const trace = openTrace(traceBytes(world.records, world.copiesRecorded, options));
				const replay = { strategies, machine: world.machine, host: world.host, check: true, build };
				expectEqual(replayTrace(trace, replay), referenceReplay(trace, replay));
			}),
			{ seed: SEED + build.length, numRuns: Math.ceil(WORLDS / 3) },
		);
	});
});
