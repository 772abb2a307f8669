// The records that are operations: their arguments, checked before use (src/trace/kinds.ts, Operation), and what each starts.

import { age } from "./age";
import { promote, rangeEnd } from "./change";
import { countAll, siteCounter } from "./counters";
import { breakOrReuse } from "./cow";
import { Agent, argumentEnd, payload, stringCount } from "./decode";
import { attach, detach, detachAll, deviceAccess, resolvePendingDevices } from "./devices";
import { restoreMigrated, splitPartial } from "./entries";
import { refuse } from "./failure";
import { faultBegin, faultEnd, guestAccess, isWrite, noteOwnCow, releaseWaiting, resolveAllPending } from "./fault";
import { allocate, isPinned, lock, noteSharedWritable, pin, settleFreed, UNLOCKED, unpin, ZERO_PAGE } from "./frames";
import {
	AgentKind,
	ARITY,
	Code,
	Counter,
	Failure,
	FaultFlag,
	Hint,
	Kind,
	MAXIMA,
	MemslotFlag,
	OpFlag,
	Point,
	Site,
	SiteCounter,
} from "./generated/constants";
import { hostAccess } from "./host";
import { makeHuge, splitFirst, splitRange } from "./huge";
import { Bit, NODE_ENTRIES, PAGE_LIMIT } from "./layout";
import { harvestDirtyLog, setMemslot, zapAll } from "./memslots";
import { canReuseFrames, checkWriters, comparePages } from "./oracle";
import { leafEnd, leafOf, nextPresent, recordIn } from "./pagetable";
import { clearPteAt, frameOf, presentAfterFault, pteOf, setPte, writingAllowed } from "./primary";
import { isBeyond, prepareMove } from "./sites";
import { begin, closeOperation, commit, cutCommit, end, Operation, openOperation, wholeOperation } from "./steps";
import { get, remove, resetTable, set, TABLE_BYTES, Table } from "./table";
import { bad, cursor, readVarint, startReading } from "./varint";
import { allStrategies, HostThread, Mm, mmOf, threadOf, Vcpu, Vm, vcpuOf, vmOf } from "./world";

// @ts-ignore: decorator
@inline
const MAX_ARGUMENTS: u32 = 8;
/** The arguments of the record at hand, u64 each. */
const values: usize = memory.data(64);
/** Open operations by their window. */
const windows = changetype<Table>(memory.data(<i32>TABLE_BYTES));
/** Pinned frames + 1 by the number of their pin. */
const pinned = changetype<Table>(memory.data(<i32>TABLE_BYTES));

/** The code of the record that `operate` took last, and its mark's phase and label. */
export let code: u32 = 0;

export function resetOperations(): void {
	resetTable(windows);
	resetTable(pinned);
}

// @ts-ignore: decorator
@inline
export function argument(index: u32): u64 {
	return load<u64>(values + ((<usize>index) << 3));
}

/** Read code and arguments at an address of the argument column; the address behind them, or 0 where they are not valid. */
function readArguments(from: usize): usize {
	const at = <u32>(from - payload);
	startReading(from, argumentEnd);
	const number = readVarint();
	if (bad != 0) return fail(Failure.argumentsEnd, 0, at);
	const arity: u32 = number < 64 ? load<u8>(ARITY + <usize>number) : 255;
	if (arity == 255) return fail(Failure.operationCode, number, at);
	code = <u32>number;
	if (readVarint() != arity || bad != 0) return fail(Failure.argumentCount, number, at);
	for (let index: u32 = 0; index < arity; index++) {
		const value = readVarint();
		const maximum: u32 = load<u8>(MAXIMA + <usize>code * MAX_ARGUMENTS + index);
		if (bad != 0 || value >> 53 != 0 || (maximum != 255 && value > maximum)) return fail(Failure.argumentValue, number * 8 + index, at);
		store<u64>(values + ((<usize>index) << 3), value);
	}
	return cursor;
}

