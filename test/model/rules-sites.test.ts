// The call sites beside KSM, COW and the plain ranges, as numbered scenarios. The number is kernel.md's section.
import { describe, expect, it } from "vitest";
import { Access, AgentKind, Point } from "../../src/trace/kinds.js";
import type { TraceRecord } from "../../src/trace/record.js";
import {
	ALL,
	at,
	each,
	filled,
	hostRead,
	hostWrite,
	merge,
	mm,
	modelAfter,
	onPage,
	onRange,
	op,
	promote,
	read,
	replayed,
	SLOT_PAGE,
	slot,
	write,
} from "./scenario.js";

const pin = (id: number, page = 0) => op("pin", page, [id]);
const unpin = (id: number) => op("unpin", 0, [id]);
const child = { ...mm, mm: 9 };

describe("kernel.md 1.7: uprobes", () => {
	const records = [slot(), filled(), read(), onPage("uprobeReplace"), read()];

	it("1.7 given a mapped page, when a breakpoint is put in, then the page is another and read-only, and change_pte saves the next read's exit", () => {
		expect(each(ALL, records)).toEqual([2, 2, 1, 1, 1, 1]);
		expect(each(["wrapped", "drop", "fix"], records, "notifier.rangeStart")).toEqual([1, 1, 0]);
		expect(each(["wrapped", "drop", "fix"], records, "notifier.changePte")).toEqual([1, 0, 1]);
		expect(replayed("fix", records)("spteChanged")).toBe(1);
	});

	it("1.7 given the page with the breakpoint, when the guest writes, then it is reused: it has one reference", () => {
		const counter = replayed("drop", [...records, write()]);
		expect([counter("cowReuses"), counter("cowCopies.shared")]).toEqual([1, 0]);
	});

	it("1.7 given other content, when a strategy leaves the old page in the SPTE, then the guest reads what is no longer there", () => {
		const late = [slot(), filled(), read(), at(Point.begin, "invalidate", 0, 0)];
		const points = [Point.begin, Point.commit].map((point) => op("uprobeReplace", 0, [point, 2, 0]));
		expect(replayed("range-after-unlock", [...late, ...points, read()])("coherence.violations")).toBe(1);
		expect(each(ALL, [...late, ...points, read()], "coherence.violations")).toEqual([0, 0, 0, 0, 0, 0]);
	});

	it("1.7 given a failed __replace_page, then the bracket ran and nothing changed", () => {
		const counter = replayed("wrapped", [slot(), filled(), write(), onPage("uprobeReplace", 0, 2), write()]);
		expect([counter("notifier.rangeStart"), counter("notifier.changePte"), counter("flush.primaryTlb"), counter("vmexits")]).toEqual([
			1, 0, 0, 2,
		]);
	});
});

describe("kernel.md 1.8: migrate_vma", () => {
	it("1.8 given the zero page, when a new page is inserted, then it is the fifth user of set_pte_at_notify", () => {
		const records = [slot(), filled(0, 1, 2), read(), onRange("migrateVma", 0, 1, 6), write()];
		// A writable new PTE: fix zaps, fix-map and establish-map map it.
		expect(each(ALL, records)).toEqual([2, 2, 2, 1, 2, 1]);
		expect(replayed("wrapped", records)("bySite.migrateVma.count")).toBe(1);
	});

	it("1.8 given nothing, when a new page is inserted, then there is a bracket, and no flush and no change_pte", () => {
		const counter = replayed("wrapped", [slot(), onRange("migrateVma", 0, 1, 6), write()]);
		expect([counter("notifier.rangeStart"), counter("notifier.changePte"), counter("flush.primaryTlb")]).toEqual([1, 0, 0]);
		expect([counter("vmexits"), counter("cowReuses")]).toEqual([1, 0]);
	});

	it("1.8 given a page of one's own, then nothing is inserted", () => {
		const counter = replayed("wrapped", [slot(), filled(), onRange("migrateVma", 0, 1, 6)]);
		expect([counter("notifier.rangeStart"), counter("notifier.changePte")]).toEqual([1, 0]);
	});

	it("1.8 given more pages to come, then the bracket reaches to the end of the call, and change_pte speaks of the one page", () => {
		const records = [slot(), filled(0, 4, 2), read(0), read(3), onRange("migrateVma", 0, 4, 6), read(0), read(3)];
		expect(each(["drop", "fix-map"], records)).toEqual([4, 2]);
		expect(replayed("fix-map", records)("bySite.migrateVma.spteRebuilt")).toBe(1);
	});
});

