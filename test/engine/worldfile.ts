// A property of random worlds, and what becomes of a world that breaks it: shrunk, and written as a trace.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { emptyHeader } from "../../src/trace/header.js";
import { TraceWriter } from "../../src/trace/writer.js";
import { collector } from "./traces.js";
import type { RandomWorld } from "./worlds.js";

/** Where counterexamples go: one `.mmtrace` each, for `mmreplay replay FILE --check`. */
const FAILURES = process.env.MMREPLAY_FAILURES ?? "test-results/worlds";

interface Runs {
	readonly name: string;
	readonly seed: number;
	readonly runs: number;
	readonly folder?: string;
}

/** With what the world says of its host. */
function bytesOf({ records, copiesRecorded, host }: RandomWorld): Uint8Array {
	const { sink, bytes } = collector();
	const writer = new TraceWriter(sink, { header: { ...emptyHeader(), copiesRecorded, host } });
	for (const record of records) writer.cause(record);
	writer.finish();
	return bytes();
}

/** Hold `worlds` to a property that throws. @throws Error that names the seed, the trace that was written, and what is wrong with it */
export function holdWorlds(
	worlds: fc.Arbitrary<RandomWorld>,
	holds: (world: RandomWorld) => void,
	{ name, seed, runs, folder }: Runs,
): void {
	const details = fc.check(fc.property(worlds, holds), { seed, numRuns: runs });
	if (!details.failed) return;
	const [world] = details.counterexample ?? [];
	if (world === undefined) throw new Error(`no counterexample (seed ${seed})`, { cause: details.errorInstance });
	const into = folder ?? FAILURES;
	mkdirSync(into, { recursive: true });
	const path = join(into, `${name}-${seed}.mmtrace`);
	writeFileSync(path, bytesOf(world));
	const why = details.errorInstance instanceof Error ? details.errorInstance.message : String(details.errorInstance);
	throw new Error(
		`${name}: seed ${seed}, path ${details.counterexamplePath ?? ""}, after ${details.numRuns} worlds; ` +
			`shrunk to ${world.records.length} records in ${path}: ${why}`,
		{ cause: details.errorInstance },
	);
}
