// What the steps of one operation share while it is compiled.
import type { OperationKind, Step } from "../strategies/steps.js";
import type { Label, ThreadCode } from "./code.js";
import { frameOf, type Memory, type PageSlots, PRESENT, type State, WRITABLE } from "./memory.js";

export interface OperationPlan {
	readonly kind: OperationKind;
	readonly page: PageSlots;
	readonly steps: readonly Step[];
	/** A zap that writes dirty pages out first: reclaim (1.11). */
	readonly reclaims?: boolean;
	/** ksm-replace: the KSM page. */
	readonly kpage?: number;
	/** ksm-write-protect with a kpage given. */
	readonly replaceFollows?: boolean;
	/** free-old directly after the unlock (1.14). */
	readonly earlyFree?: boolean;
	/** A vCPU's fault makes this copy: where it keeps its snapshot of KVM's sequence. */
	readonly snapshot?: number;
}

/** Operations that allocate a copy. */
export const copies = (kind: OperationKind): boolean => kind === "cow" || kind === "unshare";

export class OperationContext {
	/** Of the fault that does not retry for this copy: where it keeps its snapshot; -1: there is none. */
	readonly #snapshot: number;
	readonly code: ThreadCode;
	readonly memory: Memory;
	readonly plan: OperationPlan;
	/** Where an operation goes on that finds its PTE changed. */
	readonly afterAbort: Label = { at: -1 };
	/** Some notifier lacks change_pte, and is told late. */
	readonly missing: boolean;
	/** Write faults wait until the missing notifier is told, and a writable new PTE is write-protected till then. */
	readonly protects: boolean;

	constructor(code: ThreadCode, plan: OperationPlan) {
		this.code = code;
		this.memory = code.memory;
		this.plan = plan;
		const aware = plan.steps.some((step) => step.step === "alloc-copy" && step.retry === "unless-own");
		this.#snapshot = aware ? (plan.snapshot ?? -1) : -1;
		this.missing = code.memory.hasMirror || code.memory.hasDevice;
		this.protects = this.missing && plan.steps.some(({ step }) => step === "set-pte-write-protected");
	}

	/** KVM's sequence is raised; for the operation's own fault nothing has changed (10.2). */
	raiseSeq(s: State): void {
		s[this.memory.seq]++;
		if (this.#snapshot >= 0) s[this.#snapshot]++;
	}

	/** The PTE that the operation makes, without its dirty bit; 0: none. */
	newEntry(s: State): number {
		const { locals } = this.code;
		const { kind, kpage } = this.plan;
		const original = s[locals.original];
		switch (kind) {
			case "cow":
				return PRESENT | WRITABLE | s[locals.fresh];
			case "unshare":
				return PRESENT | s[locals.fresh];
			case "ksm-write-protect":
				return PRESENT | frameOf(original);
			case "ksm-replace":
				return PRESENT | (kpage ?? 0);
			case "protect":
				return original & ~WRITABLE;
			case "zap":
				return 0;
			default:
				return original;
		}
	}
}
