// Text of trace-cmd report, plain, -t (nanoseconds), -R (fields as name=value) and -l (latency format): lines as tracefs prints them, with a
// header and loss notes of its own (formats.md 2.2; trace-cmd 3.1, tracecmd/trace-read.c).
import { parseLatencyLine } from "./latency.js";
import type { TextLine } from "./textsource.js";
import { parseTracefsLine } from "./tracefs.js";

const HEADER = /^(?:cpus=\d+|version = \d+|CPU \d+ is empty|\s*uname: .*|trace-cmd .*|file: .*)$/;
const UNAME = /^\s*uname: (?:Linux \S+ )?(\d+\.\d+\S*)/;
const DROPPED = /^CPU:(\d+) \[(?:(\d+) )?EVENTS DROPPED\]/;

export function parseReportLine(line: string): TextLine {
	const parsed = parseTracefsLine(line);
	if (parsed.kind === "event") {
		const { event } = parsed;
		// The text is set in a column: "kvm_page_fault:       vcpu 0 …".
		return event.text.startsWith(" ") ? { ...parsed, event: { ...event, text: event.text.trimStart() } } : parsed;
	}
	if (parsed.kind !== "foreign") return parsed;
	const dropped = DROPPED.exec(line);
	if (dropped !== null) return { kind: "lost", cpu: Number(dropped[1]), events: Number(dropped[2] ?? 1) };
	const uname = UNAME.exec(line);
	if (uname !== null) return { kind: "kernel", release: uname[1] ?? "" };
	if (HEADER.test(line)) return { kind: "comment" };
	return parseLatencyLine(line) ?? parsed;
}
