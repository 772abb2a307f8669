// Text of perf script for tracepoints and probes: "comm pid/tid [cpu] seconds.fraction: group:event: text", each of the fields as -F has it
// (formats.md 2.2; perf 6.1, builtin-script.c).
import type { TextLine } from "./textsource.js";

const REST =
	/^\s+(-1|\d+)(?:\/(-1|\d+))?\s+(?:\[(\d+)\]\s+)?(?:[^\s\d]\S{3,4}\s+)?(\d+)\.(\d+):\s+(?:\d+\s+)?(?:([\w.-]+):)?([\w.]+)(?:\/[ukhGHpPSDW]*|:[ukhGHpPSDW]{1,8})?: ?(.*)$/s;
/** comm is printed in 16 columns, right-aligned, and is at most 15 bytes. */
const COMM_COLUMNS = 16;
const COMM_WIDE = /^\s*(.*?)(\s(?:-1|\d+)(?:\/(?:-1|\d+))?\s+(?:\[\d+\]\s+)?(?:[^\s\d]\S{3,4}\s+)?\d+\.\d+:\s.*)$/s;
const LOST = /PERF_RECORD_LOST(?:_SAMPLES)?(?: lost)? (\d+)|^LOST (\d+) events|lost (\d+) (?:chunks|events)/;
const KERNEL = /^# os release : (\S+)/;

function parts(line: string): { comm: string; match: RegExpExecArray } | undefined {
	const inColumns = REST.exec(line.slice(COMM_COLUMNS));
	if (inColumns !== null) return { comm: line.slice(0, COMM_COLUMNS).trim(), match: inColumns };
	const wide = COMM_WIDE.exec(line);
	const match = wide === null ? null : REST.exec(wide[2] ?? "");
	return match === null || wide === null ? undefined : { comm: wide[1] ?? "", match };
}

export function parsePerfLine(line: string): TextLine {
	if (line.startsWith("#")) {
		const kernel = KERNEL.exec(line);
		return kernel === null ? { kind: "comment" } : { kind: "kernel", release: kernel[1] ?? "" };
	}
	const found = parts(line);
	if (found === undefined) {
		const lost = LOST.exec(line);
		if (lost !== null) return { kind: "lost", cpu: 0, events: Number(lost[1] ?? lost[2] ?? lost[3]) };
		return line.trim() === "" || STACK.test(line) || NOTE.test(line) ? { kind: "comment" } : { kind: "foreign" };
	}
	const [, first, second, cpu, seconds, fraction = "", , name = "", text = ""] = found.match;
	return {
		kind: "event",
		event: {
			comm: found.comm,
			pid: Number(second ?? first),
			tgid: second === undefined ? -1 : Number(first),
			cpu: Number(cpu ?? 0),
			ns: Number(seconds) * 1e9 + Number(fraction.padEnd(9, "0").slice(0, 9)),
			name,
			text,
		},
	};
}

/** A frame of a call chain that somebody recorded along. */
const STACK = /^\s+(?:[0-9a-f]{6,16} \S|[0-9a-f]{1,5} \S+ \([^()]*\)$)/;
/** What perf says besides, of losses that it counts. */
const NOTE = /^(?:Warning:|Check IO\/CPU overload!)$/;
