// What holds in every world that a kernel could have made (kernel.md section 6), asked of the engine's and the model's results.
import { expect } from "vitest";
import { replayTrace } from "../../src/engine/replay.js";
import type { Mm, Pte } from "../../src/model/mm.js";
import { ReferenceModel } from "../../src/model/replay.js";
import { simulated } from "../../src/model/simulated.js";
import type { World } from "../../src/model/world.js";
import type { Strategy } from "../../src/strategies/steps.js";
import { openTrace } from "../../src/trace/reader.js";
import { expectEqual } from "./compare.js";
import { referenceReplay } from "./reference.js";
import { traceBytes } from "./traces.js";
import type { RandomWorld } from "./worlds.js";

function modelOf({ machine, copiesRecorded, host, records }: RandomWorld, strategy: Strategy): World {
	const model = new ReferenceModel({ strategy, ...simulated(machine), copiesRecorded, host });
	for (const [sequence, record] of records.entries()) model.replay(record, sequence);
	return model.world;
}

/** A PTE, present or in a migration entry, or hidden by NUMA hinting: all that count in mapcount. None for a swap entry. */
function mappingOf(mm: Mm, page: number): Pte | undefined {
	const entry = mm.entry(page);
	if (entry === undefined) return mm.get(page);
	return entry.kind === "swap" ? undefined : entry.pte;
}

/** I-12: brackets pair. I-18: a frame's mapcount is the number of PTEs that map it, and none of them is free. */
function expectBalanced(world: World): void {
	for (const vm of world.vms.values()) expect(vm.inProgress, "brackets in progress at the end (I-12)").toBe(0);
	const mapped = new Map<number, number>();
	for (const mm of world.mms.values()) {
		for (const page of mm.pages()) {
			const frame = mappingOf(mm, page)?.frame;
			if (frame !== undefined) mapped.set(frame.id, (mapped.get(frame.id) ?? 0) + 1);
		}
	}
	for (const [id, count] of mapped) {
		const frame = world.frames.get(id);
		expect(frame.freed, `frame ${id} is mapped and free (I-18)`).toBe(false);
		if (!frame.zero) expect(frame.mapcount, `mapcount of frame ${id} (I-18)`).toBe(count);
	}
}

/** No violation under a safe strategy; the engine's results are the model's under all. */
export function expectCoherent(world: RandomWorld, strategies: readonly Strategy[]): void {
	const trace = openTrace(traceBytes(world.records, world.copiesRecorded));
	const options = { strategies, machine: world.machine, host: world.host, check: true };
	const result = replayTrace(trace, options);
	for (const [index, strategy] of strategies.entries())
		if (strategy.safe) expect(result.strategies[index]?.violations, `violations under ${strategy.name}`).toEqual([]);
	expectEqual(result, referenceReplay(trace, options));
	const [first] = strategies;
	if (first !== undefined) expectBalanced(modelOf(world, first));
}

/** Every PTE under each strategy, frames numbered by their first appearance. */
export function primaryStates(world: RandomWorld, strategies: readonly Strategy[]): string[][] {
	return strategies.map((strategy) => {
		const { mms } = modelOf(world, strategy);
		const numbers = new Map<number, number>();
		const found: string[] = [];
		for (const mm of [...mms.values()].sort((a, b) => a.id - b.id)) {
			for (const page of mm.pages()) {
				const entry = mm.entry(page);
				const pte = mappingOf(mm, page);
				if (pte === undefined) {
					found.push(`${mm.id} ${page} swap ${entry?.kind === "swap" && entry.exclusive ? "exclusive" : ""}`);
					continue;
				}
				const { frame, writable } = pte;
				const number = numbers.get(frame.id) ?? numbers.size;
				numbers.set(frame.id, number);
				found.push(
					`${mm.id} ${page} ${number} ${writable ? "W" : "R"} ${frame.zero ? "zero" : frame.kpage !== 0 ? "ksm" : ""} ${entry?.kind ?? ""}`,
				);
			}
		}
		return found;
	});
}
