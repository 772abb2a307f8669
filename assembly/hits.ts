// Runs of plain hits: accesses of guests whose vCPUs have nothing pending, which hit the first level of every strategy's TLB. The event loop takes
// whatever else there is; a record that turns out to be something else is left to it untouched, but for the order of use in some strategies' sets,
// where using a way twice is using it once.
//
// What a record's `op` stands for is worked out once a block: a row of 16 bytes for each agent and kind of access, found by `op` itself:
//
//	row   | first level of its vCPU: u32 | tag of page 0 of its agent: u32 | rights that it needs: u32 | 0 |
//
// Rows of what is no plain access lead to a set without entries.
import { Agent, agentAt, agentCount, events, opAt, opWide, pageAt } from "./decode";
import { pendingChanges, WRITES } from "./fault";
import { AGENT_SHIFT, AgentKind, OPERATION } from "./generated/constants";
import { give, reserve, take } from "./heap";
import { Bit, PAGE_LIMIT, TlbBit } from "./layout";
import { suspect } from "./oracle";
import { useLine } from "./order";
import { isNarrow, LINE_SHIFT } from "./shape";
import { l1Bytes, l1Shape } from "./tlb";
import { matchesWith } from "./ways";
import { exists, findVcpu, strategies, Vcpu } from "./world";

// @ts-ignore: decorator
@inline
const ROW_SHIFT: usize = 4;
// @ts-ignore: decorator
@inline
const KINDS: u32 = 1 << AGENT_SHIFT;
/** No entry has it. */
// @ts-ignore: decorator
@inline
const NO_RIGHT: u32 = 1 << 5;

let rows: usize = 0;
let rowBytes: usize = 0;
/** The block has rows: the first level is one cache line a set, and the block long enough for rows to pay. */
let ready: bool = false;
/** A set without entries, as wide as a first level. */
let nothing: usize = 0;
/** What the rows were made from. */
let knownSuspect: u32 = 0;
let knownPending: u64 = 0;

export function resetHits(): void {
	rows = 0;
	rowBytes = 0;
	ready = false;
	nothing = 0;
}

/** Rights that an access asks of an entry: a store also needs content that is known to be the frame's own. */
// @ts-ignore: decorator
@inline
export function needOf(kind: u32): u32 {
	return Bit.present | (((WRITES >> kind) & 1) * (Bit.writable | TlbBit.ownContent));
}

/** A block has been opened. */
export function startHits(): void {
	ready = isNarrow(l1Shape) && l1Shape.shift >= 0 && agentCount <= events >> 2;
	if (!ready) return;
	if (nothing == 0) nothing = reserve(l1Bytes);
	const bytes = (<usize>(agentCount * KINDS)) << ROW_SHIFT;
	if (bytes > rowBytes) {
		if (rows != 0) give(rows, rowBytes);
		rows = take(bytes);
		rowBytes = bytes;
	}
	for (let index: u32 = 0; index < agentCount; index++) {
		const agent = agentAt(index);
		if (agent.kind != AgentKind.guest || agent.base >= PAGE_LIMIT) continue;
		const vcpu = findVcpu(agent.vmId, agent.vcpuId);
		if (exists(vcpu)) agent.vcpu = changetype<usize>(vcpu);
	}
	makeRows();
}

function makeRows(): void {
	knownSuspect = suspect;
	knownPending = pendingChanges;
	for (let index: u32 = 0; index < agentCount; index++) makeAgentRows(index);
}

/** The agent's vCPU is known since now. */
export function meetAgent(index: u32): void {
	if (ready) makeAgentRows(index);
}

function makeAgentRows(index: u32): void {
	const agent: Agent = agentAt(index);
	const isPlain = agent.vcpu != 0 && suspect == 0 && changetype<Vcpu>(agent.vcpu).pending == 0;
	for (let kind: u32 = 0; kind < KINDS; kind++) {
		const row = rows + ((<usize>(index * KINDS + kind)) << ROW_SHIFT);
		const takes = isPlain && kind != OPERATION;
		store<u32>(row, <u32>(takes ? changetype<Vcpu>(agent.vcpu).l1 : nothing));
		store<u32>(row, takes ? <u32>(agent.base >> l1Shape.shift) : 0, 4);
		store<u32>(row, takes ? needOf(kind) : NO_RIGHT, 8);
	}
}

/** From `from` on: the first record before `end` that is no plain hit; `end` if all are. */
export function passHits(from: u32, end: u32): u32 {
	if (!ready) return from;
	if (suspect != knownSuspect || pendingChanges != knownPending) makeRows();
	if (opWide) return strategies == 1 ? pass(from, end, true, 1) : pass(from, end, true, strategies);
	return strategies == 1 ? pass(from, end, false, 1) : pass(from, end, false, strategies);
}

// @ts-ignore: decorator
@inline
function pass(from: u32, end: u32, wide: bool, lanes: u32): u32 {
	const ops = opAt;
	const pages = pageAt;
	const first = rows;
	const table = l1Shape.table;
	const shift = <u32>l1Shape.shift;
	const mask: u32 = (1 << shift) - 1;
	const stride = l1Bytes;
	for (let index = from; index < end; index++) {
		const op: u32 = wide ? load<u32>(ops + ((<usize>index) << 2)) : load<u8>(ops + index);
		const row = first + ((<usize>op) << ROW_SHIFT);
		const page = load<u32>(pages + ((<usize>index) << 2));
		let at = <usize>load<u32>(row) + ((<usize>(page & mask)) << LINE_SHIFT);
		const tag = (page >> shift) + load<u32>(row, 4);
		const need = load<u32>(row, 8);
		if (lanes == 1) {
			const way = matchesWith(at, tag, need);
			if (way == 0) return index;
			useLine(table, at, way);
		} else {
			for (let lane: u32 = 0; lane < lanes; lane++) {
				const way = matchesWith(at, tag, need);
				if (way == 0) return index;
				useLine(table, at, way);
				at += stride;
			}
		}
	}
	return end;
}
