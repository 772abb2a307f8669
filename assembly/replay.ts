// The event loop: the records of a block in order. An access that hits every strategy's TLB with enough rights is done here; everything else
// is a call away.

import { argument, code } from "./arguments";
import { addFastAccesses, countAllBy, fastMisses } from "./counters";
import { agentAt, argumentAt, argumentEnd, events, opAt, opWide, pageAt, payload } from "./decode";
import { setPassed } from "./exits";
import { refuse } from "./failure";
import { guestAccess, WRITES } from "./fault";
import { AGENT_SHIFT, Code, Counter, Failure, Hint, OPERATION, Stop } from "./generated/constants";
import { Bit, TlbBit } from "./layout";
import { beginRecord, endRecord, isLogFull, startLog, stopLog } from "./log";
import { access, operate } from "./operations";
import { suspect } from "./oracle";
import { anyHuge, hitsHuge, hitsWide, l1Bytes, l1Shape } from "./tlb";
import { judge, touch } from "./touch";
import { isNarrow, LINE_ORDER, matchesWith } from "./ways";
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
}

/** A first level that is not one cache line a set, or a 2 MiB entry: out of line. */
function hitsOtherwise(vcpu: Vcpu, strategy: u32, at: usize, page: u64, need: u32, narrow: bool): bool {
	if (!narrow && hitsWide(at, page, need)) return true;
	return anyHuge && hitsHuge(tlbOf(vcpu, strategy), page, need);
}

/** From `next` on: Stop.end at the block's end (or before `limit`), Stop.mark behind a mark that begins a phase, Stop.failure at a record that cannot be. */
export function replay(): u32 {
	const count = limit;
	const stride = l1Bytes;
	const lanes = strategies;
	const narrow = isNarrow(l1Shape);
	const sets = l1Shape.sets;
	const shift = l1Shape.shift;
	const table = l1Shape.table;
	const setBytes = l1Shape.setBytes;
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
			setPassed(accesses);
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
		const index1: usize = shift >= 0 ? <usize>page & (((<usize>1) << shift) - 1) : <usize>(page % sets);
		const tag = <u32>(shift >= 0 ? page >> shift : page / sets);
		let at = vcpu.l1 + index1 * setBytes;
		let missed = vcpu.pending | suspect;
		for (let strategy: u32 = 0; strategy < lanes; strategy++) {
			if (((missed >> strategy) & 1) == 0) {
				const way: u32 = narrow ? matchesWith(at, tag, need) : 0;
				if (way != 0) store<u8>(at, load<u8>(table + ((<usize>load<u8>(at, LINE_ORDER)) << 4) + way), LINE_ORDER);
				else if ((narrow && !anyHuge) || !hitsOtherwise(vcpu, strategy, at, page, need, narrow)) missed |= 1 << strategy;
			}
			at += stride;
		}
		if (missed == 0) continue;
		misses++;
		setEvent(firstSequence + index);
		for (let rest = missed; rest != 0; rest &= rest - 1) {
			const counter = fastMisses + ((<usize>ctz(rest)) << 3);
			store<u64>(counter, load<u64>(counter) + 1);
		}
		setPassed(accesses);
		guestAccess(vcpu, page, kind, Hint.derive, missed);
	}
	next = index;
	judge(accesses, misses);
	addFastAccesses(accesses);
	countAllBy(Counter.accesses_guestWrite, writes);
	countAllBy(Counter.accesses_guestRead, accesses - writes);
	setPassed(0);
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
