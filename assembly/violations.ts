// The list of what the oracle found (kernel.md section 6): every violation is counted, by its rule too, and the first of each strategy are kept.
import { count } from "./counters";
import { AgentKind, Counter, Rule, VIOLATION_WORDS, VIOLATIONS_KEPT } from "./generated/constants";
import { enlarge, reserve } from "./heap";
import { event, strategies, Vcpu, Vm } from "./world";

/** One violation as the host reads it: VIOLATION_WORDS words. */
@unmanaged
class Violation {
	event: u64;
	page: u64;
	rule: u32;
	/** AgentKind, and the numbers that name the agent: vm or mm, vCPU or device. */
	kind: u32;
	owner: u32;
	member: u32;
}

/** The violations of one strategy. */
@unmanaged
class List {
	first: usize;
	kept: u32;
	room: u32;
}
// @ts-ignore: decorator
@inline
const FIRST_ROOM: u32 = 16;
// @ts-ignore: decorator
@inline
const VIOLATION_BYTES: usize = VIOLATION_WORDS * 4;

let lists: usize = 0;
let checking: bool = true;

export function resetViolations(check: bool): void {
	checking = check;
	lists = reserve(offsetof<List>() * strategies);
}

// @ts-ignore: decorator
@inline
function listOf(strategy: u32): List {
	return changetype<List>(lists + <usize>strategy * offsetof<List>());
}

export function keptViolations(strategy: u32): u32 {
	return listOf(strategy).kept;
}

export function listOfViolations(strategy: u32): usize {
	return listOf(strategy).first;
}

/** What was found wrong under a strategy: by whom, and at which page of his. */
export function violate(strategy: u32, rule: Rule, kind: AgentKind, owner: u32, member: u32, page: u64): void {
	if (!checking) return;
	count(strategy, Counter.coherence_violations);
	count(strategy, Counter.coherence_byRule_I_1 + <i32>rule);
	const list = listOf(strategy);
	if (list.kept == VIOLATIONS_KEPT) return;
	if (list.kept == list.room) {
		const room = max<u32>(list.room * 2, FIRST_ROOM);
		list.first = enlarge(list.first, <usize>list.room * VIOLATION_BYTES, <usize>room * VIOLATION_BYTES);
		list.room = room;
	}
	const found = changetype<Violation>(list.first + <usize>list.kept * VIOLATION_BYTES);
	list.kept++;
	found.event = event;
	found.page = page;
	found.rule = rule;
	found.kind = kind;
	found.owner = owner;
	found.member = member;
}

/** By a vCPU at its access. */
export function violateAccess(strategy: u32, rule: Rule, vcpu: Vcpu, gfn: u64): void {
	violate(strategy, rule, AgentKind.guest, vcpu.vm.id, vcpu.id, gfn);
}

/** By an SPTE of a VM. */
export function violateSpte(strategy: u32, rule: Rule, vm: Vm, gfn: u64): void {
	violate(strategy, rule, AgentKind.vm, vm.id, 0, gfn);
}
