// Lines of tracefs text, with the traps of formats.md section 2.2.
import { describe, expect, it } from "vitest";
import { field, hex, parseTracefsLine, word } from "../../src/import/tracefs.js";

function event(line: string) {
	const parsed = parseTracefsLine(line);
	if (parsed.kind !== "event") throw new Error(`${parsed.kind}: ${line}`);
	return parsed.event;
}

describe("a line of tracefs text", () => {
	it("has comm, pid, cpu, time, name and text", () => {
		const parsed = event("            ksmd-21      [001] d..1.     3.929217: mn_range_end: (sym+0x0/0xc0) mm=0xff start=0x1000");
		expect(parsed).toEqual({
			comm: "ksmd",
			pid: 21,
			tgid: -1,
			cpu: 1,
			ns: 3_929_217_000,
			name: "mn_range_end",
			text: "(sym+0x0/0xc0) mm=0xff start=0x1000",
		});
	});

	it.each([
		["       CPU 0/KVM-132     (    121) [000] .....    10.478099: a: b", "CPU 0/KVM", 132, 121],
		["  a-b [7] c: d-1-77    [000] .....     1.000001: a: b", "a-b [7] c: d-1", 77, -1],
		["   <...>-9       (-----) [003] d....     1.5: a: b", "<...>", 9, Number.NaN],
		["       x-5     [000]     1.000001: a: b", "x", 5, -1],
	])("reads the task of %s", (line, comm, pid, tgid) => {
		const parsed = event(line);
		expect([parsed.comm, parsed.pid]).toEqual([comm, pid]);
		if (Number.isNaN(tgid)) expect(parsed.tgid < 0 || Number.isNaN(parsed.tgid)).toBe(true);
		else expect(parsed.tgid).toBe(tgid);
	});

	it("keeps nanoseconds, and a carriage return in the text", () => {
		expect(event("  x-1 [000] ..... 12.000000345: m: t").ns).toBe(12_000_000_345);
		expect(event("  x-1 [000] ..... 1.000001: tracing_mark_write: vm0 MARK up\r").text).toBe("vm0 MARK up\r");
	});

	it("tells lost events, the counts of the header, comments and foreign lines", () => {
		expect(parseTracefsLine("CPU:2 [LOST 17 EVENTS]")).toEqual({ kind: "lost", cpu: 2, events: 17 });
		expect(parseTracefsLine("# entries-in-buffer/entries-written: 10/25   #P:2")).toEqual({ kind: "written", inBuffer: 10, written: 25 });
		expect(parseTracefsLine("# tracer: nop").kind).toBe("comment");
		expect(parseTracefsLine("").kind).toBe("comment");
		expect(parseTracefsLine("what is this").kind).toBe("foreign");
	});
});

describe("fields", () => {
	it("are found as whole words only", () => {
		expect(field("(f+0x0/0x1) kpage=0x1 page=0x2", "page")).toBe("0x2");
		expect(field("page=0x2", "page")).toBe("0x2");
		expect(field("kpage=0x1", "page")).toBeUndefined();
		expect(word("as id 1 gfn ff level 1 old_spte 0 new_spte 7", "gfn")).toBe("ff");
		expect(word("vcpu 0 rip 0x10 address 0x20", "address")).toBe("0x20");
	});

	it("are NaN where the probe faulted", () => {
		expect(hex("0x10")).toBe(16);
		expect(hex("10")).toBe(16);
		expect(hex("(fault)")).toBeNaN();
		expect(hex(undefined)).toBeNaN();
	});
});
