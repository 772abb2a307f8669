// The comparison of each fixture, held against what is written beside it. Renew all, traces included where the captures are at hand:
//   MMREPLAY_RENEW=1 npx vitest run --project unit test/cli/golden.test.ts -u
import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { mmreplay } from "./process.js";
import { CAPTURES, fixture } from "./traces.js";

const NAMES = ["stock-tiny", "drop-tiny", "fix-tiny", "establish-ro-tiny", "establish-rw-tiny", "linux-6.12-tiny"] as const;
const STRATEGIES = "wrapped,drop,fix,fix-map,flag,establish,establish-map,establish-lean,establish-naive";

if (process.env.MMREPLAY_RENEW === "1") {
	for (const name of NAMES) {
		const source = join(CAPTURES, name);
		if (!existsSync(source)) continue;
		const kernel = name.startsWith("linux-") ? "6.12" : "6.1";
		const ended = await mmreplay(["import", source, "-o", fixture(name), "--kernel", kernel]);
		if (ended.status !== 0) throw new Error(ended.stderr);
	}
}

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
interface CompareDocument {
	schema: string;
	trace: { [key: string]: Json };
	fidelity: Json;
	baseline: string;
	strategies: { name: string; exact: Json; why: Json; counters: Json; cost: Json; coherence: Json; digest: Json }[];
	delta: Json;
}

/** The counters that are not 0, by their paths. */
function flat(value: Json, path = ""): [string, Json][] {
	if (typeof value !== "object" || value === null || Array.isArray(value)) return value === 0 ? [] : [[path, value]];
	return Object.entries(value).flatMap(([key, below]) => flat(below, path === "" ? key : `${path}.${key}`));
}

describe("compare", () => {
	it.each(NAMES)("%s as it was", async (name) => {
		const ended = await mmreplay(["compare", fixture(name), "--json", "--check", "--strategies", STRATEGIES]);
		expect(ended.stderr).toBe("");
		expect(ended.status).toBe(0);
		const { schema, trace, fidelity, baseline, strategies, delta } = JSON.parse(ended.stdout) as CompareDocument;
		const { path: _, ...facts } = trace;
		const kept = {
			schema,
			trace: facts,
			fidelity,
			baseline,
			strategies: strategies.map(({ name: strategy, exact, why, counters, cost, coherence, digest }) => ({
				name: strategy,
				exact,
				why,
				counters: Object.fromEntries(flat(counters)),
				cost,
				coherence,
				digest,
			})),
			delta,
		};
		await expect(`${JSON.stringify(kept, null, "\t")}\n`).toMatchFileSnapshot(`../fixtures/${name}.compare.json`);
	});

	it("says the same twice, but for its own speed", async () => {
		const [a, b] = await Promise.all([
			mmreplay(["compare", fixture("fix-tiny"), "--json"]),
			mmreplay(["compare", fixture("fix-tiny"), "--json"]),
		]);
		const plain = (text: string): unknown => JSON.parse(text, (key, value: unknown) => (key === "replay" ? undefined : value));
		expect(plain(a.stdout)).toEqual(plain(b.stdout));
	});
});

describe("fidelity", () => {
	it("of every fixture is exact, phase by phase", async () => {
		const ended = await mmreplay(["fidelity", ...NAMES.map(fixture), "--json"]);
		expect(ended.status).toBe(0);
		const document = JSON.parse(ended.stdout) as {
			exact: boolean;
			traces: { exact: boolean; rows: { phase: number | null; decidable: boolean; difference: number }[] }[];
		};
		expect(document.exact).toBe(true);
		for (const { exact, rows } of document.traces) {
			expect(exact).toBe(true);
			expect(new Set(rows.map((row) => row.phase)).size).toBeGreaterThan(10);
			expect(rows.filter((row) => row.decidable && row.difference !== 0)).toEqual([]);
		}
	});

	const captured = {
		"stock-tiny": "wrapped",
		"fix-tiny": "flag",
		"establish-ro-tiny": "establish",
		"establish-rw-tiny": "establish-map",
		"drop-tiny": "drop",
	} as const;
	const pairs = Object.keys(captured).flatMap((name) =>
		[...new Set(Object.values(captured))]
			.filter((strategy) => strategy !== captured[name as keyof typeof captured])
			.map((strategy) => [name, strategy] as const),
	);
	it.each(pairs)("of %s under %s says that it is wrong", async (name, strategy) => {
		const ended = await mmreplay(["fidelity", fixture(name), "--captured-strategy", strategy, "--list-differences", "3"]);
		expect(ended.status).toBe(1);
		expect(ended.stdout).toMatch(/NOT exact/);
	});
});
