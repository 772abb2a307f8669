// Every letter of kernel.md section 5 as a trace: what can happen is exported and shows its rule in the engine's replay; what cannot is written out here
// in the order of its actors, and nothing breaks under any strategy, unless one is made that leaves out what the letter is about. docs/litmus.md has the table.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { replayTrace } from "../../src/engine/replay.js";
import { writeWitness } from "../../src/litmus/export.js";
import { builtInScenarios } from "../../src/litmus/library.js";
import { expectedVerdict, type Scenario } from "../../src/litmus/scenario.js";
import { VARIANTS } from "../../src/litmus/verdict.js";
import { DEFAULT_MACHINE } from "../../src/machine/machine.js";
import { findStrategy, STRATEGIES } from "../../src/strategies/index.js";
import type { OperationKind, Step, Strategy } from "../../src/strategies/steps.js";
import { Access, AgentKind, DeviceKind, FaultFlag, OpFlag, Point } from "../../src/trace/kinds.js";
import { openTrace } from "../../src/trace/reader.js";
import type { Agent, TraceRecord } from "../../src/trace/record.js";
import { mmreplay } from "../cli/process.js";
import { expectEqual } from "../engine/compare.js";
import { referenceReplay } from "../engine/reference.js";
import { traceBytes } from "../engine/traces.js";