describe("kernel.md 1.12 and 1.13: write protection without the VMA", () => {
	it("1.12 given a dirty page, when it is cleaned, then every strategy zaps, and the next write is a reuse with no notifier", () => {
		const records = [slot(), filled(), write(), onRange("mkclean", 0, 1, 3), write()];
		expect(each(ALL, records)).toEqual([2, 2, 2, 2, 2, 2]);
		const counter = replayed("drop", records);
		expect([counter("cowReuses"), counter("notifier.rangeStart"), counter("flush.primaryTlb")]).toEqual([1, 1, 1]);
	});

	it("1.12 given a page that is clean and read-only, when it is cleaned, then the bracket zaps it all the same and nothing is flushed", () => {
		const counter = replayed("drop", [slot(), filled(0, 1, 2), read(), onRange("mkclean", 0, 1, 3), read()]);
		expect([counter("vmexits"), counter("flush.primaryTlb")]).toEqual([2, 0]);
	});

	it("1.1 given a kernel before 4.13, when a page is cleaned, then invalidate_page runs under the lock and there is no bracket", () => {
		const records = [slot(), filled(), write(), onRange("mkclean", 0, 1, 3)];
		const [counter, begun] = [records, [...records.slice(0, 3), at(Point.begin, "mkclean", 0, 1, 3)]].map((some) =>
			replayed("legacy-3.6", some),
		);
		expect([counter?.("spteZapped"), counter?.("notifier.rangeEnd"), counter?.("mmuLockWrite")]).toEqual([1, 0, 1]);
		expect(begun?.("spteZapped")).toBe(0);
	});

	it("1.13 and 1.14 given clear_refs or uffd-wp, then the PTE loses W, stays dirty, and the next write is a reuse", () => {
		const records = [slot(), filled(), write(), onRange("softDirty", 0, 4, 4), read(), write()];
		expect(each(ALL, records)).toEqual([3, 3, 3, 3, 3, 3]);
		expect(replayed("fix", records)("cowReuses")).toBe(1);
		const pte = modelAfter("drop", records.slice(0, 4)).world.mm(0).get(SLOT_PAGE);
		expect([pte?.writable, pte?.dirty]).toEqual([false, true]);
	});
});

