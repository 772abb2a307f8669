// kvm_mmu_notifier_change_pte and kvm_set_spte_gfn: what each strategy makes of them (kernel.md 3.4, 10.4).
import { causeOfKind, countLock, hasNotifiers } from "./bracket";
import { NO_FRAME, newFrame } from "./change";
import { count, siteCounter } from "./counters";
import { noteZap } from "./exits";
import { Counter, Kind, OpFlag, Rule, SiteCounter, StepParam } from "./generated/constants";
import { dropFromVcpus, flushGuestRange, requestFlush } from "./guestflush";
import { legacyMmu } from "./kvmhost";
import { Bit, FRAME_SHIFT, SpteBit } from "./layout";
import { logging, logZap } from "./log";
import { brackets, hitOf, Operation } from "./operation";
import { findRecord, leafOf, makeRecord } from "./pagetable";
import { hitAt, hitCount, isReadOnly, logsDirty, runAt } from "./slots";
import { handOver, hasLeafTable, isHugeLeaf, makeSpte, zap } from "./spte";
import { rangedFlush } from "./tlb";
import { violateSpte } from "./violations";
import { rootOf, Vm, vmState } from "./world";

/** kvm_mmu_notifier_change_pte and kvm_set_spte_gfn: what each strategy makes of them (3.4, 10.4). */
export function changePteStep(op: Operation, strategy: u32, param: u32, writable: bool): void {
	if ((param & StepParam.unlessReplaceFollows) != 0 && (op.flags & OpFlag.kpageGiven) != 0 && op.kind == Kind.ksmWriteProtect) return;
	if (newFrame == NO_FRAME || !hasNotifiers(op)) return;
	count(strategy, Counter.notifier_changePte);
	for (let index: u32 = 0; index < hitCount; index++) {
		const hit = hitAt(index);
		countLock(strategy, op.kind);
		let found = false;
		let dropped: u64 = 0;
		for (let at: u32 = 0; at < hit.runs; at++) {
			const run = runAt(hit.firstRun + at);
			if (!changeSpte(op, strategy, param, writable, hit.vm, run.addressSpace, run.gfn)) continue;
			found = true;
			if (rangedFlush && (param & StepParam.deferFlush) == 0)
				dropped += dropFromVcpus(hit.vm, strategy, run.addressSpace, run.gfn, run.gfn + run.pages);
		}
		if (!found) continue;
		if ((param & StepParam.deferFlush) == 0) flushGuestRange(hit.vm, strategy, op.kind, dropped);
		else requestFlush(hit.vm, strategy, op.kind);
	}
}

/** One gfn: true if there was an SPTE. */
function changeSpte(op: Operation, strategy: u32, param: u32, writable: bool, vm: Vm, addressSpace: u32, gfn: u64): bool {
	const root = rootOf(vm, addressSpace);
	const at = makeRecord(root, gfn) + ((<usize>strategy) << 2);
	// One page of a huge leaf cannot be expressed: level != 4K is skipped (3.4).
	if (isHugeLeaf(leafOf(root, gfn), strategy)) return false;
	const maps = (param & StepParam.mapWritable) != 0;
	// A new entry is writable only where KVM need not notice the store (10.4).
	const right: u32 = writable && !isReadOnly(vm, addressSpace, gfn) && !logsDirty(vm, addressSpace, gfn) ? Bit.writable : 0;
	const fresh = makeSpte((newFrame << FRAME_SHIFT) | right, true);
	const before = load<u32>(at);
	if ((before & Bit.present) != 0) {
		count(strategy, Counter.notifier_changePteEffective);
		// Whether the PTE itself was read-only is the trace's business.
		if (op.wasReadOnly && (before & Bit.writable) != 0 && before >> FRAME_SHIFT != newFrame) violateSpte(strategy, Rule.I_8, vm, gfn);
		if (writable && !maps) {
			zap(at, strategy, causeOfKind(op.kind), op.kind);
			noteZap(root, leafOf(root, gfn), gfn, strategy);
			if (logging) logZap(root, gfn, strategy, at);
		} else {
			// Cleared first, in both MMUs: its page hears of A and D, and no present leaf gets another page (I-7). A read-only new PTE leaves D as it was.
			handOver(strategy, before);
			store<u32>(at, fresh | (before & (writable ? <u32>SpteBit.established : SpteBit.established | SpteBit.dirty)));
			count(strategy, Counter.spteChanged);
			count(strategy, siteCounter(op.kind, SiteCounter.spteRebuilt));
		}
		return true;
	}
	if ((param & StepParam.establish) == 0) return false;
	let refused: i32 = 0;
	if ((param & StepParam.ownBracket) != 0 && vmState(vm, strategy).inProgress != 1) refused = Counter.establish_refusedOverlap;
	else if (writable && !maps) refused = Counter.establish_refusedWritable;
	// The legacy MMU comes from the gfn's rmap, which knows no absent entry to make.
	else if (legacyMmu || !hasLeafTable(leafOf(root, gfn), strategy)) refused = Counter.establish_refusedNoTable;
	if (refused != 0) {
		count(strategy, Counter.notifier_changePteFailed);
		count(strategy, refused);
		return false;
	}
	const state = vmState(vm, strategy);
	if (state.inProgress > ownBrackets(op, strategy, vm) && op.page >= state.hullStart && op.page < state.hullEnd)
		violateSpte(strategy, Rule.I_6, vm, gfn);
	store<u32>(at, fresh | SpteBit.established);
	count(strategy, Counter.notifier_changePteEstablished);
	count(strategy, Counter.spteInstalled);
	count(strategy, siteCounter(op.kind, SiteCounter.spteRebuilt));
	return false;
}

/** How many brackets of the operation are in progress in a VM. */
function ownBrackets(op: Operation, strategy: u32, vm: Vm): u32 {
	for (let index: u32 = 0; index < op.hitCount; index++) if (hitOf(op, index) == vm) return load<u32>(brackets(op, strategy));
	return 0;
}

/** The new PTE is about to be visible and writable: no SPTE may lead to the old page any more (I-10). */
export function checkVisible(strategy: u32): void {
	for (let index: u32 = 0; index < hitCount; index++) {
		const hit = hitAt(index);
		for (let at: u32 = 0; at < hit.runs; at++) {
			const run = runAt(hit.firstRun + at);
			const record = findRecord(rootOf(hit.vm, run.addressSpace), run.gfn);
			if (record == 0) continue;
			const spte = load<u32>(record + ((<usize>strategy) << 2));
			if ((spte & Bit.present) != 0 && spte >> FRAME_SHIFT != newFrame) violateSpte(strategy, Rule.I_10, hit.vm, run.gfn);
		}
	}
}
