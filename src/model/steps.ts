// What each step of an operation does (kernel.md 1.3 to 1.14, 3.2, 3.4, 10.1). One operation is open from its begin to its end; a step list is cut
// at the page-table lock: up to range-start is the begin, lock to unlock the commit, range-end and later the end.
import type { Site } from "../counters.js";
import { type ChangePte, isUnlockedAt, type OperationKind, type Step } from "../strategies/steps.js";
import type { ZapCause } from "../trace/kinds.js";
import { type Device, lacksChangePte, mirrorsEnd, mirrorsStart, tellDeviceTlbs, tellMissing } from "./devices.js";
import type { Frame } from "./frames.js";
import { HUGE_PAGES, type Mm } from "./mm.js";
import { checkVisible, settleOperation } from "./oracle.js";
import { changeSpte, makeSpte } from "./spte.js";
import type { TdpRoot, Vm } from "./vm.js";
import { closeWindow } from "./windows.js";
import type { Flight, GfnRun, World } from "./world.js";

/** What an operation does to the primary PTEs, decided at its commit. */
export interface PrimaryChange {
	/** False: the PTEs are not what the operation expected (recheck, pte_same), or there is nothing to change. */
	readonly changes: boolean;
	/** The one new PTE of an eligible operation. */
	readonly frame: Frame | null;
	readonly writable: boolean;
	/**
	 * Which steps under the lock run. `all`; `restored`: the PTE is cleared, flushed and put back as it was (write_protect_page on a pinned page, 1.4);
	 * `appeared`: none -> present, so there is nothing to flush and no notifier (1.8).
	 */
	readonly extent?: "all" | "restored" | "appeared";
	/** The old page, on which the fault, ksmd or uprobes keep a reference of their own until after the range end (1.3, 1.5, 1.7). */
	readonly old?: Frame | undefined;
	/** set_pte (or its removal). */
	apply(): void;
	/** What follows range_end: the collapse of a huge page copies only then (1.15). */
	finish?(): void;
}

export interface Operation {
	readonly kind: OperationKind;
	readonly site: Site;
	readonly cause: ZapCause;
	readonly mm: Mm;
	readonly page: number;
	readonly pages: number;
	/** A write-protect with a kpage given: a replace follows. */
	readonly replaceFollows: boolean;
	/** alloc_page + copy happen before the bracket. */
	readonly copies: boolean;
	readonly primary: () => PrimaryChange;
	/** VMs whose memslots the bracket's start hit: their end must pair. */
	bracketed: Vm[];
	/** What the last commit did. */
	change: PrimaryChange | null;
	/** Begin, commit and end are records of their own. */
	apart: boolean;
	/** The commit has been cut behind its set-pte; what is left of it is `rest`, if it changed anything. */
	cut: boolean;
	rest: Rest | null;
	/** write_protect_page gave up for a reference. */
	refused: boolean;
	/** Mirrors whose interval the start met: their end must pair. */
	readonly mirrors: Device[];
	/** The new PTE is kept write-protected until the end (litmus c). */
	protects: boolean;
	/** It is made writable then. */
	makesWritable: boolean;
	/** A host thread's store waits for it. */
	deferredStore: boolean;
	/** The fault that makes this copy and does not retry for it (10.2). */
	own: { readonly vm: Vm; readonly flight: Flight } | null;
}

/** A commit behind its set-pte, with the page-table lock held. */
interface Rest {
	readonly change: PrimaryChange;
	/** The change as change_pte is told of it. */
	readonly told: PrimaryChange;
	/** Whether the PTE was read-only before: I-8. */
	readonly wasReadOnly: boolean;
}

const SITE_OF: Readonly<Record<OperationKind, Site>> = {
	cow: "cow",
	unshare: "unshare",
	"ksm-write-protect": "ksmWriteProtect",
	"ksm-replace": "ksmReplace",
	zap: "zap",
	protect: "protect",
	fork: "fork",
	invalidate: "invalidate",
	"thp-split": "thpSplit",
	"thp-collapse": "thpCollapse",
	"uprobe-replace": "uprobeReplace",
	"migrate-vma": "migrateVma",
	mkclean: "mkclean",
	"soft-dirty": "softDirty",
	"huge-cow": "hugeCow",
	mremap: "mremap",
	reclaim: "reclaim",
	migrate: "migrate",
	"numa-hint": "numaHint",
};
const CAUSE_OF: Readonly<Record<OperationKind, ZapCause>> = {
	cow: "cow",
	unshare: "cow",
	"ksm-write-protect": "ksm",
	"ksm-replace": "ksm",
	zap: "notifier",
	protect: "notifier",
	fork: "notifier",
	invalidate: "notifier",
	"thp-split": "hugeSplit",
	"thp-collapse": "notifier",
	"uprobe-replace": "notifier",
	"migrate-vma": "notifier",
	mkclean: "notifier",
	"soft-dirty": "notifier",
	"huge-cow": "cow",
	mremap: "notifier",
	reclaim: "notifier",
	migrate: "notifier",
	"numa-hint": "notifier",
};