function fail(failure: u32, detail: u64, at: u32): usize {
	refuse(failure, detail, at);
	return 0;
}

function vmFor(agent: Agent): Vm {
	return vmOf(agent.vmId, agent.mmId);
}

function vcpuFor(agent: Agent): Vcpu {
	return vcpuOf(vmFor(agent), agent.vcpuId);
}

/** An access that the event loop does not take itself: of an agent that it meets first in this block, of a host thread or a device, or hinted. */
export function access(agent: Agent, kind: u32, page: u64, hint: u32, at: u32): bool {
	const write = isWrite(kind);
	if (agent.kind == AgentKind.guest) {
		countAll(write ? Counter.accesses_guestWrite : Counter.accesses_guestRead);
		const vcpu = agent.vcpu == 0 ? vcpuFor(agent) : changetype<Vcpu>(agent.vcpu);
		// Pages beyond what tags hold (and what a memslot can have) are never looked up in a TLB.
		if (agent.base < PAGE_LIMIT) agent.vcpu = changetype<usize>(vcpu);
		guestAccess(vcpu, page, kind, hint, allStrategies);
	} else if (agent.kind == AgentKind.host) {
		countAll(write ? Counter.accesses_hostWrite : Counter.accesses_hostRead);
		if (page >= PAGE_LIMIT) return refuse(Failure.pageLimit, page, at);
		if (agent.thread == 0) agent.thread = changetype<usize>(threadOf(mmOf(agent.mmId), agent.threadId));
		hostAccess(changetype<HostThread>(agent.thread), page, write, hint);
	} else {
		countAll(write ? Counter.accesses_deviceWrite : Counter.accesses_deviceRead);
		if (agent.kind == AgentKind.device) deviceAccess(mmOf(agent.mmId), agent.threadId, page, write);
	}
	return true;
}

/** Replay an operation whose arguments begin at `from`. Returns the address behind them; 0 with the failure noted. */
export function operate(agent: Agent, page: u64, from: usize): usize {
	const next = readArguments(from);
	if (next == 0) return 0;
	const at = <u32>(from - payload);
	let valid = true;
	// A host's or device's access may have ended a migration: nobody takes a lock before who waited for it is through.
	releaseWaiting();
	switch (code) {
		case Code.access:
			valid = access(agent, <u32>argument(0), page, <u32>argument(1), at);
			break;
		case Code.fault:
			fault(agent, page);
			break;
		case Code.mmio:
			countAll(isWrite(<u32>argument(0)) ? Counter.mmio_write : Counter.mmio_read);
			if (argument(1) != 0) countAll(Counter.mmio_reserved);
			break;
		case Code.memslot:
			valid = memslot(agent, page, at);
			break;
		case Code.dirtyLog:
			valid = dirtyLog(agent, at);
			break;
		case Code.kvmZapAll:
			kvmZapAll(vmFor(agent));
			break;
		case Code.deviceDetach:
			detach(mmOf(agent.mmId), agent.threadId);
			break;
		case Code.exit:
			detachAll(mmOf(agent.mmId));
			exit(mmOf(agent.mmId));
			break;
		case Code.unpin:
			letGoOfPin(argument(0));
			break;
		case Code.mark:
			if (argument(2) >= stringCount) valid = refuse(Failure.stringIndex, argument(2), at);
			break;
		default:
			if (page >= PAGE_LIMIT) valid = refuse(Failure.pageLimit, page, at);
			else if (code == Code.populate) populate(mmOf(agent.mmId), page, argument(0), <u32>min<u64>(argument(1), 255));
			else if (code == Code.deviceAttach) attach(mmOf(agent.mmId), agent.threadId, <u32>argument(0), page, argument(1), argument(2));
			else if (code == Code.age) age(mmOf(agent.mmId), page, argument(0), <u32>argument(1));
			else if (code == Code.ksmPromote || code == Code.ksmReplace) valid = ksmPage(agent, page, at);
			else if (code == Code.migrateRestore) restoreRange(mmOf(agent.mmId), page, argument(0), (argument(1) & OpFlag.failed) != 0);
			else if (code == Code.pin) pinPage(mmOf(agent.mmId), page, argument(0));
			else if (code == Code.mremap && isBeyond(argument(4), argument(2))) valid = refuse(Failure.pageLimit, argument(4), at);
			else bracket(agent, page);
	}
	releaseWaiting();
	return valid ? next : 0;
}

