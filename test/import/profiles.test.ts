// The same small run as the kernels of each profile print it: what they have, lack and inline (formats.md section 3). It is the same run whatever the
// kernel, and what the kernel costs in certainty is said.
import { describe, expect, it } from "vitest";
import { asTracefs, type RunEvent, SMALL_RUN_OPERATIONS, smallRun } from "./encode.js";
import { failure, file, imported, operations } from "./sources.js";

type Change = (events: readonly RunEvent[]) => RunEvent[];

/** Up to 6.9, each bracket of KSM and COW calls change_pte. */
const changePte: Change = (events) =>
	events.flatMap((event) => {
		if (event.name !== "mn_range_end") return [event];
		const [mm, start] = event.fields;
		if (mm === undefined || start === undefined) return [event];
		const fields: RunEvent["fields"] = [mm, ["addr", start[1], "u64"], ["pte", 0x8000_0000_1234_5025n, "u64"]];
		return [{ ...event, name: "mn_change_pte", symbol: "__mmu_notifier_change_pte", fields }, event];
	});

/** wp_page_copy is inlined: do_wp_page alone can be probed. */
const inlinedCopy: Change = (events) =>
	events.flatMap((event) =>
		event.symbol !== "wp_page_copy" ? [event] : event.returns === true ? [] : [{ ...event, name: "do_wp_page", symbol: "do_wp_page" }],
	);

/** KSM's tracepoints, since 6.3, with hashed pointers. */
const ksmTracepoints: Change = (events) =>
	events.flatMap((event) => {
		if (event.name !== "ksm_try_to_merge_one_page_ret") return [event];
		const { symbol: _, returns: __, ...rest } = event;
		const print = "pfn 4660 rmap_item 00000000abcdef12 mm 0000000071a84166 error 0";
		return [event, { ...rest, name: "ksm_merge_with_ksm_page", fields: [], print }];
	});

/** Up to 5.18, kvm_page_fault has no vCPU. */
const oldFaults = (text: string): string =>
	text.replace(
		/vcpu 0 rip 0x[0-9a-f]+ address 0x0*([0-9a-f]+) error_code 0x([0-9a-f]+)/g,
		(_all, address: string, code: string) => `address ${address} error_code ${code.slice(-2)}`,
	);

const probeOf = (offset: number): string =>
	`p:kp/mn_range_start __mmu_notifier_invalidate_range_start mm=+${offset}($arg1):x64 start=+${offset + 8}($arg1):x64 end=+${offset + 16}($arg1):x64 event=+${offset + 28}($arg1):u32`;

interface Kernel {
	readonly profile: string;
	readonly releases: readonly string[];
	readonly rangeOffset: number;
	readonly changes: readonly Change[];
	readonly print?: (text: string) => string;
	readonly strategy: string;
	/** What is said of certainty. */
	readonly costs: readonly RegExp[];
}

const VCPUS = /kvm_page_fault has no vCPU in this kernel/;
const INLINED = /wp_page_copy is not recorded: do_wp_page with a one-page range behind it stands for it/;
const HASHED = /pointers of ksm_merge_with_ksm_page are hashed/;

const KERNELS: readonly Kernel[] = [
	{
		profile: "5.10",
		releases: ["5.10.0-30-amd64", "5.15.0", "5.18.19"],
		rangeOffset: 8,
		changes: [changePte],
		print: oldFaults,
		strategy: "wrapped",
		costs: [VCPUS],
	},
	{
		profile: "6.1",
		releases: ["5.19.0", "6.1.0-50-amd64", "6.2.16"],
		rangeOffset: 8,
		changes: [changePte],
		strategy: "wrapped",
		costs: [],
	},
	{
		profile: "6.6",
		releases: ["6.3.0", "6.6.14", "6.9.12"],
		rangeOffset: 0,
		changes: [changePte, ksmTracepoints],
		strategy: "wrapped",
		costs: [HASHED],
	},
	{
		profile: "6.12",
		releases: ["6.10.1", "6.12.117", "6.18.0", "7.0.0"],
		rangeOffset: 0,
		changes: [inlinedCopy, ksmTracepoints],
		strategy: "drop",
		costs: [INLINED, HASHED],
	},
];

function captured({ changes, print = (text) => text }: Kernel): string {
	return print(asTracefs(changes.reduce<RunEvent[]>((events, change) => change(events), smallRun())));
}

const definitions = (kernel: Kernel): string => file(`${probeOf(kernel.rangeOffset)}\n`);

describe.each(KERNELS)("a capture of $profile", (kernel) => {
	it.each(kernel.releases)("told as %s is the same run", async (release) => {
		const trace = await imported(captured(kernel), { kernel: release, events: definitions(kernel) });
		const { changePte: changes = 0, ...counts } = operations(trace);
		expect(counts).toEqual(SMALL_RUN_OPERATIONS);
		expect(changes).toBe(kernel.strategy === "wrapped" ? 28 : 0);
		expect(trace.header.strategy).toBe(kernel.strategy);
		expect(trace.header.strategyEvidence.at(-1)).toBe(`kernel profile ${kernel.profile} (told: ${release})`);
	});

	it("says what the kernel costs, and nothing else", async () => {
		const { header } = await imported(captured(kernel), { kernel: kernel.releases[0], events: definitions(kernel) });
		const said = header.warnings.filter((warning) => !warning.startsWith("memslots of vm 0"));
		expect(said).toHaveLength(kernel.costs.length);
		for (const cost of kernel.costs) expect(said.join("\n")).toMatch(cost);
	});

	it("is inferred where nobody tells, and what is not ruled out is said", async () => {
		const { header } = await imported(captured(kernel), { events: definitions(kernel) });
		expect(header.strategyEvidence.at(-1)).toMatch(new RegExp(`kernel profile ${kernel.profile.replace(".", "\\.")} \\(inferred: `));
	});

	it("does not pass for a kernel that could not have made it", async () => {
		for (const other of KERNELS) {
			const [release] = other.releases;
			if (other.profile === kernel.profile || MAY_BE[kernel.profile]?.includes(other.profile) === true) continue;
			const error = await failure(captured(kernel), { kernel: release, events: definitions(kernel) });
			expect(error.what).toMatch(/the capture does not fit its kernel/);
		}
	});
});

/** Profiles whose kernels could have made such a capture: they lack what it does not show. */
const MAY_BE: Readonly<Record<string, readonly string[]>> = { "6.12": ["6.6"] };
