// The event loop: the records of a block in order. An access that hits every strategy's TLB with enough rights is done here; everything else
// is a call away.
import { addFastAccesses, countAllBy, fastMisses } from "./counters";
import { agentAt, argumentAt, argumentEnd, events, opAt, opWide, pageAt, payload } from "./decode";
import { refuse } from "./failure";
import { guestAccess, WRITES } from "./fault";
import { AGENT_SHIFT, Code, Counter, Failure, Hint, OPERATION, Stop } from "./generated/constants";
import { Bit, TlbBit } from "./layout";
import { beginRecord, endRecord, isLogFull, startLog, stopLog } from "./log";
import { access, argument, code, operate } from "./operations";
import { suspect } from "./oracle";
import { l1Bytes, l1SetBytes, l1Sets, l1Shift, l1Ways, setIndex, tagOf, toFront } from "./tlb";
import { judge, touch } from "./touch";
import { setEvent, strategies, Vcpu } from "./world";

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
}

/** Whether an access hits the first level of a TLB, with the right and nothing to note; the entry is then the first of its set. */
// @ts-ignore: decorator
@inline
function hits(at: usize, ways: u32, tag: u32, need: u32): bool {
	const entries = at + ((<usize>ways) << 2);
	if (load<u32>(at) == tag) return (load<u32>(entries) & need) == need;
	for (let way: u32 = 1; way < ways; way++) {
		if (load<u32>(at + ((<usize>way) << 2)) != tag) continue;
		const entry = load<u32>(entries + ((<usize>way) << 2));
		if ((entry & need) != need) return false;
		toFront(at, ways, way, tag, entry);
		return true;
	}
	return false;
}

/** From `next` on: Stop.end at the block's end (or before `limit`), Stop.mark behind a mark that begins a phase, Stop.failure at a record that cannot be. */
export function replay(): u32 {
	const count = limit;
	const stride = l1Bytes;
	const lanes = strategies;
	let index = next;
	let accesses: u64 = 0;
	let writes: u64 = 0;
	let misses: u64 = 0;
	let stop: u32 = Stop.end;
	let untouched = index;
	for (; index < count; index++) {
		if (index == untouched) untouched = touch(index, count);
		const op: u32 = opWide ? load<u32>(opAt + ((<usize>index) << 2)) : load<u8>(opAt + index);
		const kind = op & 7;
		const agent = agentAt(op >> AGENT_SHIFT);
		const page = agent.base + load<u32>(pageAt + ((<usize>index) << 2));
		if (kind == OPERATION || agent.vcpu == 0) {
			setEvent(firstSequence + index);
			if (kind != OPERATION) {
				if (access(agent, kind, page, Hint.derive, 0)) continue;
			} else {
				const behind = operate(agent, page, argumentCursor);
				if (behind != 0) {
					argumentCursor = behind;
					if (code != Code.mark || argument(1) != 0) continue;
					stop = Stop.mark;
					index++;
					break;
				}
			}
			stop = Stop.failure;
			break;
		}
		const vcpu = changetype<Vcpu>(agent.vcpu);
		const write: u32 = (WRITES >> kind) & 1;
		accesses++;
		writes += write;
		// Entries are present; a store also needs the right, and content that is known to be the frame's own.
		const need: u32 = Bit.present | (write * (Bit.writable | TlbBit.ownContent));
		const tag = tagOf(page, l1Sets, l1Shift);
		let at = vcpu.l1 + setIndex(page, l1Sets, l1Shift) * l1SetBytes;
		let missed = vcpu.pending | suspect;
		for (let strategy: u32 = 0; strategy < lanes; strategy++) {
			if (((missed >> strategy) & 1) == 0 && !hits(at, l1Ways, tag, need)) missed |= 1 << strategy;
			at += stride;
		}
		if (missed == 0) continue;
		misses++;
		setEvent(firstSequence + index);
		for (let rest = missed; rest != 0; rest &= rest - 1) {
			const counter = fastMisses + ((<usize>ctz(rest)) << 3);
			store<u64>(counter, load<u64>(counter) + 1);
		}
		guestAccess(vcpu, page, kind, Hint.derive, missed);
	}
	next = index;
	judge(accesses, misses);
	addFastAccesses(accesses);
	countAllBy(Counter.accesses_guestWrite, writes);
	countAllBy(Counter.accesses_guestRead, accesses - writes);
	if (stop == Stop.end && index == events && argumentCursor != argumentEnd) {
		refuse(Failure.argumentsLeft, argumentEnd - argumentCursor, <u32>(argumentCursor - payload));
		return Stop.failure;
	}
	return stop;
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
