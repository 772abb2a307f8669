// The event loop: the records of a block in order. Runs of accesses that no strategy has an exit for are passed in hits.ts; everything else is a call away.
import { argument, code } from "./arguments";
import { addFastAccesses, countAllBy, countFastMiss, fastMissesSoFar } from "./counters";
import { agentAt, argumentAt, argumentEnd, countOps, events, opOf, pageAt, payload } from "./decode";
import { setPassed } from "./exits";
import { refuse } from "./failure";
import { guestAccess, isWrite, WRITES } from "./fault";
import { AGENT_SHIFT, Code, Counter, Failure, Hint, OPERATION, Stop } from "./generated/constants";
import { left, passPlain } from "./hits";
import { beginRecord, endRecord, isLogFull, startLog, stopLog } from "./log";
import { access, operate } from "./operations";
import { suspect } from "./oracle";
import { meetAgent, needOf, startRows } from "./rows";
import { endRun, placeOf } from "./shard";
import { anyHuge, hitsHuge, hitsSmall, l1Bytes, l1Shape } from "./tlb";
import { judge, touch } from "./touch";
import { setOf } from "./ways";
import { setEvent, strategies, tlbOf, Vcpu } from "./world";

/** The next record of the block, and its number in the trace. */
export let next: u32 = 0;
/** The record that \`replay\` stops before. */
let limit: u32 = 0;
let firstSequence: u64 = 0;
let argumentCursor: usize = 0;

export function startBlock(sequence: u64): void {
	next = 0;
	limit = events;
	firstSequence = sequence;
	argumentCursor = argumentAt;
	startRows();
}

/** The strategies in which an access does not hit the first level, or must be looked at in any case. */
function missedBy(vcpu: Vcpu, page: u64, need: u32): u32 {
	let at = setOf(l1Shape, vcpu.l1, page);
	let missed = vcpu.pending | suspect;
	for (let strategy: u32 = 0; strategy < strategies; strategy++) {
		const tlb = tlbOf(vcpu, strategy);
		if (((missed >> strategy) & 1) == 0 && !hitsSmall(at, page, need) && !(anyHuge && hitsHuge(tlb, page, need))) missed |= 1 << strategy;
		if (((missed >> strategy) & 1) != 0) countFastMiss(strategy);
		at += l1Bytes;
	}
	return missed;
}

// Of the records since `replay` was called: accesses of guests that the event loop took itself, and stores that it did not take.
let accesses: u64 = 0;
let otherWrites: u64 = 0;

/** From `next` on: Stop.end at the block's end (or before `limit`), Stop.mark behind a mark that begins a phase, Stop.failure at a record that cannot be. */
export function replay(): u32 {
	const from = next;
	const missesBefore = fastMissesSoFar();
	accesses = 0;
	otherWrites = 0;
	const stop = replayRecords();
	judge(accesses, fastMissesSoFar() - missesBefore);
	addFastAccesses(accesses);
	const writes = countOps(from, next, WRITES) - otherWrites;
	countAllBy(Counter.accesses_guestWrite, writes);
	countAllBy(Counter.accesses_guestRead, accesses - writes);
	endRun(from, next, stop == Stop.end && next == events);
	setPassed(0);
	if (stop == Stop.end && next == events && argumentCursor != argumentEnd) {
		refuse(Failure.argumentsLeft, argumentEnd - argumentCursor, <u32>(argumentCursor - payload));
		return Stop.failure;
	}
	return stop;
}

function replayRecords(): u32 {
	let untouched = next;
	while (next < limit) {
		if (next == untouched) untouched = touch(next, limit);
		const first = next;
		next = passPlain(first, min<u32>(limit, untouched));
		accesses += next - first;
		if (next == limit || next == untouched) continue;
		const op = opOf(next);
		const kind = op & 7;
		const agent = agentAt(op >> AGENT_SHIFT);
		const page = agent.base + load<u32>(pageAt + ((<usize>next) << 2));
		setEvent(firstSequence + placeOf(next));
		if (kind == OPERATION) {
			setPassed(accesses);
			argumentCursor = operate(agent, page, argumentCursor);
			if (argumentCursor == 0) return Stop.failure;
			next++;
			if (code == Code.mark && argument(1) == 0) return Stop.mark;
			continue;
		}
		if (agent.vcpu == 0) {
			setPassed(accesses);
			if (!access(agent, kind, page, Hint.derive, 0)) return Stop.failure;
			if (isWrite(kind)) otherWrites++;
			if (agent.vcpu != 0) meetAgent(op >> AGENT_SHIFT);
		} else {
			accesses++;
			takeAccess(changetype<Vcpu>(agent.vcpu), page, kind);
		}
		next++;
	}
	return Stop.end;
}

/** An access of which `passPlain` has left some strategies, or which it does not take at all. */
function takeAccess(vcpu: Vcpu, page: u64, kind: u32): void {
	const missed = left != 0 ? countLeft(left) : missedBy(vcpu, page, needOf(kind));
	if (missed == 0) return;
	setPassed(accesses);
	guestAccess(vcpu, page, kind, Hint.derive, missed);
}

function countLeft(missed: u32): u32 {
	for (let rest = missed; rest != 0; rest &= rest - 1) countFastMiss(ctz(rest));
	return missed;
}

/** The same, record by record with a log of it; also Stop.full, to be called again. */
export function replayLogged(): u32 {
	startLog();
	let stop: u32 = Stop.end;
	while (stop == Stop.end && !isLogFull()) {
		beginRecord(next);
		limit = min<u32>(next + 1, events);
		stop = replay();
		endRecord();
		if (next == events) break;
	}
	limit = events;
	stopLog();
	return stop == Stop.end && next < events ? <u32>Stop.full : stop;
}
