// Rules of the kernel as numbered scenarios: given a page, when …, then so many exits. The number is kernel.md's section.
import { describe, expect, it } from "vitest";
import { counterIndex } from "../../src/counters.js";
import { ReferenceModel } from "../../src/model/replay.js";
import { findStrategy } from "../../src/strategies/index.js";
import { Access, AgentKind, FaultFlag, OpFlag, Point } from "../../src/trace/kinds.js";
import type { Agent, TraceRecord } from "../../src/trace/record.js";

const SLOT_PAGE = 0x1000;
const SLOT_GFN = 0x200;
const guest: Agent = { kind: AgentKind.guest, vm: 0, vcpu: 0, mm: 0, thread: 0 };
const second: Agent = { ...guest, vcpu: 1 };
const host: Agent = { kind: AgentKind.host, vm: 0, vcpu: 0, mm: 0, thread: 1 };
const mm: Agent = { kind: AgentKind.mm, vm: 0, vcpu: 0, mm: 0, thread: 0 };
const vm: Agent = { kind: AgentKind.vm, vm: 0, vcpu: 0, mm: 0, thread: 0 };

type Name = Extract<TraceRecord, { kind: "operation" }>["name"];
const op = (name: Name, agent: Agent, page: number, ...args: number[]): TraceRecord => ({ kind: "operation", name, agent, page, args });
const slot = (as = 0, flags = 0): TraceRecord => op("memslot", vm, SLOT_PAGE, 1, as, SLOT_GFN, 1024, flags);
const filled = (page = 0, pages = 1): TraceRecord => op("populate", mm, SLOT_PAGE + page, pages, 1);
const access = (kind: Access, page = 0, agent = guest): TraceRecord => ({ kind: "access", access: kind, agent, page: SLOT_GFN + page });
const read = (page = 0): TraceRecord => access(Access.guestRead, page);
const write = (page = 0): TraceRecord => access(Access.guestWrite, page);
const hostWrite = (page = 0): TraceRecord => ({ kind: "access", access: Access.hostWrite, agent: host, page: SLOT_PAGE + page });
const hostRead = (page = 0): TraceRecord => ({ kind: "access", access: Access.hostRead, agent: host, page: SLOT_PAGE + page });
/** The page becomes a KSM page on its own: write-protect and promote. */
const promote = (page = 0, kpage = 1): TraceRecord[] => [
	op("ksmWriteProtect", mm, SLOT_PAGE + page, Point.whole, 0, 0),
	op("ksmPromote", mm, SLOT_PAGE + page, kpage, 0),
];
/** The page is merged into a KSM page: write-protect with a kpage, and replace. */
const merge = (page = 0, kpage = 1): TraceRecord[] => [
	op("ksmWriteProtect", mm, SLOT_PAGE + page, Point.whole, 0, OpFlag.kpageGiven),
	op("ksmReplace", mm, SLOT_PAGE + page, Point.whole, 0, 0, kpage),
];

function replayed(strategy: string, records: readonly TraceRecord[]): (path: string) => number {
	const found = findStrategy(strategy);
	if (found === undefined) throw new Error(strategy);
	const tlb = { l1: { sets: 16, ways: 4 }, l2: { sets: 128, ways: 12 } };
	const model = new ReferenceModel({ strategy: found, tlb, guestLevels: 4, hostLevels: 4, copiesRecorded: false });
	for (const [sequence, record] of records.entries()) model.replay(record, sequence);
	return (path) => Number(model.world.counters[counterIndex(path)]);
}

/** Exits of each strategy, in the order of `names`. */
function exits(names: readonly string[], records: readonly TraceRecord[]): number[] {
	return names.map((name) => replayed(name, records)("vmexits"));
}

const ALL = ["wrapped", "drop", "fix", "fix-map", "establish", "establish-map"] as const;

