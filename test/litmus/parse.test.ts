// The language of scenario files: what it says, and what it refuses, where and why.
import { describe, expect, it } from "vitest";
import { MmreplayError } from "../../src/errors.js";
import { builtInScenarios } from "../../src/litmus/library.js";
import { parseScenario } from "../../src/litmus/parse.js";
import { printScenario } from "../../src/litmus/print.js";

const BASE = `litmus x1-test
frame A private
page v: pte A rw
thread T host
    write v = 1
forbidden I-2
`;

function refusal(text: string): { message: string; hint: string | undefined } {
	try {
		parseScenario(text, "x.litmus");
	} catch (error) {
		if (error instanceof MmreplayError) return { message: error.message, hint: error.hint };
		throw error;
	}
	throw new Error("it was taken");
}

describe("a scenario file", () => {
	it("reads as written", () => {
		const scenario = parseScenario(BASE, "x.litmus");
		expect(scenario.name).toBe("x1-test");
		expect(scenario.pages).toEqual([{ name: "v", pte: { frame: "A", writable: true }, spte: null, mirror: null, device: null }]);
		expect(scenario.threads[0]?.statements).toEqual([{ do: "write", page: "v", value: 1, line: 5 }]);
		expect(scenario.forbidden).toEqual({ is: "rule", rule: "I-2" });
	});

	it("has step lists of its own, with parameters", () => {
		const text = BASE.replace(
			"write v = 1",
			"cow v by alloc-copy lock change-pte(establish, map, own-bracket) range-start(no-kvm) set-pte unlock",
		);
		const [statement] = parseScenario(text, "x.litmus").threads[0]?.statements ?? [];
		expect(statement).toMatchObject({
			do: "operation",
			steps: [
				{ step: "alloc-copy" },
				{ step: "lock" },
				{ step: "change-pte", mode: "establish", writable: "map", guard: "own-bracket" },
				{ step: "range-start", kvm: false },
				{ step: "set-pte" },
				{ step: "unlock" },
			],
		});
	});

	it("binds and tighter than or", () => {
		const text = BASE.replace("write v = 1", "read v r").replace("forbidden I-2", "forbidden I-1 or I-2 and (T.r = 3 or T.r != 4)");
		expect(parseScenario(text, "x.litmus").forbidden).toEqual({
			is: "any",
			of: [
				{ is: "rule", rule: "I-1" },
				{
					is: "all",
					of: [
						{ is: "rule", rule: "I-2" },
						{
							is: "any",
							of: [
								{ is: "register", thread: "T", register: "r", value: 3, equal: true },
								{ is: "register", thread: "T", register: "r", value: 4, equal: false },
							],
						},
					],
				},
			],
		});
	});

	it.each(builtInScenarios().map((scenario) => [scenario.name, scenario] as const))("%s printed is %s read", (_, scenario) => {
		const again = parseScenario(printScenario(scenario), scenario.file);
		const bare = ({ threads, ...rest }: typeof again): object => ({
			...rest,
			threads: threads.map(({ statements, ...thread }) => ({
				...thread,
				statements: statements.map(({ line: _line, ...statement }) => statement),
			})),
		});
		expect(bare(again)).toEqual(bare(scenario));
	});

	it.each([
		["page v: pte A rw", "page v: pte B rw", "unknown frame B (x.litmus:3:13)", "declare it first"],
		["page v: pte A rw", "page v: spt A rw", "unknown table spt (x.litmus:3:9)", "one of pte, spte, mirror, device"],
		["page v: pte A rw", "page v: pte A wr", "unknown right wr (x.litmus:3:15)", "one of ro, rw"],
		["write v = 1", "write w = 1", "unknown page w (x.litmus:5:11)", "pages: v"],
		["write v = 1", "writ v = 1", "unknown step of a host writ (x.litmus:5:5)", "one of read, write"],
		["write v = 1", "write v = one", "one is not a value (x.litmus:5:15)", "a number"],
		["write v = 1", "write v = 1 2", "2 is too much (x.litmus:5:17)", "nothing may follow"],
		["write v = 1", "write v =", "value is missing (x.litmus:5:14)", "a number"],
		["write v = 1", "merge v A", "unknown step of a host merge (x.litmus:5:5)", "one of"],
		["write v = 1", "await f", "nobody who signals f (x.litmus:6)", "signal f"],
		["write v = 1", "cow v by lok", "unknown step lok (x.litmus:5:14)", "alloc-copy"],
		["write v = 1", "cow v by change-pte(upd)", "unknown parameter upd of change-pte", "one of update"],
		["thread T host", "thread T hots", "unknown thread kind hots (x.litmus:4:10)", "host, ksmd, vcpu"],
		["forbidden I-2", "forbidden T.r = 0", "T reads nothing into r (x.litmus:6:11)", "its registers: none"],
		["forbidden I-2", "forbidden U.r = 0", "unknown thread U", "threads: T"],
		["forbidden I-2", "forbidden I-4", "unknown condition I-4", "a rule (I-1"],
		["forbidden I-2", "forbiden I-2", "unknown section forbiden (x.litmus:6:1)", "one of litmus"],
		["forbidden I-2\n", "", "the scenario has no forbidden outcome (x.litmus:5)", "forbidden I-2"],
		["litmus x1-test\n", "", "the scenario has no name", "litmus NAME"],
		["frame A private", "frame A private = 201", "201 is not a value (x.litmus:2:19)", "to 200"],
		["frame A private", "frame Z private", "frame Z is there already", "zero page"],
		["forbidden I-2", "forbidden I-2\nallowed under", "a strategy is missing (x.litmus:7:14)", "mmreplay strategies"],
		["forbidden I-2", "forbidden I-2\nwithout X under drop: none", "unknown thread X (x.litmus:7:9)", "threads come first"],
	])("%s → %s is refused", (from, to, message, hint) => {
		const found = refusal(BASE.replace(from, to));
		expect(found.message).toContain(message);
		expect(found.hint).toContain(hint);
	});
});
