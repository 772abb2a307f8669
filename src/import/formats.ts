// The reader of each kernel-event format, by its name.
import { parseBpftraceJson, parseBpftraceLine } from "./bpftrace.js";
import type { EventFormat } from "./detect.js";
import type { EventBatch } from "./event.js";
import { parseLatencyLine } from "./latency.js";
import { inOrder } from "./order.js";
import { perfettoSource } from "./perfetto.js";
import { parsePerfLine } from "./perfscript.js";
import { type EventSource, lose, type SourceFacts } from "./source.js";
import { type TextLayout, textSource } from "./textsource.js";
import { parseReportLine } from "./tracecmd.js";
import { traceDatSource } from "./tracedat.js";

/** How the text formats read their lines. */
export const TEXT_LAYOUTS = {
	tracefs: { format: "tracefs", clock: "", fast: "kernel", parse: parseReportLine },
	latency: { format: "tracefs latency", clock: "", fast: "latency", parse: (line) => parseLatencyLine(line) ?? parseReportLine(line) },
	"trace-cmd": { format: "trace-cmd report", clock: "", fast: "kernel", parse: parseReportLine },
	bpftrace: { format: "bpftrace", clock: "", fast: "bpftrace", parse: parseBpftraceLine },
	"bpftrace-json": { format: "bpftrace json", clock: "", fast: "bpftrace-json", split: jsonLines, parse: parseBpftraceLine },
	perf: { format: "perf script", clock: "", fast: "perf", parse: parsePerfLine },
} satisfies Readonly<Record<string, TextLayout>>;

/** Lines within one line of JSON. */
function jsonLines(line: string, facts: SourceFacts): readonly string[] {
	if (line.trim() === "") return [];
	const object = parseBpftraceJson(line);
	// What is no object goes on as it is: the text layout calls it foreign, or cut off.
	if (object === undefined) return [line];
	if ("lost" in object) {
		lose(facts, "lost", object.lost);
		return [];
	}
	return object.text.split("\n").filter((text) => text !== "");
}

/** A source whose tracer wrote CPU by CPU: put in order of time. */
export function ordered(source: EventSource): EventSource {
	async function* sorted(facts: SourceFacts, batches: AsyncGenerator<EventBatch>): AsyncGenerator<EventBatch> {
		const late = { count: 0 };
		yield* inOrder(batches, late);
		if (late.count > 0)
			facts.warnings.push(`${late.count} events came too late to be put in the order of time: they stand where the file has them`);
	}
	return {
		...source,
		take: (intake) => {
			const { facts, batches } = source.take(intake);
			return { facts, batches: sorted(facts, batches) };
		},
	};
}

export function openSource(format: EventFormat, path: string, lenient: boolean): EventSource {
	switch (format) {
		case "tracefs":
		case "latency":
		case "trace-cmd":
			return textSource(path, TEXT_LAYOUTS[format], lenient);
		case "bpftrace":
		case "bpftrace-json":
		case "perf":
			return ordered(textSource(path, TEXT_LAYOUTS[format], lenient));
		case "perfetto":
			return ordered(perfettoSource(path, lenient));
		case "trace.dat":
			return traceDatSource(path, lenient);
	}
}
