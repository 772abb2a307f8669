// mmreplay info: what a trace holds and where it comes from. A capture is imported on the way.
import type { Command } from "commander";
import { bytes, plural } from "../report/numbers.js";
import { countTrace, type TraceCounts } from "../report/tracefacts.js";
import type { RecordedHost } from "../trace/kvmhost.js";
import { fileSha256, type OpenedInput, openInput } from "./input.js";
import { type CaptureFlags, captureOptions, withCapture, withVoice } from "./options.js";
import { writeJson, writeOut } from "./output.js";

interface InfoOptions extends CaptureFlags {
	json?: boolean;
}

export function define(command: Command): void {
	withVoice(withCapture(command))
		.argument("<trace...>", "traces, captures or folders of captures; - for standard input")
		.option("--json", "print one JSON document")
		.action(info);
}

async function info(paths: string[], options: InfoOptions): Promise<void> {
	const documents: object[] = [];
	for (const path of paths) {
		const input = await openInput(path, captureOptions(options));
		try {
			const counts = countTrace(input.trace);
			if (options.json === true) documents.push(await facts(input, counts));
			else writeOut(`${[...(documents.length > 0 ? [""] : []), ...lines(input, counts)].join("\n")}\n`);
		} finally {
			input.close();
		}
	}
	const [first] = documents;
	if (first !== undefined && documents.length === 1) writeJson({ schema: "mmreplay/info/1", ...first });
	else if (first !== undefined) writeJson({ schema: "mmreplay/info/1", traces: documents });
}

async function facts({ path, trace, header, file }: OpenedInput, counts: TraceCounts): Promise<object> {
	const { kernel, strategy, strategyEvidence, clock, clockResolutionNs, durationNs, access, copiesRecorded, concurrent } = header;
	return {
		path,
		// Of the trace's file; a capture that was imported on the way has one for each of its sources.
		sha256: file === null ? null : await fileSha256(file),
		digest: trace.digest(),
		bytes: trace.bytes ?? 0,
		format: trace.format,
		kernel,
		strategy,
		strategyEvidence,
		clock,
		clockResolutionNs,
		durationNs,
		events: counts.events,
		blocks: counts.blocks,
		complete: true,
		access,
		copiesRecorded,
		concurrent,
		host: header.host,
		vms: header.vms,
		causes: counts.causes,
		observations: counts.observations,
		losses: Object.fromEntries(header.losses.map(({ name, count }) => [name, count])),
		warnings: header.warnings,
		sources: header.sources,
		importer: header.importer,
		importerVersion: header.importerVersion,
		index: counts.index,
	};
}

function kinds(counts: Readonly<Record<string, number>>): string {
	const found = Object.entries(counts).sort(([, a], [, b]) => b - a);
	return found.length === 0 ? "none" : found.map(([name, count]) => `${name} ${count}`).join(", ");
}

const ACCESS_WORDS = {
	complete: "complete: every guest access is in the trace",
	inferred: "inferred: each observed fault is an access",
	none: "none",
} as const;

/** What is recorded of KVM's host, in words. */
function recordedHost({ mmu, eptAd, pml }: RecordedHost): [string, string][] {
	const told = [
		...(mmu === undefined ? [] : [mmu === "tdp" ? "TDP MMU" : "legacy MMU"]),
		...(eptAd === undefined ? [] : [eptAd ? "A/D bits" : "no A/D bits"]),
		...(pml === undefined ? [] : [pml ? "page-modification logging" : "no page-modification logging"]),
	];
	return told.length === 0 ? [] : [["KVM", told.join(", ")]];
}

function lines({ path, trace, header, imported }: OpenedInput, counts: TraceCounts): string[] {
	const { vms, losses } = header;
	const memory = vms.reduce((sum, vm) => sum + vm.memoryBytes, 0);
	const vcpus = vms.reduce((sum, vm) => sum + vm.vcpus, 0);
	const rows: [string, string][] = [
		["trace", imported ? `${path} (a capture, imported on the way)` : path],
		["size", `${trace.bytes ?? 0} bytes, ${plural(counts.blocks, "block")}, ${plural(counts.events, "event")}`],
		["format", `${trace.format.major}.${trace.format.minor}, ${counts.index ? "with" : "without"} an index`],
		["digest", trace.digest()],
		["kernel", header.kernel === "" ? "not known" : header.kernel],
		[
			"strategy",
			`${header.strategy === "" ? "not known" : header.strategy}${header.strategyEvidence.map((evidence) => `; ${evidence}`).join("")}`,
		],
		...recordedHost(header.host),
		["accesses", `${ACCESS_WORDS[header.access]}${header.concurrent ? "; partly concurrent: their order is inferred" : ""}`],
		["duration", `${(header.durationNs / 1e9).toFixed(3)} s, clock ${header.clock}, resolution ${header.clockResolutionNs} ns`],
		["VMs", `${vms.length}, ${plural(vcpus, "vCPU")}, ${bytes(memory)} of guest memory`],
		["causes", kinds(counts.causes)],
		["observations", kinds(counts.observations)],
		...losses.map(({ name, count }): [string, string] => ["lost", `${count} (${name})`]),
		...header.warnings.map((warning): [string, string] => ["warning", warning]),
		...header.sources.map(({ name, sha256, format }): [string, string] => ["source", `${name} (${format}, sha256 ${sha256})`]),
		["importer", `${header.importer} ${header.importerVersion}`.trim()],
	];
	return rows.map(([name, value]) => `${name.padEnd(13)}${value}`);
}
