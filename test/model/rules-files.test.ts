// Mappings of files and of shared memory, as numbered scenarios. The number is kernel.md's section.
import { describe, expect, it } from "vitest";
import { Access, Hint, NotifyEvent, OpFlag, Point, VmaKind } from "../../src/trace/kinds.js";
import type { TraceRecord } from "../../src/trace/record.js";
import {
	ALL,
	at,
	each,
	filled,
	hostRead,
	hostWrite,
	mm,
	modelAfter,
	onRange,
	op,
	read,
	replayed,
	SLOT_PAGE,
	slot,
	write,
} from "./scenario.js";

const child = { ...mm, mm: 9 };
const maps = (vma: VmaKind, pages = 8, agent = mm, offset = 0): TraceRecord => op("mmap", 0, [pages, vma, 1, offset], agent);
const privately = [slot(), maps(VmaKind.privateFile)];
const shared = [slot(), maps(VmaKind.sharedFile)];
const memory = [slot(), maps(VmaKind.sharedMemory)];
const pte = (records: readonly TraceRecord[], page = 0, of = 0) =>
	modelAfter("drop", records)
		.world.mm(of)
		.get(SLOT_PAGE + page);

describe("kernel.md 1.10: faults where a file is mapped", () => {
	it("1.10 given a private mapping, when the guest reads, then it maps the file's page, read-only, without a notifier", () => {
		const counter = replayed("drop", [...privately, read()]);
		expect([counter("vmexits"), counter("notifier.rangeStart"), pte([...privately, read()])?.writable]).toEqual([1, 0, false]);
	});

	it("1.10 given a private mapping, when the guest writes first, then do_cow_fault maps a copy: one exit, and no notifier", () => {
		const records = [...privately, write()];
		expect(each(ALL, records)).toEqual([1, 1, 1, 1, 1, 1]);
		const counter = replayed("drop", records);
		expect([counter("notifier.rangeStart"), counter("cowCopies.file")]).toEqual([0, 0]);
		expect(pte(records)?.frame).not.toBe(
			pte([...records, maps(VmaKind.privateFile, 8, child), op("populate", 0, [1, 2], child)], 0, 9)?.frame,
		);
	});

	it("1.10 given a shared mapping of a file, when the guest reads, then the PTE is read-only: page_mkwrite wants to know of the first write", () => {
		expect(pte([...shared, read()])?.writable).toBe(false);
		expect(each(ALL, [...shared, read(), write()])).toEqual([2, 2, 2, 2, 2, 2]);
	});

	it("1.10 given shared memory, when the guest reads, then the PTE is writable, clean, and a write needs no further exit", () => {
		expect([pte([...memory, read()])?.writable, pte([...memory, read()])?.dirty]).toEqual([true, false]);
		expect(each(ALL, [...memory, read(), write()])).toEqual([1, 1, 1, 1, 1, 1]);
	});

	it("1.10 given a mapping of no pages over another one, then mmap refuses it (EINVAL), and the other one stays whole", () => {
		const huge = [slot(), maps(VmaKind.privateHugetlb, 512)];
		const records = [...huge, op("mmap", 1, [0, VmaKind.privateFile, 1, 0])];
		const { vmas } = modelAfter("drop", records).world.mm(0);
		expect(vmas.within(SLOT_PAGE, 512)).toEqual(modelAfter("drop", huge).world.mm(0).vmas.within(SLOT_PAGE, 512));
	});

	it("1.10 given two mms that map one page, then both have the same frame, and the page cache holds it once both are gone", () => {
		const records = [...shared, maps(VmaKind.sharedFile, 8, child), hostRead(), op("populate", 0, [1, 1], child)];
		const model = modelAfter("drop", [...records, op("exit", 0, [], child), onRange("zap", 0, 1, NotifyEvent.clear)]);
		const { frame } = pte(records) ?? {};
		expect(pte(records, 0, 9)?.frame.id).toBe(frame?.id);
		const left = model.world.frames.get(frame?.id ?? -1);
		expect([left.mapcount, left.holds, left.freed]).toEqual([0, 1, false]);
	});
});

