// The race captures (litmus h on real kernels), where they are at hand: the replay in the observed order leaves a stale SPTE in the rounds whose guest
// met one, and in no others but those whose page the kernel had given to another gfn before the guest looked.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { mmreplay } from "./process.js";
import { CAPTURES } from "./traces.js";

const NAIVE = join(CAPTURES, "naive-rw-racez");

interface Row {
	readonly phase: number | null;
	readonly source: string;
	readonly predicted: number;
	readonly observed: number;
	readonly decidable: boolean;
}
interface Phase {
	readonly phase: number;
	readonly coherence: { readonly violations: number; readonly byRule: Record<string, number> };
}
interface Replay {
	readonly coherence: { readonly violations: number; readonly list: { readonly rule: string; readonly address: number }[] };
	readonly phases: readonly Phase[];
}

async function replayed(strategy: string): Promise<Replay> {
	const { stdout } = await mmreplay(["replay", NAIVE, "--strategy", strategy, "--check", "--json"]);
	return JSON.parse(stdout) as Replay;
}

/** Phases whose guest and host disagreed. */
function disagreed(): number[] {
	const rows = readFileSync(join(NAIVE, "stats.jsonl"), "utf8").trim().split("\n");
	return rows
		.map((row) => JSON.parse(row) as { phase?: number; ok?: number })
		.flatMap(({ phase, ok }) => (phase !== undefined && ok === 0 ? [phase] : []));
}

/** gfns that each page frame was installed for, phase by phase, in the order of the trace. */
function gfnsOfFrames(phases: ReadonlySet<number>): Map<string, string[]> {
	const text = gunzipSync(readFileSync(join(NAIVE, "trace.txt.gz"))).toString("latin1");
	const found = new Map<string, string[]>();
	let phase = 0;
	for (const line of text.split("\n")) {
		const begin = / PHASE (\d+) BEGIN/.exec(line);
		if (begin !== null) phase = Number(begin[1]);
		if (!phases.has(phase)) continue;
		const installed = /kvm_tdp_mmu_spte_changed: as id 0 gfn (\w+) level 1 old_spte 0 new_spte (\w+)/.exec(line);
		const [, gfn, spte] = installed ?? [];
		if (gfn === undefined || spte === undefined) continue;
		const frame = `${phase} ${spte.slice(0, -3)}`;
		found.set(frame, [...(found.get(frame) ?? []), gfn]);
	}
	return found;
}

describe.skipIf(!existsSync(NAIVE))("naive-rw-racez", { timeout: 240_000 }, () => {
	it("leaves stale SPTEs in every round whose guest met one", async () => {
		const { stdout } = await mmreplay(["fidelity", NAIVE, "--json"]);
		const { traces } = JSON.parse(stdout) as { traces: { rows: Row[] }[] };
		const rows = traces[0]?.rows.filter(({ source }) => source === "ok") ?? [];
		const met = disagreed();
		expect(met).toHaveLength(22);
		expect(rows.filter(({ phase, observed }) => phase !== null && observed === 1).map(({ phase }) => phase)).toEqual(met);
		expect(rows.filter(({ decidable, predicted, observed }) => decidable && predicted !== observed)).toEqual([]);
		expect(rows.filter(({ phase, predicted }) => phase !== null && predicted === 1).length).toBeGreaterThanOrEqual(met.length);
	});

	it("leaves one where the guest met none only if its page was used again", async () => {
		const met = new Set(disagreed());
		const { phases, coherence } = await replayed("establish-naive");
		const unmet = phases
			.filter(({ phase, coherence: { byRule } }) => (byRule["I-1"] ?? 0) > 0 && !met.has(phase))
			.map(({ phase }) => phase);
		const stale = new Set(coherence.list.filter(({ rule }) => rule === "I-1").map(({ address }) => (address / 4096).toString(16)));
		const frames = gfnsOfFrames(new Set(unmet));
		// Of each such phase a frame that a stale gfn had is installed for another gfn afterwards.
		const again = [...frames].filter(([, gfns]) => gfns.length > 1 && stale.has(gfns[0] ?? "") && gfns.some((gfn) => gfn !== gfns[0]));
		expect(new Set(again.map(([frame]) => Number(frame.split(" ")[0])))).toEqual(new Set(unmet));
	});

	it("leaves none under a safe strategy", async () => {
		const safe = "establish-map,establish,establish-lean,wrapped,drop,fix,fix-map,flag";
		const { stdout } = await mmreplay(["compare", NAIVE, "--strategies", safe, "--check", "--json"]);
		const { strategies } = JSON.parse(stdout) as { strategies: { name: string; coherence: Replay["coherence"] }[] };
		expect(strategies.map(({ coherence: { violations } }) => violations)).toEqual(safe.split(",").map(() => 0));
	});
});
