// Which format a source is in, by its content and never by its name (formats.md). What is recognised but not read is named with what to do.
import { BadInputError, UsageError } from "../errors.js";
import { MAGIC as TRACE_MAGIC } from "../trace/wire.js";
import { parseBpftraceJson, parseBpftraceLine } from "./bpftrace.js";
import { type Foreign, foreignBytes, foreignText, isPlainText } from "./foreign.js";
import { parseLatencyLine } from "./latency.js";
import { looksLikePerfetto } from "./perfettowire.js";
import { parsePerfLine } from "./perfscript.js";
import { looksLikeRecords } from "./recordlines.js";
import { STREAM_FORMATS, type StreamFormat } from "./streams.js";
import type { TextLine } from "./textsource.js";
import { parseReportLine } from "./tracecmd.js";

/** Kernel-event formats by the name that --from takes. */
export const EVENT_FORMATS = ["tracefs", "latency", "trace-cmd", "trace.dat", "bpftrace", "bpftrace-json", "perf", "perfetto"] as const;
export type EventFormat = (typeof EVENT_FORMATS)[number];

export type Detected =
	| { readonly kind: "events"; readonly format: EventFormat }
	| { readonly kind: "stream"; readonly format: StreamFormat }
	/** A trace that was printed. */
	| { readonly kind: "records" };

/** Enough for the header of a text and some of its lines. */
export const HEAD_BYTES = 1 << 16;

const bytesOf = (text: string): number[] => [...Buffer.from(text, "latin1")];

const TRACE_DAT = [0x17, 0x08, 0x44, ...bytesOf("tracing")];

const startsWith = (head: Uint8Array, magic: readonly number[]): boolean => magic.every((byte, at) => head[at] === byte);

/** Lines of the head that are whole. */
function linesOf(head: Uint8Array): string[] {
	const lines = new TextDecoder().decode(head).split(/\r?\n/);
	if (head.length >= HEAD_BYTES) lines.pop();
	// A host with hundreds of CPUs has a line of its own for each that recorded nothing.
	return lines.filter((line, at) => at < 30 || !/^CPU \d+ is empty$/.test(line)).slice(0, 400);
}

const events = (lines: readonly string[], parse: (line: string) => TextLine | undefined): number =>
	lines.filter((line) => parse(line)?.kind === "event").length;

/** The layout of a text: by what only it has in its header, otherwise by whose lines most of it are. */
function textFormat(lines: readonly string[]): EventFormat | undefined {
	if (lines.some((line) => line.startsWith("{") && parseBpftraceJson(line) !== undefined)) return "bpftrace-json";
	const counts: [EventFormat, number][] = [
		["bpftrace", events(lines, parseBpftraceLine)],
		["perf", events(lines, parsePerfLine)],
		["latency", events(lines, parseLatencyLine)],
		["trace-cmd", events(lines, parseReportLine)],
	];
	// Lines of trace-cmd report are those of tracefs with another header, and the latency format is in both.
	const [best] = counts.sort(([, a], [, b]) => b - a);
	const header = lines.slice(0, 30);
	if (best === undefined || best[1] === 0) {
		if (header.some((line) => line.startsWith("# tracer:")) && foreignText(header) === undefined) return "tracefs";
		return header.some((line) => /^# mmtrace \d/.test(line)) ? "bpftrace" : undefined;
	}
	const ofTracefs = header.some((line) => line.startsWith("# tracer:"));
	if (best[0] === "latency") return ofTracefs || !header.some((line) => /^cpus=\d/.test(line)) ? "latency" : "trace-cmd";
	if (best[0] !== "trace-cmd") return best[0];
	return ofTracefs || !header.some((line) => /^(cpus=\d|version = \d|CPU \d+ is empty)/.test(line)) ? "tracefs" : "trace-cmd";
}

function shown(head: Uint8Array): string {
	if (head.length === 0) return "the file is empty";
	const text = Buffer.from(head).toString("latin1").trimStart();
	if (isPlainText(head.subarray(0, 16)))
		return text === "" ? "there is nothing but white space in it" : `it begins with "${text.slice(0, 60).split(/[\r\n]/)[0] ?? ""}"`;
	return `it begins with the bytes ${[...head.subarray(0, 16)].map((byte) => byte.toString(16).padStart(2, "0")).join(" ")}`;
}

/** @throws BadInputError where it is known what the source is instead */
function expectOurs(foreign: Foreign | undefined, where: string): void {
	if (foreign !== undefined) throw new BadInputError(`not a format that can be read: ${foreign.what}`, { where, hint: foreign.hint });
}

/** @throws UsageError on a trace, BadInputError on anything unknown, naming what was seen */
export function detect(head: Uint8Array, where: string): Detected {
	if (startsWith(head, TRACE_DAT)) return { kind: "events", format: "trace.dat" };
	if (Buffer.from(head.subarray(0, 64)).includes(Buffer.from(TRACE_MAGIC)))
		throw new UsageError("the source is a trace already", { where, hint: "mmreplay info shows what it holds" });
	expectOurs(foreignBytes(head), where);
	const stream = STREAM_FORMATS.find((format) => format.looksLike(head));
	const binary = head.subarray(0, 4096).includes(0);
	if (!binary && stream === undefined) {
		const lines = linesOf(head);
		if (looksLikeRecords(lines)) return { kind: "records" };
		const format = textFormat(lines);
		if (format !== undefined) return { kind: "events", format };
		expectOurs(foreignText(lines), where);
	}
	if (looksLikePerfetto(head)) return { kind: "events", format: "perfetto" };
	if (stream !== undefined) return { kind: "stream", format: stream };
	throw new BadInputError(`no format that can be read: ${shown(head)}`, {
		where,
		hint: `known: ${[...EVENT_FORMATS, ...STREAM_FORMATS.map((format) => format.name)].join(", ")}; --from FORMAT says which it is meant to be`,
	});
}
