// Lines of the text formats, with the traps of formats.md 2.2: names with spaces and brackets, losses, what the header tells.
import { describe, expect, it } from "vitest";
import { parseBpftraceJson, parseBpftraceLine } from "../../src/import/bpftrace.js";
import { parseLatencyLine } from "../../src/import/latency.js";
import { parsePerfLine } from "../../src/import/perfscript.js";
import { parseReportLine } from "../../src/import/tracecmd.js";

const lost = { kind: "lost" };

describe("trace-cmd report", () => {
	it("reads what tracefs prints, and its own columns", () => {
		const line =
			"            vmm0-142   [000]     5.346978: kvm_page_fault:       vcpu 0 rip 0x1000 address 0x0000000000001000 error_code 0x100000014";
		expect(parseReportLine(line)).toEqual({
			kind: "event",
			event: {
				comm: "vmm0",
				pid: 142,
				tgid: -1,
				cpu: 0,
				ns: 5346978000,
				name: "kvm_page_fault",
				text: "vcpu 0 rip 0x1000 address 0x0000000000001000 error_code 0x100000014",
			},
		});
	});

	it("takes a name with a dash, spaces and brackets from the right", () => {
		const parsed = parseReportLine("   CPU 0/KVM [x]-y-142   [001]     5.346978123: kvm_entry: vcpu 0");
		expect(parsed).toMatchObject({ kind: "event", event: { comm: "CPU 0/KVM [x]-y", pid: 142, cpu: 1, ns: 5346978123 } });
	});

	it.each([
		["CPU:0 [8123 EVENTS DROPPED]", { ...lost, events: 8123 }],
		["CPU:1 [EVENTS DROPPED]", { ...lost, events: 1 }],
		["CPU:1 [LOST 12 EVENTS]", { ...lost, events: 12 }],
		["cpus=2", { kind: "comment" }],
		["version = 7", { kind: "comment" }],
		["CPU 3 is empty", { kind: "comment" }],
		["uname: Linux host 6.1.0-50-amd64 #1 SMP x86_64", { kind: "kernel", release: "6.1.0-50-amd64" }],
		["anything else", { kind: "foreign" }],
	])("%s", (line, expected) => {
		expect(parseReportLine(line)).toMatchObject(expected);
	});

	it("reads -l, CPU and flags in one word", () => {
		expect(parseReportLine("      sh-171     0d..1.    10.701220: mm_fault: (handle_mm_fault+0x0/0x2d0) addr=0x1")).toMatchObject({
			kind: "event",
			event: { comm: "sh", pid: 171, cpu: 0, ns: 10701220000, text: "(handle_mm_fault+0x0/0x2d0) addr=0x1" },
		});
	});
});

describe("latency format of tracefs", () => {
	it.each([
		["    init-180       0...1. 189740us : mm_do_wp: (do_wp_page+0x0/0x380) addr=0x5ea000", 0, 189740000],
		["    init-180      12.....   1us+: mm_fault: (f+0x0/0x1)", 12, 1000],
		["    init-180       0...1. 190032us!: mm_wp_copy: (f+0x0/0x1)", 0, 190032000],
	])("%s", (line, cpu, ns) => {
		expect(parseLatencyLine(line)).toMatchObject({ kind: "event", event: { comm: "init", pid: 180, cpu, ns } });
	});

	it("tells the kernel and what was overwritten", () => {
		expect(parseLatencyLine("# nop latency trace v1.1.5 on 6.1.0-50-amd64")).toEqual({ kind: "kernel", release: "6.1.0-50-amd64" });
		expect(parseLatencyLine("# latency: 0 us, #3849/5000, CPU#0 | (M:desktop VP:0)")).toEqual({
			kind: "written",
			inBuffer: 3849,
			written: 5000,
		});
	});
});

