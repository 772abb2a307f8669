// A record of a trace as the slow paths see it (importers, the reference model, info, cat). The engine never makes these.
import type { Access, AgentKind, OperationName } from "./kinds.js";
import type { RecordedHost } from "./kvmhost.js";

/** Who a record speaks of; ids are dense over the whole trace. Fields that the kind does not have are 0. */
export interface Agent {
	readonly kind: AgentKind;
	readonly vm: number;
	readonly vcpu: number;
	readonly mm: number;
	readonly thread: number;
}

interface RecordBase {
	readonly agent: Agent;
	/** gfn for a guest agent, hva page number otherwise (4 KiB pages). */
	readonly page: number;
	/** Nanoseconds since the first record of the trace, in the trace's clock; absent where the trace has no times. */
	readonly ns?: number | undefined;
	/** Offset within the page in bytes, where the trace has it. */
	readonly offset?: number | undefined;
}

interface AccessRecord extends RecordBase {
	readonly kind: "access";
	readonly access: Access;
}

/** An operation or an observation; `args` in the order that `Operation[name].args` gives. */
export interface OperationRecord extends RecordBase {
	readonly kind: "operation";
	readonly name: OperationName;
	readonly args: readonly number[];
	/** The label of a `mark`, the name of a `counters` record. */
	readonly text?: string | undefined;
}

export type TraceRecord = AccessRecord | OperationRecord;

/** What the header of a trace says (traces/mmtrace.proto, message Header). */
export interface TraceHeader {
	/** uname -r of the captured kernel, or its family ("6.1"); empty if unknown. */
	kernel: string;
	/** The strategy that the captured kernel ran, by its name in src/strategies; empty if unknown. */
	strategy: string;
	/** Why that strategy: told, or the evidence that it was inferred from. */
	strategyEvidence: string[];
	clock: string;
	clockResolutionNs: number;
	durationNs: number;
	/** complete: every guest access is in the trace; inferred: only the recorded faults; none: no accesses. */
	access: "complete" | "inferred" | "none";
	/** Copies (wp_page_copy) are recorded, so a write-protect fault without one was a reuse. */
	copiesRecorded: boolean;
	/** Some part ran concurrently, ordered by observed faults and copies. */
	concurrent: boolean;
	/** What the capture tells of KVM on its host. */
	host: RecordedHost;
	losses: { name: string; count: number }[];
	warnings: string[];
	sources: { name: string; sha256: string; format: string }[];
	importer: string;
	importerVersion: string;
	vms: { id: number; mm: number; vcpus: number; memoryBytes: number }[];
}
