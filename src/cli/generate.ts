// mmreplay generate: a synthetic workload, or a capture over and over, as a trace.
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { type Command, Option } from "commander";
import { engineChecksum } from "../engine/checksum.js";
import { UsageError } from "../errors.js";
import { generatedHeader, generateInto, Repetition } from "../generate/generate.js";
import { BOUNDS, contradiction, WORKLOADS, type Workload } from "../generate/workload.js";
import type { PageEncoding } from "../trace/columns.js";
import { type CodecName, LIMITS } from "../trace/wire.js";
import { TraceWriter } from "../trace/writer.js";
import { expectFile } from "./capture.js";
import { type VoiceOptions, withVoice } from "./options.js";
import { voiceOf, writeError, writeJson, writeOut } from "./output.js";
import { expectOwnOutputs } from "./overwrite.js";
import { Progress } from "./progress.js";
import { didYouMean } from "./suggest.js";

type Parameter = keyof typeof BOUNDS;

interface GenerateFlags extends VoiceOptions, Partial<Record<Parameter, string>> {
	readonly output: string;
	readonly events: string;
	readonly seed: string;
	readonly block?: string;
	readonly from?: string;
	readonly warm?: boolean;
	readonly encoding: "fixed" | "varint" | "auto";
	readonly codec: CodecName;
	readonly json?: boolean;
}

/** A capture over and over. */
const REPETITIONS = ["repeat", "k"];
/** What `k` repeats where nothing else is named: in a clone only. */
const REPEATED = fileURLToPath(new URL("../../traces/ksm-xmedium-6.1-fix.mmtrace", import.meta.url));
const DEFAULT_EVENTS = 1_000_000;
const MOST_EVENTS = 1e12;
/** Below this the engine is not worth its compilation. */
const FEW_EVENTS = 100_000;
/** Blocks are larger in longer traces, so that what a block costs, and the index, stay small. */
const BLOCKS: readonly (readonly [events: number, block: number])[] = [
	[2 ** 28, 65_536],
	[2 ** 20, 32_768],
	[0, 8192],
];

const WORDS: Readonly<Record<Parameter, string>> = {
	vms: "VMs",
	vcpus: "vCPUs of each VM",
	pages: "pages of each VM, 4 KiB each",
	hot: "hits: pages that a vCPU goes round in",
	cold: "hits: fraction of accesses to any page of the VM",
	exponent: "zipf: the exponent of Zipf's law",
	writes: "fraction of accesses that write",
	merges: "fraction of records that begin a KSM merge",
	breaks: "fraction of records that write to a merged page",
	host: "fraction of records that are accesses of the VMM",
	zaps: "fraction of records that give pages back (MADV_DONTNEED)",
	contents: "different contents that pages merge into",
};

function isParameter(name: string): name is Parameter {
	return Object.hasOwn(BOUNDS, name);
}

const PARAMETERS: readonly Parameter[] = Object.keys(BOUNDS).filter(isParameter);

export function define(command: Command): void {
	withVoice(command)
		.argument("<workload>", `${WORKLOADS.map(({ name }) => name).join(", ")}; repeat or k: a capture over and over`)
		.requiredOption("-o, --output <trace>", "the trace to write; - for standard output")
		.option("-n, --events <count>", "records of the trace, all in all", String(DEFAULT_EVENTS))
		.option("--seed <number>", "the same seed gives the same bytes, on every machine", "1")
		.option("--from <trace>", "repeat, k: the trace to repeat");
	for (const name of PARAMETERS) command.option(`--${name} <number>`, WORDS[name]);
	command
		.option("--warm", "write every page once before the workload begins")
		.option("--no-warm", "do not")
		.addOption(
			new Option("--encoding <encoding>", "page numbers: fixed is read in place, varint is a quarter smaller")
				.choices(["fixed", "varint", "auto"])
				.default("fixed"),
		)
		.option("--block <count>", "records of a block")
		.addOption(new Option("--codec <codec>", "compression of the blocks").choices(["none", "deflate-raw", "zstd"]).default("none"))
		.option("--json", "print the summary as one JSON document")
		.addHelpText(
			"after",
			`\nWorkloads:\n${WORKLOADS.map(({ name, summary }) => `  ${name.padEnd(16)} ${summary}`).join("\n")}
  repeat           --from TRACE, again and again
  k                benchmark: repeat of a real capture
All are parameters; an option replaces the workload's own.`,
		)
		.action(generate);
}

function numberIn(text: string, where: string, { least, most, whole }: { least: number; most: number; whole: boolean }): number {
	const value = Number(text);
	const isNumber = /^\d+(\.\d+)?(e\d+)?$/i.test(text) && Number.isFinite(value);
	if (!isNumber || value < least || value > most || (whole && !Number.isSafeInteger(value))) {
		throw new UsageError(`${whole ? "not a whole number" : "not a number"} from ${least} to ${most}: ${text}`, { where });
	}
	return value;
}

