// The Header message: TraceHeader to and from its bytes (traces/mmtrace.proto, message Header).
import { BadInputError, LimitError } from "../errors.js";
import { crc32c } from "./crc32c.js";
import { mmreplay } from "./generated/schema.js";
import { MMUS, type RecordedHost } from "./kvmhost.js";
import type { TraceHeader } from "./record.js";
import { CHECKSUM_BYTES, CHECKSUM_TAG, FORMAT, LIMITS, MAGIC } from "./wire.js";

/** Required features that this reader knows. */
const KNOWN_FEATURES: readonly string[] = ["zstd"];

const ACCESS = ["none", "inferred", "complete"] as const;

export interface HeaderFacts {
	readonly header: TraceHeader;
	readonly format: { readonly major: number; readonly minor: number };
	readonly requiredFeatures: readonly string[];
	readonly optionalFeatures: readonly string[];
}

/** Empty header of a trace of which nothing is known; importers fill in what they find. */
export function emptyHeader(): TraceHeader {
	return {
		kernel: "",
		strategy: "",
		strategyEvidence: [],
		clock: "",
		clockResolutionNs: 1,
		durationNs: 0,
		access: "none",
		copiesRecorded: false,
		concurrent: false,
		host: {},
		losses: [],
		warnings: [],
		sources: [],
		importer: "",
		importerVersion: "",
		vms: [],
	};
}

/** A message's bytes with their checksum as the last field. */
export function withChecksum(message: Uint8Array): Uint8Array {
	// The encoder wrote a zero there: `crc32c` is required and has the highest field number, so it is the last.
	const covered = message.length - CHECKSUM_BYTES;
	new DataView(message.buffer, message.byteOffset).setUint32(message.length - 4, crc32c(message, 0, covered), true);
	return message;
}

/** Whether a message ends with the checksum of what is before it. */
export function hasChecksum(message: Uint8Array): boolean {
	const covered = message.length - CHECKSUM_BYTES;
	if (covered < 0 || message[covered] !== CHECKSUM_TAG[0] || message[covered + 1] !== CHECKSUM_TAG[1]) return false;
	return new DataView(message.buffer, message.byteOffset).getUint32(message.length - 4, true) === crc32c(message, 0, covered);
}

function encodeHost({ mmu, eptAd, pml }: RecordedHost): mmreplay.IKvmHost | null {
	if (mmu === undefined && eptAd === undefined && pml === undefined) return null;
	return { mmu: mmu === undefined ? null : MMUS.indexOf(mmu) + 1, eptAd: eptAd ?? null, pml: pml ?? null };
}

function decodeHost(message: mmreplay.IKvmHost | null | undefined, where: string): RecordedHost {
	if (message === null || message === undefined) return {};
	const host: { -readonly [K in keyof RecordedHost]: RecordedHost[K] } = {};
	const mmu = message.mmu ?? 0;
	if (mmu !== 0) {
		const known = MMUS[mmu - 1];
		if (known === undefined) throw new BadInputError(`unknown MMU ${mmu}`, { where, hint: "a newer mmreplay wrote this trace" });
		host.mmu = known;
	}
	if (Object.hasOwn(message, "eptAd") && typeof message.eptAd === "boolean") host.eptAd = message.eptAd;
	if (Object.hasOwn(message, "pml") && typeof message.pml === "boolean") host.pml = message.pml;
	return host;
}

function encodeOnce(header: TraceHeader, warnings: string[], requiredFeatures: string[]): Uint8Array {
	return withChecksum(
		mmreplay.Header.encode({
			magic: MAGIC,
			major: FORMAT.major,
			minor: FORMAT.minor,
			requiredFeature: requiredFeatures,
			kernel: header.kernel,
			strategy: header.strategy,
			strategyEvidence: header.strategyEvidence,
			clock: header.clock,
			clockResolutionNs: header.clockResolutionNs,
			durationNs: header.durationNs,
			access: ACCESS.indexOf(header.access),
			copiesRecorded: header.copiesRecorded,
			concurrent: header.concurrent,
			kvmHost: encodeHost(header.host),
			loss: header.losses,
			warning: warnings,
			source: header.sources,
			importer: header.importer,
			importerVersion: header.importerVersion,
			vm: header.vms,
			crc32c: 0,
		}).finish(),
	);
}

