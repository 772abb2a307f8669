// One thing that a capture records: a tracepoint, or a probe of a function, and what it is for.
type Need =
	/** Without it an import has no vmexits, no brackets or no VMs. */
	| "required"
	/** Without it some counts are inferred, or not known. */
	| "useful";

interface Point {
	/** The event's name: of a tracepoint group/name, of a probe what we call it. */
	readonly event: string;
	readonly need: Need;
	readonly use: string;
	/** What an import lacks without it. */
	readonly without: string;
	/** Kernels that have it, as major * 1000 + minor; both ends included. */
	readonly from?: number;
	readonly to?: number;
	/** Another point that does its work: then it is not wanted, or not missed. */
	readonly unless?: string;
}

interface TracePoint extends Point {
	readonly kind: "tracepoint";
	/** bpftrace: the line's event and its fields. */
	readonly bpf: string;
}

export interface ProbePoint extends Point {
	readonly kind: "entry" | "return";
	/** The first of these that the kernel has. */
	readonly symbols: readonly string[];
	/** Fetch arguments of kprobe_events; a place in a struct is {struct.member}. */
	readonly fetch: string;
	readonly bpf: string;
	/** Of the functions that every process runs: only an mm with a notifier is of interest. */
	readonly filter?: { readonly field: string; readonly bpf: string };
}

export type CapturePoint = TracePoint | ProbePoint;
