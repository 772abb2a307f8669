// The step programs: an operation is a short list of steps, and a strategy is the table operation -> list (model.md section 4).
// One table, three readers: the WASM engine, the reference model and the litmus explorer.

/** Operations that have a step table. The order is the engine's and that of the first sites in counters.ts. */
export const OPERATION_KINDS = [
	"cow",
	"unshare",
	"ksm-write-protect",
	"ksm-replace",
	"zap",
	"protect",
	"fork",
	"invalidate",
	"thp-split",
	"thp-collapse",
	"uprobe-replace",
	"migrate-vma",
	"mkclean",
	"soft-dirty",
	"huge-cow",
	"mremap",
	"reclaim",
	"migrate",
	"numa-hint",
	"remap-file-pages",
	"hugetlb-cow",
] as const;
export type OperationKind = (typeof OPERATION_KINDS)[number];

/** Records that are an operation of another name. @public: scripts/generate-constants.mjs reads it. */
export const KINDS_OF_RECORDS = { thpCollapsed: "thp-collapse" } as const satisfies Record<string, OperationKind>;

/**
 * One step. What each does is said once, in src/model/steps.ts and assembly/steps.ts.
 * - range-start / range-end: the notifier bracket; `kvm: false` where KVM returns from both at once (Glisse's flag).
 * - change-pte: KVM's handler, under mmu_lock. mode `update` touches a present SPTE only, `establish` also creates a missing leaf where the leaf
 *   table exists. writable: what a writable new PTE does: `zap` (x86, 2009 to 6.9), `map` in place, or `refuse` (establish read-only entries only).
 *   guard `own-bracket`: create only if no other bracket is in progress (kernel.md 10.4, litmus h). unless `replace-follows`: skipped at a
 *   write-protect whose replace_page will zap the entry again.
 *   flush `deferred`: the guest TLB flush is requested, not waited for: each vCPU does it at its next exit.
 * - alloc-copy of a cow, retry `unless-own`: the fault that makes this copy is not stale for it. What the copy (and the split of a huge page before it)
 *   adds to the VM's sequence is added to the fault's snapshot too, so that it retries only for what others did (kernel.md 10.2).
 * - bump-seq directly after change-pte happens under the same mmu_lock.
 * - invalidate-missing, set-pte-write-protected (instead of set-pte), make-writable: act only where a registered notifier lacks change_pte. A new PTE
 *   that is to be writable is so only after make-writable. Until then a write fault on the page waits, unless reuse is `allowed` (litmus c', n).
 * - invalidate-range: every secondary MMU lets go of the range, with no count and no sequence: the callback of the 2008 draft, after the unlock, or before
 *   the lock where it had nothing else (remap_file_pages, litmus e); under the lock, with bump-seq, invalidate_page.
 */
export type Step =
	| { readonly step: "lock" | "recheck" | "clear-flush" | "notify-secondary-tlb" | "set-pte" | "invalidate-missing" }
	| { readonly step: "make-writable" | "bump-seq" | "unlock" | "free-old" | "invalidate-range" }
	| { readonly step: "alloc-copy"; readonly retry?: "unless-own" }
	| { readonly step: "set-pte-write-protected"; readonly reuse?: "allowed" }
	| { readonly step: "range-start" | "range-end"; readonly kvm?: boolean }
	| ChangePte;

export interface ChangePte {
	readonly step: "change-pte";
	readonly mode: "update" | "establish";
	readonly writable: "zap" | "map" | "refuse";
	readonly guard?: "own-bracket" | "none";
	readonly unless?: "replace-follows";
	readonly flush?: "deferred";
}

export interface Strategy {
	readonly name: string;
	/** Which of the three options of 2014 it is; null if none. */
	readonly option: 1 | 2 | 3 | null;
	readonly title: string;
	/** Kernel versions that ran it, or "none". */
	readonly kernels: string;
	/** Commits, mails and papers. */
	readonly source: readonly string[];
	/** False for those kept to show what goes wrong. */
	readonly safe: boolean;
	readonly operations: Readonly<Record<OperationKind, readonly Step[]>>;
}

