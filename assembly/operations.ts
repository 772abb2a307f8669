// The records that are operations: their arguments, checked before use (src/trace/kinds.ts, Operation), and what each starts.
import { age } from "./age";
import { argument, code, readArguments } from "./arguments";
import { promote, rangeEnd } from "./change";
import { countAll, siteCounter } from "./counters";
import { Agent, payload, stringCount } from "./decode";
import { attach, detach, detachAll, deviceAccess } from "./devices";
import { restoreMigrated } from "./entries";
import { refuse } from "./failure";
import { guestAccess, isWrite, releaseWaiting, resolveAllPending } from "./fault";
import { mapFile } from "./files";
import { faultBegin, faultEnd } from "./flight";
import { allocate, isPinned, settleFreed, ZERO_PAGE } from "./frames";
import {
	AgentKind,
	Code,
	Counter,
	Failure,
	FaultFlag,
	MAX_FILE_PAGES,
	MAX_FILES,
	MemslotFlag,
	OpFlag,
	Point,
	Site,
	SiteCounter,
} from "./generated/constants";
import { hostAccess } from "./host";
import { makeHuge, splitRange } from "./huge";
import { isHugetlbNone, isHugetlbPage } from "./hugetlb";
import { Bit, NODE_ENTRIES, PAGE_LIMIT } from "./layout";
import { harvestDirtyLog, setMemslot, zapAll } from "./memslots";
import { canReuseFrames, comparePages } from "./oracle";
import { leafEnd, leafOf, nextPresent, recordIn } from "./pagetable";
import { letGoOfPin, pinPage, resetPins } from "./pins";
import { bracket, resetPoints } from "./points";
import { clearPteAt, frameOf, populateFresh, pteOf, setPte } from "./primary";
import { isForOthers, passAccess, passOperation } from "./shard";
import { isBeyond } from "./sites";
import { removeVmas, vmaAt } from "./vmas";
import { allStrategies, exists, HostThread, Mm, mmOf, threadOf, Vcpu, Vm, vcpuOf, vmOf } from "./world";

export function resetOperations(): void {
	resetPoints();
	resetPins();
}

function vmFor(agent: Agent): Vm {
	return vmOf(agent.vmId, agent.mmId);
}

export function vcpuFor(agent: Agent): Vcpu {
	return vcpuOf(vmFor(agent), agent.vcpuId);
}

/** An access that the event loop does not take itself: of an agent that it meets first in this block, of a host thread or a device, or hinted. */
export function access(agent: Agent, kind: u32, page: u64, hint: u32, at: u32): bool {
	const write = isWrite(kind);
	if (agent.isForeign) passAccess(agent, write);
	else if (agent.kind == AgentKind.guest) {
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
	if (isForOthers(agent)) {
		passOperation(agent);
		return next;
	}
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
			else if (code == Code.mmap) valid = map(mmOf(agent.mmId), page, at);
			else if (code == Code.ksmPromote || code == Code.ksmReplace) valid = ksmPage(agent, page, at);
			else if (code == Code.migrateRestore) restoreRange(mmOf(agent.mmId), page, argument(0), (argument(1) & OpFlag.failed) != 0);
			else if (code == Code.pin) pinPage(mmOf(agent.mmId), page, argument(0));
			else if (code == Code.remapFilePages && argument(4) >= MAX_FILE_PAGES) valid = refuse(Failure.file, argument(4), at);
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

/** A mapping of a file. */
function map(mm: Mm, page: u64, at: u32): bool {
	const file = argument(2);
	const offset = argument(3);
	if (file >= MAX_FILES || offset >= MAX_FILE_PAGES) return refuse(Failure.file, max<u64>(file, offset), at);
	mapFile(mm, page, argument(0), <u32>argument(1), <u32>file, offset);
	return true;
}

function fault(agent: Agent, gfn: u64): void {
	const point = <u32>argument(0);
	const kind = <u32>argument(1);
	const flags = argument(2);
	const addressSpace: u32 = (flags & FaultFlag.smm) != 0 ? 1 : 0;
	const vcpu = vcpuFor(agent);
	if (point != Point.end) {
		if ((flags & FaultFlag.logged) == 0) countAll(isWrite(kind) ? Counter.accesses_guestWrite : Counter.accesses_guestRead);
		faultBegin(vcpu, addressSpace, gfn, kind, flags);
	}
	if (point != Point.begin) faultEnd(vcpu, addressSpace, gfn, kind, flags);
}

/** State 0: no PTE, 1: a private writable page each, 2: the zero page, 3: as 1, 4: as 2, by huge mappings where they fit. No kernel event. */
function populate(mm: Mm, page: u64, pages: u64, state: u32): void {
	const last = rangeEnd(page, pages);
	if (state == 0 || !exists(mm.firstVma)) splitRange(mm, page, last);
	// What is pinned a device has had faulted in already.
	if (state == 0) clearRange(mm, page, last, true);
	else {
		for (let at = page; at < last; at++) {
			if (isHugetlbPage(mm, at)) {
				if (isHugetlbNone(mm, at)) populateFresh(mm, at, (state & 1) != 0);
				continue;
			}
			if (exists(mm.firstVma)) splitRange(mm, at, at + 1);
			const pte = pteOf(mm, at);
			if ((pte & Bit.present) == 0 || !isPinned(frameOf(pte))) populatePage(mm, at, (state & 1) != 0);
		}
	}
	if (state >= 3) {
		for (let at = (page + NODE_ENTRIES - 1) & ~(<u64>NODE_ENTRIES - 1); at + NODE_ENTRIES <= last; at += NODE_ENTRIES) {
			if (!isHugetlbPage(mm, at)) makeHuge(mm, at);
		}
	}
	comparePages(mm, page, pages);
	settleFreed(canReuseFrames());
}

function populatePage(mm: Mm, page: u64, write: bool): void {
	if (exists(vmaAt(mm, page))) populateFresh(mm, page, write);
	else setPte(mm, page, write ? allocate() : ZERO_PAGE, write);
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
	removeVmas(mm, 0, PAGE_LIMIT);
	comparePages(mm, 0, PAGE_LIMIT);
	settleFreed(canReuseFrames());
}

/** remove_migration_ptes (1.11): no notifier. Who waited goes on. */
function restoreRange(mm: Mm, page: u64, pages: u64, failed: bool): void {
	restoreMigrated(mm, page, rangeEnd(page, pages), failed);
	settleFreed(canReuseFrames());
	resolveAllPending();
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
