// The step programs (src/strategies/steps.ts): what KVM does at each step of an operation, under each strategy's own list (kernel.md 1.3 to
// 1.14, 3.2, 3.4, 10.1). An operation is open from its begin to its end; a list is cut at the page-table lock: up to range-start is the
// begin, lock to unlock the commit, range-end and later the end. The primary page table changes once, for all strategies.
import { bumpSeq, hasNotifiers, invalidateEnd, invalidateRange, invalidateStart } from "./bracket";
import { apply, decide, NO_FRAME, newFrame, newMapping, newWritable, oldPage } from "./change";
import { changePteStep, checkVisible } from "./changepte";
import { count, countAll, siteCounter } from "./counters";
import { checkDevices, mirrorEnd, mirrorStart, tellDeviceTlbs, tellMissing } from "./devices";
import { hold, release, settleFreed } from "./frames";
import { Counter, Kind, SiteCounter, StepCode, StepParam } from "./generated/constants";
import { give } from "./heap";
import { flushThreads } from "./host";
import { Bit, NODE_ENTRIES } from "./layout";
import { mirrorOf, Operation, operationBytes, rememberHits, rememberMirrors } from "./operation";
import { canReuseFrames, compareCollected, comparePages, settleOperation } from "./oracle";
import { pteOf } from "./primary";
import { beginOf, commitOf, endOf, flushing, having, keeping, reusing, setting, telling } from "./programs";
import { Extent, finishSite } from "./sites";
import { collect, hitAt, hitCount, runAt } from "./slots";
import { countPresent } from "./spte";
import { closeWindow, noteOpen } from "./windows";
import { exists, mmOf, strategies } from "./world";

/** Of a commit's steps those up to its set-pte, and those behind it (bits). */
const enum Part {
	first = 1,
	rest = 2,
}

export function closeOperation(op: Operation): void {
	abandon(op);
	if (op.hits != 0) give(op.hits, op.hitBytes);
	if (op.places != 0) give(op.places, op.placeBytes);
	if (op.mirrors != 0) give(op.mirrors, op.mirrorBytes);
	give(changetype<usize>(op), operationBytes());
}

/** An operation that ends, or that the trace forgets: whoever waited for its end waits no longer. */
function abandon(op: Operation): void {
	closeWindow(op);
	dropRest(op);
	letGo(op);
	settleFreed(canReuseFrames());
}

/** Everything up to and with range-start. */
export function begin(op: Operation): void {
	const site = op.kind;
	countAll(siteCounter(site, SiteCounter.count));
	collect(op.mm, op.page, op.pages);
	rememberHits(op);
	rememberMirrors(op);
	for (let index: u32 = 0; index < hitCount; index++) {
		const hit = hitAt(index);
		for (let run: u32 = 0; run < hit.runs; run++) countPresent(hit.vm, runAt(hit.firstRun + run), site);
	}
	for (let strategy: u32 = 0; strategy < strategies; strategy++) {
		for (let step = beginOf(strategy, op.kind); load<u8>(step) != 0; step += 2) {
			if (load<u8>(step) == StepCode.invalidateRange) invalidateRange(op, strategy);
			if (load<u8>(step) != StepCode.rangeStart || !hasNotifiers(op)) continue;
			count(strategy, Counter.notifier_rangeStart);
			for (let at: u32 = 0; at < op.mirrorCount; at++) mirrorStart(mirrorOf(op, at), strategy, op.page, op.pages);
			if ((load<u8>(step, 1) & StepParam.skipKvm) == 0) invalidateStart(op, strategy);
		}
	}
}

/** lock to unlock: the primary change, and what change_pte does under the lock. Of a commit that was cut behind its set-pte: the rest. */
export function commit(op: Operation): void {
	if (op.cut) {
		finishCommit(op);
		return;
	}
	const extent = decide(op);
	if (extent == Extent.none) return;
	runCommit(op, extent, beginCommit(op, extent), Part.first | Part.rest);
}

/** lock to set-pte. The new page does not go before the rest of the steps has been told of it. */
export function cutCommit(op: Operation): void {
	if (op.cut) return;
	op.cut = true;
	const extent = decide(op);
	op.rest = extent;
	if (extent == Extent.none) return;
	const kept = beginCommit(op, extent);
	op.restFrame = newFrame;
	op.restWritable = newWritable;
	op.restKept = kept;
	if (newFrame != NO_FRAME) hold(newFrame);
	runCommit(op, extent, kept, Part.first);
}

function finishCommit(op: Operation): void {
	if (op.rest != Extent.none) {
		newMapping(op.restFrame, op.restWritable);
		runCommit(op, op.rest, op.restKept, Part.rest);
	}
	dropRest(op);
}

function dropRest(op: Operation): void {
	if (op.cut && op.rest != Extent.none && op.restFrame != NO_FRAME) release(op.restFrame);
	op.cut = false;
	op.rest = Extent.none;
}

/** What the operation notes under the lock. Returns what `protect` does. */
function beginCommit(op: Operation, extent: Extent): u32 {
	holdOld(op, extent);
	op.wasReadOnly = (pteOf(op.mm, op.page) & Bit.writable) == 0;
	return protect(op, extent);
}