describe("kernel.md 1: the call sites", () => {
	it("1.2 given a private read-only page with one reference, when the guest writes, then it is reused: no notifier", () => {
		const counter = replayed("drop", [slot(), filled(), op("ksmWriteProtect", mm, SLOT_PAGE, Point.whole, 0, OpFlag.unlocks), write()]);
		expect([counter("vmexits"), counter("cowReuses"), counter("notifier.rangeStart"), counter("cowBreaks")]).toEqual([1, 1, 1, 0]);
	});

	it("1.2 given a KSM page with one sharer, when the guest writes, then it is copied all the same", () => {
		const counter = replayed("drop", [slot(), filled(), ...promote(), write()]);
		expect([counter("cowBreaks"), counter("cowReuses")]).toEqual([1, 0]);
	});

	it("1.2 given ksmd holding the page lock, when the guest writes the write-protected page, then it is copied", () => {
		const wp = op("ksmWriteProtect", mm, SLOT_PAGE, Point.whole, 0, OpFlag.kpageGiven);
		const counter = replayed("drop", [slot(), filled(), wp, write()]);
		expect([counter("cowCopies.shared"), counter("cowReuses")]).toEqual([1, 0]);
	});

	it("1.3 and 3.3 given a mapped KSM page, when the guest writes, then its own COW costs two exits, and one where change_pte maps the copy", () => {
		const records = [slot(), filled(), read(), ...promote(), read(), write()];
		// First touch, read after the merge, the write, its retry.
		expect(exits(ALL, records)).toEqual([4, 4, 3, 2, 3, 2]);
		const drop = replayed("drop", records);
		expect([drop("vmexitsRetried"), drop("vmexitsByCause.retryAfterCow.write")]).toEqual([1, 1]);
	});

	it("10.2 given a fault that knows its own copy, when the guest writes to a KSM page, then it costs one exit, under any strategy", () => {
		const records = [slot(), filled(), read(), ...promote(), read(), write()];
		const aware = ["wrapped", "drop", "fix", "establish"].map((name) => `${name}:ownCowAware=true`);
		expect(exits(aware, records)).toEqual([3, 3, 2, 2]);
		expect(replayed("drop:ownCowAware=true", records)("vmexitsRetried")).toBe(0);
	});

	it("10.2 given a fault that knows its own copy, when another bracket ends meanwhile, then it retries all the same", () => {
		const fault = (point: Point): TraceRecord => op("fault", guest, SLOT_GFN, point, Access.guestWrite, 0);
		const own = op("cow", guest, SLOT_PAGE, Point.whole, 0, OpFlag.ownFault);
		const other = op("zap", mm, SLOT_PAGE + 9, Point.whole, 0, 1, 1);
		const begin = [slot(), filled(), ...promote(), fault(Point.begin), own];
		const counted = (records: readonly TraceRecord[]): number[] =>
			["drop", "drop:ownCowAware=true"].map((name) => replayed(name, records)("vmexitsRetried"));
		expect(counted([...begin, fault(Point.end)])).toEqual([1, 0]);
		expect(counted([...begin, other, fault(Point.end)])).toEqual([1, 1]);
	});

	it("1.4 given a mapped page, when KSM write-protects it, then the guest's next read exits only where the bracket zapped it", () => {
		expect(exits(ALL, [slot(), filled(), read(), ...promote(), read()])).toEqual([2, 2, 1, 1, 1, 1]);
	});

	it("1.4 given a page that is read-only, clean and not exclusive, when KSM write-protects it again, then the bracket runs and nothing changes", () => {
		const wp = op("ksmWriteProtect", mm, SLOT_PAGE, Point.whole, 0, OpFlag.unlocks);
		const counter = replayed("wrapped", [slot(), filled(), wp, wp]);
		expect([counter("notifier.rangeStart"), counter("notifier.changePte"), counter("flush.primaryTlb")]).toEqual([2, 1, 1]);
	});

	it("1.5 given a page to merge into a KSM page, then there are two brackets; for the first page of a pair, one", () => {
		const counter = replayed("drop", [slot(), filled(0, 2), ...promote(0), ...merge(1)]);
		expect([counter("notifier.rangeStart"), counter("ksmMerges"), counter("mmuLockWrite")]).toEqual([3, 2, 6]);
		expect(replayed("wrapped", [slot(), filled(0, 2), ...promote(0), ...merge(1)])("mmuLockWrite")).toBe(9);
		expect(replayed("fix", [slot(), filled(0, 2), ...promote(0), ...merge(1)])("mmuLockWrite")).toBe(3);
	});

	it("1.5 given a merge whose bracket changed nothing, then no page is merged and no strategy touches the SPTE but by the bracket", () => {
		const failed = op("ksmWriteProtect", mm, SLOT_PAGE, Point.whole, 0, OpFlag.failed | OpFlag.unlocks);
		expect(exits(ALL, [slot(), filled(), write(), failed, write()])).toEqual([2, 2, 1, 1, 2, 2]);
	});

	it("1.6 given a KSM page broken by unshare, then the copy is read-only, and a write reuses it", () => {
		const records = [slot(), filled(), ...promote(), read(), op("unshare", mm, SLOT_PAGE, Point.whole, 0, 0), read(), write()];
		expect(exits(ALL, records)).toEqual([3, 3, 2, 2, 2, 2]);
		expect(replayed("drop", records)("cowReuses")).toBe(1);
	});

	it("1.9 given a fork, then every page of the range refaults read-only, and a write copies while the child holds it", () => {
		const fork = op("fork", mm, SLOT_PAGE, Point.whole, 0, 4, 3, 9);
		const counter = replayed("fix", [slot(), filled(0, 4), write(0), write(1), fork, read(0), write(1)]);
		expect([counter("vmexits"), counter("cowCopies.shared"), counter("spteZapped")]).toEqual([5, 1, 2]);
		const gone = op("exit", { ...mm, mm: 9 }, 0);
		expect(replayed("fix", [slot(), filled(0, 4), write(0), fork, gone, write(0)])("cowReuses")).toBe(1);
	});

	it("1.9 given a page that the host has written, when it forks and writes again, then the CPU's stale entry does not let it through", () => {
		const fork = op("fork", mm, SLOT_PAGE, Point.whole, 0, 4, 3, 9);
		const counter = replayed("drop", [slot(), filled(0, 4), hostWrite(1), fork, hostWrite(1)]);
		expect([counter("cowCopies.shared"), counter("hostFaults")]).toEqual([1, 1]);
	});

	it("1.10 given untouched memory, when the guest reads and then writes, then it exits three times, or two where change_pte maps the copy", () => {
		expect(exits(ALL, [slot(), read(), write()])).toEqual([3, 3, 3, 2, 3, 2]);
	});

	it("1.10 given untouched memory, when the guest writes first, then it exits once", () => {
		expect(exits(ALL, [slot(), write(), read()])).toEqual([1, 1, 1, 1, 1, 1]);
	});

	it("1.13 given mprotect read-only and back, then the range is zapped twice in every strategy", () => {
		const off = op("protect", mm, SLOT_PAGE, Point.whole, 0, 8, 2, 0);
		const on = op("protect", mm, SLOT_PAGE, Point.whole, 0, 8, 2, OpFlag.writable);
		expect(exits(ALL, [slot(), filled(0, 8), write(), off, read(), on, write()])).toEqual([3, 3, 3, 3, 3, 3]);
	});

	it("1.14 given MADV_DONTNEED, then the page is gone: the next read finds the zero page", () => {
		const zap = op("zap", mm, SLOT_PAGE, Point.whole, 0, 4, 1);
		const counter = replayed("establish-map", [slot(), filled(0, 4), write(), zap, read(), write()]);
		expect([counter("vmexits"), counter("cowCopies.zero")]).toEqual([3, 1]);
	});
});

