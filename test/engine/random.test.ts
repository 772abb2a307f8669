// The engine against the reference model on random small worlds: every counter, the first violation, the state, the phases.
// MMREPLAY_WORLDS: how many; MMREPLAY_SEED: others than always.
import fc from "fast-check";
import { describe, it } from "vitest";
import type { Build } from "../../src/engine/engine.js";
import { replayTrace } from "../../src/engine/replay.js";
import { STRATEGIES } from "../../src/strategies/index.js";
import { withOptions } from "../../src/strategies/options.js";
import type { Strategy } from "../../src/strategies/steps.js";
import { emptyHeader } from "../../src/trace/header.js";
import { openTrace } from "../../src/trace/reader.js";
import { TraceWriter, type WriterOptions } from "../../src/trace/writer.js";
import { expectEqual } from "./compare.js";
import { collector } from "./memory.js";
import { referenceReplay } from "./reference.js";
import { type RandomWorld, randomWorld } from "./worlds.js";

const WORLDS = Number(process.env.MMREPLAY_WORLDS ?? 2400);
const SEED = Number(process.env.MMREPLAY_SEED ?? 20);

/** The strategies that there are, and what leaving a step out makes of some. */
const VARIANTS: Strategy[] = STRATEGIES.filter(({ name }) => ["fix", "flag", "fix-map"].includes(name)).flatMap((strategy) => [
	withOptions(strategy, { seqBump: false }),
	withOptions(strategy, { deferFlush: true }),
]);
const ALL = [...STRATEGIES, ...VARIANTS];

const writing: fc.Arbitrary<WriterOptions> = fc.record({
	pages: fc.constantFrom("fixed", "delta", "auto"),
	codec: fc.constantFrom("none", "deflate-raw"),
	causesPerBlock: fc.constantFrom(1, 3, 17, 8192),
});

function traceOf(world: RandomWorld, options: WriterOptions): Uint8Array {
	const { sink, bytes } = collector();
	const writer = new TraceWriter(sink, { ...options, header: { ...emptyHeader(), copiesRecorded: world.copiesRecorded } });
	for (const record of world.records) writer.cause(record);
	writer.finish();
	return bytes();
}

describe("on random worlds the engine equals the reference model", () => {
	it.each<Build>(["release", "scalar", "debug"])("%s build", { timeout: 600_000 }, (build) => {
		fc.assert(
			fc.property(randomWorld, writing, (world, options) => {
				const trace = openTrace(traceOf(world, options));
				const replay = { strategies: ALL, machine: world.machine, check: true, build };
				expectEqual(replayTrace(trace, replay), referenceReplay(trace, replay));
			}),
			{ seed: SEED + build.length, numRuns: Math.ceil(WORLDS / 3) },
		);
	});
});
