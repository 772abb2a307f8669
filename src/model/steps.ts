// What each step of an operation does (kernel.md 1.3 to 1.14, 3.2, 3.4, 10.1). One operation is open from its begin to its end; a step list is cut
// at the page-table lock: up to range-start is the begin, lock to unlock the commit, range-end and later the end.
import { isUnlockedAt, isUnlockedYet, type Step } from "../strategies/steps.js";
import { hasNotifiers, hitVms, invalidateRange, presentSptes, rangeStart } from "./bracket.js";
import { addressed, changePte } from "./changepte.js";
import { checkDevices, lacksChangePte, mirrorsEnd, tellDeviceTlbs, tellMissing } from "./devices.js";
import type { Operation, PrimaryChange, Rest } from "./operation.js";
import { checkVisible, settleOperation } from "./oracle.js";
import type { Vm } from "./vm.js";
import { closeWindow } from "./windows.js";
import type { World } from "./world.js";

type Part = "begin" | "commit" | "end";

const PART: Readonly<Record<Step["step"], Part>> = {
	"alloc-copy": "begin",
	"range-start": "begin",
	lock: "commit",
	recheck: "commit",
	"clear-flush": "commit",
	"notify-secondary-tlb": "commit",
	"change-pte": "commit",
	"set-pte": "commit",
	"set-pte-write-protected": "commit",
	"invalidate-missing": "end",
	"make-writable": "end",
	"bump-seq": "commit",
	unlock: "commit",
	"range-end": "end",
	"free-old": "end",
	"invalidate-range": "end",
};

/** An invalidate-range before the lock is of the begin; before the unlock it is invalidate_page (1.0); an invalidate-missing there is told under the lock (2.6.32 to 3.6). */
const partOf = (steps: readonly Step[], at: number, { step }: Step): Part => {
	if (step === "invalidate-range" && isUnlockedYet(steps, at)) return "begin";
	return (step === "invalidate-range" || step === "invalidate-missing") && !isUnlockedAt(steps, at) ? "commit" : PART[step];
};

const stepsOf = (world: World, operation: Operation, part: Part): Step[] => {
	const steps = world.options.strategy.operations[operation.kind];
	return steps.filter((step, at) => partOf(steps, at, step) === part);
};

/** Everything up to and with range-start. */
export function beginOperation(world: World, operation: Operation): void {
	world.countSite(operation.site, "count");
	const present = presentSptes(world, operation.mm, operation.page, operation.pages);
	world.countSite(operation.site, "sptePresent", present);
	for (const step of stepsOf(world, operation, "begin")) {
		if (step.step === "range-start") rangeStart(world, operation, step.kvm !== false);
		else if (step.step === "invalidate-range") invalidateRange(world, operation);
	}
}

/** lock to unlock: the primary change, and what change_pte does under the lock. Of a commit that was cut behind its set-pte: the rest. */
export function commitOperation(world: World, operation: Operation): void {
	if (operation.cut) {
		finishCommit(world, operation);
		return;
	}
	const begun = beginCommit(world, operation);
	if (begun !== null) runCommit(world, operation, begun, stepsOf(world, operation, "commit"));
}

/** lock to set-pte. The new page does not go before the rest of the steps has been told of it. */
export function setOperation(world: World, operation: Operation): void {
	if (operation.cut) return;
	operation.cut = true;
	operation.rest = beginCommit(world, operation);
	if (operation.rest === null) return;
	const { frame } = operation.rest.change;
	if (frame !== null) world.frames.hold(frame);
	runCommit(world, operation, operation.rest, stepsOf(world, operation, "commit").filter(upToSetPte));
}

/** Also of the steps that a list has behind its set-pte the flush: the CPUs' TLBs are those of all strategies. */
const upToSetPte = ({ step }: Step, at: number, steps: readonly Step[]): boolean =>
	step === "clear-flush" || at <= steps.findIndex((other) => other.step === "set-pte");

function finishCommit(world: World, operation: Operation): void {
	const { rest } = operation;
	if (rest !== null) {
		const steps = stepsOf(world, operation, "commit");
		const left = steps.filter((step, at) => !upToSetPte(step, at, steps));
		runCommit(world, operation, rest, left);
	}
	dropRest(world, operation);
}

function dropRest(world: World, operation: Operation): void {
	const frame = operation.rest?.change.frame ?? null;
	operation.cut = false;
	operation.rest = null;
	if (frame !== null) world.frames.release(frame);
}

/** What the operation decides under the lock; null where it changes nothing. */
function beginCommit(world: World, operation: Operation): Rest | null {
	const change = operation.primary();
	if (!change.changes) return null;
	if (change.old !== undefined) world.frames.hold(change.old);
	letGo(world, operation);
	operation.change = change;
	operation.refused = change.extent === "restored";
	if (operation.refused) world.count("ksmRefused");
	if (operation.apart && !operation.refused) world.open.add(operation);
	const told = protect(world, operation, change);
	// Whether the PTE itself was read-only is the trace's business.
	const wasReadOnly = operation.mm.get(operation.page)?.writable !== true;
	return { change, told, wasReadOnly };
}