describe("kernel.md 1.15: huge pages", () => {
	const huge = filled(0, 512, 3);
	const fork = onRange("fork", 0, 512, 3, 9);

	it("1.15 given a huge page shared by a fork, when it is copied as a whole (until 5.7), then its pages are one's own and writable", () => {
		const counter = replayed("drop", [slot(), huge, write(), fork, onRange("hugeCow", 0, 512), write(0), write(511)]);
		expect([counter("cowCopies.shared"), counter("spteInstalled"), counter("spteZappedByCause.hugeSplit")]).toEqual([1, 2, 0]);
		expect(counter("vmexits")).toBe(2);
	});

	it("1.15 given the same without a copy of 2M (since 5.8), when the guest writes, then it is split and one page is copied", () => {
		const counter = replayed("drop", [slot(), huge, write(), fork, write(0), write(511)]);
		expect([counter("cowCopies.shared"), counter("bySite.thpSplit.count")]).toEqual([2, 1]);
	});

	it("1.15 given the huge zero page, when the guest reads, then one exit maps 2 MiB, read-only", () => {
		const counter = replayed("drop", [slot(), filled(0, 512, 4), read(0), read(511)]);
		expect([counter("vmexits"), counter("spteInstalled")]).toEqual([1, 1]);
	});

	it("1.15 given the huge zero page, when the guest writes, then it is split to 512 PTEs of the zero page, and one is copied", () => {
		const records = [slot(), filled(0, 512, 4), read(0), write(0), read(511)];
		const counter = replayed("drop", records);
		expect(["cowCopies.zero", "cowCopies.shared", "bySite.thpSplit.count", "notifier.rangeStart"].map(counter)).toEqual([1, 0, 1, 2]);
		// The copy's own retry, and the page that the split took along; establish-map finds no table where the huge leaf was.
		expect(each(ALL, records)).toEqual([4, 4, 4, 4, 4, 4]);
		expect(
			modelAfter("drop", records)
				.world.mm(0)
				.get(SLOT_PAGE + 511)?.frame.zero,
		).toBe(true);
	});

	it("1.15 and 1.11 given the huge zero page, then no rmap walk finds it: reclaim, migration and NUMA hinting leave it whole", () => {
		for (const name of ["reclaim", "migrate", "numaHint"] as const) {
			const model = modelAfter("drop", [slot(), filled(0, 512, 4), onRange(name, 0, 600)]);
			expect([model.world.mm(0).isHuge(SLOT_PAGE), model.world.mm(0).entriesIn(SLOT_PAGE, 512).length]).toEqual([true, 0]);
		}
	});

	it("1.15 given 512 PTEs, when khugepaged collapses them, then one exit maps the new huge page", () => {
		const small = [slot(), filled(0, 512), write(0), write(1), write(511)];
		const records = [...small, onRange("thpCollapsed", 0, 512), write(0), write(1), write(511)];
		expect(each(ALL, records)).toEqual([4, 4, 4, 4, 4, 4]);
		expect(replayed("drop", records)("bySite.thpCollapse.exitsCaused")).toBe(1);
	});

	it("1.15 given a collapse, when its range end has run, then the pages are new ones with the same content, those of others stay", () => {
		const shared = [slot(), filled(0, 512), onRange("fork", 0, 512, 3, 9), ...promote(3)];
		const { world } = modelAfter("drop", [...shared, onRange("thpCollapsed", 0, 512)]);
		const [own, other] = [world.mm(0).get(SLOT_PAGE + 7), world.mm(9).get(SLOT_PAGE + 7)];
		expect([own?.writable, own?.frame === other?.frame, own?.frame.content === other?.frame.content]).toEqual([true, false, true]);
		expect(world.mm(0).isHuge(SLOT_PAGE)).toBe(true);
		const before = modelAfter("drop", [...shared, at(Point.begin, "thpCollapsed", 0, 512), at(Point.commit, "thpCollapsed", 0, 512)]);
		expect(before.world.mm(0).isHuge(SLOT_PAGE)).toBe(false);
	});

	it("1.15 given a collapse in progress, when the guest faults, then it is stale until the huge page is there", () => {
		const points = [Point.begin, Point.commit, Point.end].map((point) => at(point, "thpCollapsed", 0, 512));
		const [begin, commit, end] = points;
		if (begin === undefined || commit === undefined || end === undefined) throw new Error("three points");
		const counter = replayed("drop", [slot(), filled(0, 512), write(5), begin, commit, write(5), end, write(9)]);
		expect([counter("vmexits"), counter("vmexitsRetried"), counter("vmexitsFixed")]).toEqual([3, 1, 2]);
	});
});