describe("kernel.md 1.15 and 3.6: huge pages", () => {
	const huge = op("populate", mm, SLOT_PAGE, 512, 3);
	const split = op("thpSplit", mm, SLOT_PAGE, Point.whole, 0, 512, 1);

	it("1.15 given a huge mapping, then one exit maps all of its 512 pages", () => {
		const counter = replayed("drop", [slot(), huge, read(0), write(7), read(511)]);
		expect([counter("vmexits"), counter("spteInstalled")]).toEqual([1, 1]);
	});

	it("1.15 given a huge mapping that KSM splits, then every page exits again at 4K, in all strategies alike", () => {
		const records = [slot(), huge, read(0), split, read(0), read(1), write(2)];
		expect(exits(ALL, records)).toEqual([4, 4, 4, 4, 4, 4]);
		const counter = replayed("fix", records);
		expect([
			counter("spteZappedByCause.hugeSplit"),
			counter("vmexitsByCause.hugeSplit.read"),
			counter("vmexitsByCause.hugeSplit.write"),
		]).toEqual([1, 2, 1]);
	});

	it("I-17 given an event on one page of a huge leaf, then the whole leaf goes", () => {
		const counter = replayed("drop", [slot(), huge, read(0), op("invalidate", mm, SLOT_PAGE + 9, Point.whole, 0, 1, 1), read(0)]);
		expect([counter("vmexits"), counter("spteZapped")]).toEqual([2, 1]);
	});

	it("3.6 given hva and gpa that are not congruent, then a huge page is mapped at 4K", () => {
		const odd = op("memslot", vm, SLOT_PAGE, 1, 0, SLOT_GFN + 1, 1023, 0);
		const counter = replayed("drop", [odd, huge, read(1), read(2)]);
		expect(counter("vmexits")).toBe(2);
	});

	it("3.6 given a recorded fault whose SPTE is a huge one, then its neighbours are mapped too", () => {
		const fault = op("fault", guest, SLOT_GFN + 3, Point.whole, Access.guestWrite, FaultFlag.huge);
		const next = op("fault", guest, SLOT_GFN + 4, Point.whole, Access.guestWrite, 0);
		expect(replayed("drop", [slot(), fault, next])("vmexits")).toBe(1);
	});

	it("3.4 given a leaf table that a huge leaf replaces, then there is a flush", () => {
		const small = op("fault", guest, SLOT_GFN + 3, Point.whole, Access.guestWrite, 0);
		const collapse = op("thpCollapse", mm, SLOT_PAGE, Point.whole, 0, 512, 1);
		const large = op("fault", guest, SLOT_GFN + 3, Point.whole, Access.guestWrite, FaultFlag.huge);
		const counter = replayed("drop", [slot(), small, collapse, large]);
		expect([counter("vmexits"), counter("flush.guestTlb")]).toEqual([2, 2]);
	});
});

