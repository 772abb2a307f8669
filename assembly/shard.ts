// One of several engines that replay a trace together: each replays the records of some address spaces (mms), with their VMs, vCPUs and host threads,
// and passes over the others'. Which mm is whose follows from the order in which the agents of the blocks name them, so all engines agree.
//
// What mms share is the frames of KSM pages, whose number of mappings nobody asks for: a write to one always copies (kernel.md 1.3). How long such a frame
// lives elsewhere, an engine does not know; who could tell is a translation that disagrees with its PTE. So an engine gives up where it has such a
// translation and shares KSM pages, and at every record whose effect on its own mms it cannot rule out (SplitRefusal). The replay is then one engine's.
import { argument, code } from "./arguments";
import { countAll, countAllBy } from "./counters";
import { Agent, agentAt, agentCount, countIn, countOps, events, opAt, opWide, pageAt, setColumns } from "./decode";
import { giveUp } from "./failure";
import { hasResolvable, isWrite } from "./fault";
import { locked, UNLOCKED } from "./frames";
import {
	AGENT_SHIFT,
	AgentKind,
	Code,
	Counter,
	Failure,
	FaultFlag,
	KIND_OF,
	OpFlag,
	Point,
	SPLITTABLE,
	SplitRefusal,
} from "./generated/constants";
import { give, take } from "./heap";
import { suspect } from "./oracle";
import { get, remove, resetTable, set, TABLE_BYTES, Table } from "./table";

/** How many engines there are, and which this one is. */
let shards: u32 = 1;
let shard: u32 = 0;

/** mm -> its engine + 1. VM -> its mm + 1 (u32 overflow: mm 2^32 - 1 is refused). */
const owners = changetype<Table>(memory.data(<i32>TABLE_BYTES));
const mmsOfVms = changetype<Table>(memory.data(<i32>TABLE_BYTES));
let known: u32 = 0;
/** Open windows -> the engine that has them + 1. */
const windows = changetype<Table>(memory.data(<i32>TABLE_BYTES));
/** KSM pages -> 1: merged by own mms, 2: by others'. */
const kpages = changetype<Table>(memory.data(<i32>TABLE_BYTES));
/** A KSM page has been merged on both sides. */
let sharesPages: bool = false;

/** Of the block at hand without others' plain accesses: the record's place in the whole block; 0: it is whole. One more: the number of all. */
let places: usize = 0;
let columns: usize = 0;
let columnBytes: usize = 0;
let wholeOps: usize = 0;
let wholeEvents: u32 = 0;
/** Accesses of others: before the record at hand, and those among the counters already, of the block. */
let before: u32 = 0;
let counted: u32 = 0;

/** Before `reset`. */
export function setShard(count: u32, index: u32): void {
	shards = count;
	shard = index;
}

export function resetShard(): void {
	resetTable(owners);
	resetTable(mmsOfVms);
	resetTable(windows);
	resetTable(kpages);
	known = 0;
	sharesPages = false;
	places = 0;
	columns = 0;
	columnBytes = 0;
}

function refuseToSplit(why: SplitRefusal): void {
	giveUp(Failure.split, why);
}

/** A block has been opened: whose its agents are, and its columns without what others do that no own record sees. */
export function splitBlock(): void {
	places = 0;
	if (shards == 1) return;
	let others = false;
	for (let index: u32 = 0; index < agentCount; index++) {
		const agent = agentAt(index);
		agent.isForeign = ownerOf(agent) != shard;
		if (agent.isForeign && agent.kind == AgentKind.guest) others = true;
	}
	before = 0;
	counted = 0;
	if (others) leaveOut();
}

function ownerOf(agent: Agent): u32 {
	if (agent.mmId == 0xffff_ffff) refuseToSplit(SplitRefusal.vm);
	let owner = get(owners, agent.mmId);
	if (owner == 0) {
		owner = (known++ % shards) + 1;
		set(owners, agent.mmId, owner);
	}
	if (agent.kind == AgentKind.guest || agent.kind == AgentKind.vm) {
		// A VM's mm is that of its first record, and no other.
		const mm = get(mmsOfVms, agent.vmId);
		if (mm == 0) set(mmsOfVms, agent.vmId, agent.mmId + 1);
		else if (mm != agent.mmId + 1) refuseToSplit(SplitRefusal.vm);
	}
	return owner - 1;
}

/** Others' plain accesses change nothing here. They are counted by all engines: how long a zap lasts is told in accesses of all guests (exits.ts). */
function leaveOut(): void {
	const kinds: u32 = 1 << AGENT_SHIFT;
	const keepBytes = <usize>(agentCount * kinds);
	const bytes = keepBytes + (<usize>events + 2) * 12;
	if (bytes > columnBytes) {
		if (columns != 0) give(columns, columnBytes);
		columns = take(bytes);
		columnBytes = bytes;
	}
	const pages = columns;
	const at = pages + ((<usize>events + 1) << 2);
	const ops = at + ((<usize>events + 2) << 2);
	const keep = columns + columnBytes - keepBytes;
	for (let index: u32 = 0; index < agentCount; index++) {
		const agent = agentAt(index);
		for (let kind: u32 = 0; kind < kinds; kind++) {
			const isPlain = agent.isForeign && agent.kind == AgentKind.guest && kind < 3;
			store<u8>(keep + index * kinds + kind, isPlain ? 0 : 1);
		}
	}
	wholeOps = opAt;
	wholeEvents = events;
	const left = opWide ? copyKept(pages, at, ops, keep, true) : copyKept(pages, at, ops, keep, false);
	store<u32>(at + ((<usize>left) << 2), events);
	places = at;
	setColumns(left, ops, pages);
}

