// How long the parts take (bundled into dist/bench, two levels below the root), on a real trace: `npm run bench`. Ratios within one run are what to quote; these machines are noisy (performance.md).
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Bench } from "tinybench";
import { replayTrace } from "../src/engine/replay.js";
import { DEFAULT_MACHINE } from "../src/machine/machine.js";
import { ReferenceModel } from "../src/model/replay.js";
import { DEFAULT_STRATEGIES, findStrategy } from "../src/strategies/index.js";
import type { Strategy } from "../src/strategies/steps.js";
import { crc32c } from "../src/trace/crc32c.js";
import { openTrace } from "../src/trace/reader.js";
import { records } from "../src/trace/records.js";

const TRACE = fileURLToPath(new URL("../../traces/ksm-xmedium-6.1-fix.mmtrace", import.meta.url));

function strategies(...names: readonly string[]): Strategy[] {
	return names.map((name) => {
		const strategy = findStrategy(name);
		if (strategy === undefined) throw new Error(`no strategy ${name}`);
		return strategy;
	});
}

const bytes = readFileSync(TRACE);
const causes = [...records(openTrace(TRACE), { observations: false })];

function replay(list: readonly Strategy[], check: boolean): void {
	const trace = openTrace(TRACE);
	try {
		replayTrace(trace, { strategies: list, machine: DEFAULT_MACHINE, check });
	} finally {
		trace.close();
	}
}

function reference(strategy: Strategy): void {
	const tlb = { l1: { sets: 16, ways: 4 }, l2: { sets: 128, ways: 12 } };
	const model = new ReferenceModel({ strategy, tlb, guestLevels: 4, hostLevels: 4, copiesRecorded: true });
	for (const { record, sequence } of causes) model.replay(record, sequence);
}

const bench = new Bench({ time: 1000, warmupTime: 200 });
const five = strategies(...DEFAULT_STRATEGIES);
const [one] = strategies("drop");
if (one === undefined) throw new Error("no strategy");
bench
	.add("checksum of the file", () => void crc32c(bytes))
	.add("records, one object each", () => {
		for (const sequenced of records(openTrace(TRACE), { observations: false })) if (sequenced.sequence < 0) throw new Error("never");
	})
	.add("engine, one strategy", () => replay([one], false))
	.add("engine, one strategy, checked", () => replay([one], true))
	.add("engine, five strategies", () => replay(five, false))
	.add("reference model, one strategy", () => reference(one));
await bench.run();

const rows = bench.tasks.map((task) => {
	const { result } = task;
	if (!("latency" in result)) return { part: task.name, "ms (median)": "failed", "M events/s": "", samples: 0 };
	const median = result.latency.p50;
	return {
		part: task.name,
		"ms (median)": median.toFixed(2),
		"M events/s": (causes.length / median / 1000).toFixed(2),
		samples: result.latency.samplesCount,
	};
});
console.log(`${causes.length} causes of ${TRACE.split("/").at(-1) ?? ""}`);
console.table(rows);
