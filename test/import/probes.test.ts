// Probes by whatever name their maker gave them: the symbol in the line, the definitions, our recipes' names, or a question.
import { describe, expect, it } from "vitest";
import { parseDefinition } from "../../src/import/probes.js";
import { asReport, asTracefs, type RunEvent, smallRun } from "./encode.js";
import { failure, file, type ImportedSources, imported } from "./sources.js";

const run = smallRun();
const substance = ({ causes, observations }: ImportedSources): unknown[] =>
	[...causes, ...observations].map((record) => ({ ...record, ns: 0 }));

/** The run with its probes under other names, and their fields too. */
function renamed(names: (event: RunEvent) => string, fields: Readonly<Record<string, string>> = {}): RunEvent[] {
	return run.map((event) =>
		event.symbol === undefined
			? event
			: { ...event, name: names(event), fields: event.fields.map(([name, value, type]) => [fields[name] ?? name, value, type] as const) },
	);
}

const ANONYMOUS = (event: RunEvent): string =>
	`x${[...(event.symbol ?? "")].reduce((sum, letter) => sum + letter.charCodeAt(0), 0)}${event.returns === true ? "r" : ""}`;

const DEFINITIONS = [
	"p:kp/A __mmu_notifier_invalidate_range_start a=+8($arg1):x64 b=+16($arg1):x64 c=+24($arg1):x64 d=+32($arg1):x32 e2=+36($arg1):u32",
	"kprobe p:kp/B __mmu_notifier_invalidate_range_end a=+8(%di):x64 b=+0x10(%di):x64 c=+0x18(%di):x64",
	"p:kp/C try_to_merge_one_page.isra.0+0 v=$arg1:x64 p1=%si:x64 p2=%dx:x64",
	"r8:kp/D try_to_merge_one_page.isra.0 q=$retval:s32",
	"p:kp/E kernel:wp_page_copy aa=+24($arg1):x64 ff=+40($arg1):x32 gg=+80($arg1):x64",
	"r:kp/F wp_page_copy rr=$retval:x32",
	"kprobe absent(inlined) replace_page",
	"kvm/kvm_page_fault",
	"",
].join("\n");

const LETTERS: Readonly<Record<string, string>> = {
	mn_range_start: "A",
	mn_range_end: "B",
	ksm_try_to_merge_one_page: "C",
	ksm_try_to_merge_one_page_ret: "D",
	wp_page_copy: "E",
	wp_page_copy_ret: "F",
};
const FIELDS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
	A: { mm: "a", start: "b", end: "c", flags: "d", event: "e2" },
	B: { mm: "a", start: "b", end: "c" },
	C: { page: "p1", kpage: "p2" },
	D: { ret: "q" },
	E: { addr: "aa", flags: "ff", page: "gg" },
	F: { ret: "rr" },
};

