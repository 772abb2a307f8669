// The engine's interface over the reference model: slow and obviously right. Tests hold the engine's results against it.

import type { PhaseReplay, ReplayOptions, ReplayResult } from "../../src/engine/replay.js";
import { ReferenceModel } from "../../src/model/replay.js";
import { simulated } from "../../src/model/simulated.js";
import { AgentKind } from "../../src/trace/kinds.js";
import type { TraceReader } from "../../src/trace/reader.js";
import { records } from "../../src/trace/records.js";
import { exitRanges } from "../engine/reference.js";

export function replayTrace(
	trace: TraceReader,
	options: ReplayOptions,
	onProgress?: (events: number, bytes: number) => void,
): ReplayResult {
	const began = performance.now();
	const { machine } = options;
	const models = options.strategies.map(
		(strategy) =>
			new ReferenceModel({
				strategy,
				...simulated(machine),
				copiesRecorded: trace.header.copiesRecorded,
			}),
	);
	const phases: PhaseReplay[] = [];
	let open: { phase: number; label: string; before: BigUint64Array[] } | null = null;
	const close = (): void => {
		if (open === null) return;
		const { phase, label, before } = open;
		phases.push({
			phase,
			label,
			counters: models.map((model, at) => model.world.counters.map((value, index) => value - (before[at]?.[index] ?? 0n))),
		});
	};
	let events = 0;
	for (const { record, sequence } of records(trace, { observations: false })) {
		events++;
		if (record.kind === "operation" && record.name === "mark" && record.args[1] === 0 && record.agent.kind === AgentKind.mm) {
			close();
			open = { phase: record.args[0] ?? 0, label: record.text ?? "", before: models.map((model) => model.world.counters.slice()) };
		}
		for (const model of models) model.replay(record, sequence);
		if (events % 65536 === 0) onProgress?.(events, 0);
	}
	close();
	const seconds = (performance.now() - began) / 1000;
	return {
		strategies: models.map((model) => ({
			name: model.world.options.strategy.name,
			counters: model.world.counters,
			violations: model.world.violations,
			digest: "",
		})),
		phases,
		intervals: [],
		ranges: exitRanges(models.map(({ world }) => world)),
		events,
		seconds,
		decodeSeconds: 0,
		bytes: trace.bytes ?? 0,
		peakMemoryBytes: process.memoryUsage().rss,
		threads: 1,
	};
}