function runCommit(world: World, operation: Operation, { change, told, wasReadOnly }: Rest, steps: readonly Step[]): void {
	for (const step of steps) {
		if (!runs(change, step)) continue;
		if (step.step === "clear-flush") world.flushPrimary(operation.mm.id, operation.page, operation.pages);
		else if (step.step === "notify-secondary-tlb") tellDeviceTlbs(world, operation);
		else if (step.step === "change-pte") changePte(world, operation, told, step, wasReadOnly);
		else if (step.step === "bump-seq") for (const vm of hitVms(world, operation, addressed(operation, change))) raiseSeq(operation, vm);
		else if (step.step === "invalidate-range") invalidateRange(world, operation);
		else if (step.step === "invalidate-missing") invalidateMissing(world, operation);
		else if (step.step === "set-pte") {
			if (change.frame !== null && told.writable && (change.extent ?? "all") === "all") {
				checkVisible(world, operation.mm, operation.page, change.frame);
				checkDevices(world, operation.mm, operation.page, change.frame);
			}
			change.apply();
		}
	}
}

/**
 * Where a notifier lacks change_pte, set-pte-write-protected keeps the new PTE read-only until that one is told, unless a write fault may reuse the
 * page meanwhile. Returns the change as change_pte is told of it.
 */
function protect(world: World, operation: Operation, change: PrimaryChange): PrimaryChange {
	const step = world.options.strategy.operations[operation.kind].find((one) => one.step === "set-pte-write-protected");
	const mapped = change.frame !== null && (change.extent ?? "all") === "all";
	const keptReadOnly = step !== undefined && mapped && lacksChangePte(world, operation.mm);
	operation.protects = keptReadOnly && !(step.step === "set-pte-write-protected" && step.reuse === "allowed");
	operation.makesWritable = keptReadOnly && change.writable;
	return keptReadOnly ? { ...change, writable: false } : change;
}

function invalidateMissing(world: World, operation: Operation): void {
	if (!lacksChangePte(world, operation.mm)) return;
	world.count("notifier.invalidateMissing");
	tellMissing(world, operation);
}

/** flush_tlb_page once more, after the PTE was made writable (10.1). */
function makeWritable(world: World, operation: Operation): void {
	if (operation.makesWritable && operation.mm.get(operation.page)?.writable === true) world.count("flush.primaryTlb");
}

/** An operation that ends, or that the trace forgets: whoever waited for its end waits no longer. */
export function abandonOperation(world: World, operation: Operation): void {
	closeWindow(world, operation);
	dropRest(world, operation);
	letGo(world, operation);
}

function runs({ extent = "all" }: PrimaryChange, { step }: Step): boolean {
	return extent === "all" || (extent === "restored" ? step === "clear-flush" || step === "notify-secondary-tlb" : step === "set-pte");
}

function raiseSeq({ own }: Operation, vm: Vm): void {
	vm.seq++;
	if (own?.vm === vm) own.flight.snapshot++;
}

/** The reference on the old page goes. */
function letGo(world: World, operation: Operation): void {
	if (operation.change?.old !== undefined) world.frames.release(operation.change.old);
	operation.change = null;
}

/** range-end and what follows it. */
export function endOperation(world: World, operation: Operation): void {
	if (operation.cut) finishCommit(world, operation);
	const changed = operation.change !== null && (operation.change.extent ?? "all") === "all";
	for (const step of stepsOf(world, operation, "end")) {
		if (step.step === "invalidate-range") invalidateRange(world, operation);
		else if (step.step === "invalidate-missing" && changed) invalidateMissing(world, operation);
		else if (step.step === "make-writable" && changed) makeWritable(world, operation);
		if (step.step !== "range-end" || !hasNotifiers(world, operation)) continue;
		world.count("notifier.rangeEnd");
		mirrorsEnd(operation);
		// To 6.5 the end tells the device TLBs, unless they were told under the lock (_only_end); later nobody else would have been told either.
		if (!world.options.strategy.operations[operation.kind].some((one) => one.step === "notify-secondary-tlb"))
			tellDeviceTlbs(world, operation);
		for (const vm of operation.bracketed) {
			world.count("mmuLockWrite");
			world.countSite(operation.site, "mmuLockWrite");
			vm.invalidateEnd();
			if (operation.own?.vm === vm) operation.own.flight.snapshot++;
		}
	}
	operation.change?.finish?.();
	abandonOperation(world, operation);
	settleOperation(world, operation.mm, operation.page, operation.pages);
}
