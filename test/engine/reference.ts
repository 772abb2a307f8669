// The reference model behind the engine's interface: what the engine's results are held against.
import type { PhaseReplay, ReplayOptions, ReplayResult, StrategyReplay } from "../../src/engine/replay.js";
import { ReferenceModel } from "../../src/model/replay.js";
import { simulated } from "../../src/model/simulated.js";
import { modelState } from "../../src/model/state.js";
import type { World } from "../../src/model/world.js";
import { stateDigest } from "../../src/state.js";
import { hostOf } from "../../src/trace/kvmhost.js";
import type { TraceReader } from "../../src/trace/reader.js";
import { records } from "../../src/trace/records.js";

type Reference = Pick<ReplayResult, "strategies" | "phases" | "ranges" | "events">;

interface PhaseBegin {
	readonly phase: number;
	readonly label: string;
	readonly counters: BigUint64Array[];
}

/** vmexits by VM and 512 gfns, as the engine lists them. */
export function exitRanges(worlds: readonly World[]): ReplayResult["ranges"] {
	const keys = new Set(worlds.flatMap(({ exits }) => [...exits.keys()]));
	return [...keys]
		.map((key) => {
			const [vm = 0, range = 0] = key.split(".").map(Number);
			return { vm, gfn: range * 512, pages: 512, vmexits: worlds.map(({ exits }) => exits.get(key) ?? 0) };
		})
		.sort((a, b) => a.vm - b.vm || a.gfn - b.gfn);
}

/** Replay a trace under each strategy by the reference model. */
export function referenceReplay(trace: TraceReader, { strategies, machine, ...options }: ReplayOptions): Reference {
	const { copiesRecorded } = trace.header;
	const host = options.host ?? hostOf(trace.header.host);
	const models = strategies.map((strategy) => new ReferenceModel({ strategy, ...simulated(machine), copiesRecorded, host }));
	const now = (): BigUint64Array[] => models.map(({ world }) => world.counters.slice());
	const begins: PhaseBegin[] = [];
	let events = 0;
	for (const { record, sequence } of records(trace, { observations: false })) {
		events++;
		for (const model of models) model.replay(record, sequence);
		if (record.kind === "operation" && record.name === "mark" && record.args[1] === 0)
			begins.push({ phase: record.args[0] ?? 0, label: record.text ?? "", counters: now() });
	}
	const final = now();
	const phases: PhaseReplay[] = begins.map(({ phase, label, counters }, at) => ({
		phase,
		label,
		counters: counters.map((before, index) => {
			const after = begins[at + 1]?.counters[index] ?? final[index];
			return before.map((value, counter) => (after?.[counter] ?? 0n) - value);
		}),
	}));
	const replays: StrategyReplay[] = models.map(({ world }, index) => ({
		name: strategies[index]?.name ?? "",
		counters: world.counters,
		violations: world.violations,
		digest: stateDigest(modelState(world)),
	}));
	return { strategies: replays, phases, ranges: exitRanges(models.map(({ world }) => world)), events };
}
