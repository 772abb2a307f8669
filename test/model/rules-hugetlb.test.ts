// hugetlb and mprotect's own brackets, as numbered scenarios. The number is kernel.md's section.
import { describe, expect, it } from "vitest";
import { protectedRanges } from "../../src/model/fork.js";
import { NotifyEvent, OpFlag, Point, VmaKind } from "../../src/trace/kinds.js";
import type { TraceRecord } from "../../src/trace/record.js";
import { ALL, at, each, filled, hostWrite, mm, modelAfter, onRange, op, read, replayed, SLOT_PAGE, slot, write } from "./scenario.js";

const child = { ...mm, mm: 9 };
const maps = (vma: VmaKind, pages = 1024, agent = mm, page = 0): TraceRecord => op("mmap", page, [pages, vma, 1, 0], agent);
const own = [slot(), maps(VmaKind.privateHugetlb)];
const shared = [slot(), maps(VmaKind.sharedHugetlb)];
const fork = onRange("fork", 0, 1024, NotifyEvent.clear, 9);
const pages = (records: readonly TraceRecord[], of = 0) => modelAfter("drop", records).world.mm(of);

describe("kernel.md 1.16: hugetlb", () => {
	it("1.16 given a mapping of hugetlb, when the guest touches a page, then 2 MiB are there, and KVM maps them by one leaf", () => {
		for (const map of [own, shared]) {
			const records = [...map, write(0), write(511), read(100)];
			expect(each(ALL, records)).toEqual([1, 1, 1, 1, 1, 1]);
			expect(replayed("drop", records)("spteInstalled")).toBe(1);
			expect(pages(records).present(SLOT_PAGE, 1024).length).toBe(512);
		}
	});

	it("1.16 given a page of one's own that was read first, when the guest writes, then it is exclusive: reused as a whole, without a notifier", () => {
		const counter = replayed("drop", [...own, read(0), write(0), write(511)]);
		expect(["vmexits", "cowReuses", "notifier.rangeStart"].map(counter)).toEqual([2, 1, 0]);
	});

	it("1.16 given a page that a fork shares, when the guest writes, then hugetlb_wp copies all of it in a bracket of 2 MiB, and never calls change_pte", () => {
		const records = [...own, write(0), fork, read(0), read(511), write(3), read(511)];
		const counter = replayed("wrapped", records);
		expect(["cowCopies.shared", "bySite.hugetlbCow.count", "bySite.thpSplit.count", "notifier.changePte"].map(counter)).toEqual([
			1, 1, 0, 0,
		]);
		expect(counter("notifier.rangeStart")).toBe(2);
		// The first touch, the read behind the fork, the write, and its own retry.
		expect(each(ALL, records)).toEqual([4, 4, 4, 4, 4, 4]);
		expect(pages(records).isHuge(SLOT_PAGE)).toBe(true);
		expect(pages(records).get(SLOT_PAGE + 511)?.frame).not.toBe(pages(records, 9).get(SLOT_PAGE + 511)?.frame);
	});

	it("1.16 given a private mapping of what a shared one has in the page cache, then a read maps the file's pages, and a write copies them", () => {
		const records = [...own, maps(VmaKind.sharedHugetlb, 1024, child), op("populate", 0, [512, 1], child)];
		const counter = replayed("drop", [...records, read(0), write(0)]);
		expect(["cowCopies.file", "bySite.hugetlbCow.count", "vmexits"].map(counter)).toEqual([1, 1, 3]);
		expect(replayed("drop", [...records, write(0)])("cowCopies.file")).toBe(1);
	});

	it("1.16 given a shared mapping, then writes of all who map it reach one page, and nothing is copied", () => {
		const records = [...shared, read(0), maps(VmaKind.sharedHugetlb, 1024, child), write(1), hostWrite(0), read(0)];
		expect(["cowCopies.file", "cowCopies.shared", "notifier.rangeStart", "vmexits"].map(replayed("drop", records))).toEqual([0, 0, 0, 1]);
	});

	it("1.16 given a copy that stands in the trace, then it has the points of its kind, and a shared mapping has none to make", () => {
		const copy = [Point.begin, Point.commit, Point.end].map((point) => at(point, "hugetlbCow", 3, 512));
		expect(replayed("drop", [...own, write(0), fork, ...copy, read(0)])("cowCopies.shared")).toBe(1);
		expect(replayed("drop", [...shared, write(0), ...copy])("cowCopies.file")).toBe(0);
	});

	it("1.11 and 1.13 given hugetlb, then reclaim and NUMA hinting leave it", () => {
		for (const name of ["reclaim", "numaHint"] as const) {
			const after = pages([...own, write(0), onRange(name, 0, 1024)]);
			expect([after.entriesIn(SLOT_PAGE, 1024).length, after.isHuge(SLOT_PAGE)]).toEqual([0, true]);
		}
	});

	it("1.1 and 1.11 given a shared mapping of more than 1 GiB, then the bracket of mprotect and migration is widened to whole PUDs: tables may be shared", () => {
		const PUD = 2 ** 18;
		const memory = (kind: VmaKind): TraceRecord[] => [
			op("memslot", PUD - SLOT_PAGE, [1, 0, PUD, PUD, 0], { ...mm, kind: 4 }),
			maps(kind, 2 * PUD, mm, PUD - SLOT_PAGE),
		];
		const far = (page: number): TraceRecord => ({ ...read(), page: PUD + page });
		for (const name of ["protect", "migrate"] as const) {
			const more = name === "protect" ? [OpFlag.writable] : [];
			const narrow = onRange(name, PUD - SLOT_PAGE, 512, NotifyEvent.protectionVma, ...more);
			const restored = op("migrateRestore", PUD - SLOT_PAGE, [512, 0]);
			const exits = (kind: VmaKind): number =>
				replayed("drop", [...memory(kind), far(0), far(5120), narrow, restored, far(5120)])("vmexits");
			expect([exits(VmaKind.sharedHugetlb), exits(VmaKind.privateHugetlb)]).toEqual([3, 2]);
		}
	});
});

