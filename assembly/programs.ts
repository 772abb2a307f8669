// The strategies' step lists (src/strategies/steps.ts) in the engine's memory, and what is asked of them again and again.
import { Kind, OPERATION_KINDS, STEP_LIST_BYTES, StepCode, StepParam } from "./generated/constants";
import { reserve } from "./heap";
import { PROGRAM_BYTES } from "./layout";
import { Operation } from "./operation";
import { strategies } from "./world";

let programs: usize = 0;

/** What of a list is done when: of each list, for each of its parts, the steps that do anything there. */
const enum Part {
	begin = 0,
	commit = 1,
	end = 2,
}
// @ts-ignore: decorator
@inline
const PARTS: usize = 3;
let parts: usize = 0;

/** Kinds (bits) whose lists flush the primary TLB, and whose lists set the PTE: the same in all strategies, the host sees to that. */
export let flushing: u32 = 0;

export let setting: u32 = 0;

/** Strategies (bits) in which a fault is not stale for its own copy (10.2). */
export let ownCowAware: u32 = 0;

/** Strategies (bits) by kind: whose lists have notify-secondary-tlb, and set-pte-write-protected, there with reuse allowed or not. */
export const telling = memory.data(<i32>(OPERATION_KINDS * 4));

export const keeping = memory.data(<i32>(OPERATION_KINDS * 4));

export const reusing = memory.data(<i32>(OPERATION_KINDS * 4));

/** Room for the strategies' programs; `startPrograms` once they are there. */
export function reservePrograms(): usize {
	programs = reserve(PROGRAM_BYTES * strategies);
	parts = reserve(PROGRAM_BYTES * PARTS * strategies);
	return programs;
}

export function startPrograms(): void {
	flushing = 0;
	setting = 0;
	ownCowAware = 0;
	for (let kind: u32 = 0; kind < <u32>OPERATION_KINDS; kind++) {
		const place = (<usize>kind) << 2;
		store<u32>(telling + place, 0);
		store<u32>(keeping + place, 0);
		store<u32>(reusing + place, 0);
		for (let strategy: u32 = 0; strategy < strategies; strategy++) {
			noteList(strategy, kind);
			divide(strategy, kind);
		}
		for (let step = program(0, kind); load<u8>(step) != 0; step += 2) {
			if (load<u8>(step) == StepCode.clearFlush) flushing |= 1 << kind;
			if (load<u8>(step) == StepCode.setPte) setting |= 1 << kind;
		}
	}
}

function noteList(strategy: u32, kind: u32): void {
	const bit: u32 = 1 << strategy;
	const place = (<usize>kind) << 2;
	for (let step = program(strategy, kind); load<u8>(step) != 0; step += 2) {
		const code = load<u8>(step);
		if (code == StepCode.allocCopy && kind == <u32>Kind.cow && (load<u8>(step, 1) & StepParam.retryUnlessOwn) != 0) ownCowAware |= bit;
		if (code == StepCode.notifySecondaryTlb) store<u32>(telling + place, load<u32>(telling + place) | bit);
		if (code != StepCode.setPteWriteProtected) continue;
		store<u32>(keeping + place, load<u32>(keeping + place) | bit);
		if ((load<u8>(step, 1) & StepParam.reuseAllowed) != 0) store<u32>(reusing + place, load<u32>(reusing + place) | bit);
	}
}

/** The strategies of one of these lists for the kind of an operation. */
// @ts-ignore: decorator
@inline
export function having(lists: usize, op: Operation): u32 {
	return load<u32>(lists + ((<usize>op.kind) << 2));
}

/** Up to the lock, from there to the unlock, and behind it: which steps of a list count where. */
function divide(strategy: u32, kind: u32): void {
	let begins = partOf(strategy, kind, Part.begin);
	let commits = partOf(strategy, kind, Part.commit);
	let ends = partOf(strategy, kind, Part.end);
	const list = program(strategy, kind);
	const lock = lockIn(list);
	let unlocked = false;
	for (let step = list; load<u8>(step) != 0; step += 2) {
		const code = load<u8>(step);
		if (code == StepCode.unlock) unlocked = true;
		if (code == StepCode.rangeStart || (code == StepCode.invalidateRange && step < lock)) begins = append(begins, step);
		if (code == StepCode.clearFlush || code == StepCode.notifySecondaryTlb || code == StepCode.setPte) commits = append(commits, step);
		if (code == StepCode.changePte || code == StepCode.bumpSeq) commits = append(commits, step);
		if (code == StepCode.invalidateMissing && !unlocked) commits = append(commits, step);
		if (code == StepCode.invalidateRange && !unlocked && step > lock) commits = append(commits, step);
		if (code == StepCode.rangeEnd || code == StepCode.makeWritable) ends = append(ends, step);
		if ((code == StepCode.invalidateRange || code == StepCode.invalidateMissing) && unlocked) ends = append(ends, step);
	}
	store<u16>(begins, 0);
	store<u16>(commits, 0);
	store<u16>(ends, 0);
}

function append(to: usize, step: usize): usize {
	store<u16>(to, load<u16>(step));
	return to + 2;
}

/** The step at which a list takes the page-table lock; 0 where it does not. */
function lockIn(list: usize): usize {
	for (let step = list; load<u8>(step) != 0; step += 2) if (load<u8>(step) == StepCode.lock) return step;
	return 0;
}

// @ts-ignore: decorator
@inline
function program(strategy: u32, kind: u32): usize {
	return programs + <usize>strategy * PROGRAM_BYTES + <usize>kind * STEP_LIST_BYTES;
}

// @ts-ignore: decorator
@inline
function partOf(strategy: u32, kind: u32, part: usize): usize {
	return parts + (<usize>strategy * PARTS + part) * PROGRAM_BYTES + <usize>kind * STEP_LIST_BYTES;
}

/** Up to range-start: that and invalidate-range. */
// @ts-ignore: decorator
@inline
export function beginOf(strategy: u32, kind: u32): usize {
	return partOf(strategy, kind, Part.begin);
}

/** Under the lock. */
// @ts-ignore: decorator
@inline
export function commitOf(strategy: u32, kind: u32): usize {
	return partOf(strategy, kind, Part.commit);
}

/** From the unlock on. */
// @ts-ignore: decorator
@inline
export function endOf(strategy: u32, kind: u32): usize {
	return partOf(strategy, kind, Part.end);
}
