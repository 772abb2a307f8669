// Which recipe each host gets, what it says is missing, and that the scripts are ones that a shell takes.
import { spawnSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import { probeHost } from "../../src/capture/host.js";
import { thisHost } from "../../src/capture/probe.js";
import { type Advice, advise, METHODS } from "../../src/capture/recipe.js";
import type { Method } from "../../src/capture/script.js";
import { seconds } from "../../src/cli/recipe.js";
import { UsageError } from "../../src/errors.js";
import { parseBpftraceLine } from "../../src/import/bpftrace.js";
import { PROBED } from "../../src/import/symbols.js";
import { TRACEPOINTS, WITHOUT_MEANING } from "../../src/import/tracepoints.js";
import { BARE, DEBIAN_12, DEBIAN_13, type FakeHost, fakeProbe, kallsyms, LOCKED } from "./hosts.js";

const advice = (host: FakeHost, method?: Method, keepNames = false): Advice => advise(probeHost(fakeProbe(host)), method, keepNames);
const events = ({ recipe }: Advice): string[] => recipe?.placement.placed.map(({ point }) => point.event) ?? [];
const script = ({ recipe }: Advice): string => recipe?.script ?? "";

/** Without some tools. */
const without = (host: FakeHost, ...tools: string[]): FakeHost => ({
	...host,
	tools: Object.fromEntries(Object.entries(host.tools ?? {}).filter(([tool]) => !tools.includes(tool))),
});

describe("the choice", () => {
	it("is bpftrace, then trace-cmd, then perf, then tracefs by hand", () => {
		expect(advice(DEBIAN_12).recipe?.method).toBe("bpftrace");
		expect(advice(without(DEBIAN_12, "bpftrace")).recipe?.method).toBe("trace-cmd");
		expect(advice(without(DEBIAN_12, "bpftrace", "trace-cmd")).recipe?.method).toBe("perf");
		expect(advice(without(DEBIAN_12, "bpftrace", "trace-cmd", "perf")).recipe?.method).toBe("tracefs");
	});

	it("is what the user asks for, where it works", () => {
		expect(advice(DEBIAN_12, "tracefs").recipe?.method).toBe("tracefs");
		expect(advice(without(DEBIAN_12, "perf"), "perf").recipe).toBeNull();
	});

	it("needs type data for bpftrace", () => {
		const { "/sys/kernel/btf/vmlinux": _, ...files } = DEBIAN_12.files ?? {};
		expect(advice({ ...DEBIAN_12, files }).recipe?.method).toBe("trace-cmd");
	});

	it("is printed for root whoever asks", () => {
		expect(advice({ ...DEBIAN_12, uid: 1000 })).toEqual(advice(DEBIAN_12));
	});

	it("is nothing on a machine without any of it, which says why", () => {
		const nothing = advice(BARE);
		expect(nothing.recipe).toBeNull();
		expect(nothing.methods.map(({ obstacle }) => obstacle !== "")).toEqual([true, true, true, true]);
		expect(nothing.methods[0]?.obstacle).toContain("kvm module is not loaded");
		expect(advice({ platform: "darwin" }).methods[0]?.obstacle).toBe("this is not Linux");
	});
});

describe("a kernel without", () => {
	const kernel = (files: Readonly<Record<string, string>>, leave: string): FakeHost => {
		const { [leave]: _, ...rest } = DEBIAN_12.files ?? {};
		return { ...DEBIAN_12, files: { ...rest, ...files } };
	};

	it("kvm_page_fault gets no recipe: nothing would be of use", () => {
		const untraced = advice(kernel({ "/proc/kallsyms": kallsyms(["do_wp_page"], []) }, ""));
		expect(untraced.recipe).toBeNull();
		expect(untraced.methods[0]?.obstacle).toContain("no tracepoint kvm_page_fault");
	});

	it("kprobes gets tracepoints only, and is told what that costs", () => {
		const unprobed = advice(kernel({}, "/sys/kernel/tracing/kprobe_events"));
		expect(script(unprobed)).not.toContain("kprobe:");
		expect(unprobed.missing.join("\n")).toContain("mn_range_start: this kernel has no kprobes");
	});

	it("tracefs mounted is told to mount it", () => {
		const { methods } = advice(kernel({ "/proc/mounts": "" }, ""));
		expect(methods.every(({ obstacle }) => obstacle.startsWith("tracefs is not mounted"))).toBe(true);
	});

	it("a tracefs that one may look into is judged by its functions", () => {
		const closed = kernel({ "/proc/kallsyms": kallsyms(["register_kprobe", "do_wp_page"]) }, "/sys/kernel/tracing/kprobe_events");
		expect(events(advice({ ...closed, uid: 1000 }))).toContain("do_wp_page");
	});
});

describe("lockdown", () => {
	it("leaves bpftrace its tracepoints, and says what that costs", () => {
		const locked = advice(LOCKED);
		expect(locked.recipe?.method).toBe("bpftrace");
		expect(events(locked)).toEqual([
			"kvm/kvm_page_fault",
			"kvmmmu/kvm_tdp_mmu_spte_changed",
			"kvm/kvm_unmap_hva_range",
			"kvm/kvm_smm_transition",
			"vmscan/mm_vmscan_direct_reclaim_begin",
			"vmscan/mm_vmscan_direct_reclaim_end",
			"migrate/set_migration_pte",
			"migrate/remove_migration_pte",
			"migrate/mm_migrate_pages",
			"huge_memory/mm_collapse_huge_page",
			"kvm/kvm_age_hva",
			"kvm/kvm_test_age_hva",
			"kvmmmu/kvm_mmu_zap_all_fast",
		]);
		expect(locked.missing.join("\n")).toContain("mn_range_start: lockdown=confidentiality forbids probes; no brackets");
		expect(script(locked)).not.toContain("kprobe");
	});

	it("leaves perf its tracepoints, and forbids trace-cmd and tracefs", () => {
		expect(advice(LOCKED, "trace-cmd").recipe).toBeNull();
		expect(advice(LOCKED, "tracefs").recipe).toBeNull();
		expect(script(advice(LOCKED, "perf"))).not.toContain("kprobe_events");
	});
});

describe("what a kernel has", () => {
	it("6.1: change_pte and wp_page_copy, ranges behind a vma", () => {
		const recipe = script(advice(DEBIAN_12, "tracefs"));
		expect(recipe).toContain(
			"mn_range_start __mmu_notifier_invalidate_range_start mm=+8($arg1):x64 start=+16($arg1):x64 end=+24($arg1):x64 flags=+32($arg1):x32 event=+36($arg1):u32",
		);
		expect(recipe).toContain("wp_page_copy addr=+24($arg1):x64 flags=+40($arg1):x32 page=+80($arg1):x64 sub=+952(+16(+0($arg1))):x64");
		expect(events(advice(DEBIAN_12))).not.toContain("do_wp_page");
	});

	it("6.12: do_wp_page in place of wp_page_copy, no change_pte, ranges without a vma", () => {
		const newer = advice(DEBIAN_13, "tracefs");
		expect(events(newer)).toContain("do_wp_page");
		expect(events(newer)).not.toContain("mn_change_pte");
		expect(newer.missing.join("\n")).toContain("wp_page_copy: wp_page_copy is inlined in this kernel");
		expect(newer.missing.join("\n")).not.toContain("change_pte:");
		expect(script(newer)).toContain(
			"mn_range_start __mmu_notifier_invalidate_range_start mm=+0($arg1):x64 start=+8($arg1):x64 end=+16($arg1):x64 flags=+24($arg1):x32 event=+28($arg1):u32",
		);
	});

	it("takes the layout of the release where there is no type data", () => {
		const { "/sys/kernel/btf/vmlinux": _, ...files } = DEBIAN_13.files ?? {};
		const recipe = script(advice({ ...DEBIAN_13, files }, "tracefs"));
		expect(recipe).toContain("start=+8($arg1):x64");
		expect(recipe).not.toContain("sub=+");
		expect(recipe).not.toMatch(/\{\w+\.\w+\}/);
	});

	it("does not probe the compiler's variants, whose arguments are others", () => {
		const files = {
			...DEBIAN_12.files,
			"/proc/kallsyms": kallsyms([
				"__mmu_notifier_invalidate_range_start",
				"__mmu_notifier_invalidate_range_end",
				"try_to_merge_one_page.isra.0",
			]),
		};
		const variant = advice({ ...DEBIAN_12, files });
		expect(events(variant)).not.toContain("ksm_try_to_merge_one_page");
		expect(variant.missing.join("\n")).toContain("this kernel has only try_to_merge_one_page.isra.0");
	});

	it("says so where kallsyms may not be read", () => {
		const { "/proc/kallsyms": _, ...files } = DEBIAN_12.files ?? {};
		expect(advice({ ...DEBIAN_12, files }).missing[0]).toContain("/proc/kallsyms cannot be read");
	});

	it("uses kvm_page_fault without its vCPU up to 5.18", () => {
		const files = { ...DEBIAN_12.files, "/proc/sys/kernel/osrelease": "5.10.0-30-amd64\n" };
		expect(script(advice({ ...DEBIAN_12, files }))).toContain("KVM_PF gpa=%llx ec=%llx");
	});

	it("speaks of the VMs that run already, of KSM and of the TDP MMU", () => {
		const off = {
			...DEBIAN_12,
			files: { ...DEBIAN_12.files, "/sys/kernel/mm/ksm/run": "0\n", "/sys/module/kvm/parameters/tdp_mmu": "N\n" },
		};
		expect(advice(off).notes.join("\n")).toMatch(/tdp_mmu=N[\s\S]*KSM is off/);
		expect(advice(DEBIAN_12).missing.join("\n")).toContain("memslots of the 2 VMs that run already");
	});
});

describe("the scripts", () => {
	const hosts = { DEBIAN_12, DEBIAN_13, LOCKED };
	const cases = Object.entries(hosts).flatMap(([name, host]) =>
		METHODS.flatMap((method) => [false, true].map((keep) => ({ name, host, method, keep }))),
	);

	it.each(cases)("$name by $method, names kept: $keep: a shell takes it", ({ host, method, keep }) => {
		const text = script(advice(host, method, keep));
		if (text === "") return;
		const { status, stderr } = spawnSync("sh", ["-n"], { input: text, encoding: "utf8" });
		expect(stderr).toBe("");
		expect(status).toBe(0);
		expect(text).not.toContain("undefined");
	});

	it("only run as root and on the kernel they were written for", () => {
		const text = script(advice(DEBIAN_12));
		expect(text).toContain('[ "$(id -u)" = 0 ]');
		expect(text).toContain(`[ "$(uname -r)" = '6.1.0-50-amd64' ]`);
		expect(text).not.toMatch(/^\s*sudo /m);
	});

	it("do not say which host it was", () => {
		for (const method of METHODS) expect(script(advice(DEBIAN_12, method))).not.toMatch(/uname -a|hostname/);
	});
});

describe("the bpftrace program", () => {
	// Renewed with vitest -u; the importer reads its lines (src/import/bpftrace.ts).
	it("of 6.1 is the one in traces/capture", async () => {
		const program = /<<'BT'\n([\s\S]*?)BT\n/.exec(script(advice(DEBIAN_12)))?.[1] ?? "";
		await expect(program).toMatchFileSnapshot("../../traces/capture/mmtrace-6.1.bt");
	});

	it("prints lines that the importer knows", () => {
		for (const host of [DEBIAN_12, DEBIAN_13]) {
			for (const [, event = ""] of script(advice(host)).matchAll(/%d %s ([A-Z_]+) /g)) {
				const parsed = parseBpftraceLine(`M 12 0 1 2 task ${event} mm=1`);
				expect(parsed).toMatchObject({ kind: "event" });
				expect(parsed.kind === "event" && parsed.event.name).not.toBe(event);
			}
		}
	});
});

describe("the probes", () => {
	it("are on functions that the importer knows, under the names that it gives them", () => {
		for (const host of [DEBIAN_12, DEBIAN_13]) {
			for (const { point, symbol } of advice(host).recipe?.placement.placed ?? []) {
				if (point.kind === "tracepoint") {
					const name = point.event.split("/")[1] ?? "";
					expect(TRACEPOINTS[name] !== undefined || WITHOUT_MEANING.has(name), name).toBe(true);
				} else {
					const probed = PROBED[symbol ?? ""];
					expect((point.kind === "entry" ? probed?.entry : probed?.return)?.event ?? `${symbol}: without a meaning`).toBe(point.event);
				}
			}
		}
	});

	it("fetch what the importer must have", () => {
		for (const { point, symbol } of advice(DEBIAN_12).recipe?.placement.placed ?? []) {
			if (point.kind === "tracepoint") continue;
			const probed = PROBED[symbol ?? ""];
			const meaning = point.kind === "entry" ? probed?.entry : probed?.return;
			const fields = [...point.fetch.matchAll(/(\w+)=/g)].map(([, name = ""]) => name);
			for (const required of meaning?.required ?? [])
				expect(
					fields.some((field) => meaning?.fields[required]?.includes(field)),
					`${point.event} ${required}`,
				).toBe(true);
		}
	});
});

describe("--run takes a time", () => {
	it.each([
		["60s", 60],
		["60", 60],
		["2m", 120],
	])("%s", (text, expected) => {
		expect(seconds(text)).toBe(expected);
	});

	it.each(["", "0s", "s", "1h", "-5s", "1.5s", "99999999s"])("not %j", (text) => {
		expect(() => seconds(text)).toThrow(UsageError);
	});
});

describe("process names", () => {
	/** The sed program of a recipe, run over a line. */
	function filtered(method: Method, line: string): string {
		const program = /sed -E '((?:[^'])*)'/.exec(script(advice(DEBIAN_12, method)))?.[1] ?? "";
		expect(program).not.toBe("");
		return spawnSync("sed", ["-E", program], { input: `${line}\n`, encoding: "utf8" }).stdout.trimEnd();
	}

	it.each([
		["bpftrace", "M 12 0 70 70 ksmd MN_START mm=f start=1", "M 12 0 70 70 ksmd MN_START mm=f start=1"],
		["bpftrace", "M 12 0 565 566 secret customer DB KVM_PF vcpu=0 gpa=1", "M 12 0 565 566 task KVM_PF vcpu=0 gpa=1"],
		["bpftrace", "M 12 0 565 566 A KVM_UNMAP start=1 end=2", "M 12 0 565 566 task KVM_UNMAP start=1 end=2"],
		["bpftrace", "# mmtrace 1 clock=monotonic", "# mmtrace 1 clock=monotonic"],
		[
			"tracefs",
			"   ksmd-33      [001] d..2.  12.000001: mn_range_start: (f+0x0/0x1) start=0x1",
			"ksmd-33      [001] d..2.  12.000001: mn_range_start: (f+0x0/0x1) start=0x1",
		],
		[
			"tracefs",
			" CPU 0/KVM-cust-9 [3]-812     (    800) [001] .....  12.000001: kvm_page_fault: vcpu 0",
			"task-812     (    800) [001] .....  12.000001: kvm_page_fault: vcpu 0",
		],
		[
			"tracefs",
			"   ksmd-secret-812     [001] .....  12.000001: kvm_page_fault: vcpu 0",
			"task-812     [001] .....  12.000001: kvm_page_fault: vcpu 0",
		],
		["tracefs", "CPU:1 [LOST 12 EVENTS]", "CPU:1 [LOST 12 EVENTS]"],
		[
			"trace-cmd",
			" qemu secret-812   [001]    12.000000001: kvm_page_fault:   vcpu 0",
			"task-812   [001]    12.000000001: kvm_page_fault:   vcpu 0",
		],
		[
			"perf",
			"  qemu secret   812 [001]    12.000000001: kvm:kvm_page_fault: vcpu 0",
			"task 812 [001]    12.000000001: kvm:kvm_page_fault: vcpu 0",
		],
		[
			"perf",
			"            ksmd    33 [001]    12.000000001: mmreplay:mn_range_start: (f) start=0x1",
			"ksmd 33 [001]    12.000000001: mmreplay:mn_range_start: (f) start=0x1",
		],
	] as const)("%s: %s", (method, line, expected) => {
		expect(filtered(method, line)).toBe(expected);
	});

	it("stay where they are asked for", () => {
		for (const method of METHODS) {
			const text = script(advice(DEBIAN_12, method, true));
			expect(text).not.toContain("task \\");
			expect(text).not.toContain('rm "$DIR/trace.dat"');
		}
	});
});

describe("this machine, whatever it is", () => {
	it("is probed and advised without a word of complaint", () => {
		const found = advise(probeHost(thisHost()), undefined, false);
		expect(found.methods).toHaveLength(4);
	});
});
