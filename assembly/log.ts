// What happens at each record, written down for a time line while the host asks for it (src/engine/eventlog.ts): vmexits, zaps, and what some
// counters grew by. The replay of a block then comes back when the log is full.
import { counterOf } from "./counters";
import { LOG_CAPACITY, LOG_ENTRY_BYTES, LOGGED_COUNTERS, LOGGED_COUNTERS_COUNT, Log } from "./generated/constants";
import { reserve } from "./heap";
import { ABSENT_LOGGED } from "./layout";
import { makeRecord, Root } from "./pagetable";
import { exists, firstVm, strategies, Vcpu, Vm } from "./world";

/** Zaps of one record and strategy that are written down one by one; all of them are in the counters. */
// @ts-ignore: decorator
@inline
const MAX_ZAPS: u32 = 512;
/** What one record can cause fits behind it: its zaps, and an exit of every vCPU where a bracket ends. */
// @ts-ignore: decorator
@inline
const FULL: u32 = LOG_CAPACITY / 4;

export let logging: bool = false;
export let entries: usize = 0;
export let entryCount: u32 = 0;
/** Index of the record in its block. */
let record: u32 = 0;
/** What the counters were before it, a strategy after the other. */
let before: usize = 0;
/** Zaps of it, a u32 a strategy. */
let zaps: usize = 0;

export function resetLog(): void {
	logging = false;
	entryCount = 0;
	entries = 0;
}

export function startLog(): void {
	if (entries == 0) {
		entries = reserve(<usize>LOG_CAPACITY * LOG_ENTRY_BYTES);
		before = reserve(<usize>strategies * LOGGED_COUNTERS_COUNT * 8);
		zaps = reserve(<usize>strategies * 4);
	}
	logging = true;
	entryCount = 0;
}

export function stopLog(): void {
	logging = false;
}

export function isLogFull(): bool {
	return entryCount >= FULL;
}

function write(what: u32, strategy: u32, detail: u32, gfn: u64, vm: u32, vcpu: u32, amount: u64): void {
	if (entryCount == LOG_CAPACITY) return;
	const at = entries + <usize>entryCount * LOG_ENTRY_BYTES;
	entryCount++;
	store<u32>(at, record);
	store<u32>(at, what | (strategy << 8) | (detail << 16), 4);
	store<u64>(at, gfn, 8);
	store<u32>(at, vm, 16);
	store<u32>(at, vcpu, 20);
	store<u64>(at, amount, 24);
}

/** `detail`: cause and access, as vmexitsByCause has them. `spte0`: what is absent in address space 0, or 0. */
export function logExit(vcpu: Vcpu, strategy: u32, gfn: u64, spte0: u32, detail: u32): void {
	const missesZap = (spte0 & ABSENT_LOGGED) != 0;
	if (missesZap) {
		// The first exit alone: it may not install, or be one of the other address space.
		const at = makeRecord(vcpu.vm.root0, gfn) + ((<usize>strategy) << 2);
		store<u32>(at, load<u32>(at) & ~ABSENT_LOGGED);
	}
	write(Log.exit, strategy, detail, gfn, vcpu.vm.id, vcpu.id, missesZap ? 1 : 0);
}

function vmOfRoot(root: Root): Vm {
	let vm = firstVm;
	while (exists(vm) && vm.root0 !== root && vm.root1 !== root) vm = vm.next;
	return vm;
}

/** An SPTE of address space 0 is absent since now: the exit that follows will know that its zap was written down. */
export function logZap(root: Root, gfn: u64, strategy: u32, spte: usize): void {
	const seen = zaps + ((<usize>strategy) << 2);
	if (load<u32>(seen) == MAX_ZAPS) return;
	const vm = vmOfRoot(root);
	if (!exists(vm) || vm.root0 !== root) return;
	store<u32>(seen, load<u32>(seen) + 1);
	store<u32>(spte, load<u32>(spte) | ABSENT_LOGGED);
	write(Log.zap, strategy, 0, gfn, vm.id, 0, 1);
}

/** Record `index` comes next. */
export function beginRecord(index: u32): void {
	record = index;
	let at = before;
	for (let strategy: u32 = 0; strategy < strategies; strategy++) {
		store<u32>(zaps + ((<usize>strategy) << 2), 0);
		for (let counter: i32 = 0; counter < LOGGED_COUNTERS_COUNT; counter++) {
			store<u64>(at, counterOf(strategy, load<u16>(LOGGED_COUNTERS + ((<usize>counter) << 1))));
			at += 8;
		}
	}
}

/** What the counters grew by at it. */
export function endRecord(): void {
	let at = before;
	for (let strategy: u32 = 0; strategy < strategies; strategy++) {
		for (let counter: i32 = 0; counter < LOGGED_COUNTERS_COUNT; counter++) {
			const grown = counterOf(strategy, load<u16>(LOGGED_COUNTERS + ((<usize>counter) << 1))) - load<u64>(at);
			if (grown != 0) write(Log.growth, strategy, counter, 0, 0, 0, grown);
			at += 8;
		}
	}
}