describe("kernel.md 1.2 and 1.3: writes to read-only pages of files", () => {
	it("1.3 given a private page of a file, when the guest writes to it, then wp_page_copy: a bracket, two more exits, one where change_pte maps the copy", () => {
		const records = [...privately, read(), write()];
		expect(each(ALL, records)).toEqual([3, 3, 3, 2, 3, 2]);
		const counter = replayed("wrapped", records);
		expect(["cowCopies.file", "cowBreaks", "notifier.rangeStart", "notifier.changePte", "flush.primaryTlb"].map(counter)).toEqual([
			1, 0, 1, 1, 1,
		]);
	});

	it("1.3 given a host thread's write to it, then the same copy, and the guest's next read of the old page costs what the strategy says", () => {
		const records = [...privately, read(), hostWrite(), read()];
		expect(each(ALL, records)).toEqual([2, 2, 2, 1, 2, 1]);
		expect(replayed("drop", records)("cowCopies.file")).toBe(1);
	});

	it("1.3 given a page of a file, then reuse is out of the question, whatever a trace hints: the page cache has a reference", () => {
		const host = { ...mm, kind: 2, thread: 1 } as const;
		const records = [...privately, hostRead(), op("access", 0, [Access.hostWrite, Hint.reuse], host)];
		expect(["cowCopies.file", "cowReuses"].map(replayed("drop", records))).toEqual([1, 0]);
	});

	it("1.3 given the copy, when it is written again after a fork of nobody's, then it is one's own: reused", () => {
		const records = [...privately, read(), write(), onRange("softDirty", 0, 1, NotifyEvent.softDirty), write()];
		expect(["cowCopies.file", "cowReuses"].map(replayed("drop", records))).toEqual([1, 1]);
	});

	it("1.3 given an SPTE that leads to the file's page while the PTE has the copy, then the guest reads what is no longer there: I-2", () => {
		const points = [Point.begin, Point.commit].map((point) => op("cow", 0, [point, 2, 0]));
		const records = [...privately, read(), ...points, hostWrite(), read()];
		expect(replayed("range-after-unlock", records)("coherence.byRule.I-2")).toBe(1);
		expect(each(ALL, records, "coherence.violations")).toEqual([0, 0, 0, 0, 0, 0]);
	});

	it("1.2 given a shared page of a file, when the guest writes to it, then wp_page_shared: no copy, no notifier, the same page", () => {
		const records = [...shared, read(), write()];
		const counter = replayed("wrapped", records);
		expect(["cowReuses", "cowCopies.file", "cowCopies.shared", "notifier.rangeStart"].map(counter)).toEqual([1, 0, 0, 0]);
		expect([pte(records)?.frame.id, pte(records)?.writable]).toEqual([pte(records.slice(0, -1))?.frame.id, true]);
	});

	it("1.2 given two who write to one shared page, then neither copies, and each reads what the other wrote", () => {
		const counter = replayed("drop", [
			...memory,
			maps(VmaKind.sharedMemory, 8, child),
			write(),
			op("populate", 0, [1, 1], child),
			hostWrite(),
			read(),
		]);
		expect(["cowCopies.shared", "coherence.violations", "vmexits"].map(counter)).toEqual([0, 0, 1]);
	});
});

describe("kernel.md 1.9: fork of file mappings", () => {
	const fork = onRange("fork", 0, 8, NotifyEvent.protectionPage, 9);

	it("1.9 given a shared mapping, then it is no COW mapping: no bracket, nothing copied, and the guest goes on without an exit", () => {
		const records = [...shared, write(), fork, write(), hostWrite()];
		expect(each(ALL, records)).toEqual([1, 1, 1, 1, 1, 1]);
		expect(["notifier.rangeStart", "bySite.fork.count", "cowCopies.shared"].map(replayed("wrapped", records))).toEqual([0, 0, 0]);
		const model = modelAfter("drop", [...records, op("populate", 0, [1, 1], child)]);
		expect(model.world.mm(9).get(SLOT_PAGE)?.frame).toBe(model.world.mm(0).get(SLOT_PAGE)?.frame);
	});

	it("1.9 given a private mapping without a page of its own, then the child faults its pages in as well: no bracket", () => {
		expect(replayed("wrapped", [...privately, read(), fork])("notifier.rangeStart")).toBe(0);
	});

	it("1.9 given a private mapping with a page of its own, then the whole VMA is bracketed, and pages of the file are shared with the child", () => {
		const records = [...privately, read(0), write(1), fork, read(0), write(1)];
		const counter = replayed("wrapped", records);
		// The fork, and the copy of the guest's own page.
		expect(["notifier.rangeStart", "cowCopies.shared", "cowCopies.file"].map(counter)).toEqual([2, 1, 0]);
		expect(counter("vmexits")).toBe(5);
	});
});