/** The workload of a name with what the options change. @throws UsageError */
function chosen(name: string, flags: GenerateFlags): Workload {
	const known = WORKLOADS.find((workload) => workload.name === name);
	if (known === undefined) {
		const names = [...WORKLOADS.map((workload) => workload.name), ...REPETITIONS];
		throw new UsageError(`unknown workload ${name}`, {
			where: "generate",
			hint: didYouMean(name, names, "mmreplay generate --help lists them"),
		});
	}
	const changes: Partial<Record<Parameter, number>> = {};
	for (const parameter of PARAMETERS) {
		const text = flags[parameter];
		if (text !== undefined) changes[parameter] = numberIn(text, `--${parameter}`, BOUNDS[parameter]);
	}
	const workload = { ...known.workload, ...changes, ...(flags.warm === undefined ? {} : { warm: flags.warm }) };
	const wrong = contradiction(workload);
	if (wrong !== undefined) throw new UsageError(wrong.what, { where: wrong.where });
	return workload;
}

function descriptionOf(name: string, workload: Workload, events: number, seed: number): string {
	const parameters = PARAMETERS.map((parameter) => `--${parameter} ${workload[parameter]}`).join(" ");
	return `${name} --seed ${seed} --events ${events} ${parameters}${workload.warm ? " --warm" : ""}`;
}

async function generate(name: string, flags: GenerateFlags): Promise<void> {
	const voice = voiceOf(flags);
	if (flags.output === "-" && flags.json === true) {
		throw new UsageError("standard output cannot take both the trace and the summary", { where: "--output - --json" });
	}
	const events = numberIn(flags.events, "--events", { least: 1, most: MOST_EVENTS, whole: true });
	const seed = numberIn(flags.seed, "--seed", { least: 0, most: Number.MAX_SAFE_INTEGER, whole: true });
	const usual = BLOCKS.find(([least]) => events >= least)?.[1] ?? 8192;
	const blockEvents = flags.block === undefined ? usual : numberIn(flags.block, "--block", { least: 1, most: LIMITS.events, whole: true });
	const pages: PageEncoding = flags.encoding === "varint" ? "delta" : flags.encoding;
	const options = { pages, codec: flags.codec, ...(events < FEW_EVENTS ? {} : { checksum: engineChecksum() }) };
	const progress = new Progress(voice, flags.output, 0);
	const update = (done: number): void => progress.update(done, 0);
	const began = performance.now();
	const written = await (REPETITIONS.includes(name) ? repeated() : synthetic()).finally(() => progress.done());
	const seconds = (performance.now() - began) / 1000;
	if (flags.json === true) writeJson({ schema: "mmreplay/generate/1", workload: name, seed, output: flags.output, ...written, seconds });
	else if (!voice.quiet || flags.output !== "-") {
		const line = `wrote ${flags.output}: ${written.bytes} bytes, ${written.causes} causes, ${(written.causes / seconds / 1e6).toFixed(1)} M events/s`;
		if (flags.output === "-") writeError(line);
		else writeOut(`${line}\n`);
	}

	async function synthetic(): Promise<ReturnType<TraceWriter["finish"]>> {
		if (flags.from !== undefined)
			throw new UsageError(`${name} repeats no trace`, { where: "--from", hint: "mmreplay generate repeat --from TRACE" });
		const workload = chosen(name, flags);
		const header = generatedHeader(descriptionOf(name, workload, events, seed), workload);
		const writer = new TraceWriter(flags.output, { ...options, header });
		return await finished(writer, generateInto(writer, workload, { events, seed, blockEvents }, update));
	}

	async function repeated(): Promise<ReturnType<TraceWriter["finish"]>> {
		const parameter = PARAMETERS.find((each) => flags[each] !== undefined);
		if (parameter !== undefined) throw new UsageError(`${name} takes a capture as it is`, { where: `--${parameter}` });
		const path = flags.from ?? (name === "k" && existsSync(REPEATED) ? REPEATED : undefined);
		if (path === undefined) throw new UsageError("no trace to repeat is named", { where: "generate", hint: "--from TRACE" });
		expectFile(path);
		expectOwnOutputs([path], [flags.output]);
		const repetition = new Repetition(path, `repeat --events ${events}`, blockEvents, pages);
		const writer = new TraceWriter(flags.output, { ...options, header: repetition.header, causesPerBlock: blockEvents });
		return await finished(writer, repetition.writeInto(writer, events, update));
	}
}

async function finished(writer: TraceWriter, written: Promise<void>): Promise<ReturnType<TraceWriter["finish"]>> {
	try {
		await written;
		return writer.finish();
	} catch (error) {
		writer.abort();
		throw error;
	}
}