describe("kernel.md 3: KVM", () => {
	it("3.1 given a range outside every memslot, then there is no lock, no count, no sequence", () => {
		const counter = replayed("drop", [slot(), op("zap", mm, 0x90, Point.whole, 0, 4, 0)]);
		expect([counter("notifier.rangeStart"), counter("mmuLockWrite")]).toEqual([1, 0]);
	});

	it("3.1 given one page in two memslots, then both mappings go", () => {
		const alias = op("memslot", vm, SLOT_PAGE, 2, 0, 0x9000, 16, 0);
		const other: TraceRecord = { kind: "access", access: Access.guestRead, agent: guest, page: 0x9000 };
		const counter = replayed("drop", [slot(), alias, filled(), read(), other, ...promote(), read(), other]);
		expect([counter("vmexits"), counter("spteZapped"), counter("flush.guestTlb")]).toEqual([4, 2, 1]);
	});

	it("3.3 given a bracket in progress over the page, when the guest faults, then it is stale and exits again when the bracket ends", () => {
		const begin = op("ksmWriteProtect", mm, SLOT_PAGE, Point.begin, 1, 0);
		const commit = op("ksmWriteProtect", mm, SLOT_PAGE, Point.commit, 1, 0);
		const end = op("ksmWriteProtect", mm, SLOT_PAGE, Point.end, 1, 0);
		const records = [slot(), filled(), read(), begin, read(), commit, end];
		const drop = replayed("drop", records);
		expect([drop("vmexits"), drop("vmexitsRetried"), drop("vmexitsByCause.retryInProgress.read")]).toEqual([3, 1, 1]);
		// Without a bracket the SPTE is there all the time.
		expect(replayed("fix", records)("vmexits")).toBe(1);
	});

	it("3.3 given two brackets in progress, then the hull covers what lies between them, and resets when both have ended", () => {
		const begin = (page: number, window: number): TraceRecord => op("invalidate", mm, SLOT_PAGE + page, Point.begin, window, 1, 1);
		const end = (page: number, window: number): TraceRecord => op("invalidate", mm, SLOT_PAGE + page, Point.end, window, 1, 1);
		const between = replayed("drop", [slot(), filled(0, 9), begin(0, 1), begin(8, 2), read(4), end(0, 1)]);
		expect([between("vmexits"), between("vmexitsRetried")]).toEqual([1, 1]);
		const ended = replayed("drop", [slot(), filled(0, 9), begin(0, 1), begin(8, 2), read(4), end(0, 1), end(8, 2)]);
		expect([ended("vmexits"), ended("vmexitsFixed")]).toEqual([2, 1]);
	});

	it("3.3 given a recorded fault in which another bracket ends, then it is stale by the sequence alone", () => {
		const begin = op("fault", guest, SLOT_GFN, Point.begin, Access.guestRead, FaultFlag.filled);
		const end = op("fault", guest, SLOT_GFN, Point.end, Access.guestRead, FaultFlag.filled);
		const elsewhere = op("invalidate", mm, SLOT_PAGE + 500, Point.whole, 0, 1, 1);
		const counter = replayed("drop", [slot(), begin, elsewhere, end]);
		expect([counter("vmexits"), counter("vmexitsRetried"), counter("vmexitsFixed")]).toEqual([1, 1, 0]);
	});

	it("3.4 given a writable new PTE, then change_pte zaps (fix, x86 since 2009) or maps it (fix-map)", () => {
		const records = [slot(), filled(), ...promote(), read(), hostWrite(), read(), write()];
		expect(exits(["fix", "fix-map", "drop"], records)).toEqual([2, 1, 2]);
	});

	it("3.4 given no leaf table, then establish creates nothing and counts it", () => {
		const counter = replayed("establish", [slot(), filled(), ...promote()]);
		expect([counter("notifier.changePteFailed"), counter("establish.refusedNoTable")]).toEqual([1, 1]);
	});

	it("10.4 given another bracket in progress, then establish refuses and the naive one creates (litmus h)", () => {
		const open = op("zap", mm, SLOT_PAGE, Point.begin, 1, 1, 1);
		const close = [op("zap", mm, SLOT_PAGE, Point.commit, 1, 1, 1), op("zap", mm, SLOT_PAGE, Point.end, 1, 1, 1)];
		const records = [slot(), filled(), ...promote(), read(), open, hostWrite(), ...close, read()];
		expect(replayed("establish-map", records)("coherence.violations")).toBe(0);
		expect(replayed("establish-map", records)("establish.refusedOverlap")).toBe(1);
		expect(replayed("establish-naive", records)("coherence.violations")).toBeGreaterThan(0);
	});

	it("3.8 given a zap that removed nothing, then there is no flush", () => {
		expect(replayed("drop", [slot(), filled(), ...promote()])("flush.guestTlb")).toBe(0);
		expect(replayed("drop", [slot(), filled(), read(), ...promote()])("flush.guestTlb")).toBe(1);
	});
});

