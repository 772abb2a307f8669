// mmreplay replay in depth: what it shows sums up to the counters, on a terminal and in JSON.
import { describe, expect, it } from "vitest";
import { replayTrace } from "../../src/engine/replay.js";
import { DEFAULT_MACHINE } from "../../src/machine/machine.js";
import { depthLines } from "../../src/report/depth.js";
import { findStrategy } from "../../src/strategies/index.js";
import { openTrace } from "../../src/trace/reader.js";
import { mmreplay } from "../cli/process.js";
import { fixture } from "../cli/traces.js";

function linesOf(columns: number | undefined, unicode: boolean): string[] {
	const chosen = findStrategy("fix");
	if (chosen === undefined) throw new Error("no fix");
	const trace = openTrace(fixture("stock-tiny"));
	try {
		const result = replayTrace(trace, { strategies: [chosen], machine: DEFAULT_MACHINE, check: true });
		const [strategy] = result.strategies;
		if (strategy === undefined) throw new Error("nothing was replayed");
		return depthLines({ result, strategy, complete: true }, { columns, color: false, unicode });
	} finally {
		trace.close();
	}
}

describe("a replay in depth", () => {
	it("shows on a terminal causes as bars, call sites, memory as a strip, and phases in rows that fit", () => {
		const lines = linesOf(100, true);
		const text = lines.join("\n");
		const causes = lines.slice(2, lines.indexOf("")).map((line) => /^(\S+) .* (\d+) +[█▏▎▍▌▋▊▉]+$/.exec(line));
		expect(causes.reduce((sum, found) => sum + Number(found?.[2]), 0)).toBe(72);
		expect(text).toMatch(/^call site .*caused/m);
		expect(text).toMatch(/^0 +72 {2}[·░▒▓█ ]+$/m);
		expect(text).toMatch(/^ +6 {2}PHASE 6 BEGIN GS vm=0 n=12 +16 /m);
		expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(100);
		expect(linesOf(100, false).join("\n")).not.toMatch(/[^\n\x20-\x7e]/);
	});

	it("prints every counter first where no terminal is", () => {
		const lines = linesOf(undefined, true);
		expect(lines[0]).toBe("counter\tvalue");
		expect(lines).toContain("vmexits\t72");
		expect(lines.filter((line) => line.startsWith("phase\tlabel\tvmexits\tvmexitsFixed"))).toHaveLength(1);
	});

	it("has in JSON the vmexits of each VM and of the pieces of its memory", async () => {
		const ended = await mmreplay(["replay", fixture("stock-tiny"), "-s", "fix", "--json"]);
		const { counters, byVm } = JSON.parse(ended.stdout) as {
			counters: { vmexits: number };
			byVm: { vmexits: number; ranges: { vmexits: number }[] }[];
		};
		const [one, ...more] = byVm;
		expect(more).toEqual([]);
		expect(one?.vmexits).toBe(counters.vmexits);
		expect(one?.ranges.reduce((sum, { vmexits }) => sum + vmexits, 0)).toBe(counters.vmexits);
	});
});