function ksmPage(agent: Agent, page: u64, at: u32): bool {
	const kpage = argument(code == Code.ksmPromote ? 0 : 3);
	if (kpage >> 32 != 0) return refuse(Failure.kpage, kpage, at);
	if (code == Code.ksmPromote) promote(mmOf(agent.mmId), page, <u32>kpage, (argument(1) & OpFlag.undone) != 0);
	else bracket(agent, page);
	return true;
}

function fault(agent: Agent, gfn: u64): void {
	const point = <u32>argument(0);
	const kind = <u32>argument(1);
	const flags = argument(2);
	const addressSpace: u32 = (flags & FaultFlag.smm) != 0 ? 1 : 0;
	const vcpu = vcpuFor(agent);
	if (point != Point.end) {
		countAll(isWrite(kind) ? Counter.accesses_guestWrite : Counter.accesses_guestRead);
		faultBegin(vcpu, addressSpace, gfn, kind, flags);
	}
	if (point != Point.begin) faultEnd(vcpu, addressSpace, gfn, kind, flags);
}

/** State 0: no PTE, 1: a private writable page each, 2: the zero page, 3: as 1, by huge mappings where they fit. No kernel event. */
function populate(mm: Mm, page: u64, pages: u64, state: u32): void {
	const last = rangeEnd(page, pages);
	splitRange(mm, page, last);
	// What is pinned a device has had faulted in already.
	if (state == 0) clearRange(mm, page, last, true);
	else {
		for (let at = page; at < last; at++) {
			const pte = pteOf(mm, at);
			if ((pte & Bit.present) == 0 || !isPinned(frameOf(pte))) setPte(mm, at, state == 2 ? ZERO_PAGE : allocate(), state != 2);
		}
	}
	if (state == 3) {
		for (let at = (page + NODE_ENTRIES - 1) & ~(<u64>NODE_ENTRIES - 1); at + NODE_ENTRIES <= last; at += NODE_ENTRIES) makeHuge(mm, at);
	}
	comparePages(mm, page, pages);
	settleFreed(canReuseFrames());
}

function clearRange(mm: Mm, page: u64, last: u64, leavePinned: bool): void {
	splitRange(mm, page, last);
	for (let at = nextPresent(mm.ptes, page, last); at < last; at = nextPresent(mm.ptes, at, last)) {
		const next = leafEnd(at, last);
		let word = recordIn(mm.ptes, leafOf(mm.ptes, at), at);
		for (; at < next; at++) {
			const pte = load<u32>(word);
			if (!leavePinned || (pte & Bit.present) == 0 || !isPinned(frameOf(pte))) clearPteAt(word);
			word += 4;
		}
	}
}

function exit(mm: Mm): void {
	clearRange(mm, 0, PAGE_LIMIT, false);
	comparePages(mm, 0, PAGE_LIMIT);
	settleFreed(canReuseFrames());
}

/** remove_migration_ptes (1.11): no notifier. Who waited goes on. */
function restoreRange(mm: Mm, page: u64, pages: u64, failed: bool): void {
	restoreMigrated(mm, page, rangeEnd(page, pages), failed);
	settleFreed(canReuseFrames());
	resolveAllPending();
}

