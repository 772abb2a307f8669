// An operation's own step table, step by step as the explorer runs it (kernel.md 1.3 to 1.14, 3.2, 3.4, 10.1). The tables are the strategies'; what one
// step does to the page tables and to KVM is what src/model/steps.ts does at a record, here with everybody else in between.
import type { Step } from "../strategies/steps.js";
import { type Label, Phase, type ThreadCode } from "./code.js";
import { OperationContext, type OperationPlan } from "./context.js";
import type { State } from "./memory.js";
import { bumpSeq, changePte, invalidateMissing, invalidateRange, notifySecondaryTlb, rangeEnd, rangeStart } from "./notifier.js";
import { allocCopy, clearFlush, freeOld, lock, makeWritable, recheck, setPte, setPteWriteProtected, unlock } from "./primary.js";

/** free-old directly after the unlock; what else there is follows. */
function withEarlyFree(steps: readonly Step[]): readonly Step[] {
	const unlocked = steps.findIndex(({ step }) => step === "unlock") + 1;
	const free = steps.find(({ step }) => step === "free-old");
	if (free === undefined) return steps;
	const rest = steps.filter((step) => step !== free);
	return [...rest.slice(0, unlocked), free, ...rest.slice(unlocked)];
}

/** Append an operation's steps to a thread's program; `exit`: where the thread goes on, if not behind them. */
export function compileOperation(code: ThreadCode, plan: OperationPlan, exit?: Label): void {
	const op = new OperationContext(code, plan);
	const steps = plan.earlyFree === true ? withEarlyFree(plan.steps) : plan.steps;
	const first = code.here;
	const unlockAt = steps.findIndex(({ step }) => step === "unlock");
	for (const [at, step] of steps.entries()) {
		if (at === unlockAt) op.afterAbort.at = code.here;
		// Under the same mmu_lock as the change_pte before it: part of that step.
		if (step.step === "bump-seq" && steps[at - 1]?.step === "change-pte") continue;
		emitStep(op, step, steps[at + 1]?.step === "bump-seq");
	}
	const end = code.here;
	if (op.afterAbort.at < 0) op.afterAbort.at = end;
	code.wrap(first, end, (s) => {
		forget(op, s);
		return exit?.at ?? end;
	});
}

/** An operation leaves nothing behind in its thread, so that states which differ in nothing else are one. */
function forget(op: OperationContext, s: State): void {
	const { locals } = op.code;
	s[locals.original] = 0;
	s[locals.fresh] = 0;
	if (op.plan.replaceFollows === true) s[locals.phase] &= Phase.failed;
	else {
		s[locals.phase] = 0;
		if (locals.protectedPte >= 0) s[locals.protectedPte] = 0;
	}
}

function emitStep(op: OperationContext, step: Step, bumps: boolean): void {
	switch (step.step) {
		case "alloc-copy":
			allocCopy(op);
			return;
		case "range-start":
			rangeStart(op, step.kvm !== false);
			return;
		case "range-end":
			rangeEnd(op, step.kvm !== false);
			return;
		case "lock":
			lock(op);
			return;
		case "unlock":
			unlock(op);
			return;
		case "recheck":
			recheck(op);
			return;
		case "clear-flush":
			clearFlush(op);
			return;
		case "notify-secondary-tlb":
			notifySecondaryTlb(op);
			return;
		case "change-pte":
			changePte(op, step, bumps);
			return;
		case "bump-seq":
			bumpSeq(op);
			return;
		case "set-pte":
			if (!op.protects) setPte(op);
			return;
		case "set-pte-write-protected":
			if (op.protects) setPteWriteProtected(op, step.reuse === "allowed");
			return;
		case "invalidate-missing":
			invalidateMissing(op);
			return;
		case "make-writable":
			if (op.protects) makeWritable(op);
			return;
		case "invalidate-range":
			invalidateRange(op);
			return;
		case "free-old":
			freeOld(op);
			return;
	}
}
