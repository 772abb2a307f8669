// The records of operations with a step table: whole, or one of their points, by their window (src/trace/kinds.ts, Point).
import { argument, code } from "./arguments";
import { rangeEnd } from "./change";
import { countAll } from "./counters";
import { breakOrReuse } from "./cow";
import { Agent } from "./decode";
import { resolvePendingDevices } from "./devices";
import { splitPartial } from "./entries";
import { resolveAllPending } from "./fault";
import { noteOwnCow } from "./flight";
import { isPinned, lock, UNLOCKED } from "./frames";
import { Code, Counter, Hint, KIND_OF, Kind, NotifyEvent, OpFlag, Point } from "./generated/constants";
import { splitFirst } from "./huge";
import { blockOf, widen } from "./hugetlb";
import { Bit, NODE_ENTRIES } from "./layout";
import { protectRanges } from "./mprotect";
import { Operation, openOperation, wholeOperation } from "./operation";
import { vcpuFor } from "./operations";
import { checkWriters } from "./oracle";
import { frameOf, pteOf, writingAllowed } from "./primary";
import { prepareMove } from "./sites";
import { begin, closeOperation, commit, cutCommit, end } from "./steps";
import { get, remove, resetTable, set, TABLE_BYTES, Table } from "./table";
import { copiesNothing, inheritVmas } from "./vmas";
import { exists, Mm, mmOf } from "./world";

/** Open operations by their window. */
const windows = changetype<Table>(memory.data(<i32>TABLE_BYTES));

export function resetPoints(): void {
	resetTable(windows);
}

/** An operation with a step table, whole or one of its points. Windows of operations that never began are passed over. */
export function bracket(agent: Agent, page: u64): void {
	const point = <u32>argument(0);
	const window = argument(1);
	if (point == Point.begin) forget(window);
	const begins = point == Point.whole || point == Point.begin;
	if (begins && protectsLazily(mmOf(agent.mmId), page)) return;
	if (begins && (leavesPinned(mmOf(agent.mmId), page) || forksNothing(mmOf(agent.mmId), page))) return;
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

/** mprotect over a VMA: all of it at its first point, in brackets where there is anything. */
function protectsLazily(mm: Mm, page: u64): bool {
	if (code != Code.protect || (recordFlags() & (OpFlag.fromPmd | OpFlag.fromPud)) == 0) return false;
	protectRanges(mm, page, argument(2), recordFlags());
	resolveAllPending();
	resolvePendingDevices();
	return true;
}

/** is_cow_mapping, vma_needs_copy: a fork leaves out what a fault fills as well, and then has no bracket (kernel.md 1.1, 1.9). */
function forksNothing(mm: Mm, page: u64): bool {
	if (code != Code.fork || !exists(mm.firstVma)) return false;
	const end = rangeEnd(page, argument(2));
	if (!copiesNothing(mm, page, end)) return false;
	inheritVmas(mm, page, end, mmOf(<u32>argument(4)));
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
	return givesRange() ? 0 : <u32>argument(2);
}

/** Whether the record gives the pages of its range; otherwise it is of one page. */
function givesRange(): bool {
	const kind: u32 = load<u8>(KIND_OF + <usize>code);
	if (kind == Kind.cow || kind == Kind.unshare || kind == Kind.uprobeReplace) return false;
	return kind != Kind.ksmWriteProtect && kind != Kind.ksmReplace;
}

/** What the record says of an operation that begins; counted and noted as the begin of its kind is. */
function describe(agent: Agent, page: u64, isWhole: bool): Operation {
	const mm = mmOf(agent.mmId);
	// Who works on one page of a huge mapping splits it first.
	if (!givesRange() || code == Code.migrateVma) splitFirst(mm, page);
	if (code == Code.mremap) prepareMove(mm, page, argument(2), argument(4));
	if (code == Code.reclaim || code == Code.migrate || code == Code.numaHint)
		splitPartial(mm, page, argument(2), load<u8>(KIND_OF + <usize>code));
	const kind: u32 = load<u8>(KIND_OF + <usize>code);
	if (kind == Kind.ksmWriteProtect) {
		countAll(Counter.ksmWriteProtects);
		const pte = pteOf(mm, page);
		lock((pte & Bit.present) == 0 ? UNLOCKED : frameOf(pte));
	} else if (kind == Kind.ksmReplace) {
		countAll(Counter.ksmReplaces);
		if ((recordFlags() & OpFlag.failed) == 0) checkWriters(mm, page);
	} else if (kind == Kind.cow && (recordFlags() & OpFlag.ownFault) != 0) noteOwnCow(vcpuFor(agent));
	const isHugetlb = kind == Kind.hugetlbCow;
	const first = isHugetlb ? blockOf(page) : page;
	const pages: u64 = isHugetlb ? NODE_ENTRIES : givesRange() ? argument(2) : 1;
	const op = isWhole ? wholeOperation(kind, mm, first, pages) : openOperation(kind, mm, first, pages);
	if (kind == Kind.protect || kind == Kind.migrate) widen(op);
	op.flags = recordFlags();
	if (kind == Kind.cow && (op.flags & OpFlag.ownFault) != 0) {
		op.own = vcpuFor(agent);
		op.ownFlight = op.own.flights;
	}
	if (kind == Kind.ksmReplace) op.kpage = <u32>argument(3);
	if (kind == Kind.fork) op.child = <u32>argument(4);
	if (kind == Kind.zap) op.unmaps = argument(3) == NotifyEvent.unmap;
	if (kind == Kind.mremap || kind == Kind.remapFilePages) op.to = argument(4);
	return op;
}
