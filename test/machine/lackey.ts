// A lackey log through the whole path (import, compare --json) on a machine from a file, held against a simulation that knows only the log.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { expect } from "vitest";
import type { SimulatedMachine } from "../../src/machine/machine.js";
import { mmreplay } from "../cli/process.js";
import { misses } from "./lru.js";

/** Pages of the log's accesses in their order; M is a load and a store. */
export function pagesOf(log: string): number[] {
	const pages: number[] = [];
	for (const line of gunzipSync(readFileSync(log)).toString().split("\n")) {
		const access = /^(?:I {2}| ([LSM]) )([0-9a-f]+),\d+$/.exec(line);
		if (access === null) continue;
		const page = Math.floor(Number.parseInt(access[2] ?? "", 16) / 4096);
		pages.push(page);
		if (access[1] === "M") pages.push(page);
	}
	return pages;
}

interface Counted {
	readonly vmexits: number;
	readonly tlb: { readonly l1Hit: number; readonly l1Miss: number; readonly l2Hit: number; readonly l2Miss: number };
	readonly walk: { readonly count: number; readonly memoryReferences: number; readonly pscHits: number };
}

/** Counters under `drop`; `machine` is a file's JSON but for its name and clock. */
export async function counted(trace: string, folder: string, machine: SimulatedMachine): Promise<Counted> {
	const file = join(folder, "machine.json");
	writeFileSync(file, JSON.stringify({ name: "mine", hz: 1e9, ...machine }));
	const ended = await mmreplay(["compare", trace, "--json", "--quiet", "--strategies", "drop", "--machine", file]);
	expect(ended.stderr).toBe("");
	const { strategies } = JSON.parse(ended.stdout) as { strategies: { counters: Counted }[] };
	const [drop] = strategies;
	if (drop === undefined) throw new Error("no strategy");
	return drop.counters;
}

/** Three geometries: the default machine's, non-powers of two, and one set with one of many ways. */
export const GEOMETRIES: readonly SimulatedMachine["tlb"][] = [
	{ l1: { entries: 64, ways: 4 }, l2: { entries: 1536, ways: 12 } },
	{ l1: { entries: 12, ways: 4 }, l2: { entries: 35, ways: 5 } },
	{ l1: { entries: 9, ways: 9 }, l2: { entries: 40, ways: 20 } },
];

/** What the log alone says: every page's first access exits and is made again, so it misses both levels once more (kernel.md 3.3, step 9). */
export function expected(
	{ l1, l2 }: SimulatedMachine["tlb"],
	pages: readonly number[],
): { vmexits: number; l1Miss: number; l2Miss: number } {
	const vmexits = new Set(pages).size;
	const found = misses(l1, l2, pages);
	return { vmexits, l1Miss: found.l1 + vmexits, l2Miss: found.l2 + vmexits };
}
