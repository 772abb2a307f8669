// TLB misses and walk references of a real access log, by a simulation that shares nothing with mmreplay.
// The log: the first 40,000 lines of `valgrind --tool=lackey --trace-mem=yes gzip -c in.small`, without fetches.
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import type { SimulatedMachine } from "../../src/machine/machine.js";
import { mmreplay } from "../cli/process.js";
import { withFolder } from "../cli/traces.js";
import { counted, expected, GEOMETRIES, pagesOf } from "./lackey.js";

const LOG = fileURLToPath(new URL("../fixtures/streams/lackey-gzsmall-head.txt.gz", import.meta.url));
const pages = pagesOf(LOG);

it("its TLB misses are an LRU's, for three geometries", async () => {
	await withFolder(async (folder) => {
		const trace = join(folder, "lackey.mmtrace");
		expect((await mmreplay(["import", LOG, "-o", trace, "--quiet"])).status).toBe(0);
		for (const tlb of GEOMETRIES) {
			const counters = await counted(trace, folder, { tlb, guestLevels: 4, hostLevels: 4 });
			const { vmexits, l1Miss, l2Miss } = expected(tlb, pages);
			expect(counters.vmexits).toBe(vmexits);
			expect(counters.tlb).toMatchObject({ l1Miss, l2Miss, l1Hit: pages.length + vmexits - l1Miss, l2Hit: l1Miss - l2Miss });
		}
	});
});

it("its walks take the closed formula without walk caches, and less with them", async () => {
	const [, tlb] = GEOMETRIES;
	if (tlb === undefined) throw new Error("no geometry");
	const levels = [
		[4, 4, 24],
		[5, 5, 35],
		[5, 4, 29],
		[4, 3, 19],
		[0, 4, 4],
	] as const;
	const sizes = { level2: 4, level3: 2, level4: 1, level5: 1 };
	await withFolder(async (folder) => {
		const trace = join(folder, "lackey.mmtrace");
		await mmreplay(["import", LOG, "-o", trace, "--quiet"]);
		for (const [guestLevels, hostLevels, references] of levels) {
			const machine: SimulatedMachine = { tlb, guestLevels, hostLevels };
			const { walk } = await counted(trace, folder, machine);
			expect(walk).toEqual({ count: expected(tlb, pages).l2Miss, memoryReferences: walk.count * references, pscHits: 0 });
			const cached = (await counted(trace, folder, { ...machine, psc: { used: true, linear: sizes, nested: sizes } })).walk;
			expect(cached.count).toBe(walk.count);
			expect(cached.pscHits).toBeGreaterThan(0);
			expect(cached.memoryReferences).toBeLessThan(walk.memoryReferences / 1.5);
		}
	});
});
