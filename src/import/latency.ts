// Lines of the latency format: tracefs with the option latency-format ("sh-171  0d..1 189740us+: mm_fault: …") and trace-cmd report -l
// ("sh-171  0d..1 10.701220: mm_fault: …"): CPU and flags are one word (formats.md 2.2).
import type { TextLine } from "./textsource.js";

// comm is cut at 8 bytes, and may hold spaces and '-'. Flags begin with the irqs-off column, which is no digit.
const LINE = /^\s*(.*)-(\d+)\s+(?:\(\s*([-\d]+)\)\s+)?(\d+)(?:[^\s\d]\S{1,7})?\s+(?:(\d+)us[^\w\s:]?|(\d+)\.(\d+))\s*: ([\w.]+): *(.*)$/s;
const HEADER = /^# \S+ latency trace v[\d.]+ on (\S+)/;
const ENTRIES = /^# latency: \d+ us, #(\d+)\/(\d+),/;

/** A line of the format, or what its header says; undefined if it is neither. */
export function parseLatencyLine(line: string): TextLine | undefined {
	if (line.startsWith("#")) {
		const header = HEADER.exec(line);
		if (header !== null) return { kind: "kernel", release: header[1] ?? "" };
		const entries = ENTRIES.exec(line);
		return entries === null ? undefined : { kind: "written", inBuffer: Number(entries[1]), written: Number(entries[2]) };
	}
	const match = LINE.exec(line);
	if (match === null) return undefined;
	const [, comm = "", pid, tgid, cpu, us, seconds, fraction = "", name = "", text = ""] = match;
	const ns = us !== undefined ? Number(us) * 1000 : Number(seconds) * 1e9 + Number(fraction.padEnd(9, "0").slice(0, 9));
	return {
		kind: "event",
		event: { comm, pid: Number(pid), tgid: tgid === undefined ? -1 : Number(tgid), cpu: Number(cpu), ns, name, text },
	};
}