export function openOperation(
	kind: OperationKind,
	mm: Mm,
	page: number,
	pages: number,
	primary: () => PrimaryChange,
	replaceFollows = false,
): Operation {
	return {
		kind,
		site: SITE_OF[kind],
		cause: CAUSE_OF[kind],
		mm,
		page,
		pages,
		replaceFollows,
		copies: kind === "cow" || kind === "unshare",
		primary,
		bracketed: [],
		change: null,
		apart: false,
		cut: false,
		rest: null,
		refused: false,
		mirrors: [],
		protects: false,
		makesWritable: false,
		deferredStore: false,
		own: null,
	};
}

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

/** An invalidate-range before the unlock is invalidate_page (1.0); an invalidate-missing there is told under the lock (2.6.32 to 3.6). */
const partOf = (steps: readonly Step[], at: number, { step }: Step): Part =>
	(step === "invalidate-range" || step === "invalidate-missing") && !isUnlockedAt(steps, at) ? "commit" : PART[step];

const stepsOf = (world: World, operation: Operation, part: Part): Step[] => {
	const steps = world.options.strategy.operations[operation.kind];
	return steps.filter((step, at) => partOf(steps, at, step) === part);
};

/** Everything up to and with range-start. */
export function beginOperation(world: World, operation: Operation): void {
	world.countSite(operation.site, "count");
	const present = presentSptes(world, operation.mm, operation.page, operation.pages);
	world.countSite(operation.site, "sptePresent", present);
	for (const step of stepsOf(world, operation, "begin")) if (step.step === "range-start") rangeStart(world, operation, step.kvm !== false);
}

