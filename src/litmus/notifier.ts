// The steps of an operation that tell the secondary MMUs (kernel.md 3.2, 3.4, 10.1).
import type { ChangePte } from "../strategies/steps.js";
import { Phase } from "./code.js";
import { copies, type OperationContext } from "./context.js";
import { type Memory, type State, WRITABLE } from "./memory.js";

export function rangeStart(op: OperationContext, kvm: boolean): void {
	const { locals, footprint } = op.code;
	const { page } = op.plan;
	const memory = op.memory;
	const guest = kvm && memory.hasGuest;
	if (!guest && !memory.hasMirror) return;
	const touched = footprint.secondary(page) | footprint.frames(page) | (guest ? footprint.vm : 0);
	op.code.emit({
		label: "range-start",
		page,
		reads: touched,
		writes: touched,
		run: (s) => {
			if (guest) {
				if (s[memory.inProgress] === 0) s[memory.hull] = 0;
				s[memory.inProgress]++;
				memory.widenHull(s, page);
				if (memory.zap(s, page.spte)) memory.flushGuests(s, page);
				s[locals.phase] |= Phase.openGuest;
			}
			if (memory.hasMirror) {
				s[page.mirrorCount]++;
				memory.zap(s, page.mirror);
				s[locals.phase] |= Phase.openMirror;
			}
			return undefined;
		},
	});
}

/** Device TLBs that nobody told in the lock are told here (to 6.5; later kernels tell them in the clear). */
export function rangeEnd(op: OperationContext, kvm: boolean): void {
	const { locals, footprint } = op.code;
	const { page } = op.plan;
	const memory = op.memory;
	const guest = kvm && memory.hasGuest;
	if (!guest && !op.missing) return;
	const touched = footprint.secondary(page) | footprint.frames(page) | (guest ? footprint.vm : 0);
	op.code.emit({
		label: "range-end",
		page,
		reads: touched,
		writes: touched,
		run: (s) => {
			if ((s[locals.phase] & Phase.openGuest) !== 0) {
				op.raiseSeq(s);
				s[memory.inProgress]--;
				if (s[memory.inProgress] === 0) s[memory.hull] = 0;
			}
			if ((s[locals.phase] & Phase.openMirror) !== 0) {
				s[page.mirrorSeq]++;
				s[page.mirrorCount]--;
			}
			memory.zap(s, page.device);
			s[locals.phase] &= ~(Phase.openGuest | Phase.openMirror);
			return undefined;
		},
	});
}

export function notifySecondaryTlb(op: OperationContext): void {
	const { footprint } = op.code;
	const { page } = op.plan;
	const memory = op.memory;
	if (!memory.hasDevice) return;
	const touched = footprint.secondary(page) | footprint.frames(page);
	op.code.emit({
		label: "notify-tlb",
		page,
		reads: touched,
		writes: touched,
		run: (s) => {
			memory.zap(s, page.device);
			return undefined;
		},
	});
}

/** kvm_mmu_notifier_change_pte (3.4, 10.4): under mmu_lock, so that no fault installs in between. */
export function changePte(op: OperationContext, step: ChangePte, bumps: boolean): void {
	const { footprint } = op.code;
	const { page, kind } = op.plan;
	const memory = op.memory;
	const eligible = copies(kind) || kind === "ksm-write-protect" || kind === "ksm-replace";
	if (!memory.hasGuest || !eligible) return;
	if (step.unless === "replace-follows" && op.plan.replaceFollows === true) return;
	const touched = footprint.secondary(page) | footprint.frames(page) | footprint.vm;
	op.code.emit({
		label: "change-pte",
		page,
		reads: touched,
		writes: touched,
		run: (s) => {
			// It is given the PTE that is about to be set: the write-protected one, where there is one.
			const entry = op.newEntry(s) & (op.protects ? ~WRITABLE : ~0);
			const zaps = (entry & WRITABLE) !== 0 && step.writable !== "map";
			if (s[page.spte] !== 0) {
				if (zaps) memory.zap(s, page.spte);
				else memory.install(s, page.spte, entry);
				if (step.flush === "deferred") s[page.flushRequest] = 1;
				else memory.flushGuests(s, page);
			} else if (step.mode === "establish" && !zaps && (step.guard !== "own-bracket" || s[memory.inProgress] === 1)) {
				memory.install(s, page.spte, entry);
			}
			if (bumps) op.raiseSeq(s);
			return undefined;
		},
	});
}

export function bumpSeq(op: OperationContext): void {
	const memory = op.memory;
	const { footprint } = op.code;
	if (!memory.hasGuest) return;
	op.code.emit({
		label: "bump-seq",
		page: op.plan.page,
		reads: footprint.vm,
		writes: footprint.vm,
		run: (s) => {
			op.raiseSeq(s);
			return undefined;
		},
	});
}

export function invalidateMissing(op: OperationContext): void {
	const { footprint } = op.code;
	const { page } = op.plan;
	const memory = op.memory;
	if (!op.missing) return;
	const touched = footprint.secondary(page) | footprint.frames(page);
	op.code.emit({ label: "inval-missing", page, reads: touched, writes: touched, run: (s) => tellMissing(op, s, memory) });
}

function tellMissing(op: OperationContext, s: State, memory: Memory): undefined {
	const { page } = op.plan;
	memory.zap(s, page.device);
	if (!memory.hasMirror) return;
	memory.zap(s, page.mirror);
	s[page.mirrorSeq]++;
}

/** The 2008 draft's callback: no count, no sequence. */
export function invalidateRange(op: OperationContext): void {
	const { footprint } = op.code;
	const { page } = op.plan;
	const memory = op.memory;
	if (!memory.hasGuest && !op.missing) return;
	const touched = footprint.secondary(page) | footprint.frames(page);
	op.code.emit({
		label: "inval-range",
		page,
		reads: touched,
		writes: touched,
		run: (s) => {
			if (memory.zap(s, page.spte)) memory.flushGuests(s, page);
			return tellMissing(op, s, memory);
		},
	});
}