/**
 * The header's bytes. Warnings that do not fit under the cap are left out, and the last one kept says how many.
 * @throws LimitError where even without warnings the header is over the cap
 */
export function encodeHeader(header: TraceHeader, requiredFeatures: string[] = []): Uint8Array {
	const warnings = header.warnings.map((warning) => clip(warning, LIMITS.stringBytes));
	for (let kept = warnings.length; ; kept = kept >> 1) {
		const left = warnings.length - kept;
		const shown = left === 0 ? warnings : [...warnings.slice(0, kept), `${left} more warnings are not kept here`];
		const message = encodeOnce(header, shown, requiredFeatures);
		if (message.length <= LIMITS.headerBytes) return message;
		if (kept === 0) throw new LimitError(`the header has ${message.length} bytes, more than ${LIMITS.headerBytes}`);
	}
}

function clip(text: string, bytes: number): string {
	return Buffer.byteLength(text) <= bytes
		? text
		: `${Buffer.from(text)
				.subarray(0, bytes - 8)
				.toString()}…`;
}

/** A 64-bit field as a number. */
export function exact(value: number | { toNumber(): number }, what: string, where: string): number {
	const number = typeof value === "number" ? value : value.toNumber();
	if (!Number.isSafeInteger(number) || number < 0) throw new BadInputError(`${what} is over 53 bits`, { where });
	return number;
}

/** @throws BadInputError on anything but a whole header of this major version without unknown required features */
export function decodeHeader(message: Uint8Array, where: string): HeaderFacts {
	if (!hasChecksum(message)) throw new BadInputError("the header's checksum is wrong", { where });
	let fields: mmreplay.Header;
	try {
		fields = mmreplay.Header.decode(message);
	} catch (cause) {
		throw new BadInputError("the header is not a valid message", { where, cause });
	}
	const newer = "a newer mmreplay wrote this trace";
	if (fields.major !== FORMAT.major) throw new BadInputError(`format version ${fields.major}.${fields.minor}`, { where, hint: newer });
	const unknown = fields.requiredFeature.filter((feature) => !KNOWN_FEATURES.includes(feature));
	if (unknown.length > 0)
		throw new BadInputError(`required features that this version lacks: ${unknown.join(", ")}`, { where, hint: newer });
	const access = ACCESS[fields.access];
	if (access === undefined) throw new BadInputError(`unknown access log ${fields.access}`, { where, hint: newer });
	return {
		format: { major: fields.major, minor: fields.minor },
		requiredFeatures: fields.requiredFeature,
		optionalFeatures: fields.optionalFeature,
		header: {
			kernel: fields.kernel,
			strategy: fields.strategy,
			strategyEvidence: fields.strategyEvidence,
			clock: fields.clock,
			clockResolutionNs: exact(fields.clockResolutionNs, "clock_resolution_ns", where),
			durationNs: exact(fields.durationNs, "duration_ns", where),
			access,
			copiesRecorded: fields.copiesRecorded,
			concurrent: fields.concurrent,
			host: decodeHost(fields.kvmHost, where),
			losses: fields.loss.map(({ name, count }) => ({ name: name ?? "", count: exact(count ?? 0, "a loss counter", where) })),
			warnings: fields.warning,
			sources: fields.source.map(({ name, sha256, format }) => ({ name: name ?? "", sha256: sha256 ?? "", format: format ?? "" })),
			importer: fields.importer,
			importerVersion: fields.importerVersion,
			vms: fields.vm.map(({ id, mm, vcpus, memoryBytes }) => ({
				id: id ?? 0,
				mm: mm ?? 0,
				vcpus: vcpus ?? 0,
				memoryBytes: exact(memoryBytes ?? 0, "memory_bytes", where),
			})),
		},
	};
}