// @ts-ignore: decorator
@inline
function copyKept(pages: usize, at: usize, ops: usize, keep: usize, wide: bool): u32 {
	const fromOps = opAt;
	const fromPages = pageAt;
	let left: usize = 0;
	for (let index: u32 = 0; index < events; index++) {
		const op: u32 = wide ? load<u32>(fromOps + ((<usize>index) << 2)) : load<u8>(fromOps + index);
		if (wide) store<u32>(ops + (left << 2), op);
		else store<u8>(ops + left, <u8>op);
		store<u32>(pages + (left << 2), load<u32>(fromPages + ((<usize>index) << 2)));
		store<u32>(at + (left << 2), index);
		left += load<u8>(keep + op);
	}
	return <u32>left;
}

/** Place in the whole block of a record that is looked at. */
// @ts-ignore: decorator
@inline
export function placeOf(index: u32): u32 {
	if (places == 0) return index;
	const place = load<u32>(places + ((<usize>index) << 2));
	before = place - index;
	return place;
}

/** Accesses of others before the record at hand that are not among the counters yet. */
// @ts-ignore: decorator
@inline
export function othersSoFar(): u32 {
	return places == 0 ? 0 : before - counted;
}

/** Records [from, next) of what is left of the block are done; `isWhole`: and all that others did behind them. */
export function endRun(from: u32, next: u32, isWhole: bool): void {
	if (shards == 1) return;
	if (sharesPages && suspect != 0) refuseToSplit(SplitRefusal.suspect);
	if (places == 0) return;
	const first = from == 0 ? 0 : load<u32>(places + ((<usize>(from - 1)) << 2)) + 1;
	const last = isWhole ? wholeEvents : next == 0 ? 0 : load<u32>(places + ((<usize>(next - 1)) << 2)) + 1;
	const others = last - next - counted;
	const stores: u32 = 1 << 1;
	const writes = countIn(wholeOps, opWide, first, last, stores) - countOps(from, next, stores);
	countAllBy(Counter.accesses_guestWrite, writes);
	countAllBy(Counter.accesses_guestRead, <u64>others - writes);
	counted = last - next;
	before = counted;
}

/** A record of others that was not left out. */
export function passAccess(agent: Agent, write: bool): void {
	if (agent.kind == AgentKind.guest) countAll(write ? Counter.accesses_guestWrite : Counter.accesses_guestRead);
}

/** The accesses that an operation of others is, or stands for. */
export function passOperation(agent: Agent): void {
	if (code == Code.access) passAccess(agent, isWrite(<u32>argument(0)));
	if (code != Code.fault || argument(0) == Point.end || (argument(2) & FaultFlag.logged) != 0) return;
	countAll(isWrite(<u32>argument(1)) ? Counter.accesses_guestWrite : Counter.accesses_guestRead);
}

/** Whether the operation at hand is for others to replay; own ones are noted too. */
export function isForOthers(agent: Agent): bool {
	if (shards == 1) return false;
	if (load<u8>(SPLITTABLE + <usize>code) == 0) refuseToSplit(SplitRefusal.operation);
	if (code == Code.mark) return false;
	if (code == Code.access) return agent.isForeign;
	if (usesVm() && agent.kind != AgentKind.guest && agent.kind != AgentKind.vm) refuseToSplit(SplitRefusal.vm);
	noteWindow(agent);
	noteKsmPage(agent);
	if (!agent.isForeign) return false;
	if (code != Code.fault && code != Code.mmio) {
		// ksmd has one page locked, whose ever it is.
		if (locked != UNLOCKED) refuseToSplit(SplitRefusal.lock);
		if (hasResolvable()) refuseToSplit(SplitRefusal.pending);
	}
	return true;
}

/** Whether the operation asks for the VM that its agent names. */
function usesVm(): bool {
	if (code == Code.cow) return (argument(2) & OpFlag.ownFault) != 0;
	return code == Code.fault || code == Code.memslot || code == Code.dirtyLog || code == Code.kvmZapAll;
}

/** Windows are numbered over all mms: the one that begins is the one that goes on. */
function noteWindow(agent: Agent): void {
	if (load<u8>(KIND_OF + <usize>code) == 255 || code == Code.fault) return;
	const point = <u32>argument(0);
	if (point == Point.whole) return;
	const window = argument(1);
	const mine: u32 = (agent.isForeign ? 1 : 0) + 1;
	const open = get(windows, window);
	if (open != 0 && open != mine) refuseToSplit(SplitRefusal.window);
	if (point == Point.begin) set(windows, window, mine);
	else if (point == Point.end) remove(windows, window);
}

function noteKsmPage(agent: Agent): void {
	if (code != Code.ksmReplace && code != Code.ksmPromote) return;
	if (code == Code.ksmReplace && (argument(2) & OpFlag.zeroPage) != 0) return;
	const kpage = argument(code == Code.ksmPromote ? 0 : 3);
	const seen = get(kpages, kpage);
	// Page 0 is none; and one that is made anew may have two frames.
	if (kpage == 0 || (code == Code.ksmPromote && seen != 0)) refuseToSplit(SplitRefusal.ksmPage);
	const now = seen | (agent.isForeign ? 2 : 1);
	if (now != seen) set(kpages, kpage, now);
	if (now == 3) sharesPages = true;
}

/** A frame that is a KSM page becomes another, or none that has a number. */
export function renamesKsmPage(): void {
	if (shards > 1) refuseToSplit(SplitRefusal.ksmPage);
}
