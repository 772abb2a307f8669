// What is no capture is told what it is, in one line with a hint; layouts that other people's tracers print are read.
import { describe, expect, it } from "vitest";
import { BadInputError } from "../../src/errors.js";
import { parsePerfLine } from "../../src/import/perfscript.js";
import { parseTracefsLine } from "../../src/import/tracefs.js";
import { asPerf, asReport, asTracefs, SMALL_RUN_OPERATIONS, smallRun } from "./encode.js";
import { failure, imported, operations } from "./sources.js";

const run = smallRun();
const text = asTracefs(run);
const padded = (...bytes: number[]): Buffer => Buffer.concat([Buffer.from(bytes), Buffer.alloc(200)]);
const tar = Buffer.alloc(1024);
tar.write("trace.txt");
tar.write("ustar", 257);

describe("what cannot be read is named", () => {
	it.each<[string, string | Uint8Array, RegExp, RegExp]>([
		["perf.data of the other byte order", Buffer.from("2ELIFREPxxxxxxxx"), /a perf\.data file/, /perf script/],
		["lz4", padded(0x04, 0x22, 0x4d, 0x18), /compressed with lz4/, /lz4 -dc/],
		["tar", tar, /a tar archive/, /unpack/],
		["pcap", padded(0xd4, 0xc3, 0xb2, 0xa1), /a pcap file/, /name a capture/],
		["pcapng", padded(0x0a, 0x0d, 0x0d, 0x0a, 0x1c), /a pcapng file/, /name a capture/],
		["CTF", padded(0xc1, 0x1f, 0xfc, 0xc1), /a CTF stream/, /mmreplay capture/],
		["UTF-16", Buffer.from(`\ufeff${text}`, "utf16le"), /text in UTF-16/, /iconv -f UTF-16/],
		["UTF-16 without its mark", Buffer.from(text, "utf16le"), /text in UTF-16/, /iconv -f UTF-16/],
		["UTF-16, big-endian", Buffer.from(text, "utf16le").swap16(), /text in UTF-16/, /iconv -f UTF-16/],
		["Chrome's JSON", '{"traceEvents":[{"name":"x","ph":"B","ts":1}]}\n', /Chrome's JSON/, /made of/],
		["other JSON", '{"a": 1}\n', /JSON, and not bpftrace's/, /bpftrace -f json/],
		["HTML", "<!DOCTYPE html>\n<html></html>\n", /an HTML page/, /save the trace/],
		["perf trace", "     0.010 ksmd/30 kvm:kvm_page_fault(vcpu_id: 0, error_code: 6)\n", /perf trace/, /perf script/],
		["perf script without times", "            ksmd    30 [000] kvm:kvm_exit: reason 1\n", /perf script without times/, /time,event/],
		["another valgrind tool", "==12== Memcheck, a memory error detector\n", /another tool of valgrind/, /--tool=lackey/],
		["maps of bpftrace", "Attaching 5 probes...\n@[ksmd]: 12\n", /not mmreplay's recipe/, /--method bpftrace/],
		["errors of bpftrace", "Attaching 2 probes...\nERROR: Error attaching probe: kprobe:f\n", /errors of bpftrace/, /mmreplay capture/],
		["the kernel's log", "[    0.000000] Linux version 6.1.0\n", /the kernel's log/, /tracing\/trace/],
		["function_graph", "# tracer: function_graph\n#\n 0)   0.1 us  |  f();\n", /function_graph tracer/, /current_tracer/],
		["probes", "p:kp/a wp_page_copy addr=+80($arg1)\n", /definitions of probes/, /--events FILE/],
		["blank lines", "\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n", /nothing but white space/, /--from FORMAT/],
		["a text behind blank lines", "\n\nDear Sir,\n", /begins with "Dear Sir,"/, /--from FORMAT/],
		["a capture of nothing", "# tracer: nop\n#\n", /no trace events/, /mmreplay capture/],
	])("%s", async (_name, content, what, hint) => {
		const error = await failure(content);
		expect(error.what).toMatch(what);
		expect(error.hint).toMatch(hint);
		expect(error.exitCode).toBe(3);
	});

	it("in one line, whatever the source put into it", () => {
		const error = new BadInputError("a\u001b[31mb\r\n\u2028c\u0000", { where: "d\ne", hint: "f\u0007" });
		expect(error.message).toBe("a?[31mb???c? (d?e)");
		expect(error.hint).toBe("f?");
	});

	it("a damaged event's text too", async () => {
		const error = await failure(text.replace("error_code 0x100000004", "error_code 0x1\u001b[2J"));
		expect(error.message).toMatch(/a damaged event: kvm_page_fault: .*error_code 0x1\?\[2J/);
	});
});

describe("text of other people's", () => {
	const added = (line: string): string => text.replaceAll("\n        CPU 0/KVM-201", `\n${line}\n        CPU 0/KVM-201`);

	it.each<[string, string | Uint8Array]>([
		["with carriage returns", text.replaceAll("\n", "\r\n")],
		["with a byte order mark", `\ufeff${text}`],
		["without a header", text.slice(text.indexOf("       CPU"))],
		[
			"with call chains",
			added("     CPU 0/KVM-201   [001] .....    10.5: <stack trace>\n => kvm_mmu_page_fault+0x12/0x30\n => ffffffff81000000"),
		],
		["with call chains of users", added("  CPU 0/KVM-201   [001] .....    10.5: <user stack trace>\n =>  <00007f0c5a61e9ab>")],
		["with calls", added("     CPU 0/KVM-201   [001] .....    10.5: kvm_arch_vcpu_ioctl_run [kvm] <-kvm_vcpu_ioctl")],
		[
			"with system calls",
			added("   CPU 0/KVM-201   [001] .....    10.5: sys_ioctl(fd: b, cmd: ae80, arg: 0)\n a-1 [000] ..... 1.5: sys_ioctl -> 0x0"),
		],
		["with buffers that start", added("##### CPU 2 buffer started ####")],
		["with CPUs of three digits", text.replaceAll("[00", "[22")],
		["with 4 flags, as before 5.15", text.replaceAll(" ..... ", " d..1 ")],
		["without flags", text.replaceAll(" ..... ", " ")],
		["with thread groups", text.replaceAll("     [00", " (  201) [00").replaceAll("ksmd-30 (  201)", "ksmd-30 (-----)")],
		["with addresses beside symbols", text.replaceAll("+0x0/0x100)", "+0x0/0x100 <ffffffff81212340>)")],
	])("%s", async (_name, content) => {
		const trace = await imported(content);
		expect(operations(trace)).toEqual(SMALL_RUN_OPERATIONS);
		expect(trace.header.losses).toEqual([]);
	});

	it("with ticks of a clock without a unit, which is said", async () => {
		const ticks = text.replace(/(\d+)\.(\d{6}): /g, "$1$2: ");
		const trace = await imported(ticks);
		expect(operations(trace)).toEqual(SMALL_RUN_OPERATIONS);
		expect(trace.header.clock).toBe("ticks");
		expect(trace.header.warnings.join()).toMatch(/times are ticks/);
		const report = await imported(asReport(run, true).replace(/(\d+)\.(\d{9}): /g, "$1$2: "));
		expect(operations(report)).toEqual(SMALL_RUN_OPERATIONS);
	});

	it("in which a single time lost its point is damaged", async () => {
		const error = await failure(text.replace(/(\d+)\.(\d{6}): mn_range_end/, "$1$2: mn_range_end"));
		expect(error.what).toMatch(/not a line of tracefs/);
	});

	it("ticks that no number holds keep their lower bits", () => {
		const line = parseTracefsLine("   a-1   [000] ..... 18446744073709551615: kvm_exit: x");
		expect(line).toMatchObject({ kind: "event", ticks: true, event: { ns: 2 ** 53 - 1 } });
	});

	it("of perf: modifiers, call chains, and what it says of losses", async () => {
		const perf = asPerf(run);
		const noted = `${perf.replaceAll("kvm_page_fault: ", "kvm_page_fault:k: ")}Warning:\nProcessed 12345 events and lost 3 chunks!\n\nCheck IO/CPU overload!\n\n`;
		const trace = await imported(noted);
		expect(operations(trace)).toEqual(SMALL_RUN_OPERATIONS);
		expect(trace.header.losses).toEqual([{ name: "lost", count: 3 }]);
		expect(parsePerfLine("\t               0 [unknown] ([unknown])").kind).toBe("comment");
		expect(parsePerfLine("\tffffffff81212345 kvm_mmu_page_fault+0x12 ([kernel.kallsyms])").kind).toBe("comment");
		// What is left of an event whose name was cut off.
		expect(parsePerfLine("    36 [000]   775.360134: ksm:ksm_enter: (x)").kind).not.toBe("comment");
	});
});