/** SPTEs that back a range of hva pages. */
export function presentSptes(world: World, mm: Mm, page: number, pages: number): number {
	let present = 0;
	for (const vm of world.vmsOf(mm))
		for (const run of vm.runs(page, pages))
			for (let gfn = run.gfn; gfn < run.gfn + run.pages; gfn++) if ((vm.root(run.as).peek(gfn)?.frame ?? null) !== null) present++;
	return present;
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
			if (change.frame !== null && told.writable && (change.extent ?? "all") === "all")
				checkVisible(world, operation.mm, operation.page, change.frame);
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

/** The notifier core is entered only for an mm that has a notifier (kernel.md 7). */
const hasNotifiers = (world: World, operation: Operation): boolean =>
	world.vmsOf(operation.mm).length > 0 || lacksChangePte(world, operation.mm);

const hitVms = (world: World, operation: Operation, pages = operation.pages): Vm[] =>
	world.vmsOf(operation.mm).filter((vm) => vm.hits(operation.page, pages));

/** change_pte speaks of one page, however long the bracket is (1.8). */
const addressed = (operation: Operation, change: PrimaryChange): number => (change.frame === null ? operation.pages : 1);

/** kvm_mmu_notifier_invalidate_range_start: no memslot hit, no lock, no count, no sequence (3.1, 3.2). */
function rangeStart(world: World, operation: Operation, kvm: boolean): void {
	if (!hasNotifiers(world, operation)) return;
	world.count("notifier.rangeStart");
	mirrorsStart(world, operation);
	if (!kvm) return;
	for (const vm of hitVms(world, operation)) {
		operation.bracketed.push(vm);
		world.count("mmuLockWrite");
		world.countSite(operation.site, "mmuLockWrite");
		vm.invalidateBegin(operation.page, operation.pages);
		zapRange(world, operation, vm);
	}
}

function zapRange(world: World, operation: Operation, vm: Vm): void {
	const zapped: GfnRun[] = [];
	for (const run of vm.runs(operation.page, operation.pages)) {
		const root = vm.root(run.as);
		const reach = withHugeLeaves(root, run);
		let any = false;
		for (let gfn = run.gfn; gfn < run.gfn + run.pages; gfn++) if (world.zapSpte(root, gfn, operation.cause, operation.site)) any = true;
		if (any) zapped.push(reach);
	}
	if (zapped.length > 0) world.flushGuest(vm, operation.site, zapped);
}

/** A 2 MiB leaf that overlaps a run goes whole: what must be flushed then. */
function withHugeLeaves(root: TdpRoot, { as, gfn, pages }: GfnRun): GfnRun {
	const last = gfn + pages - 1;
	const first = root.peek(gfn)?.huge === true ? gfn - (gfn % HUGE_PAGES) : gfn;
	const end = root.peek(last)?.huge === true ? last - (last % HUGE_PAGES) + HUGE_PAGES : gfn + pages;
	return { as, gfn: first, pages: end - first };
}

/** The one callback of the 2008 draft, counted as a start: it zaps, but counts nothing in progress and raises no sequence (2.1). */
function invalidateRange(world: World, operation: Operation): void {
	if (!hasNotifiers(world, operation)) return;
	world.count("notifier.rangeStart");
	tellMissing(world, operation);
	for (const vm of hitVms(world, operation)) {
		world.count("mmuLockWrite");
		world.countSite(operation.site, "mmuLockWrite");
		zapRange(world, operation, vm);
	}
}

/**
 * kvm_mmu_notifier_change_pte and kvm_set_spte_gfn: what each strategy makes of them (3.4, 10.4). In both MMUs a present SPTE is cleared first, so that its
 * page hears of A and D, and no present leaf gets another page (I-7). The legacy MMU comes from the gfn's rmap, which knows no absent entry to make.
 */
function changePte(world: World, operation: Operation, change: PrimaryChange, step: ChangePte, wasReadOnly: boolean): void {
	if (step.unless === "replace-follows" && operation.replaceFollows) return;
	const frame = change.frame;
	if (frame === null || !hasNotifiers(world, operation)) return;
	world.count("notifier.changePte");
	for (const vm of hitVms(world, operation, addressed(operation, change))) {
		world.count("mmuLockWrite");
		world.countSite(operation.site, "mmuLockWrite");
		const found: GfnRun[] = [];
		for (const run of vm.runs(operation.page, 1)) {
			const root = vm.root(run.as);
			const spte = root.entry(run.gfn);
			// One page of a huge leaf cannot be expressed: level != 4K is skipped (3.4).
			if (spte.huge) continue;
			if (spte.frame !== null) {
				found.push(run);
				world.count("notifier.changePteEffective");
				if (wasReadOnly && spte.writable && spte.frame !== frame) world.violate("I-8", `vm${vm.id}`, run.gfn);
				if (change.writable && step.writable !== "map") {
					world.zapSpte(root, run.gfn, operation.cause, operation.site);
				} else {
					world.handOver([spte]);
					if (change.writable) makeSpte(world.host, spte, frame, mayWrite(vm, run), true);
					else changeSpte(spte, frame);
					world.count("spteChanged");
					world.countSite(operation.site, "spteRebuilt");
				}
			} else if (step.mode === "establish") {
				if (step.guard === "own-bracket" && vm.inProgress !== 1) refuse(world, "refusedOverlap");
				else if (change.writable && step.writable !== "map") refuse(world, "refusedWritable");
				else if (world.host.mmu === "legacy" || !root.hasLeafTable(run.gfn)) refuse(world, "refusedNoTable");
				else {
					const own = operation.bracketed.filter((other) => other === vm).length;
					if (vm.inHull(operation.page) && vm.inProgress > own) world.violate("I-6", `vm${vm.id}`, run.gfn);
					makeSpte(world.host, spte, frame, change.writable && mayWrite(vm, run), true);
					spte.established = true;
					world.count("notifier.changePteEstablished");
					world.count("spteInstalled");
					world.countSite(operation.site, "spteRebuilt");
				}
			}
		}
		if (found.length > 0) world.flushGuest(vm, operation.site, found, step.flush === "deferred");
	}
}

/** A new entry is writable only where KVM need not notice the store (10.4). */
function mayWrite(vm: Vm, { as, gfn }: { readonly as: number; readonly gfn: number }): boolean {
	return !vm.readOnly(as, gfn) && !vm.logsDirty(as, gfn);
}

function refuse(world: World, why: "refusedOverlap" | "refusedWritable" | "refusedNoTable"): void {
	world.count("notifier.changePteFailed");
	world.count(`establish.${why}`);
}