/** Whether an operation with these steps has let go of the page-table lock at step `at`. */
export function isUnlockedAt(steps: readonly Step[], at: number): boolean {
	const unlock = steps.findIndex(({ step }) => step === "unlock");
	return unlock >= 0 && at > unlock;
}

/** Whether step `at` comes before the operation takes the page-table lock. */
export function isUnlockedYet(steps: readonly Step[], at: number): boolean {
	return at < steps.findIndex(({ step }) => step === "lock");
}

/** Codes of the steps on the engine's side of the boundary. */
export const STEP_CODES = {
	"alloc-copy": 1,
	"range-start": 2,
	lock: 3,
	recheck: 4,
	"clear-flush": 5,
	"notify-secondary-tlb": 6,
	"change-pte": 7,
	"set-pte": 8,
	"set-pte-write-protected": 9,
	"invalidate-missing": 10,
	"make-writable": 11,
	"bump-seq": 12,
	unlock: 13,
	"range-end": 14,
	"free-old": 15,
	"invalidate-range": 16,
} as const satisfies Record<Step["step"], number>;

/** Parameter bits of an encoded step. @public: scripts/generate-constants.mjs reads it. */
export const StepParam = {
	/** range-start, range-end: KVM returns at once. */
	skipKvm: 1,
	/** change-pte: creates a missing leaf. */
	establish: 1,
	/** change-pte: a writable new PTE is mapped. */
	mapWritable: 2,
	/** change-pte: a writable new PTE is refused (neither mapped nor zapped by it). */
	refuseWritable: 4,
	/** change-pte: only with its own bracket alone in progress. */
	ownBracket: 8,
	/** change-pte: not at a write-protect with a kpage given. */
	unlessReplaceFollows: 16,
	/** change-pte: the guest TLB flush is requested, and each vCPU does it at its next exit. */
	deferFlush: 32,
	/** alloc-copy: the fault that makes the copy does not retry for it. */
	retryUnlessOwn: 1,
	/** set-pte-write-protected: a write fault in the window may reuse the page. */
	reuseAllowed: 1,
} as const;

function stepParam(step: Step): number {
	if (step.step === "range-start" || step.step === "range-end") return step.kvm === false ? StepParam.skipKvm : 0;
	if (step.step === "alloc-copy") return step.retry === "unless-own" ? StepParam.retryUnlessOwn : 0;
	if (step.step === "set-pte-write-protected") return step.reuse === "allowed" ? StepParam.reuseAllowed : 0;
	if (step.step !== "change-pte") return 0;
	return (
		(step.mode === "establish" ? StepParam.establish : 0) |
		(step.writable === "map" ? StepParam.mapWritable : 0) |
		(step.writable === "refuse" ? StepParam.refuseWritable : 0) |
		(step.guard === "own-bracket" ? StepParam.ownBracket : 0) |
		(step.unless === "replace-follows" ? StepParam.unlessReplaceFollows : 0) |
		(step.flush === "deferred" ? StepParam.deferFlush : 0)
	);
}

/** Bytes of one step list in the engine's tables: at most 15 steps of (code, param), zero-terminated. @public: scripts/generate-constants.mjs reads it. */
export const STEP_LIST_BYTES = 32;

/** A strategy as the engine reads it: for each of OPERATION_KINDS in order, STEP_LIST_BYTES bytes. */
export function encodeStrategy(strategy: Strategy): Uint8Array {
	const bytes = new Uint8Array(OPERATION_KINDS.length * STEP_LIST_BYTES);
	OPERATION_KINDS.forEach((operation, index) => {
		const steps = strategy.operations[operation];
		if (steps.length * 2 >= STEP_LIST_BYTES) throw new RangeError(`strategy ${strategy.name}: ${operation} has more than 15 steps`);
		steps.forEach((step, place) => {
			const at = index * STEP_LIST_BYTES + place * 2;
			bytes[at] = STEP_CODES[step.step];
			bytes[at + 1] = stepParam(step);
		});
	});
	return bytes;
}