describe("a probe is recognised", () => {
	it("by the symbol in its line", async () => {
		const trace = await imported(asTracefs(renamed(ANONYMOUS)));
		expect(substance(trace)).toEqual(substance(await imported(asTracefs(run))));
		expect(trace.header.warnings.join()).not.toMatch(/probes/);
	});

	it("by its definition, where the line shows an address", async () => {
		const letters = run.map((event) => {
			const letter = LETTERS[event.name];
			if (letter === undefined) return event;
			return {
				...event,
				name: letter,
				fields: event.fields.map(([name, value, type]) => [FIELDS[letter]?.[name] ?? name, value, type] as const),
			};
		});
		const trace = await imported(asReport(letters, false), { events: file(DEFINITIONS) });
		expect(substance(trace)).toEqual(substance(await imported(asTracefs(run))));
	});

	it("by the names of our own recipes, which is said", async () => {
		const trace = await imported(asReport(run, false));
		expect(trace.header.warnings.join()).toMatch(/taken by the names of mmreplay's own recipes.*mn_range_start/);
	});

	it("by the names that tracefs and perf make up from the symbol", async () => {
		const trace = await imported(
			asReport(
				renamed((event) => `${event.returns === true ? "r" : "p"}_${event.symbol}_0`),
				false,
			),
		);
		expect(substance(trace)).toEqual(substance(await imported(asTracefs(run))));
	});

	it("with other names for its fields", async () => {
		const trace = await imported(asTracefs(renamed((event) => event.name, { start: "s", end: "e", addr: "address", ret: "err" })));
		expect(substance(trace)).toEqual(substance(await imported(asTracefs(run))));
	});

	it("with its numbers in decimal", async () => {
		const text = asTracefs(run).replace(
			/\b(start|end|addr|page|kpage|mm)=(0x[0-9a-f]+)/g,
			(_all, name: string, value: string) => `${name}=${BigInt(value)}`,
		);
		expect(substance(await imported(text))).toEqual(substance(await imported(asTracefs(run))));
	});
});

describe("a probe that nothing explains", () => {
	it("is asked about where the capture is worth nothing without it", async () => {
		const error = await failure(asReport(renamed(ANONYMOUS), false));
		expect(error.what).toMatch(/which functions these probes are on is not in the capture: x\d+/);
		expect(error.hint).toMatch(/--events FILE/);
	});

	it("is left out with a warning where the rest is enough", async () => {
		const odd = run.flatMap((event) =>
			event.name === "wp_page_copy" ? [{ ...event, name: "mystery", symbol: "who_knows" }, event] : [event],
		);
		const trace = await imported(asReport(odd, false));
		expect(trace.header.warnings.join()).toMatch(/left out: mystery \(4\)/);
	});

	it("or that lacks a field that it must have is an error", async () => {
		const error = await failure(asTracefs(renamed((event) => event.name, { start: "x1" })));
		expect(error.what).toMatch(/mn_range_start on __mmu_notifier_invalidate_range_start shows no start/);
	});
});

describe("the kernel's profile", () => {
	it("is inferred with what speaks for it", async () => {
		const { header } = await imported(asTracefs(run));
		expect(header.strategyEvidence.at(-1)).toMatch(/kernel profile 6\.12 \(inferred: no change_pte/);
	});

	it("told by --kernel must fit", async () => {
		const error = await failure(asTracefs(run).replace(/vcpu 0 rip 0x[0-9a-f]+ address/g, "address"), { kernel: "6.1.0" });
		expect(error.what).toMatch(/does not fit its kernel: kvm_page_fault without its vCPU/);
		expect((await imported(asTracefs(run), { kernel: "6.12.3" })).header.strategyEvidence.at(-1)).toMatch(/6\.12 \(told: 6\.12\.3\)/);
	});

	it("of 5.10 has no vCPU in kvm_page_fault: its hex has no 0x, and tasks are numbered", async () => {
		const old = asTracefs(run).replace(
			/vcpu 0 rip 0x[0-9a-f]+ address 0x0*([0-9a-f]+) error_code 0x([0-9a-f]+)/g,
			(_all, address: string, code: string) => `address ${address} error_code ${code.slice(-2)}`,
		);
		const trace = await imported(old);
		expect(trace.header.strategyEvidence.at(-1)).toMatch(/kernel profile 5\.10/);
		expect(trace.observations.filter((record) => record.name === "vmexit")).toHaveLength(40);
		expect(trace.header.vms).toEqual([{ id: 0, mm: 0, vcpus: 1, memoryBytes: 65536 }]);
	});

	it("says that a probe reads the range as another kernel has it", async () => {
		const letters = file("p:kp/mn_range_start __mmu_notifier_invalidate_range_start b=+8($arg1):x64 c=+16($arg1):x64 d=+28($arg1):u32");
		const text = asTracefs(
			run.map((event) =>
				event.name === "mn_range_start"
					? {
							...event,
							fields: [
								["b", event.fields[1]?.[1] ?? 0n, "u64"],
								["c", event.fields[2]?.[1] ?? 0n, "u64"],
							],
						}
					: event,
			),
		);
		expect((await imported(text, { events: letters })).header.strategyEvidence.at(-1)).toMatch(/ranges without vma/);
		const error = await failure(text, { events: letters, kernel: "6.1.0" });
		expect(error.what).toMatch(/without its first member vma/);
	});
});

describe("lines of kprobe_events", () => {
	it.each([
		["p:kp/a wp_page_copy addr=+24($arg1):x64", { name: "a", symbol: "wp_page_copy", returns: false }],
		["r:a wp_page_copy ret=$retval", { name: "a", symbol: "wp_page_copy", returns: true }],
		["p wp_page_copy", { name: "p_wp_page_copy_0", symbol: "wp_page_copy", returns: false }],
		["p:kp/a wp_page_copy%return ret=$retval", { symbol: "wp_page_copy", returns: true }],
		["f:fprobes/a wp_page_copy%return", { symbol: "wp_page_copy", returns: true }],
		["p:kvm/a kvm:__kvm_set_memory_region+0x4 kvm=%di", { symbol: "__kvm_set_memory_region" }],
	])("%s", (line, expected) => {
		expect(parseDefinition(line)).toMatchObject(expected);
	});

	it("has registers as arguments, and offsets in decimal", () => {
		expect(parseDefinition("p:a f x=+0x10(%di):x64 y=%si:u32 z=$retval")?.fetches).toEqual(
			new Map([
				["x", "+16($arg1)"],
				["y", "$arg2"],
				["z", "$retval"],
			]),
		);
	});

	it.each(["kvm/kvm_page_fault", "", "# comment"])("is not %s", (line) => {
		expect(parseDefinition(line)).toBeUndefined();
	});
});
