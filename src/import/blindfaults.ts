// Faults of a capture without SPTE changes (bpftrace's recipe): which of them installed, what they found, and why each was taken, from the faults and
// ranges alone. A fault that its vCPU does not repeat has installed (model.md section 3, rule 5); error_code bit 0 tells a read-only entry from none.
import { SpteBit, VMEXIT_CAUSES } from "../trace/kinds.js";
import type { CapturedVm } from "./host.js";
import { type BracketItem, type FaultItem, type Item, ZAP_OF } from "./items.js";
import { pageOf } from "./tracefs.js";

const PRESENT = 1;
const WRITE = 2;

interface Step {
	readonly at: number;
	/** Ends come before begins at one place. */
	readonly rank: number;
	run(): void;
}

/** Every vCPU's faults in order. */
function lanes(items: readonly Item[]): FaultItem[][] {
	const found = new Map<string, FaultItem[]>();
	for (const item of items) {
		if (item.kind !== "fault" || item.mmio) continue;
		const key = `${item.vm.id}.${item.vcpu}`;
		const lane = found.get(key) ?? [];
		found.set(key, lane);
		lane.push(item);
	}
	return [...found.values()];
}

/** A read that found no entry found the zero page if the next fault on its page is a write to a read-only entry, and no range came between. */
function findFilled(faults: readonly FaultItem[], ranges: ReadonlyMap<CapturedVm, ReadonlyMap<number, readonly number[]>>): void {
	const lastRead = new Map<number, FaultItem>();
	for (const fault of faults) {
		const gfn = pageOf(fault.gpa);
		const before = lastRead.get(gfn);
		lastRead.delete(gfn);
		if (before !== undefined && (fault.errorCode & (WRITE | PRESENT)) === (WRITE | PRESENT)) {
			const page = fault.vm.hvaPage(0, gfn);
			const between =
				ranges
					.get(fault.vm)
					?.get(page)
					?.some((at) => at > before.begin && at < fault.begin) === true;
			before.filled = between;
		}
		if ((fault.errorCode & WRITE) === 0) {
			fault.filled = true;
			if (fault.installed) lastRead.set(gfn, fault);
		}
	}
}

/** Changes the faults of `items` in place. */
export function resolveBlindFaults(items: readonly Item[]): void {
	for (const lane of lanes(items)) {
		for (const [at, fault] of lane.entries()) {
			const next = lane[at + 1];
			const repeated = next !== undefined && pageOf(next.gpa) === pageOf(fault.gpa) && next.rip === fault.rip;
			fault.installed = !repeated;
			if (fault.installed) fault.end = fault.begin;
		}
	}
	const ranges = new Map<CapturedVm, Map<number, number[]>>();
	for (const item of items) {
		if (item.kind !== "bracket" || !item.hit || item.pages > 512) continue;
		const pages = ranges.get(item.vm) ?? new Map<number, number[]>();
		ranges.set(item.vm, pages);
		for (let page = item.page; page < item.page + item.pages; page++) pages.set(page, [...(pages.get(page) ?? []), item.begin]);
	}
	const byVm = new Map<CapturedVm, FaultItem[]>();
	for (const item of items) if (item.kind === "fault" && !item.mmio) byVm.set(item.vm, [...(byVm.get(item.vm) ?? []), item]);
	for (const faults of byVm.values()) findFilled(faults, ranges);
	classify(items);
}

/** The class of each fault, by what the ranges before it zapped. */
function classify(items: readonly Item[]): void {
	const steps: Step[] = [];
	const open = new Map<CapturedVm, Set<BracketItem>>();
	for (const item of items) {
		if (item.kind === "fault" && !item.mmio) {
			const gfn = pageOf(item.gpa);
			item.vm.sptes(0).set(gfn, 0, 0);
			steps.push({ at: item.begin, rank: 1, run: () => takeFault(item, gfn) });
			if (!item.installed) steps.push({ at: item.end, rank: 0, run: () => retry(item, gfn, open.get(item.vm)) });
		} else if (item.kind === "bracket" && item.hit) {
			steps.push({
				at: item.begin,
				rank: 1,
				run: () => {
					const brackets = open.get(item.vm) ?? new Set();
					open.set(item.vm, brackets.add(item));
					zap(item);
				},
			});
			steps.push({ at: item.end, rank: 0, run: () => void open.get(item.vm)?.delete(item) });
		}
	}
	for (const step of steps.sort((a, b) => a.at - b.at || a.rank - b.rank)) step.run();
}

function takeFault(fault: FaultItem, gfn: number): void {
	const sptes = fault.vm.sptes(0);
	const protection = (fault.errorCode & PRESENT) !== 0;
	const absent = sptes.absent(gfn);
	fault.cause = !protection ? absent : VMEXIT_CAUSES.indexOf((fault.errorCode & WRITE) !== 0 ? "readOnlySpte" : "other");
	if (fault.observed !== null) fault.observed.args[2] = fault.cause;
	if (fault.installed) sptes.set(gfn, SpteBit.present, absent);
}

function retry(fault: FaultItem, gfn: number, open: ReadonlySet<BracketItem> | undefined): void {
	const sptes = fault.vm.sptes(0);
	if ((sptes.bits(gfn) & SpteBit.present) !== 0) return;
	const page = fault.vm.hvaPage(0, gfn);
	let inHull = false;
	if (open !== undefined && open.size > 0) {
		const starts = [...open].map((bracket) => bracket.page);
		const ends = [...open].map((bracket) => bracket.page + bracket.pages);
		inHull = page >= Math.min(...starts) && page < Math.max(...ends);
	}
	sptes.set(gfn, 0, VMEXIT_CAUSES.indexOf(inHull ? "retryInProgress" : fault.ownCow ? "retryAfterCow" : "retryOther"));
}

function zap(bracket: BracketItem): void {
	const sptes = bracket.vm.sptes(0);
	const cause = VMEXIT_CAUSES.indexOf(ZAP_OF[bracket.name]);
	for (const slot of bracket.vm.slots) {
		if (slot.as !== 0) continue;
		const from = Math.max(bracket.page, slot.page);
		const to = Math.min(bracket.page + bracket.pages, slot.page + slot.pages);
		for (let page = from; page < to; page++) {
			const gfn = slot.gfn + page - slot.page;
			if ((sptes.bits(gfn) & SpteBit.present) !== 0) sptes.set(gfn, 0, cause);
		}
	}
}