describe("kernel.md 1.13: the brackets of mprotect", () => {
	const PUD = 2 ** 18;
	const protect = (flag: number, many = 3 * PUD): TraceRecord =>
		op("protect", PUD - SLOT_PAGE, [Point.whole, 0, many, NotifyEvent.protectionVma, flag]);
	const memory = (...at: number[]): TraceRecord[] => [
		op("memslot", PUD - SLOT_PAGE, [1, 0, PUD, 2 * PUD, 0], { ...mm, kind: 4 }),
		...at.map((page) => filled(PUD - SLOT_PAGE + page, 1)),
	];
	const far = (page: number): TraceRecord => ({ ...read(), page: PUD + page });

	it("1.13 given a VMA of which nothing is mapped, then there is no bracket at all", () => {
		for (const flag of [OpFlag.fromPmd, OpFlag.fromPud])
			expect(["notifier.rangeStart", "mmuLockWrite"].map(replayed("drop", [...memory(), protect(flag)]))).toEqual([0, 0]);
		expect(replayed("drop", [...memory(), protect(0)])("notifier.rangeStart")).toBe(1);
	});

	it("1.13 given pages in two of three PUDs, then 6.1 has a bracket for each, 6.12 one of all", () => {
		const records = memory(1000, PUD + 5000);
		expect([OpFlag.fromPmd, OpFlag.fromPud, 0].map((flag) => replayed("drop", [...records, protect(flag)])("notifier.rangeStart"))).toEqual(
			[2, 1, 1],
		);
	});

	it("1.13 given pages here and there, then a bracket begins at the 2 MiB (6.12: the 1 GiB) of the first, and ends where its PUD (P4D) or the VMA does", () => {
		const model = modelAfter("drop", memory(1000, 5000, 2 * PUD + 7)).world.mm(0);
		expect(protectedRanges(model, PUD + 10, 3 * PUD, PUD, 512)).toEqual([
			[PUD + 512, PUD - 512],
			[3 * PUD, PUD],
		]);
		expect(protectedRanges(model, PUD + 10, 3 * PUD, 512 * PUD, PUD)).toEqual([[PUD + 10, 3 * PUD]]);
		expect(protectedRanges(model, PUD + 5001, PUD, PUD, 512)).toEqual([]);
	});

	it("1.13 given a write to what mprotect has made read-only where nothing was mapped, then the VMA forbids it all the same", () => {
		const guest = { ...far(0), access: 1 } as TraceRecord;
		for (const flag of [OpFlag.fromPmd, OpFlag.fromPud, 0]) {
			const model = modelAfter("drop", [...memory(), protect(flag, 600), far(0), guest]);
			expect(model.world.mm(0).writingAllowed(PUD)).toBe(false);
		}
	});
});