describe("perf script", () => {
	const event = (line: string): unknown => {
		const parsed = parsePerfLine(line);
		return parsed.kind === "event" ? parsed.event : parsed;
	};

	it.each([
		["            ksmd    36 [000]   775.360134: ksm:ksm_start_scan: seq 1", { comm: "ksmd", pid: 36, tgid: -1, cpu: 0, ns: 775360134000 }],
		[
			"         ksmtest  6502/6503  [001]   913.470007777:               kmem:rss_stat: mm_id=1",
			{ comm: "ksmtest", pid: 6503, tgid: 6502, cpu: 1, ns: 913470007777 },
		],
		["       CPU 0/KVM  6502/6503  [001]   913.470007777: kvm:kvm_page_fault: vcpu 0", { comm: "CPU 0/KVM", pid: 6503 }],
		["      a 12 [001]   77 [000]     1.000000: kvm:kvm_entry: vcpu 0", { comm: "a 12 [001]", pid: 77, cpu: 0 }],
		["            ksmd    36   775.360134:          1    ksm:ksm_start_scan: seq 1", { comm: "ksmd", pid: 36, cpu: 0 }],
		[
			"            vmm0    36 [000] d..1.   775.360134: probe:wp_page_copy__return: (ffffffff812ca540 <- ffffffff812ca640) ret=0x0",
			{ name: "wp_page_copy__return" },
		],
	])("%s", (line, expected) => {
		expect(event(line)).toMatchObject(expected);
	});

	it.each([
		["LOST 3 events!", { ...lost, events: 3 }],
		["            ksmd    36 [000] PERF_RECORD_LOST lost 12", { ...lost, events: 12 }],
		["# os release : 6.18.5", { kind: "kernel", release: "6.18.5" }],
		["	ffffffff812ca540 do_wp_page+0x0 ([kernel.kallsyms])", { kind: "comment" }],
		["what", { kind: "foreign" }],
	])("%s", (line, expected) => {
		expect(parsePerfLine(line)).toMatchObject(expected);
	});

	it("does not take tracefs text for its own", () => {
		expect(parsePerfLine("            vmm0-142   [000]     5.346978: kvm_entry: vcpu 0").kind).toBe("foreign");
	});
});

describe("bpftrace", () => {
	it("reads the recipe's lines, whatever the name holds", () => {
		expect(parseBpftraceLine("M 53542011440 1 566 567 CPU 0/KVM KVM_PF vcpu=0 rip=1000 gpa=1000 ec=100000014")).toEqual({
			kind: "event",
			event: {
				comm: "CPU 0/KVM",
				pid: 567,
				tgid: 566,
				cpu: 1,
				ns: 53542011440,
				name: "kvm_page_fault",
				text: "vcpu_id=0 guest_rip=0x1000 fault_address=0x1000 error_code=0x100000014",
			},
		});
		expect(parseBpftraceLine("M 1 0 1 1 A b=1 MN_END mm=1 start=2 end=3")).toMatchObject({
			event: { comm: "A b=1", name: "__mmu_notifier_invalidate_range_end" },
		});
	});

	it.each([
		["Attaching 11 probes...", { kind: "comment" }],
		["@i[1]: 3", { kind: "comment" }],
		["# mmtrace 1 clock=monotonic", { kind: "clock", clock: "mono" }],
		["Lost 17 events", { ...lost, events: 17 }],
		["M 12 0 garbage", { kind: "foreign" }],
	])("%s", (line, expected) => {
		expect(parseBpftraceLine(line)).toMatchObject(expected);
	});

	it("unwraps JSON", () => {
		expect(parseBpftraceJson('{"type": "printf", "data": "M 1\\nM 2\\n"}')).toEqual({ text: "M 1\nM 2\n" });
		expect(parseBpftraceJson('{"type": "lost_events", "data": {"events": 5}}')).toEqual({ lost: 5 });
		expect(parseBpftraceJson('{"type": "attached_probes", "data": {"probes": 11}}')).toEqual({ text: "" });
		expect(parseBpftraceJson('{"type": ')).toBeUndefined();
		expect(parseBpftraceJson("7")).toBeUndefined();
	});
});