/** gup(FOLL_PIN | FOLL_WRITE): a write fault where the PTE is not writable, then a reference on the page. Nothing where the VMA forbids it. */
function pinPage(mm: Mm, page: u64, id: u64): void {
	letGoOfPin(id);
	let pte = pteOf(mm, page);
	if ((pte & Bit.present) == 0) pte = presentAfterFault(mm, page, true);
	if (pte != 0 && (pte & Bit.writable) == 0 && writingAllowed(mm, page)) breakOrReuse(mm, page, Hint.derive);
	const now = pteOf(mm, page);
	if ((now & (Bit.present | Bit.writable)) != (Bit.present | Bit.writable)) return;
	pin(frameOf(now));
	// A fork copies the page beside a PTE that stays writable.
	noteSharedWritable();
	set(pinned, id, frameOf(now) + 1);
}

function letGoOfPin(id: u64): void {
	const frame = get(pinned, id);
	if (frame == 0) return;
	remove(pinned, id);
	unpin(frame - 1);
	settleFreed(canReuseFrames());
}

function memslot(agent: Agent, page: u64, at: u32): bool {
	const gfn = argument(2);
	const pages = argument(3);
	const flags = argument(4);
	if (argument(1) > 1) return refuse(Failure.addressSpace, argument(1), at);
	if (pages != 0) {
		if (page + pages > PAGE_LIMIT) return refuse(Failure.pageLimit, page + pages, at);
		if (gfn + pages > PAGE_LIMIT) return refuse(Failure.pageLimit, gfn + pages, at);
	}
	const readOnly = (flags & MemslotFlag.readOnly) != 0;
	const logDirty = (flags & MemslotFlag.logDirty) != 0;
	setMemslot(vmFor(agent), argument(0), <u32>argument(1), gfn, page, pages, readOnly, logDirty);
	return true;
}

function dirtyLog(agent: Agent, at: u32): bool {
	if (argument(1) > 1) return refuse(Failure.addressSpace, argument(1), at);
	harvestDirtyLog(vmFor(agent), argument(0), <u32>argument(1), argument(2), argument(3));
	return true;
}

function kvmZapAll(vm: Vm): void {
	countAll(siteCounter(Site.kvmZapAll, SiteCounter.count));
	zapAll(vm, Site.kvmZapAll);
}

/** An operation with a step table, whole or one of its points. Windows of operations that never began are passed over. */
function bracket(agent: Agent, page: u64): void {
	const point = <u32>argument(0);
	const window = argument(1);
	if (point == Point.begin) forget(window);
	if ((point == Point.whole || point == Point.begin) && leavesPinned(mmOf(agent.mmId), page)) return;
	if (point == Point.whole) {
		const op = describe(agent, page, true);
		begin(op);
		commit(op);
		finish(op);
	} else if (point == Point.begin) {
		const op = describe(agent, page, false);
		set(windows, window, <u32>changetype<usize>(op));
		begin(op);
	} else {
		const open = get(windows, window);
		if (open == 0) return;
		const op = changetype<Operation>(open);
		if (point == Point.commit) commit(op);
		else if (point == Point.set) cutCommit(op);
		else {
			finish(op);
			remove(windows, window);
			closeOperation(op);
		}
	}
}

/** A window that begins again: the operation that it was never ends. */
function forget(window: u64): void {
	const forgotten = get(windows, window);
	if (forgotten == 0) return;
	closeOperation(changetype<Operation>(forgotten));
	remove(windows, window);
}

/** Nobody replaces a pinned page: do_wp_page reuses it, and no merge comes so far (kernel.md 1.4, 4). */
function leavesPinned(mm: Mm, page: u64): bool {
	if (code != Code.cow && code != Code.unshare && code != Code.ksmReplace) return false;
	const pte = pteOf(mm, page);
	if ((pte & Bit.present) == 0 || !isPinned(frameOf(pte))) return false;
	if (code == Code.ksmReplace) lock(UNLOCKED);
	const failed = (recordFlags() & OpFlag.failed) != 0;
	if (code == Code.cow && !failed && (pte & Bit.writable) == 0 && writingAllowed(mm, page)) breakOrReuse(mm, page, Hint.derive);
	return true;
}

