// What random worlds on the default host never reach: hosts without A/D bits, where an SPTE needs more than a PTE to let an access through. Each case is
// held against the reference model under every strategy.
import { describe, expect, it } from "vitest";
import { replayTrace, type StrategyReplay } from "../../src/engine/replay.js";
import { DEFAULT_MACHINE } from "../../src/machine/machine.js";
import { STRATEGIES } from "../../src/strategies/index.js";
import { Access, AgentKind, FaultFlag, Point } from "../../src/trace/kinds.js";
import { hostOf } from "../../src/trace/kvmhost.js";
import { openTrace } from "../../src/trace/reader.js";
import type { Agent, TraceRecord } from "../../src/trace/record.js";
import { GUEST, MM, memslot } from "../cli/traces.js";
import { expectEqual } from "./compare.js";
import { referenceReplay } from "./reference.js";
import { traceBytes } from "./traces.js";

type Name = Extract<TraceRecord, { kind: "operation" }>["name"];
const op = (name: Name, agent: Agent, page: number, ...args: number[]): TraceRecord => ({ kind: "operation", name, agent, page, args });
const HOST: Agent = { ...MM, kind: AgentKind.host, thread: 1 };

function replayed(records: readonly TraceRecord[]): readonly StrategyReplay[] {
	const trace = openTrace(traceBytes(records, false));
	const options = { strategies: STRATEGIES, machine: DEFAULT_MACHINE, check: true, host: hostOf({ eptAd: false }) };
	const result = replayTrace(trace, options);
	expectEqual(result, referenceReplay(trace, options));
	return result.strategies;
}

describe("on hosts without A/D bits", () => {
	it("3.3 given a fault in flight, when the page is replaced without a word to KVM, then it installs what gup found", () => {
		const point = (at: Point): TraceRecord => op("fault", GUEST, 1, at, Access.guestRead, FaultFlag.deriveCopy);
		const strategies = replayed([
			memslot(64),
			op("populate", MM, 257, 1, 2),
			point(Point.begin),
			{ kind: "access", agent: HOST, access: Access.hostWrite, page: 257 },
			point(Point.end),
		]);
		const wrong = strategies.filter(({ violations }) => violations.some(({ rule }) => rule === "I-2")).map(({ name }) => name);
		expect(wrong).toEqual(["range-after-unlock"]);
	});
});