describe("kernel.md 1.11 to 1.15: ranges over file mappings", () => {
	it("1.11 given pages of a file, when they are reclaimed, then the PTEs are none, the pages are freed, and a fault reads them again", () => {
		const records = [...shared, write(), onRange("reclaim", 0, 8)];
		const model = modelAfter("drop", records);
		expect(model.world.mm(0).mapped(SLOT_PAGE, 8)).toEqual([]);
		expect(pte(records.slice(0, -1))?.frame.id).toBeDefined();
		expect(model.world.frames.get(pte(records.slice(0, -1))?.frame.id ?? -1).freed).toBe(true);
		expect(["vmexits", "coherence.violations"].map(replayed("drop", [...records, read()]))).toEqual([2, 0]);
	});

	it("1.11 given pages of a private mapping, then the copies go to swap, and pages of the file are merely unmapped", () => {
		const model = modelAfter("drop", [...privately, read(0), write(1), onRange("reclaim", 0, 8)]);
		expect([model.world.mm(0).entry(SLOT_PAGE)?.kind, model.world.mm(0).entry(SLOT_PAGE + 1)?.kind]).toEqual([undefined, "swap"]);
	});

	it("1.11 given a page of a file, when it is migrated, then the page cache has the new one", () => {
		const records = [...shared, write(), onRange("migrate", 0, 1), op("migrateRestore", 0, [1, 0])];
		const model = modelAfter("drop", [...records, maps(VmaKind.sharedFile, 8, child), op("populate", 0, [1, 1], child)]);
		expect(model.world.mm(9).get(SLOT_PAGE)?.frame).toBe(model.world.mm(0).get(SLOT_PAGE)?.frame);
		expect(pte(records)?.frame.id).not.toBe(pte(records.slice(0, 3))?.frame.id);
	});

	it("1.12 given a shared page that was written, when writeback cleans it, then the next write is told to the file system again: a reuse", () => {
		const records = [...shared, write(), onRange("mkclean", 0, 1, NotifyEvent.protectionPage), write()];
		expect(each(ALL, records)).toEqual([2, 2, 2, 2, 2, 2]);
		expect(["cowReuses", "notifier.rangeStart"].map(replayed("drop", records))).toEqual([1, 1]);
	});

	it("1.13 given mprotect to and fro, then a shared file's PTE is writable again where it is dirty, shared memory's in any case", () => {
		const both = [0, OpFlag.writable].map((flag) => onRange("protect", 0, 8, NotifyEvent.protectionVma, flag));
		expect(pte([...shared, read(), ...both])?.writable).toBe(false);
		expect(pte([...shared, write(), ...both])?.writable).toBe(true);
		expect(pte([...memory, read(), ...both])?.writable).toBe(true);
		expect(pte([...privately, read(), ...both])?.writable).toBe(false);
	});

	it("1.13 given NUMA hinting, then a private mapping's pages of the file stay, for they are shared; those of a shared mapping are hidden", () => {
		const hint = onRange("numaHint", 0, 8, NotifyEvent.protectionVma);
		expect(
			modelAfter("drop", [...privately, read(), hint])
				.world.mm(0)
				.entry(SLOT_PAGE),
		).toBeUndefined();
		expect(
			modelAfter("drop", [...shared, read(), hint])
				.world.mm(0)
				.entry(SLOT_PAGE)?.kind,
		).toBe("protnone");
	});

	it("1.14 given MADV_DONTNEED on a private mapping, then the next read finds the file's page again; after an unmap there is no file", () => {
		const before = [...privately, read(1), write()];
		const [dontneed, unmapped] = [NotifyEvent.clear, NotifyEvent.unmap].map((event) => [...before, onRange("zap", 0, 1, event), read()]);
		expect(pte(dontneed ?? [])?.frame.slot?.file).toBe(true);
		expect(pte(unmapped ?? [])?.frame.zero).toBe(true);
		expect(pte(unmapped ?? [], 1)?.frame.slot?.file).toBe(true);
	});

	it("1.15 given a huge mapping of shared memory, when it is split, then its PTEs go, and faults find the same pages at 4 KiB", () => {
		const huge = [slot(), maps(VmaKind.sharedMemory, 512), filled(0, 512, 3), write(0), write(511)];
		const records = [...huge, onRange("thpSplit", 0, 512), read(0), read(511)];
		expect(replayed("drop", huge)("vmexits")).toBe(1);
		expect(["vmexits", "coherence.violations"].map(replayed("drop", records))).toEqual([3, 0]);
		expect(modelAfter("drop", records).world.mm(0).present(SLOT_PAGE, 512)).toEqual([SLOT_PAGE, SLOT_PAGE + 511]);
	});

	it("1.8 given a private mapping of a file, then migrate_vma inserts nothing: it is for anonymous memory", () => {
		expect(pte([...privately, onRange("migrateVma", 0, 1, NotifyEvent.migrate)])).toBeUndefined();
	});

	it("1.17 given mremap, then the new place maps the same pages of the file", () => {
		const records = [...shared, write(1), onRange("mremap", 0, 4, NotifyEvent.unmap, SLOT_PAGE + 64), at(Point.whole, "invalidate", 0, 1)];
		const model = modelAfter("drop", [
			...records,
			maps(VmaKind.sharedFile, 8, child),
			op("populate", 0, [4, 1], child),
			op("populate", 64, [4, 1]),
		]);
		for (const page of [0, 1, 3])
			expect(model.world.mm(0).get(SLOT_PAGE + 64 + page)?.frame).toBe(model.world.mm(9).get(SLOT_PAGE + page)?.frame);
	});
});

