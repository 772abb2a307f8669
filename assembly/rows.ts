// What a record's `op` stands for, worked out once a block: a row of 32 bytes for each agent and kind of access, found by `op` itself:
//
//	row   | first level: u32 | tag of page 0: u32 | rights needed: u32 | vCPU: u32 | page 0: u64 | TDP root: u32 | strategies to leave alone: u32 |
//
// Plain are the accesses of guests whose vCPUs do not wait for anything. Rows of what is not plain, and those with strategies to leave alone, lead to a
// set without entries; the vCPU of the former is 0.
import { Agent, agentAt, agentCount, events } from "./decode";
import { pendingChanges, WRITES } from "./fault";
import { AGENT_SHIFT, AgentKind, OPERATION } from "./generated/constants";
import { give, reserve, take } from "./heap";
import { Bit, PAGE_LIMIT, TlbBit } from "./layout";
import { suspect } from "./oracle";
import { isNarrow } from "./shape";
import { l1Bytes, l1Shape } from "./tlb";
import { exists, findVcpu, Vcpu } from "./world";

// @ts-ignore: decorator
@inline
export const ROW_SHIFT: usize = 5;
export const enum Row {
	tag = 4,
	need = 8,
	vcpu = 12,
	page = 16,
	root = 24,
	busy = 28,
}
// @ts-ignore: decorator
@inline
const KINDS: u32 = 1 << AGENT_SHIFT;
/** No entry has it. */
// @ts-ignore: decorator
@inline
const NO_RIGHT: u32 = 1 << 5;

export let rows: usize = 0;
let rowBytes: usize = 0;
/** The block has rows: the first level is one cache line a set, and the block long enough for rows to pay. */
export let ready: bool = false;
/** A set without entries, as wide as a first level. */
let nothing: usize = 0;
/** What the rows were made from. */
let knownSuspect: u32 = 0;
let knownPending: u64 = 0;

export function resetRows(): void {
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
export function startRows(): void {
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
	const vcpu = changetype<Vcpu>(agent.vcpu);
	const known = agent.vcpu != 0 && !vcpu.isWaiting;
	const busy: u32 = known ? suspect | vcpu.pending : 0;
	for (let kind: u32 = 0; kind < KINDS; kind++) {
		const row = rows + ((<usize>(index * KINDS + kind)) << ROW_SHIFT);
		const takes = known && kind != OPERATION;
		const looks = takes && busy == 0;
		store<u32>(row, <u32>(looks ? vcpu.l1 : nothing));
		store<u32>(row, takes ? <u32>(agent.base >> l1Shape.shift) : 0, Row.tag);
		store<u32>(row, takes ? needOf(kind) : NO_RIGHT, Row.need);
		store<u32>(row, takes ? <u32>changetype<usize>(vcpu) : 0, Row.vcpu);
		store<u64>(row, agent.base, Row.page);
		store<u32>(row, takes ? <u32>changetype<usize>(vcpu.vm.root0) : 0, Row.root);
		store<u32>(row, busy, Row.busy);
	}
}

/** Rows as they are now: pending accesses and suspicions come and go between records. */
// @ts-ignore: decorator
@inline
export function refreshRows(): void {
	if (suspect != knownSuspect || pendingChanges != knownPending) makeRows();
}
