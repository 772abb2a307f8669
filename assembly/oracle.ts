// Coherence (kernel.md section 6): is what a translation leads to the page that the host maps there, or one with its content?
//
// Asking at every access would cost a walk for every TLB hit. Instead the engine watches the one thing that can make a translation stale:
// a change of a PTE. As long as after each of them every SPTE of a strategy still agrees with the PTEs (same frame, no right more), every
// TLB entry does too, since whatever takes or changes an SPTE flushes, and no access can go wrong. A strategy that breaks the agreement once
// is `suspect` from then on: each of its accesses is held against the primary table as the reference model does it. To be suspected wrongly
// costs time and changes no result.
import { sameContent, writeContent } from "./contents";
import { count } from "./counters";
import { FrameBit, wordOf } from "./frames";
import { Counter } from "./generated/constants";
import { reserve } from "./heap";
import { Bit, FRAME_SHIFT, NO_PAGE, PAGE_LIMIT, TARGET_MASK } from "./layout";
import { leafEnd, leafOf, nextPresent, recordIn } from "./pagetable";
import { pteOf } from "./primary";
import { collect, Hit, hitAt, hitCount, hvaOf, Run, runAt } from "./slots";
import { allStrategies, event, exists, Mm, rootOf, strategies, Vcpu, Vm } from "./world";

/** The first violation of a strategy. rule: index into RULES of src/engine/boundary.ts; 0 = none. */
@unmanaged
export class Violation {
	event: u64;
	gfn: u64;
	rule: u32;
	vm: u32;
	vcpu: u32;
}
// @ts-ignore: decorator
@inline
const FREED_PAGE: u32 = 1;
// @ts-ignore: decorator
@inline
const OTHER_PAGE: u32 = 2;
// @ts-ignore: decorator
@inline
const READ_ONLY_PAGE: u32 = 3;

/** Strategies whose translations may be stale. */
export let suspect: u32 = 0;
let checking: bool = true;
let violations: usize = 0;

export function resetOracle(check: bool): void {
	suspect = 0;
	checking = check;
	violations = reserve(offsetof<Violation>() * strategies);
}

export function suspectAll(): void {
	suspect = allStrategies;
}

/** A strategy leaves TLB entries behind that its SPTEs no longer have. */
export function suspectOne(strategy: u32): void {
	suspect |= 1 << strategy;
}

export function violationOf(strategy: u32): Violation {
	return changetype<Violation>(violations + <usize>strategy * offsetof<Violation>());
}

function violate(strategy: u32, rule: u32, vcpu: Vcpu, gfn: u64): void {
	count(strategy, Counter.coherence_violations);
	const first = violationOf(strategy);
	if (first.rule != 0) return;
	first.rule = rule;
	first.event = event;
	first.gfn = gfn;
	first.vm = vcpu.vm.id;
	first.vcpu = vcpu.id;
}

/** One access of a suspect strategy through a translation to `frame` (I-1, I-2, I-3). */
export function observe(vcpu: Vcpu, strategy: u32, addressSpace: u32, gfn: u64, frame: u32, write: bool): void {
	if (!checking) return;
	const page = hvaOf(vcpu.vm, addressSpace, gfn);
	const pte = page == NO_PAGE ? 0 : pteOf(vcpu.vm.mm, page);
	const mapped = pte >> FRAME_SHIFT;
	if ((wordOf(frame) & FrameBit.freed) != 0) violate(strategy, FREED_PAGE, vcpu, gfn);
	else if ((pte & Bit.present) == 0) violate(strategy, OTHER_PAGE, vcpu, gfn);
	else if (mapped != frame && (write || !sameContent(mapped, frame, strategy))) violate(strategy, OTHER_PAGE, vcpu, gfn);
	else if (write && (pte & Bit.writable) == 0) violate(strategy, READ_ONLY_PAGE, vcpu, gfn);
	if (write) writeContent(frame, strategy);
}

/** Hold the SPTEs of a record against the PTE of its page. */
// @ts-ignore: decorator
@inline
function compare(record: usize, pte: u32): void {
	for (let strategy: u32 = 0; strategy < strategies; strategy++) {
		const spte = load<u32>(record + ((<usize>strategy) << 2));
		if ((spte & Bit.present) == 0) continue;
		if (((spte ^ pte) & TARGET_MASK) != 0 || (spte & ~pte & Bit.writable) != 0) suspect |= 1 << strategy;
	}
}

function compareRun(vm: Vm, run: Run): void {
	const root = rootOf(vm, run.addressSpace);
	const end = run.gfn + run.pages;
	const stride = (<usize>root.words) << 2;
	for (let at = nextPresent(root, run.gfn, end); at < end; at = nextPresent(root, at, end)) {
		const next = leafEnd(at, end);
		let record = recordIn(root, leafOf(root, at), at);
		for (; at < next; at++) {
			if (anyPresent(record)) compare(record, pteOf(vm.mm, run.page + (at - run.gfn)));
			record += stride;
		}
	}
}

// @ts-ignore: decorator
@inline
function anyPresent(record: usize): bool {
	let any: u32 = 0;
	for (let strategy: u32 = 0; strategy < strategies; strategy++) any |= load<u32>(record + ((<usize>strategy) << 2));
	return (any & Bit.present) != 0;
}

/** PTEs of the range that was collected last have changed. */
export function compareCollected(): void {
	for (let index: u32 = 0; index < hitCount && suspect != allStrategies; index++) {
		const hit: Hit = hitAt(index);
		for (let run: u32 = 0; run < hit.runs; run++) compareRun(hit.vm, runAt(hit.firstRun + run));
	}
}

/** PTEs of [page, page + pages) have changed without an operation of the notifiers. */
export function comparePages(mm: Mm, page: u64, pages: u64): void {
	if (!exists(mm.firstVm) || page >= PAGE_LIMIT) return;
	collect(mm, page, pages);
	compareCollected();
}