describe("kernel.md 1.17: mremap", () => {
	it("1.17 given a mapped range, when it moves, then the old place is zapped and the memslot keeps its hva: the guest finds untouched memory", () => {
		const records = [slot(), filled(0, 2), write(0), onRange("mremap", 0, 2, 0, SLOT_PAGE + 0x8000), read(0)];
		expect(each(ALL, records)).toEqual([2, 2, 2, 2, 2, 2]);
		const { world } = modelAfter("drop", records);
		expect(world.mm(0).get(SLOT_PAGE)?.frame.zero).toBe(true);
		expect(world.mm(0).get(SLOT_PAGE + 0x8000)?.writable).toBe(true);
	});

	it("1.17 given a page that moves into a memslot, then it appears there without a notifier", () => {
		const outside = { ...filled(0x4000), page: SLOT_PAGE + 0x4000 };
		const counter = replayed("drop", [slot(), outside, onRange("mremap", 0x4000, 1, 0, SLOT_PAGE), write(0)]);
		expect([counter("notifier.rangeStart"), counter("mmuLockWrite"), counter("vmexits"), counter("cowReuses")]).toEqual([1, 0, 1, 0]);
	});

	it("1.17 given a huge mapping, then it moves whole between aligned places, and is split first otherwise", () => {
		const moved = (to: number) => [slot(), filled(0, 512, 3), onRange("mremap", 0, 512, 0, SLOT_PAGE + to)];
		expect(
			modelAfter("drop", moved(0x2000))
				.world.mm(0)
				.isHuge(SLOT_PAGE + 0x2000),
		).toBe(true);
		const odd = modelAfter("drop", moved(0x2003)).world;
		expect([odd.mm(0).isHuge(SLOT_PAGE + 0x2003), replayed("drop", moved(0x2003))("bySite.thpSplit.count")]).toEqual([false, 1]);
	});

	it("1.17 given something at the new place, then it is unmapped first, in a bracket of its own", () => {
		const counter = replayed("drop", [slot(), filled(0, 2), write(1), onRange("mremap", 0, 1, 0, SLOT_PAGE + 1), write(1)]);
		expect([counter("bySite.zap.count"), counter("bySite.mremap.count"), counter("coherence.violations")]).toEqual([1, 1, 0]);
	});
});