let folder = "";
beforeAll(() => {
	folder = mkdtempSync(join(tmpdir(), "mmreplay-letters-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function strategyOf(name: string): Strategy {
	const strategy = findStrategy(name);
	if (strategy === undefined) throw new Error(name);
	return strategy;
}
const SAFE = STRATEGIES.filter(({ safe }) => safe);
const EVERY: readonly Strategy[] = [...STRATEGIES, ...VARIANTS.map(strategyOf)];

/** Rules that a replay finds broken, by the engine and the model alike. */
function broken(trace: ReturnType<typeof openTrace>, strategies: readonly Strategy[]): string[][] {
	const options = { strategies, machine: DEFAULT_MACHINE, check: true };
	const result = replayTrace(trace, options);
	expectEqual(result, referenceReplay(trace, options));
	return result.strategies.map(({ violations }) => [...new Set(violations.map(({ rule }) => rule))].sort());
}

function exported(scenario: Scenario, strategy: Strategy): string {
	const path = join(folder, `${scenario.name}-${strategy.name.replaceAll(":", "-")}.mmtrace`);
	writeWitness(path, scenario, strategy);
	return path;
}

/** A store between the copy of the data and the new PTE: one moment to a trace. */
const UNTOLD: ReadonlySet<string> = new Set(["wrapped", "flag", "fix:writeProtectStep=false", "fix:reuseInWindow=true"]);

describe("letters whose outcome can happen", () => {
	const cells = builtInScenarios().flatMap((scenario) =>
		EVERY.filter(({ name }) => expectedVerdict(scenario, name) === "allowed").map((strategy) => ({ scenario, strategy })),
	);
	const told = cells.filter(({ scenario, strategy }) => !(scenario.name.startsWith("n3") && UNTOLD.has(strategy.name)));

	it("are a, a2, b, c, c1, d1 to d4, e, g, h, i, k and n1 to n3", () => {
		const letters = new Set(told.map(({ scenario }) => scenario.name.split("-")[0]));
		expect([...letters].sort()).toEqual("a a2 b c c1 d1 d2 d3 d4 e g h i k n1 n2 n3".split(" "));
		expect(cells.length - told.length).toBe(UNTOLD.size);
	});

	it.each(told.map(({ scenario, strategy }) => [scenario.name, strategy.name, scenario, strategy] as const))(
		"%s under %s: its trace breaks a rule there, and none under drop",
		(_, __, scenario, strategy) => {
			const trace = openTrace(exported(scenario, strategy));
			const [here = [], drop] = [broken(trace, [strategy])[0], broken(trace, [strategyOf("drop")])[0]];
			trace.close();
			expect(here.length).toBeGreaterThan(0);
			expect(drop).toEqual([]);
		},
	);

	it("show in `mmreplay replay --check` of what `mmreplay litmus --export` wrote", async () => {
		const path = join(folder, "h.mmtrace");
		expect((await mmreplay(["litmus", "h", "-s", "establish-naive", "--export", path])).status).toBe(0);
		const shown = await mmreplay(["replay", path, "-s", "establish-naive", "--check"]);
		expect(shown.stdout).toMatch(/coherence\.byRule\.I-6\t1/);
		expect((await mmreplay(["replay", path, "-s", "drop", "--check"])).status).toBe(0);
	});
});

const GUEST: Agent = { kind: AgentKind.guest, vm: 0, vcpu: 0, mm: 0, thread: 0 };
const SECOND: Agent = { ...GUEST, vcpu: 1 };
const MM: Agent = { ...GUEST, kind: AgentKind.mm };
const HOST: Agent = { ...GUEST, kind: AgentKind.host, thread: 1 };
const DEVICE: Agent = { ...GUEST, kind: AgentKind.device };
type Name = Extract<TraceRecord, { kind: "operation" }>["name"];
const op = (name: Name, agent: Agent, page: number, ...args: number[]): TraceRecord => ({ kind: "operation", name, agent, page, args });
const access = (agent: Agent, kind: Access, page = 256): TraceRecord => ({ kind: "access", agent, access: kind, page });
const gfn = 0;
/** One slot of 16 pages from hva page 256, which the VMM has filled; gfn 0 is page 256. */
const begin = [op("memslot", { ...GUEST, kind: AgentKind.vm }, 256, 0, 0, 0, 16, 0), op("populate", MM, 256, 4, 1)];
const attach = (kind: DeviceKind): TraceRecord => op("deviceAttach", DEVICE, 256, kind, 16, 4);
const wp = (flags = 0, point: number = Point.whole): TraceRecord => op("ksmWriteProtect", MM, 256, point, 1, flags);
const replace = (point: number = Point.whole, flags = 0): TraceRecord => op("ksmReplace", MM, 256, point, 2, flags, 1);
/** Page 257 becomes KSM page 1; then page 256 is merged into it, the last step in its points with `within` between its commit and its end. */
const merged = (within: readonly TraceRecord[]): TraceRecord[] => [
	op("ksmWriteProtect", MM, 257, Point.whole, 0, 0),
	op("ksmPromote", MM, 257, 1, 0),
	wp(OpFlag.kpageGiven),
	replace(Point.begin),
	replace(Point.commit),
	...within,
	replace(Point.end),
];

function rulesOf(records: readonly TraceRecord[], strategies: readonly Strategy[] = EVERY): string[] {
	return [...new Set(broken(openTrace(traceBytes(records, false)), strategies).flat())].sort();
}

/** A strategy with some operation's list changed: what a letter is about, left out. */
function without(name: string, kinds: readonly OperationKind[], keep: (step: Step) => boolean): Strategy {
	const strategy = strategyOf(name);
	const changed = Object.fromEntries(kinds.map((kind) => [kind, strategy.operations[kind].filter(keep)]));
	return { ...strategy, name: "changed", operations: { ...strategy.operations, ...changed } };
}

describe("letters whose outcome cannot happen", () => {
	const read = access(GUEST, Access.guestRead, gfn);
	const write = access(GUEST, Access.guestWrite, gfn);
	const deviceRead = access(DEVICE, Access.deviceRead);

	it("5 (c'') given a mirror without change_pte, when it reads between the set_pte of a merge and its invalidation, then it reads the same content", () => {
		const records = [...begin, attach(DeviceKind.mirror), deviceRead, ...merged([deviceRead]), deviceRead];
		expect(rulesOf(records)).toEqual([]);
	});

	it("5 (e0) given two vCPUs whose faults on one page are in flight together, when both install, then the second finds it done", () => {
		const point = (agent: Agent, at: Point): TraceRecord => op("fault", agent, gfn, at, Access.guestRead, FaultFlag.deriveCopy);
		const install = [point(GUEST, Point.begin), point(SECOND, Point.begin), point(GUEST, Point.end), point(SECOND, Point.end)];
		expect(rulesOf([...begin, ...install, read, access(SECOND, Access.guestRead, gfn)])).toEqual([]);
		// And with an invalidation between: whoever comes later is stale.
		const zapped = [point(GUEST, Point.begin), point(SECOND, Point.begin), op("zap", MM, 256, 0, 0, 1, 0), point(GUEST, Point.end)];
		expect(rulesOf([...begin, ...zapped, point(SECOND, Point.end), read], SAFE)).toEqual([]);
	});

	it("5 (f) given a device TLB, when the page behind it is merged, then it reads the same content until it is told, and is told before the page goes", () => {
		const records = [...begin, attach(DeviceKind.sva), deviceRead, ...merged([deviceRead]), deviceRead];
		expect(rulesOf(records)).toEqual([]);
		// Without the bracket's end and without the flush under the lock the entry stays for ever.
		const silent = without("fix", ["ksm-write-protect", "ksm-replace"], ({ step }) =>
			["lock", "recheck", "clear-flush", "change-pte", "set-pte", "bump-seq", "unlock", "free-old"].includes(step),
		);
		expect(rulesOf(records, [silent])).toEqual(["I-1"]);
	});

	it("5 (j) given a writable SPTE, when its page becomes another, then it was write-protected before; a strategy that does not is found out", () => {
		const records = [...begin, read, write, ...merged([]), read];
		expect(rulesOf(records, SAFE)).toEqual([]);
		const inPlace = without("fix", ["ksm-write-protect"], ({ step }) => step !== "change-pte");
		expect(rulesOf(records, [inPlace])).toContain("I-8");
	});

	it("5 (k) given a live writer, when the page is compared, then nobody can write any more; a strategy that leaves the SPTE alone is found out", () => {
		const records = [...begin, write, ...merged([]), write];
		expect(rulesOf(records, SAFE)).toEqual([]);
		const alone = without("fix", ["ksm-write-protect"], ({ step }) => step !== "change-pte");
		expect(rulesOf(records, [alone])).toContain("I-9");
	});

	it("5 (l) given a page that the guest has written through its SPTE, when it is zapped or changed, then the page is told (the model asserts I-15)", () => {
		const records = [...begin, write, ...merged([]), read, write, op("zap", MM, 256, 0, 0, 1, 0), write, op("age", MM, 256, 4, 0)];
		expect(rulesOf(records, SAFE)).toEqual([]);
	});

	it("5 (m) given a page that DMA writes to, when ksmd comes, then its count check leaves it; once the pin is gone, it is merged", () => {
		const pinned = [...begin, attach(DeviceKind.pinned), wp(OpFlag.kpageGiven), replace(Point.whole, OpFlag.failed)];
		const store = access(DEVICE, Access.deviceWrite);
		const hostRead = access(HOST, Access.hostRead);
		const records = [...pinned, store, hostRead, op("deviceDetach", DEVICE, 0), ...merged([]), hostRead, read];
		expect(rulesOf(records)).toEqual([]);
	});
});
