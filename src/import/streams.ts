// Access streams: what a simulator, an emulator or a sampler says of a program's memory, without a kernel's events. Each format makes the accesses
// of one VM; what is said of all of them is said here.
import { BadInputError } from "../errors.js";
import { emptyHeader } from "../trace/header.js";
import type { TraceHeader } from "../trace/record.js";
import { readBytes } from "./bytes.js";
import type { BlockSink } from "./causeblock.js";
import { ChampSimRecords, looksLikeChampSim } from "./champsim.js";
import { DamonLines, looksLikeDamon } from "./damon.js";
import type { Devices } from "./devices.js";
import type { SourceDigest } from "./input.js";
import { LackeyLines, looksLikeLackey } from "./lackey.js";
import { type OverlaySpec, overlayText } from "./overlay.js";
import { looksLikeQemuPlugin, QemuPluginLines } from "./qemuplugin.js";
import { type StreamPlace, StreamText } from "./streamtext.js";
import { StreamVm } from "./streamvm.js";

/** The parser of a source's bytes, once they come. */
interface StreamParser {
	push(chunk: Uint8Array): void;
	end(): void;
	/** Lines or records of the format; and those that were skipped. */
	readonly taken: number;
	readonly damaged: number;
}

interface StreamReading {
	readonly parser: StreamParser;
	/** What the format adds to the header when it is through. */
	tell(header: TraceHeader): void;
}

export interface StreamFormat {
	readonly name: string;
	/** Whether the first bytes of a source (after gzip; a few KiB) are of this format. */
	looksLike(head: Uint8Array): boolean;
	/** It has times. */
	readonly timed: boolean;
	/** What it is made of, for "no … in the file". */
	readonly unit: string;
	read(vm: StreamVm, place: StreamPlace): StreamReading;
}

const VIRTUAL = "virtual addresses of a program stand for guest-physical ones: it is replayed as if it were a whole guest";

const LACKEY: StreamFormat = {
	name: "lackey",
	looksLike: looksLikeLackey,
	timed: false,
	unit: "accesses",
	read: (vm, place) => ({
		parser: new StreamText(new LackeyLines(vm), place),
		tell: (header) => {
			header.warnings.push(VIRTUAL);
		},
	}),
};

const QEMU_PLUGIN: StreamFormat = {
	name: "qemu-plugin",
	looksLike: looksLikeQemuPlugin,
	timed: false,
	unit: "accesses",
	read: (vm, place) => {
		const lines = new QemuPluginLines(vm);
		return {
			parser: new StreamText(lines, place),
			tell: (header) => {
				if (lines.mode === "user") header.warnings.push(VIRTUAL);
				if (lines.unplaced > 0) header.losses.push({ name: "noPhysicalAddress", count: lines.unplaced });
			},
		};
	},
};

const CHAMPSIM: StreamFormat = {
	name: "champsim",
	looksLike: looksLikeChampSim,
	timed: false,
	unit: "records",
	read: (vm, place) => ({
		parser: new ChampSimRecords(vm, place),
		tell: (header) => {
			header.warnings.push(VIRTUAL);
		},
	}),
};

const DAMON: StreamFormat = {
	name: "damon",
	looksLike: looksLikeDamon,
	timed: true,
	unit: "regions",
	read: (vm, place) => {
		const lines = new DamonLines(vm);
		return {
			parser: new StreamText(lines, place),
			tell: (header) => {
				header.clock = "tracefs";
				header.clockResolutionNs = 1000;
				header.durationNs = lines.ns;
				// A loss, so that no count of a replay is called exact.
				header.losses.push({ name: "sampled", count: vm.accesses });
				header.warnings.push(
					`sampled: ${vm.accesses} reads stand for the counts of ${lines.regions} regions, one for each check that found the region accessed, on a page drawn by a fixed seed; DAMON does not tell which page it was, nor reads from writes`,
				);
				if (lines.lost > 0) header.losses.push({ name: "lost", count: lines.lost });
				if (lines.otherTargets === 0) return;
				header.losses.push({ name: "otherTargets", count: lines.otherTargets });
				header.warnings.push(
					`${lines.otherTargets} regions of other targets than ${lines.target} were left out: each has its own addresses`,
				);
			},
		};
	},
};

/** In the order to try them: those without a magic last. */
export const STREAM_FORMATS: readonly StreamFormat[] = [LACKEY, QEMU_PLUGIN, DAMON, CHAMPSIM];

export interface StreamOptions {
	readonly lenient: boolean;
	readonly overlay?: OverlaySpec | undefined;
	readonly devices?: Devices | undefined;
}

/**
 * Read a source (`-`: standard input) into `sink`, in one pass; the header says what it is.
 * @throws BadInputError where it is damaged or empty, LimitError beyond what a host can map
 */
export async function importStream(format: StreamFormat, path: string, sink: BlockSink, options: StreamOptions): Promise<TraceHeader> {
	return importChunks(format, readBytes, path, sink, options);
}

/** As `importStream`, of a source that is open already: `bytes` gives its bytes after gzip, and fills in the digest. */
export async function importChunks(
	format: StreamFormat,
	bytes: (path: string, digest: SourceDigest) => AsyncIterable<Uint8Array>,
	path: string,
	sink: BlockSink,
	{ lenient, overlay, devices }: StreamOptions,
): Promise<TraceHeader> {
	const source: SourceDigest = { name: "", sha256: "" };
	const vm = new StreamVm(sink, overlay, format.timed, devices);
	const { parser, tell } = format.read(vm, { path, lenient });
	for await (const chunk of bytes(path, source)) parser.push(chunk);
	parser.end();
	if (parser.taken === 0) throw new BadInputError(`no ${format.unit} in the file`, { where: path, hint: `it is read as ${format.name}` });
	vm.finish();
	const header = headerOf(format, vm, source);
	tell(header);
	if (parser.damaged > 0) {
		header.losses.push({ name: "damaged", count: parser.damaged });
		header.warnings.push(`${parser.damaged} lines or records are none of the format's and were left out`);
	}
	if (vm.crossing > 0) {
		header.warnings.push(`${vm.crossing} accesses reach into the next page: each is one access, of the page where it begins`);
	}
	return header;
}

function headerOf(format: StreamFormat, vm: StreamVm, source: SourceDigest): TraceHeader {
	const { overlay } = vm;
	const header: TraceHeader = {
		...emptyHeader(),
		strategyEvidence: ["an access stream: no kernel was captured"],
		access: "complete",
		sources: [{ name: source.name, sha256: source.sha256, format: format.name }],
		importer: format.name,
		importerVersion: "1",
		vms: [{ id: 0, mm: 0, vcpus: vm.vcpus, memoryBytes: vm.memoryBytes }],
	};
	if (overlay === null) {
		header.warnings.push(
			"an access stream without kernel events: the strategies differ in nothing before something merges or unmaps (import with --overlay ksm)",
		);
	} else {
		const { merges, promotions, guestBreaks, hostBreaks, passes } = overlay.counts;
		header.warnings.push(
			`synthetic: the KSM events are an overlay (${overlayText(overlay.spec)}), not a kernel's: ${merges + promotions} merges in ${passes} full scans, ${guestBreaks} broken by the stream's stores, ${hostBreaks} by made-up stores of the host`,
		);
	}
	return header;
}
