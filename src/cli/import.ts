// mmreplay import: a capture becomes a trace.
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { type Command, Option } from "commander";
import { UsageError } from "../errors.js";
import { plural } from "../report/numbers.js";
import { type KindCounts, kindsOf } from "../report/tracefacts.js";
import type { PageEncoding } from "../trace/columns.js";
import type { TraceHeader } from "../trace/record.js";
import type { CodecName } from "../trace/wire.js";
import { TraceWriter, type WrittenTrace } from "../trace/writer.js";
import { type CaptureOptions, expectFile, filesBeside, importInto } from "./capture.js";
import { isTrace } from "./input.js";
import { type HostFlags, toldHost, type VoiceOptions, withHost, withVoice } from "./options.js";
import { voiceOf, warn, writeError, writeJson, writeOut } from "./output.js";
import { expectOwnOutputs } from "./overwrite.js";

interface ImportOptions extends VoiceOptions, HostFlags, Omit<CaptureOptions, "host"> {
	readonly output: string;
	readonly access?: string[];
	readonly device?: string[];
	readonly json?: boolean;
	readonly codec: CodecName;
	readonly pages: PageEncoding;
}

const gather = (path: string, before: string[] = []): string[] => [...before, path];

export function define(command: Command): void {
	withVoice(withHost(command, "the captured host"))
		.argument(
			"<source...>",
			"captures of one host in any format (docs/import.md), merged by their clock; - for standard input; or a folder",
		)
		.requiredOption("-o, --output <trace>", "the trace to write; - for standard output")
		.option("--from <format>", "format of the source, whatever it looks like")
		.option("--access <file>", "access log of a VM; once for each", gather)
		.option("--stats <file>", "the rig's counters by phase (stats.jsonl)")
		.option("--events <file>", "definitions of the capture's probes (kprobe_events), or events.txt")
		.option("--memslots <file>", "memslots by hand, where the capture does not record them")
		.option("--overlay <spec>", "KSM events made up over an access stream: ksm:duplicates=0.4,…")
		.option("--device <spec>", "a device that no capture shows: pinned, sva:entries=64, mirror:FIRST-END; once for each", gather)
		.option("--kernel <release>", "kernel release that was captured")
		.option("--captured-strategy <name>", "strategy that the captured kernel ran, instead of what its events show")
		.addOption(new Option("--codec <codec>", "compression of the blocks").choices(["none", "deflate-raw", "zstd"]).default("none"))
		.addOption(
			new Option("--pages <encoding>", "page numbers: fixed is read in place, delta is a quarter smaller")
				.choices(["fixed", "delta", "auto"])
				.default("fixed"),
		)
		.option("--lenient", "take what can be taken of a damaged capture")
		.option("--json", "print the summary as one JSON document")
		.action(run);
}

async function run(sources: readonly string[], options: ImportOptions): Promise<void> {
	const voice = voiceOf(options);
	if (options.output === "-" && options.json === true) {
		throw new UsageError("standard output cannot take both the trace and the summary", { where: "--output - --json" });
	}
	for (const source of sources) {
		if (source === "-") continue;
		expectFile(source);
		if (!statSync(source).isDirectory() && isTrace(source)) {
			throw new UsageError("the source is a trace already", { where: source, hint: "mmreplay info shows what it holds" });
		}
	}
	const told = { ...options, host: toldHost(options) };
	expectOwnOutputs(filesRead(sources, options), [options.output]);
	const writer = new TraceWriter(options.output, { codec: options.codec, pages: options.pages });
	const { header, written } = await importInto(sources, told, writer);
	const kinds = kindsOf(writer.totals());
	const [source] = sources;
	if (options.json === true) {
		writeJson({ schema: "mmreplay/import/1", source, files: sources, output: options.output, ...summary(header, written, kinds) });
		return;
	}
	for (const warning of header.warnings) warn(voice, warning);
	const say = options.output === "-" ? writeError : (line: string): void => writeOut(`${line}\n`);
	if (options.output !== "-" || !voice.quiet) for (const line of lines(header, written, options.output, kinds)) say(line);
}

/** Every file that an import may read. */
function filesRead(sources: readonly string[], options: ImportOptions): string[] {
	const files = sources
		.filter((source) => source !== "-")
		.flatMap((source) => (statSync(source).isDirectory() ? readdirSync(source).map((name) => join(source, name)) : [source]));
	return [...files, ...filesBeside(options)];
}

function summary(header: TraceHeader, written: WrittenTrace, kinds: KindCounts): object {
	const { kernel, strategy, strategyEvidence, access, concurrent, host, vms, warnings, sources } = header;
	return {
		...written,
		kernel,
		strategy,
		strategyEvidence,
		access,
		concurrent,
		host,
		vms,
		causeKinds: kinds.causes,
		observationKinds: kinds.observations,
		losses: Object.fromEntries(header.losses.map(({ name, count }) => [name, count])),
		warnings,
		sources,
	};
}

function lines(header: TraceHeader, written: WrittenTrace, output: string, kinds: KindCounts): string[] {
	const list = (counts: Readonly<Record<string, number>>): string =>
		Object.entries(counts)
			.sort(([, a], [, b]) => b - a)
			.map(([name, count]) => `${name} ${count}`)
			.join(", ");
	const { kernel, strategy, strategyEvidence, access, vms } = header;
	return [
		`wrote ${output}: ${written.bytes} bytes, ${plural(written.causes, "cause")}, ${plural(written.observations, "observation")}, ${plural(vms.length, "VM")}`,
		`kernel ${kernel === "" ? "not told" : kernel}, strategy ${strategy === "" ? "not known" : strategy}${strategyEvidence.map((evidence) => ` (${evidence})`).join("")}`,
		`accesses ${access}${header.concurrent ? ", partly concurrent" : ""}${header.losses.map(({ name, count }) => `, ${count} ${name}`).join("")}`,
		`causes: ${list(kinds.causes)}`,
		`observations: ${list(kinds.observations)}`,
	];
}