function finish(op: Operation): void {
	end(op);
	if (op.refused || (recordFlags() & OpFlag.unlocks) != 0) lock(UNLOCKED);
	resolveAllPending();
	resolvePendingDevices();
}

/** The `flags` argument of the record at hand: at the end it is the end's own. */
function recordFlags(): u32 {
	if (code == Code.protect) return <u32>argument(4);
	if (code == Code.thpCollapsed) return OpFlag.changed;
	const isOnePage =
		code == Code.cow || code == Code.unshare || code == Code.ksmWriteProtect || code == Code.ksmReplace || code == Code.uprobeReplace;
	return isOnePage ? <u32>argument(2) : 0;
}

/** A huge mapping of it is split first. */
function worksOnOnePage(): bool {
	if (code == Code.uprobeReplace || code == Code.migrateVma) return true;
	return code == Code.cow || code == Code.unshare || code == Code.ksmWriteProtect || code == Code.ksmReplace;
}

/** The kind of a record that gives a range. */
function rangeKind(): u32 {
	switch (code) {
		case Code.zap:
			return Kind.zap;
		case Code.protect:
			return Kind.protect;
		case Code.fork:
			return Kind.fork;
		case Code.thpSplit:
			return Kind.thpSplit;
		case Code.thpCollapse:
		case Code.thpCollapsed:
			return Kind.thpCollapse;
		case Code.migrateVma:
			return Kind.migrateVma;
		case Code.mkclean:
			return Kind.mkclean;
		case Code.softDirty:
			return Kind.softDirty;
		case Code.hugeCow:
			return Kind.hugeCow;
		case Code.mremap:
			return Kind.mremap;
		case Code.reclaim:
			return Kind.reclaim;
		case Code.migrate:
			return Kind.migrate;
		case Code.numaHint:
			return Kind.numaHint;
		default:
			return Kind.invalidate;
	}
}

/** What the record says of an operation that begins; counted and noted as the begin of its kind is. */
function describe(agent: Agent, page: u64, isWhole: bool): Operation {
	const mm = mmOf(agent.mmId);
	if (worksOnOnePage()) splitFirst(mm, page);
	if (code == Code.mremap) prepareMove(mm, page, argument(2), argument(4));
	if (code == Code.reclaim || code == Code.migrate || code == Code.numaHint) splitPartial(mm, page, argument(2), code == Code.reclaim);
	let kind: u32 = Kind.invalidate;
	let pages: u64 = 1;
	if (code == Code.ksmWriteProtect) {
		kind = Kind.ksmWriteProtect;
		countAll(Counter.ksmWriteProtects);
		const pte = pteOf(mm, page);
		lock((pte & Bit.present) == 0 ? UNLOCKED : frameOf(pte));
	} else if (code == Code.ksmReplace) {
		kind = Kind.ksmReplace;
		countAll(Counter.ksmReplaces);
		if ((recordFlags() & OpFlag.failed) == 0) checkWriters(mm, page);
	} else if (code == Code.cow) {
		kind = Kind.cow;
		if ((recordFlags() & OpFlag.ownFault) != 0) noteOwnCow(vcpuFor(agent));
	} else if (code == Code.unshare) kind = Kind.unshare;
	else if (code == Code.uprobeReplace) kind = Kind.uprobeReplace;
	else {
		pages = argument(2);
		kind = rangeKind();
	}
	const op = isWhole ? wholeOperation(kind, mm, page, pages) : openOperation(kind, mm, page, pages);
	op.flags = recordFlags();
	if (kind == Kind.cow && (op.flags & OpFlag.ownFault) != 0) {
		op.own = vcpuFor(agent);
		op.ownFlight = op.own.flights;
	}
	if (kind == Kind.ksmReplace) op.kpage = <u32>argument(3);
	if (kind == Kind.fork) op.child = <u32>argument(4);
	if (kind == Kind.mremap) op.to = argument(4);
	return op;
}
