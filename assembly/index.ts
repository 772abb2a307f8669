// What the host calls: src/engine/engine.ts. No export has default parameters (plain WebAssembly callers would trap); addresses come back
// signed.

import { argument } from "./arguments";
import { resetCounters, settle } from "./counters";
import { crc32c } from "./crc32c";
import { openBlock, payload, reservePayload, resetDecode, stringAt, stringLength, timeAt, timeEnd } from "./decode";
import { resetDevices } from "./devices";
import { firstRange, resetExits } from "./exits";
import { clearFailure, failure, failureAt, failureDetail } from "./failure";
import { resetFaults } from "./fault";
import { resetFiles } from "./files";
import { ksmPages, resetFrames } from "./frames";
import { resetHeap } from "./heap";
import { setHost } from "./kvmhost";
import { listPtes, listSptes, nextMm, nextVm, resetListing, startListing } from "./listing";
import { entries, entryCount, resetLog } from "./log";
import { reserveWhole } from "./operation";
import { resetOperations } from "./operations";
import { resetOracle } from "./oracle";
import { resetTables } from "./pagetable";
import { reservePrograms, startPrograms } from "./programs";
import { setPsc } from "./psc";
import { startRefill } from "./refill";
import { next, replay, replayLogged, startBlock } from "./replay";
import { resetRows } from "./rows";
import { resetShard, setShard, splitBlock } from "./shard";
import { resetSlots } from "./slots";
import { resetSptes } from "./spte";
import { resetSwap } from "./swap";
import { resetTimes, startTimes } from "./times";
import { machineWords, setGeometry } from "./tlb";
import { resetTouch } from "./touch";
import { keptViolations, listOfViolations } from "./violations";
import { resetWindows } from "./windows";
import { Mm, resetWorld, Vm } from "./world";

/**
 * Begin an empty world. Returns where the strategies' encoded programs go, one after the other; `start` follows.
 * `walkReferences`: memory references of one two-dimensional walk; `memoryPages`: WebAssembly pages that the world may use.
 */
export function reset(count: u32, copiesRecorded: bool, check: bool, walkReferences: u32, memoryPages: u32): usize {
	clearFailure();
	resetHeap(memoryPages);
	resetWorld(count, copiesRecorded);
	resetCounters(count, walkReferences);
	resetFrames();
	resetSwap();
	resetFiles();
	resetSlots();
	resetOracle(check);
	resetFaults();
	resetExits();
	resetLog();
	resetDevices();
	resetWindows();
	resetOperations();
	resetDecode();
	resetTimes();
	resetTouch();
	resetTables();
	resetSptes();
	resetRows();
	resetListing();
	resetShard();
	return reservePrograms();
}

/** What KVM on the host is: HostFlag bits. Before `reset`. */
export function host(flags: u32): void {
	setHost(flags);
}

/** One of `count` engines that share a trace out among them (shard.ts). Before `reset`. */
export function shard(count: u32, index: u32): void {
	setShard(count, index);
}

/** The frames of KSM pages: where the entries of a table stand (key u64, frame + 1 or 0 u32, padding), */
export function ksmFrames(): usize {
	return ksmPages().entries;
}

/** and how many. */
export function ksmFrameEntries(): u32 {
	return ksmPages().entries == 0 ? 0 : (<u32>1) << ksmPages().bits;
}

/** Where the words go that tell the machine (MachineWord). */
export function machine(): usize {
	return machineWords();
}

/** Programs and machine are in place. */
export function start(): void {
	setPsc();
	setGeometry();
	startPrograms();
	reserveWhole();
	startRefill();
}

/** Where a block's payload of `bytes` goes. */
export function payloadBuffer(bytes: u32): usize {
	return reservePayload(bytes);
}

/** CRC-32C of the bytes of the payload that is in place. */
export function checksum(bytes: u32): u32 {
	return crc32c(payload, bytes);
}

/** The payload is in place: find and check its columns. False: see the failure. */
export function decode(bytes: u32, events: u32, firstSequence: f64, firstNs: f64, maxEntries: u32, maxString: u32): bool {
	clearFailure();
	if (!openBlock(bytes, events, maxEntries, maxString)) return false;
	splitBlock();
	startBlock(<u64>firstSequence);
	startTimes(timeAt, timeEnd, <u64>firstSequence, <u64>firstNs);
	return true;
}

/** Replay the block from where it stopped; a Stop. */
export function run(): u32 {
	return replay();
}

/** The same with a log (log.ts), which holds what has happened since the call. */
export function runLogged(): u32 {
	return replayLogged();
}

export function logEntries(): usize {
	return entries;
}

export function logEntryCount(): u32 {
	return entryCount;
}

/** Records of the block that are replayed: after a failure, the index of the one to blame. */
export function position(): u32 {
	return next;
}

export function failureCode(): u32 {
	return failure;
}

export function failureOffset(): u32 {
	return failureAt;
}

export function failureNumber(): f64 {
	return <f64>failureDetail;
}

/** Phase and label of the mark at which `run` stopped. */
export function markPhase(): f64 {
	return <f64>argument(0);
}

export function markLabel(): usize {
	return stringAt(<u32>argument(2));
}

export function markLabelBytes(): u32 {
	return stringLength(<u32>argument(2));
}

/** The counters as they are now: u64, strategy after strategy. */
export function counters(): usize {
	return settle();
}

/** A strategy's violations of coherence: how many are kept, and where they stand, VIOLATION_WORDS each. */
export function violationsKept(strategy: u32): u32 {
	return keptViolations(strategy);
}

export function violationList(strategy: u32): usize {
	return listOfViolations(strategy);
}

/** Where vmexits happened (exits.ts): the first Range; 0: there is none. */
export function exitRanges(): usize {
	return changetype<usize>(firstRange);
}

// The state, as listing.ts has it.
export function mmAfter(at: usize): usize {
	return nextMm(at);
}

export function mmId(at: usize): u32 {
	return changetype<Mm>(at).id;
}

export function vmAfter(at: usize): usize {
	return nextVm(at);
}

export function vmId(at: usize): u32 {
	return changetype<Vm>(at).id;
}

export function beginListing(): usize {
	return startListing();
}

export function morePtes(mm: usize): u32 {
	return listPtes(changetype<Mm>(mm));
}

export function moreSptes(vm: usize, addressSpace: u32, strategy: u32): u32 {
	return listSptes(changetype<Vm>(vm), addressSpace, strategy);
}