describe("memslots and address spaces", () => {
	it("given a deleted memslot, then every SPTE of the VM and its leaf tables are gone", () => {
		const other = op("memslot", vm, 0x9000, 3, 0, 0x9000, 4, 0);
		const gone = op("memslot", vm, 0x9000, 3, 0, 0, 0, 0);
		const counter = replayed("establish", [slot(), other, filled(), read(), gone, ...promote(), read()]);
		expect([counter("vmexits"), counter("spteZappedByCause.kvmZap"), counter("establish.refusedNoTable")]).toEqual([2, 1, 1]);
		expect(counter("vmexitsByCause.kvmZap.read")).toBe(1);
	});

	it("given a fault in SMM, then it maps in address space 1 only", () => {
		const smm = op("fault", guest, SLOT_GFN, Point.whole, Access.guestRead, FaultFlag.smm | FaultFlag.filled);
		const plain = op("fault", guest, SLOT_GFN, Point.whole, Access.guestRead, FaultFlag.filled);
		const counter = replayed("drop", [slot(0), slot(1), smm, plain, smm, plain]);
		expect([counter("vmexits"), counter("spteInstalled")]).toEqual([2, 2]);
	});

	it("given a read-only memslot, then a store is emulated and no SPTE is writable", () => {
		const counter = replayed("drop", [slot(0, 2), filled(), read(), write(), write()]);
		expect([counter("vmexits"), counter("vmexitsFixed"), counter("vmexitsEmulated")]).toEqual([3, 1, 2]);
	});

	it("given a second vCPU, then it finds the SPTE that the first installed", () => {
		const counter = replayed("drop", [slot(), filled(), read(), access(Access.guestRead, 0, second)]);
		expect([counter("vmexits"), counter("walk.count"), counter("walk.memoryReferences")]).toEqual([1, 3, 72]);
	});
});

describe("the host's own accesses", () => {
	it("given a KSM page, when a host thread writes, then the SPTE goes with the bracket, and the guest's next read exits once", () => {
		const records = [slot(), filled(), ...promote(), read(), hostWrite(), read()];
		expect(exits(ALL, records)).toEqual([2, 2, 2, 1, 2, 1]);
		expect(replayed("drop", records)("hostFaults")).toBe(1);
	});

	it("given untouched memory, when the host reads it and the guest writes it, then the zero page is copied in two exits", () => {
		const counter = replayed("drop", [slot(), hostRead(), write()]);
		expect([counter("vmexits"), counter("cowCopies.zero"), counter("hostFaults")]).toEqual([2, 1, 1]);
	});
});
