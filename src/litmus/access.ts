// One access by each kind of thread: TLB, walk, fault, and once more (kernel.md 3.3, 3.6, 4). Every fault of a guest is the whole EPT-violation cycle:
// the snapshot of the sequence, gup, and under mmu_lock the test and the install.
import type { Step } from "../strategies/steps.js";
import type { Label, ThreadCode } from "./code.js";
import { compileCopy, faultFootprint, faultReady, hits, takeFault, walked } from "./fault.js";
import { frameOf, type PageSlots, PRESENT, permits, type State, WRITABLE } from "./memory.js";

export interface AccessPlan {
	readonly page: PageSlots;
	readonly write: boolean;
	/** write: the value. */
	readonly value: number;
	/** read: where the value goes. */
	readonly register: number;
	/** The strategy's steps of wp_page_copy. */
	readonly cow: readonly Step[];
}

const labelOf = (plan: AccessPlan): string => (plan.write ? `write ${plan.page.name}=${plan.value}` : `read ${plan.page.name}`);

function perform(code: ThreadCode, s: State, plan: AccessPlan, entry: number): void {
	if (plan.write) code.memory.write(s, plan.page, entry, plan.value);
	else s[plan.register] = code.memory.read(s, plan.page, entry) + 1;
}

/**
 * Through the CPU's page table, with a TLB of its own: a host thread, or an SVA device, whose faults the host serves as page requests.
 * `tlb`: the slot of the TLB's entry.
 */
export function compileHostAccess(code: ThreadCode, plan: AccessPlan, tlb: number): void {
	const { page, write } = plan;
	const { footprint } = code;
	const access: Label = { at: code.here };
	const copy = code.here + 1;
	const done: Label = { at: -1 };
	code.emit({
		label: labelOf(plan),
		page,
		reads: faultFootprint(code, page) | footprint.secondary(page),
		writes: faultFootprint(code, page) | footprint.secondary(page),
		ready: (s) => hits(s[tlb], write) || permits(s[page.pte], write) || faultReady(s, page, write),
		run: (s) => {
			if (!hits(s[tlb], write)) {
				if (!permits(s[page.pte], write)) return takeFault(code, s, page, write) ? copy : access.at;
				s[page.pte] = walked(s[page.pte], write);
				s[tlb] = s[page.pte];
			}
			perform(code, s, plan, s[tlb]);
			return done.at;
		},
	});
	if (write) compileCopy(code, page, plan.cow, access);
	done.at = code.here;
}

/** Where a secondary MMU with a table of its own keeps things: KVM's TDP table, or a mirror's. */
interface SecondaryTable {
	readonly entry: number;
	/** -1: no TLB beside the table. */
	readonly tlb: number;
	readonly sequence: number;
	/** Whether an invalidation that covers the page is in progress. */
	blocked(s: State): boolean;
	/** Whether a fault that begins while blocked waits (a mirror), or spins (KVM). */
	readonly waits: boolean;
}

/** A guest, through its SPTE and TLB. `vcpu`: its number. */
export function compileGuestAccess(code: ThreadCode, plan: AccessPlan, vcpu: number): void {
	const { memory } = code;
	const { page } = plan;
	compileSecondaryAccess(code, plan, {
		entry: page.spte,
		tlb: page.guestTlbs[vcpu] ?? -1,
		sequence: memory.seq,
		blocked: (s) => memory.inHull(s, page),
		waits: false,
	});
}

/** A device with a table of its own and an interval notifier: read_begin, hmm_range_fault, lock, read_retry. */
export function compileMirrorAccess(code: ThreadCode, plan: AccessPlan): void {
	const { page } = plan;
	compileSecondaryAccess(code, plan, {
		entry: page.mirror,
		tlb: -1,
		sequence: page.mirrorSeq,
		blocked: (s) => s[page.mirrorCount] !== 0,
		waits: true,
	});
}

function compileSecondaryAccess(code: ThreadCode, plan: AccessPlan, table: SecondaryTable): void {
	const { memory, locals, footprint } = code;
	const { page, write } = plan;
	const access: Label = { at: code.here };
	const gup = code.here + 1;
	const install = code.here + 2;
	const copy = code.here + 3;
	const done: Label = { at: -1 };
	const seen = footprint.secondary(page) | footprint.frames(page);
	/**
	 * A fault that begins while a bracket over its page is open is stale whenever it ends: in progress, or the sequence has moved. If its gup would
	 * change nothing either, the attempt changes nothing, and need not be explored.
	 */
	const useful = (s: State): boolean => !table.blocked(s) || (!table.waits && !permits(s[page.pte], write));
	const through = (s: State): boolean => (table.tlb >= 0 && hits(s[table.tlb], write)) || permits(s[table.entry], write);
	code.emit({
		label: labelOf(plan),
		page,
		reads: seen | footprint.pte(page) | footprint.vm,
		writes: seen,
		ready: (s) => through(s) || useful(s),
		run: (s) => {
			if (table.tlb >= 0 && hits(s[table.tlb], write)) {
				perform(code, s, plan, s[table.tlb]);
				return done.at;
			}
			if (permits(s[table.entry], write)) {
				s[table.entry] = walked(s[table.entry], write);
				if (table.tlb >= 0) s[table.tlb] = s[table.entry];
				perform(code, s, plan, s[table.entry]);
				return done.at;
			}
			s[locals.snapshot] = s[table.sequence];
			return gup;
		},
	});
	code.emit({
		label: "gup",
		page,
		reads: faultFootprint(code, page),
		writes: faultFootprint(code, page),
		ready: (s) => permits(s[page.pte], write) || faultReady(s, page, write),
		run: (s) => {
			if (!permits(s[page.pte], write)) return takeFault(code, s, page, write) ? copy : gup;
			if (write) s[page.pte] = walked(s[page.pte], write);
			s[locals.found] = s[page.pte] & (PRESENT | WRITABLE | 0x0f);
			memory.pin(s, frameOf(s[page.pte]));
			return install;
		},
	});
	code.emit({
		label: "install",
		page,
		reads: seen | footprint.vm | footprint.pte(page),
		writes: seen,
		run: (s) => {
			const found = s[locals.found];
			if (!table.blocked(s) && s[table.sequence] === s[locals.snapshot]) {
				const old = s[table.entry];
				const narrows = frameOf(old) !== frameOf(found) || (old & WRITABLE & ~found) !== 0;
				if (table.tlb >= 0 && (old & PRESENT) !== 0 && narrows) memory.flushGuests(s, page);
				memory.install(s, table.entry, found);
			}
			s[locals.found] = 0;
			s[locals.snapshot] = 0;
			memory.unpin(s, frameOf(found));
			return access.at;
		},
	});
	// A mirror's sequence is its own: it reads again.
	if (write) compileCopy(code, page, plan.cow, { at: gup }, table.waits ? -1 : locals.snapshot);
	done.at = code.here;
}