describe("kernel.md 1.2 to 1.5 and 1.9: references", () => {
	it("1.4 given a pinned page, when KSM write-protects it, then it clears, flushes, and puts the PTE back", () => {
		const records = [slot(), filled(), pin(1), onPage("ksmWriteProtect", 0, 64), write()];
		const counter = replayed("wrapped", records);
		expect([counter("notifier.rangeStart"), counter("notifier.changePte"), counter("flush.primaryTlb"), counter("cowReuses")]).toEqual([
			1, 0, 1, 0,
		]);
		expect(modelAfter("wrapped", records).world.mm(0).get(SLOT_PAGE)?.writable).toBe(true);
	});

	it("1.4 given the pin gone, then it is write-protected like any other", () => {
		const counter = replayed("wrapped", [slot(), filled(), pin(1), unpin(1), onPage("ksmWriteProtect", 0, 64), write()]);
		expect([counter("notifier.changePte"), counter("cowReuses")]).toEqual([1, 1]);
	});

	it("1.2 given a pin on a page that is one's own, when it is written after a write protection, then it is reused", () => {
		const counter = replayed("drop", [slot(), filled(), pin(1), onRange("softDirty", 0, 1, 4), write()]);
		expect([counter("cowReuses"), counter("cowCopies.shared")]).toEqual([1, 0]);
	});

	it("1.2 given a shared page on which a copying fault still has a reference, when the other mm writes it, then it is copied too", () => {
		const [begin, commit, end] = [Point.begin, Point.commit, Point.end].map((point) => op("cow", 0, [point, 3, 0]));
		if (begin === undefined || commit === undefined || end === undefined) throw new Error("three points");
		const childWrite: TraceRecord = {
			kind: "access",
			access: Access.hostWrite,
			agent: { ...child, kind: AgentKind.host },
			page: SLOT_PAGE,
		};
		const shared = [slot(), filled(), onRange("fork", 0, 1, 3, 9), begin, commit];
		expect(replayed("drop", [...shared, childWrite, end])("cowCopies.shared")).toBe(2);
		expect(replayed("drop", [...shared, end, childWrite])("cowCopies.shared")).toBe(1);
	});

	it("1.9 given a pinned page, when the mm forks, then the child gets a copy at once and the parent's PTE stays writable", () => {
		const { world } = modelAfter("drop", [slot(), filled(0, 2), pin(1, 1), onRange("fork", 0, 2, 3, 9)]);
		const [parent, copy] = [world.mm(0).get(SLOT_PAGE + 1), world.mm(9).get(SLOT_PAGE + 1)];
		expect([parent?.writable, copy?.writable, parent?.frame === copy?.frame]).toEqual([true, true, false]);
		expect([world.mm(0).get(SLOT_PAGE)?.writable, world.mm(9).get(SLOT_PAGE)?.writable]).toEqual([false, false]);
		expect(parent?.frame.content).toBe(copy?.frame.content);
	});

	it("1.5 given a merge, then the old page is freed after the range end, by ksmd", () => {
		const points = [Point.begin, Point.commit, Point.end].map((point) => op("ksmReplace", 1, [point, 3, 0, 1]));
		const records = [slot(), filled(0, 2), ...promote(0), onPage("ksmWriteProtect", 1, 1)];
		const before =
			modelAfter("drop", records)
				.world.mm(0)
				.get(SLOT_PAGE + 1)?.frame.id ?? -1;
		expect(modelAfter("drop", [...records, ...points.slice(0, 2)]).world.frames.get(before).freed).toBe(false);
		expect(modelAfter("drop", [...records, ...points]).world.frames.get(before).freed).toBe(true);
	});

	it("1.3 given a copy, then the fault's own reference goes after the range end", () => {
		const points = [Point.begin, Point.commit, Point.end].map((point) => op("cow", 0, [point, 3, 0]));
		const records = [slot(), filled(), ...merge(0, 7)];
		const kpage = modelAfter("drop", records).world.mm(0).get(SLOT_PAGE)?.frame.id ?? -1;
		const freed = [2, 3].map((count) => modelAfter("drop", [...records, ...points.slice(0, count)]).world.frames.get(kpage).freed);
		expect(freed).toEqual([false, true]);
	});

	it("1.14 and I-1 given MADV_DONTNEED, then its page is freed within the bracket, but not while somebody has it pinned", () => {
		const points = [Point.begin, Point.commit].map((point) => at(point, "zap", 0, 1));
		const frame = (records: Parameters<typeof modelAfter>[1]) => modelAfter("drop", records).world.frames.get(1);
		expect(frame([slot(), filled(), ...points]).freed).toBe(true);
		expect(frame([slot(), filled(), pin(1), ...points]).freed).toBe(false);
		expect(frame([slot(), filled(), pin(1), ...points, unpin(1)]).freed).toBe(true);
	});

	it("I-1 given a merge under a strategy that invalidates late, then a read within is no use after free: ksmd has the page", () => {
		const points = [Point.begin, Point.commit].map((point) => op("ksmReplace", 1, [point, 3, 0, 1]));
		const records = [slot(), filled(0, 2), ...promote(0), read(1), onPage("ksmWriteProtect", 1, 1), read(1), ...points, read(1)];
		expect(replayed("range-after-unlock", records)("coherence.violations")).toBe(0);
	});

	it("1.2 given host threads, then a write to a pinned page of one's own needs no copy either", () => {
		const counter = replayed("drop", [slot(), filled(), pin(1), hostRead(), onRange("softDirty", 0, 1, 4), hostWrite()]);
		expect([counter("cowReuses"), counter("cowCopies.shared")]).toEqual([1, 0]);
	});
});
