// The steps of an operation on the primary page table and its pages (kernel.md 1.3 to 1.5, 1.14).
import { Phase } from "./code.js";
import { copies, type OperationContext } from "./context.js";
import { DIRTY, FrameBit, frameOf, PRESENT, permits, type State, WRITABLE } from "./memory.js";

export function allocCopy(op: OperationContext): void {
	const { locals, footprint } = op.code;
	const { page, kind } = op.plan;
	const memory = op.memory;
	if (!copies(kind)) return;
	const touched = footprint.frames(page) | footprint.allocation;
	op.code.emit({
		label: "alloc-copy",
		page,
		reads: touched,
		writes: touched,
		run: (s) => {
			const fresh = memory.allocate(s);
			memory.setContent(s, fresh, memory.content(s, frameOf(s[locals.original])));
			memory.mark(s, fresh, FrameBit.dirty);
			s[locals.fresh] = fresh;
			return undefined;
		},
	});
}

export function lock(op: OperationContext): void {
	const { id, footprint } = op.code;
	const { page } = op.plan;
	const touched = footprint.locks(page);
	op.code.emit({
		label: "lock",
		page,
		reads: touched,
		writes: touched,
		ready: (s) => s[page.ptl] === 0,
		run: (s) => {
			s[page.ptl] = id + 1;
			return undefined;
		},
	});
}

/** Nobody else can have waited for anything but this: see docs/litmus.md, reduction. */
export function unlock(op: OperationContext): void {
	const { page } = op.plan;
	op.code.emit({
		label: "unlock",
		page,
		run: (s) => {
			s[page.ptl] = 0;
			return undefined;
		},
	});
}

/** pte_same, and what else an operation asks before it begins (1.3 to 1.5). Reads only what the lock keeps still. */
export function recheck(op: OperationContext): void {
	const { locals } = op.code;
	const { page, kind } = op.plan;
	const memory = op.memory;
	const afterAbort = op.afterAbort;
	const same = (a: number, b: number): boolean => (a & ~DIRTY) === (b & ~DIRTY);
	op.code.emit({
		label: "recheck",
		page,
		run: (s) => {
			const pte = s[page.pte];
			if (kind === "ksm-write-protect") {
				if ((pte & PRESENT) === 0 || frameOf(pte) + 1 !== s[page.pageLock]) s[locals.phase] |= Phase.failed;
				else if ((pte & (WRITABLE | DIRTY)) !== 0 || memory.has(s, frameOf(pte), FrameBit.exclusive)) return undefined;
				else s[locals.protectedPte] = pte;
				return afterAbort.at;
			}
			if (kind === "ksm-replace" ? same(pte, s[locals.protectedPte]) : !copies(kind) || same(pte, s[locals.original])) return undefined;
			s[locals.phase] |= Phase.failed;
			return afterAbort.at;
		},
	});
}

export function clearFlush(op: OperationContext): void {
	const { locals, footprint } = op.code;
	const { page, kind } = op.plan;
	const memory = op.memory;
	const afterAbort = op.afterAbort;
	const touched = footprint.pte(page) | footprint.frames(page);
	op.code.emit({
		label: "clear-flush",
		page,
		reads: touched,
		writes: touched,
		run: (s) => {
			checkReplaced(op, s);
			if (!copies(kind)) s[locals.original] = s[page.pte];
			memory.zap(s, page.pte);
			memory.flushHosts(s, page);
			s[locals.phase] |= Phase.cleared;
			return undefined;
		},
	});
	if (kind !== "ksm-write-protect") return;
	// Somebody holds a reference: put the PTE back (1.4 b).
	op.code.emit({
		label: "check-pins",
		page,
		reads: footprint.frames(page),
		writes: touched,
		run: (s) => {
			if (memory.pins(s, frameOf(s[locals.original])) === 0) return undefined;
			s[page.pte] = s[locals.original];
			s[locals.phase] |= Phase.failed;
			return afterAbort.at;
		},
	});
}

/** A writable PTE must become read-only, everywhere, before its page is replaced (j). */
function checkReplaced(op: OperationContext, s: State): void {
	const { page, kind } = op.plan;
	if ((copies(kind) || kind === "ksm-replace") && permits(s[page.pte], true)) op.memory.break(s, "I-8");
}

