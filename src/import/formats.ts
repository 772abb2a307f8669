// The reader of each kernel-event format, by its name.
import { parseBpftraceJson, parseBpftraceLine } from "./bpftrace.js";
import type { EventFormat } from "./detect.js";
import type { EventBatch, KernelEvent } from "./event.js";
import type { Line } from "./input.js";
import { type Intake, kept } from "./intake.js";
import { parseLatencyLine } from "./latency.js";
import { inOrder } from "./merge.js";
import { perfettoSource } from "./perfetto.js";
import { parsePerfLine } from "./perfscript.js";
import { type EventSource, lose, type Reading, type SourceFacts, type TakenReading } from "./source.js";
import { type TextLayout, textSource } from "./textsource.js";
import { parseReportLine } from "./tracecmd.js";
import { traceDatSource } from "./tracedat.js";

const TRACEFS: TextLayout = { format: "tracefs", clock: "", fast: "kernel", parse: parseReportLine };
const LATENCY: TextLayout = { format: "tracefs latency", clock: "", parse: (line) => parseLatencyLine(line) ?? parseReportLine(line) };
const TRACE_CMD: TextLayout = { format: "trace-cmd report", clock: "", fast: "kernel", parse: parseReportLine };
const BPFTRACE: TextLayout = { format: "bpftrace", clock: "", fast: "bpftrace", parse: parseBpftraceLine };
const PERF: TextLayout = { format: "perf script", clock: "", fast: "perf", parse: parsePerfLine };

/** Lines within one line of JSON. */
function jsonLines(line: Line, facts: SourceFacts): readonly string[] {
	if (line.text.trim() === "") return [];
	const object = parseBpftraceJson(line.text);
	// What is no object goes on as it is: the text layout calls it foreign, or cut off.
	if (object === undefined) return [line.text];
	if ("lost" in object) {
		lose(facts, "lost", object.lost);
		return [];
	}
	return object.text.split("\n").filter((text) => text !== "");
}

/** A source whose tracer wrote CPU by CPU: put in order of time. */
function ordered(source: EventSource): EventSource {
	async function* sorted<T extends { readonly ns: number }>(facts: SourceFacts, batches: AsyncGenerator<T[]>): AsyncGenerator<T[]> {
		const late = { count: 0 };
		yield* inOrder(batches, late);
		if (late.count > 0)
			facts.warnings.push(`${late.count} events came too late to be put in the order of time: they stand where the file has them`);
	}
	const { take } = source;
	return {
		...source,
		read: (): Reading => {
			const { facts, batches } = source.read();
			return { facts, batches: sorted(facts, batches) };
		},
		...(take === undefined
			? {}
			: {
					take: (intake: Intake): TakenReading => {
						const { facts, batches } = take(intake);
						return { facts, batches: lent(sorted(facts, kept(batches))) };
					},
				}),
	};
}

async function* lent(batches: AsyncGenerator<KernelEvent[]>): AsyncGenerator<EventBatch> {
	for await (const batch of batches) yield { each: (visit) => batch.forEach(visit) };
}

export function openSource(format: EventFormat, path: string, lenient: boolean): EventSource {
	switch (format) {
		case "tracefs":
			return textSource(path, TRACEFS, lenient);
		case "latency":
			return textSource(path, LATENCY, lenient);
		case "trace-cmd":
			return textSource(path, TRACE_CMD, lenient);
		case "bpftrace":
			return ordered(textSource(path, BPFTRACE, lenient));
		case "bpftrace-json":
			return ordered({ ...textSource(path, BPFTRACE, lenient, jsonLines), format: "bpftrace json" });
		case "perf":
			return ordered(textSource(path, PERF, lenient));
		case "perfetto":
			return ordered(perfettoSource(path, lenient));
		case "trace.dat":
			return traceDatSource(path, lenient);
	}
}
