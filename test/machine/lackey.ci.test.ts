// The whole lackey samples of ../shared/data/formats, where they are at hand.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { mmreplay } from "../cli/process.js";
import { withFolder } from "../cli/traces.js";
import { counted, expected, GEOMETRIES, pagesOf } from "./lackey.js";

const formats = fileURLToPath(new URL("../../../shared/data/formats/", import.meta.url));

describe.skipIf(!existsSync(formats))("TLB misses are an LRU's", () => {
	it.each(["lackey-gzip-data", "lackey-gzsmall-data", "lackey-gzsmall-full", "lackey-sqlite-data"])(
		"%s",
		{ timeout: 600_000 },
		async (name) => {
			const log = join(formats, `${name}.txt.gz`);
			const pages = pagesOf(log);
			await withFolder(async (folder) => {
				const trace = join(folder, "lackey.mmtrace");
				expect((await mmreplay(["import", log, "-o", trace, "--quiet"])).status).toBe(0);
				for (const tlb of GEOMETRIES) {
					const { vmexits, l1Miss, l2Miss } = expected(tlb, pages);
					const counters = await counted(trace, folder, { tlb, guestLevels: 4, hostLevels: 4 });
					expect(counters).toMatchObject({ vmexits, tlb: { l1Miss, l2Miss }, walk: { memoryReferences: l2Miss * 24 } });
				}
			});
		},
	);
});
