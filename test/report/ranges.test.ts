// Where in the VMs' memory vmexits happened: pieces sum up, whatever their size, and holes are left out.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { ExitRange } from "../../src/engine/engine.js";
import type { Comparison } from "../../src/report/compare.js";
import { islandsOf, rangesByVm } from "../../src/report/ranges.js";
import { readRun } from "../../src/report/readrun.js";
import { mmreplay } from "../cli/process.js";
import { fixture, withFolder } from "../cli/traces.js";

interface Document {
	strategies: { counters: { vmexits: number } }[];
	byVm: { vm: number; vmexits: number[] }[];
	ranges: { vm: number; gfn: number; pages: number; vmexits: number[] }[];
}

const range = (vm: number, gfn: number, ...vmexits: number[]): ExitRange => ({ vm, gfn, pages: 512, vmexits });

async function comparisonWith(ranges: readonly ExitRange[]): Promise<Comparison> {
	const ended = await mmreplay(["compare", fixture("stock-tiny"), "--strategies", "drop,fix", "--json"]);
	const [one] = readRun(ended.stdout, "run.json").comparisons;
	if (one === undefined) throw new Error("no comparison");
	return { ...one, result: { ...one.result, ranges } };
}

describe("ranges of guest memory", () => {
	it("sum up to the vmexits of each strategy, and come back from a saved run", () =>
		withFolder(async (folder) => {
			const file = join(folder, "run.json");
			const ended = await mmreplay(["compare", fixture("stock-tiny"), "--strategies", "drop,fix", "-o", file]);
			expect(ended.stderr).toBe("");
			const text = readFileSync(file, "utf8");
			const { strategies, byVm, ranges } = JSON.parse(text) as Document;
			for (const [at, { counters }] of strategies.entries()) {
				expect(ranges.reduce((sum, { vmexits }) => sum + (vmexits[at] ?? 0), 0)).toBe(counters.vmexits);
				expect(byVm.reduce((sum, { vmexits }) => sum + (vmexits[at] ?? 0), 0)).toBe(counters.vmexits);
			}
			const [read] = readRun(text, file).comparisons;
			expect(read === undefined ? [] : rangesByVm(read).flatMap((vm) => vm.ranges)).toEqual(ranges);
		}));

	it("become larger pieces where there are many, and lose nothing", async () => {
		const many = Array.from({ length: 1000 }, (_, at) => range(0, at * 512, at, 1));
		const [vm, other, ...more] = rangesByVm(await comparisonWith([...many, range(3, 1024, 0, 7)]));
		expect(more).toEqual([]);
		expect(vm?.pages).toBe(512 * 8);
		expect(vm?.ranges.length).toBe(125);
		expect(vm?.vmexits).toEqual([499_500, 1000]);
		expect(vm?.ranges[1]?.vmexits).toEqual([8 + 9 + 10 + 11 + 12 + 13 + 14 + 15, 8]);
		expect(other).toEqual({ vm: 3, pages: 512, ranges: [range(3, 1024, 0, 7)], vmexits: [0, 7] });
	});

	it("leave out holes: far pages do not coarsen near ones", async () => {
		const far = 2 ** 20;
		const [vm] = rangesByVm(await comparisonWith([range(0, 0, 1, 1), range(0, 512, 2, 0), range(0, far, 3, 3)]));
		expect(vm?.pages).toBe(512);
		expect(vm === undefined ? [] : islandsOf(vm)).toEqual([
			{ gfn: 0, end: 1024, at: 0 },
			{ gfn: far, end: far + 512, at: 3 },
		]);
	});
});
