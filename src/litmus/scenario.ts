// What a scenario file says (docs/litmus.md): pages and how they are mapped, threads and their programs, the outcome that must not happen, and what is
// expected of each strategy. kernel.md section 5; herd7's litmus files are the model for how they read.
import type { Step } from "../strategies/steps.js";
import type { Rule } from "./rules.js";

/**
 * Who runs a program. host: a thread of the VMM's process, through the primary page table. ksmd: as host, and it may merge. vcpu: a guest, through the
 * SPTEs. mirror: a device with its own table and an interval notifier, without change_pte. sva: a device that walks the CPU's page table and has a
 * TLB. dma: a device that pins pages and writes to the frames (kernel.md section 4).
 */
export const THREAD_KINDS = ["host", "ksmd", "vcpu", "mirror", "sva", "dma"] as const;
export type ThreadKind = (typeof THREAD_KINDS)[number];

/** private: anonymous, of this page alone. shared: also mapped by another process (fork). ksm: a KSM page. */
export const FRAME_KINDS = ["private", "shared", "ksm"] as const;
export type FrameKind = (typeof FRAME_KINDS)[number];

export interface FrameSpec {
	readonly name: string;
	readonly kind: FrameKind;
	/** Its content at the start. */
	readonly value: number;
	/** ksm: other processes map it as well, so that it stays when this one lets go. */
	readonly held: boolean;
}

/** A present entry of some table; null: none. */
export type Mapping = { readonly frame: string; readonly writable: boolean } | null;

export interface PageSpec {
	readonly name: string;
	readonly pte: Mapping;
	readonly spte: Mapping;
	readonly mirror: Mapping;
	readonly device: Mapping;
}

/** Whole operations that a thread may call for; `cow` and `unshare` are the faults that lead to them. */
export const WHOLE_OPERATIONS = ["cow", "unshare", "ksm-write-protect", "zap", "reclaim", "protect", "invalidate"] as const;
type WholeOperation = (typeof WHOLE_OPERATIONS)[number];

export type Statement = { readonly line: number } & (
	| { readonly do: "read"; readonly page: string; readonly register: string }
	| { readonly do: "write"; readonly page: string; readonly value: number }
	| { readonly do: "signal" | "await"; readonly flag: string }
	| {
			readonly do: "operation";
			readonly operation: WholeOperation;
			readonly page: string;
			/** free-old comes directly after the unlock, as where an mmu_gather batch fills (kernel.md 1.14). */
			readonly earlyFree: boolean;
			/** A step list of the scenario's own, instead of the strategy's. */
			readonly steps: readonly Step[] | null;
	  }
	/** try_to_merge_one_page with a kpage: lock the page, write-protect, compare, replace, unlock (1.4, 1.5). */
	| { readonly do: "merge"; readonly page: string; readonly frame: string }
	| { readonly do: "pin" | "unpin"; readonly page: string }
	| { readonly do: "dma"; readonly page: string; readonly value: number }
);

export interface ThreadSpec {
	readonly name: string;
	readonly kind: ThreadKind;
	readonly about: string;
	readonly statements: readonly Statement[];
}

/** A condition at the end of an execution. A broken rule stays broken. */
export type Condition =
	| { readonly is: "rule"; readonly rule: Rule }
	| { readonly is: "register"; readonly thread: string; readonly register: string; readonly value: number; readonly equal: boolean }
	| { readonly is: "all" | "any"; readonly of: readonly Condition[] };

export type Verdict = "allowed" | "forbidden";

export interface Scenario {
	/** Path of the file, for errors; empty where there is none. */
	readonly file: string;
	/** Begins with the letter in kernel.md section 5: `a1-third-thread`. */
	readonly name: string;
	readonly title: string;
	readonly source: string;
	readonly frames: readonly FrameSpec[];
	readonly pages: readonly PageSpec[];
	readonly threads: readonly ThreadSpec[];
	readonly forbidden: Condition;
	/** Strategies under which the bad outcome is expected to be possible; under all others it must not be. */
	readonly allowed: readonly string[];
	/** Threads that do not exist under some strategies: there was no such device in their time. */
	readonly without: readonly { readonly thread: string; readonly strategies: readonly string[]; readonly reason: string }[];
}

export function expectedVerdict(scenario: Scenario, strategy: string): Verdict {
	return scenario.allowed.includes(strategy) ? "allowed" : "forbidden";
}
