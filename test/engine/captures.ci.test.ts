// Every capture at hand, every strategy: the engine's counters, phases, violations and state are the reference model's.
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, it } from "vitest";
import { replayTrace } from "../../src/engine/replay.js";
import { readFolder } from "../../src/import/folder.js";
import { importSources } from "../../src/import/index.js";
import { DEFAULT_MACHINE } from "../../src/machine/machine.js";
import { STRATEGIES } from "../../src/strategies/index.js";
import { openTrace, type TraceReader } from "../../src/trace/reader.js";
import { TraceWriter } from "../../src/trace/writer.js";
import { expectEqual } from "./compare.js";
import { referenceReplay } from "./reference.js";
import { collector } from "./traces.js";

const SHARED = fileURLToPath(new URL("../../../shared/data/", import.meta.url));
const folders = ["captures", "guests"].flatMap((kind) => {
	const folder = join(SHARED, kind);
	return existsSync(folder) ? readdirSync(folder).map((name) => join(folder, name)) : [];
});
if (folders.length === 0) console.warn("skipped: the captures are not at hand (../shared/data)");

async function traceOf(folder: string): Promise<TraceReader> {
	const { sink, bytes } = collector();
	const writer = new TraceWriter(sink);
	const { trace, access, stats } = readFolder(folder);
	const header = await importSources({ sources: [trace], access, stats, lenient: true }, writer);
	writer.finish(header);
	return openTrace(bytes());
}

describe.skipIf(folders.length === 0)("on a capture the engine equals the reference model", () => {
	it.each(folders.map((folder) => [folder.slice(SHARED.length), folder]))("%s", { timeout: 600_000 }, async (_, folder) => {
		const trace = await traceOf(folder);
		const options = { strategies: STRATEGIES, machine: DEFAULT_MACHINE, check: true };
		expectEqual(replayTrace(trace, options), referenceReplay(trace, options));
	});
});