describe("kernel.md 1.18: remap_file_pages", () => {
	const remap = (offset: number, pages = 4): TraceRecord => onRange("remapFilePages", 0, pages, NotifyEvent.clear, offset);
	const whole = [...shared, read(0), write(1), remap(64), read(0), read(1)];

	it("1.18 given pages that are there, when they are remapped, then they are zapped in a bracket, page by page, and other pages of the file are mapped", () => {
		const counter = replayed("wrapped", whole);
		expect(["notifier.rangeStart", "notifier.changePte", "flush.primaryTlb", "vmexits", "cowCopies.file"].map(counter)).toEqual([
			1, 0, 2, 4, 0,
		]);
		const model = modelAfter("wrapped", [...whole, maps(VmaKind.sharedFile, 4, child, 64), op("populate", 0, [2, 1], child)]);
		for (const page of [0, 1]) expect(model.world.mm(0).get(SLOT_PAGE + page)?.frame).toBe(model.world.mm(9).get(SLOT_PAGE + page)?.frame);
	});

	it("1.18 given a private mapping, then there is nothing that could be remapped", () => {
		const counter = replayed("wrapped", [...privately, read(), remap(64), read()]);
		expect(["flush.primaryTlb", "coherence.violations"].map(counter)).toEqual([0, 0]);
		expect(pte([...privately, read(), remap(64)])?.frame.slot?.file).toBe(true);
	});

	it("2.1 and 5 (e) given a fault between the callback and populate_range of the 2008 draft, then its SPTE keeps the old page for ever", () => {
		const points = [Point.begin, Point.commit, Point.end].map((point) => at(point, "remapFilePages", 0, 4, NotifyEvent.clear, 64));
		const [begin, ...rest] = points;
		const raced = [...shared, read(), ...(begin === undefined ? [] : [begin]), read(), ...rest, hostWrite(), read(), read()];
		const counter = replayed("range-after-unlock", raced);
		expect(counter("coherence.byRule.I-2")).toBeGreaterThanOrEqual(2);
		expect(counter("vmexits")).toBe(2);
		expect(each([...ALL, "legacy-2.6.32", "legacy-3.6"], raced, "coherence.violations")).toEqual([0, 0, 0, 0, 0, 0, 0, 0]);
	});

	it("1.18 given no pages, then there is nothing to remap, and nobody is told but by the bracket", () => {
		const counter = replayed("wrapped", [...shared, read(1), remap(64, 0)]);
		expect(["notifier.rangeStart", "flush.primaryTlb", "mmuLockWrite"].map(counter)).toEqual([1, 0, 0]);
		const device = { ...mm, kind: 5 } as const;
		const told = replayed("wrapped", [
			...shared,
			op("deviceAttach", 0, [0, 8, 4], device),
			onRange("remapFilePages", 1, 0, NotifyEvent.clear, 64),
		]);
		expect(told("notifier.invalidateSecondaryTlb")).toBe(0);
	});

	it("2.1 given nobody in between, then the draft's callback suffices", () => {
		expect(each(["range-after-unlock", "drop"], whole, "coherence.violations")).toEqual([0, 0]);
	});
});