export function setPte(op: OperationContext): void {
	const { page } = op.plan;
	const touched = op.code.footprint.pte(page) | op.code.footprint.frames(page);
	op.code.emit({
		label: "set-pte",
		page,
		reads: touched,
		writes: touched,
		run: (s) => {
			const { locals } = op.code;
			if ((s[locals.phase] & Phase.cleared) === 0) {
				checkReplaced(op, s);
				if (!copies(op.plan.kind)) s[locals.original] = s[page.pte];
			}
			const entry = op.newEntry(s);
			s[page.pte] = entry | ((entry & WRITABLE) !== 0 && op.plan.kind === "cow" ? DIRTY : 0);
			commit(op, s, entry);
			return undefined;
		},
	});
}

/** What becomes of the pages with the new PTE. */
function commit(op: OperationContext, s: State, entry: number): void {
	const { locals } = op.code;
	const { page, kind } = op.plan;
	const memory = op.memory;
	const original = s[locals.original];
	const frame = frameOf(entry);
	s[locals.phase] |= Phase.committed;
	if ((entry & WRITABLE) !== 0 && memory.isImmutable(s, frame)) memory.break(s, "I-5");
	if (copies(kind)) memory.mark(s, frame, FrameBit.exclusive);
	if (copies(kind) || kind === "ksm-replace") memory.map(s, frame);
	if (kind === "ksm-write-protect") {
		memory.unmark(s, frame, FrameBit.exclusive);
		s[locals.protectedPte] = entry;
	}
	if (kind === "zap") {
		if (op.plan.reclaims === true) writeOut(op, s, original);
		else {
			// MADV_DONTNEED: the next fault finds zeroes.
			s[page.latest] = 0;
			s[page.backing] = 0;
		}
	}
}

/** A page that counts as clean is dropped without being written out (litmus l). */
function writeOut(op: OperationContext, s: State, original: number): void {
	const { page } = op.plan;
	const memory = op.memory;
	if ((original & PRESENT) === 0) return;
	const frame = frameOf(original);
	const content = memory.content(s, frame);
	if (memory.has(s, frame, FrameBit.dirty) || memory.has(s, frame, FrameBit.ksm)) s[page.backing] = content;
	else if (content !== s[page.backing]) memory.break(s, "I-15");
}

export function setPteWriteProtected(op: OperationContext, reuse: boolean): void {
	const { id, footprint } = op.code;
	const { page } = op.plan;
	const touched = footprint.pte(page) | footprint.frames(page) | footprint.locks(page);
	op.code.emit({
		label: "set-pte-wp",
		page,
		reads: touched,
		writes: touched,
		run: (s) => {
			const entry = op.newEntry(s) & ~WRITABLE;
			s[page.pte] = entry | (op.plan.kind === "cow" ? DIRTY : 0);
			if (!reuse) s[page.window] = id + 1;
			commit(op, s, entry);
			return undefined;
		},
	});
}

/** The PTE is still the one that was kept write-protected, and its page has not entered a merge meanwhile. */
export function makeWritable(op: OperationContext): void {
	const { locals, footprint } = op.code;
	const { page } = op.plan;
	const memory = op.memory;
	const touched = footprint.pte(page) | footprint.frames(page) | footprint.locks(page);
	op.code.emit({
		label: "make-writable",
		page,
		reads: touched,
		writes: touched,
		ready: (s) => s[page.ptl] === 0,
		run: (s) => {
			const fresh = s[locals.fresh];
			const committed = (s[locals.phase] & Phase.committed) !== 0;
			if (op.plan.kind === "cow" && committed && (s[page.pte] & ~DIRTY) === (PRESENT | fresh) && memory.has(s, fresh, FrameBit.exclusive)) {
				s[page.pte] |= WRITABLE;
				memory.flushHosts(s, page);
			}
			if (s[page.window] === op.code.id + 1) s[page.window] = 0;
			return undefined;
		},
	});
}

/** The old page loses this mapping, and do_wp_page's own reference (1.3, 1.5). An aborted copy goes back. */
export function freeOld(op: OperationContext): void {
	const { locals, footprint } = op.code;
	const { page, kind } = op.plan;
	const memory = op.memory;
	const frees = copies(kind) || kind === "ksm-replace" || kind === "zap";
	if (!frees) return;
	const touched = footprint.frames(page) | footprint.allocation;
	op.code.emit({
		label: "free-old",
		page,
		reads: touched | footprint.secondary(page) | footprint.pte(page),
		writes: touched,
		run: (s) => {
			const old = frameOf(s[locals.original]);
			if ((s[locals.phase] & Phase.committed) !== 0) {
				if ((s[locals.original] & PRESENT) !== 0) memory.unmap(s, old);
			} else if (copies(kind)) memory.release(s, s[locals.fresh]);
			if (copies(kind)) memory.unpin(s, old);
			return undefined;
		},
	});
}