/** The steps of a commit up to its set-pte, or those behind it. The flush and the change of the PTE, which are those of all strategies, are of the first. */
function runCommit(op: Operation, extent: Extent, kept: u32, parts: u32): void {
	const isFirst = (parts & Part.first) != 0;
	// change_pte speaks of one page, however long the bracket is (1.8).
	collect(op.mm, op.page, newFrame == NO_FRAME ? op.pages : 1);
	for (let strategy: u32 = 0; strategy < strategies; strategy++) {
		let part: u32 = Part.first;
		for (let step = commitOf(strategy, op.kind); load<u8>(step) != 0; step += 2) {
			const code = load<u8>(step);
			if (code == StepCode.clearFlush && isFirst && extent != Extent.appeared) count(strategy, Counter.flush_primaryTlb);
			const runs = (parts & part) != 0;
			if (code == StepCode.setPte) part = Part.rest;
			if (!runs) continue;
			if (code == StepCode.notifySecondaryTlb && extent != Extent.appeared) tellDeviceTlbs(op.mm, strategy, op.page, op.pages);
			if (extent != Extent.all) continue;
			if (code == StepCode.changePte) changePteStep(op, strategy, load<u8>(step, 1), newWritable && ((kept >> strategy) & 1) == 0);
			else if (code == StepCode.bumpSeq) bumpSeq(op, strategy);
			else if (code == StepCode.invalidateMissing) invalidateMissing(op, strategy);
			// Before the unlock it is invalidate_page (1.0).
			else if (code == StepCode.invalidateRange) invalidateRange(op, strategy);
			else if (code == StepCode.setPte && newFrame != NO_FRAME && newWritable && ((kept >> strategy) & 1) == 0) {
				checkVisible(strategy);
				checkDevices(op.mm, strategy, op.page, newFrame);
			}
		}
	}
	if (isFirst && ((flushing >> op.kind) & 1) != 0 && extent != Extent.appeared) flushThreads(op.mm, op.page, op.pages);
	if (isFirst && ((setting >> op.kind) & 1) != 0 && extent != Extent.restored) apply(op);
	if (op.kind == Kind.mremap) collect(op.mm, op.page, op.pages);
	compareCollected();
	// A split takes the pages of a file from the whole of each block.
	if (op.kind == Kind.thpSplit && exists(op.mm.firstVma))
		comparePages(op.mm, op.page & ~(<u64>NODE_ENTRIES - 1), op.pages + 2 * NODE_ENTRIES);
	if (op.kind == Kind.fork) comparePages(mmOf(op.child), op.page, op.pages);
	settleFreed(canReuseFrames());
}

/**
 * Where a notifier lacks change_pte, set-pte-write-protected keeps the new PTE read-only until that one is told, unless a write fault may reuse the
 * page meanwhile. Returns the strategies in which change_pte is given the read-only one.
 */
function protect(op: Operation, extent: Extent): u32 {
	op.refused = extent == Extent.restored;
	if (op.refused) countAll(Counter.ksmRefused);
	else if (op.isOpen) noteOpen(op);
	const kept: u32 = extent == Extent.all && newFrame != NO_FRAME && op.mm.notifiers > 0 ? having(keeping, op) : 0;
	op.protects = kept & ~having(reusing, op);
	op.makesWritable = newWritable ? kept : 0;
	op.changed = extent == Extent.all;
	return kept;
}

function invalidateMissing(op: Operation, strategy: u32): void {
	if (op.mm.notifiers == 0) return;
	count(strategy, Counter.notifier_invalidateMissing);
	tellMissing(op.mm, strategy, op.page, op.pages);
}

/** flush_tlb_page once more, after the PTE was made writable (10.1). */
function makeWritable(op: Operation, strategy: u32): void {
	if (((op.makesWritable >> strategy) & 1) != 0 && (pteOf(op.mm, op.page) & Bit.writable) != 0) count(strategy, Counter.flush_primaryTlb);
}

/** The old page is not freed before the end. In an operation of one piece nobody could tell. */
function holdOld(op: Operation, extent: Extent): void {
	const old = op.isOpen && extent != Extent.restored ? oldPage(op) : NO_FRAME;
	if (old != NO_FRAME) hold(old);
	letGo(op);
	op.old = old + 1;
	op.committed = true;
}

function letGo(op: Operation): void {
	if (op.old != 0) release(op.old - 1);
	op.old = 0;
	op.committed = false;
}

/** range-end and what follows it. */
export function end(op: Operation): void {
	if (op.cut) finishCommit(op);
	for (let strategy: u32 = 0; strategy < strategies; strategy++) {
		for (let step = endOf(strategy, op.kind); load<u8>(step) != 0; step += 2) {
			const code = load<u8>(step);
			if (code == StepCode.rangeEnd && hasNotifiers(op)) {
				count(strategy, Counter.notifier_rangeEnd);
				for (let at: u32 = 0; at < op.mirrorCount; at++) mirrorEnd(mirrorOf(op, at), strategy);
				// To 6.5 the end tells the device TLBs, unless they were told under the lock (_only_end); later nobody else would have been told either.
				if (((having(telling, op) >> strategy) & 1) == 0) tellDeviceTlbs(op.mm, strategy, op.page, op.pages);
				invalidateEnd(op, strategy);
			} else if (code == StepCode.invalidateRange) {
				collect(op.mm, op.page, op.pages);
				invalidateRange(op, strategy);
			} else if (!op.committed || !op.changed) continue;
			else if (code == StepCode.invalidateMissing) invalidateMissing(op, strategy);
			else if (code == StepCode.makeWritable) makeWritable(op, strategy);
		}
	}
	if (op.committed) finishSite(op);
	abandon(op);
	settleOperation(op.mm, op.page, op.pages);
}
