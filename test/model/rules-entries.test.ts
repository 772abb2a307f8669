// Reclaim, migration and NUMA hinting, as numbered scenarios. The number is kernel.md's section.
import { describe, expect, it } from "vitest";
import { OpFlag, Point } from "../../src/trace/kinds.js";
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

const child = { ...mm, mm: 9 };
const pin = op("pin", 0, [1]);
const reclaim = (page = 0, pages = 1) => onRange("reclaim", page, pages);
const migrate = (page = 0, pages = 1) => onRange("migrate", page, pages);
const restore = (page = 0, pages = 1, flags = 0) => op("migrateRestore", page, [pages, flags]);
const numaHint = (page = 0, pages = 1) => onRange("numaHint", page, pages, 2);
const fork = (pages = 1) => onRange("fork", 0, pages, 3, 9);
const points = (name: "reclaim" | "migrate", pages = 1) => [Point.begin, Point.commit, Point.end].map((point) => at(point, name, 0, pages));

describe("kernel.md 1.11: reclaim", () => {
	it("1.11 given a mapped page, when it is reclaimed, then it is zapped under every strategy and the next write maps it writable at once", () => {
		const records = [slot(), filled(), write(), reclaim(), write()];
		expect(each(ALL, records)).toEqual([2, 2, 2, 2, 2, 2]);
		const counter = replayed("drop", records);
		expect([counter("notifier.rangeStart"), counter("cowReuses"), counter("cowCopies.shared")]).toEqual([1, 0, 0]);
	});

	it("1.10 given a swapped page of one's own, when it is read and then written, then it comes back read-only, and the write is a reuse", () => {
		const counter = replayed("drop", [slot(), filled(), reclaim(), read(), write()]);
		expect([counter("vmexits"), counter("cowReuses"), counter("cowCopies.shared")]).toEqual([2, 1, 0]);
	});

	it("1.10 given a swapped page that a fork shares, when one mm writes it, then it is copied; when both have had it back, they share it", () => {
		const shared = [slot(), filled(), fork(), reclaim(), op("reclaim", 0, [0, 0, 1, 1], child)];
		expect(replayed("drop", [...shared, write()])("cowCopies.shared")).toBe(1);
		const childReads = { ...hostRead(), agent: { ...child, kind: hostRead().agent.kind } };
		const { world } = modelAfter("drop", [...shared, read(), childReads]);
		expect(world.mm(0).get(SLOT_PAGE)?.frame).toBe(world.mm(9).get(SLOT_PAGE)?.frame);
		// The last entry that leads to swap gone, a write finds one reference.
		expect(replayed("drop", [...shared, op("exit", 0, [], child), write()])("cowCopies.shared")).toBe(0);
	});

	it("1.10 given a KSM page in swap, when its mappings come back, then all but the first are copies, and none is a KSM page", () => {
		const merged = [slot(), filled(0, 2), ...promote(0, 5), ...merge(1, 5), reclaim(0, 2)];
		const { world } = modelAfter("drop", [...merged, read(0), read(1)]);
		const [first, second] = [world.mm(0).get(SLOT_PAGE)?.frame, world.mm(0).get(SLOT_PAGE + 1)?.frame];
		expect([first?.kpage, second?.kpage, first === second, first?.content === second?.content]).toEqual([0, 0, false, true]);
		expect(replayed("drop", [...merged, write(0)])("cowBreaks")).toBe(0);
	});

	it("1.10 given one mapping of a KSM page in swap, when it comes back, then it maps the KSM page from the swap cache, read-only", () => {
		const records = [slot(), filled(0, 2), ...promote(0, 5), ...merge(1, 5), reclaim(0), write(0)];
		expect(replayed("drop", records)("cowBreaks")).toBe(1);
	});

	it("1.11 and I-1 given a reclaim, then the page is freed after the range end, unless somebody has it pinned or mapped", () => {
		const freed = (...records: Parameters<typeof modelAfter>[1]) =>
			modelAfter("drop", [slot(), filled(), ...records]).world.frames.get(1).freed;
		expect([2, 3].map((count) => freed(...points("reclaim").slice(0, count)))).toEqual([false, true]);
		expect(freed(fork(), reclaim())).toBe(false);
		expect(freed(pin, reclaim())).toBe(false);
	});

	it("1.11 given a page that is one's own and pinned, when it is reclaimed, then its PTE is put back", () => {
		const { world } = modelAfter("drop", [slot(), filled(), pin, reclaim()]);
		expect(world.mm(0).get(SLOT_PAGE)?.writable).toBe(true);
	});

	it("1.11 and 1.15 given a huge page, when it is reclaimed, then it is split first", () => {
		const counter = replayed("drop", [slot(), filled(0, 512, 3), write(), reclaim(0, 512), write()]);
		expect([counter("bySite.thpSplit.count"), counter("bySite.reclaim.count"), counter("vmexits")]).toEqual([1, 1, 2]);
	});

	it("1.14 given swap entries, when they are unmapped, then a read finds the zero page", () => {
		const counter = replayed("drop", [slot(), filled(), reclaim(), onRange("zap", 0, 1), read(), write()]);
		expect(counter("cowCopies.zero")).toBe(1);
	});

	it("1.1 given a kernel before 4.13, when a page is reclaimed, then invalidate_page runs under the lock and there is no bracket", () => {
		const counter = replayed("legacy-3.6", [slot(), filled(), write(), reclaim(), write()]);
		expect([counter("notifier.rangeEnd"), counter("spteZapped"), counter("vmexits"), counter("coherence.violations")]).toEqual([
			0, 1, 2, 0,
		]);
	});
});

describe("kernel.md 1.11: migration", () => {
	it("1.11 given a migrated page, when it is restored, then it is another page with the same rights, and no notifier is told", () => {
		const records = [slot(), filled(0, 2), write(0), onRange("softDirty", 1, 1), migrate(0, 2), restore(0, 2), write(0)];
		const counter = replayed("drop", records);
		expect([counter("bySite.migrate.count"), counter("notifier.rangeStart"), counter("vmexits"), counter("cowReuses")]).toEqual([
			1, 2, 2, 0,
		]);
		const { world } = modelAfter("drop", records);
		expect([world.mm(0).get(SLOT_PAGE)?.frame.id === 1, world.mm(0).get(SLOT_PAGE)?.writable]).toEqual([false, true]);
		expect([world.mm(0).get(SLOT_PAGE + 1)?.writable, world.frames.get(1).freed]).toEqual([false, true]);
	});

	it("1.11 given a migration in progress, when the guest faults, then the fault waits and one exit does", () => {
		const begun = [slot(), filled(), write(), migrate(), write()];
		const waits = replayed("drop", begun);
		expect([waits("vmexits"), waits("vmexitsFixed"), waits("vmexitsRetried")]).toEqual([2, 1, 0]);
		const over = replayed("drop", [...begun, restore()]);
		expect([over("vmexits"), over("vmexitsFixed"), over("vmexitsRetried")]).toEqual([2, 2, 0]);
	});

	it("1.11 and 3.3 given a fault that waits from within the bracket, when the migration is over, then its sequence is old and it exits again", () => {
		const [begin, commit, end] = points("migrate");
		if (begin === undefined || commit === undefined || end === undefined) throw new Error("three points");
		const counter = replayed("drop", [slot(), filled(), write(), begin, commit, write(), end, restore()]);
		expect([counter("vmexits"), counter("vmexitsByCause.retryOther.write"), counter("vmexitsFixed")]).toEqual([3, 1, 2]);
		const early = replayed("drop", [slot(), filled(), write(), begin, write(), commit, end, restore()]);
		expect([early("vmexits"), early("vmexitsByCause.retryInProgress.write"), early("vmexitsFixed")]).toEqual([3, 1, 2]);
	});

	it("1.11 given a migration whose end is not in the trace, when somebody has got through, then it is over", () => {
		const guestTwice = replayed("drop", [slot(), filled(), migrate(), write(), write()]);
		expect([guestTwice("vmexits"), guestTwice("vmexitsFixed")]).toEqual([1, 1]);
		const host = replayed("drop", [slot(), filled(), migrate(), hostWrite()]);
		expect([host("hostFaults"), host("cowCopies.shared"), host("cowReuses")]).toEqual([1, 0, 0]);
	});

	it("1.11 given a failed migration, or one of a pinned page, then the page stays", () => {
		const frameAfter = (...records: Parameters<typeof modelAfter>[1]) =>
			modelAfter("drop", [slot(), filled(), ...records])
				.world.mm(0)
				.get(SLOT_PAGE)?.frame.id;
		expect(frameAfter(migrate(), restore(0, 1, OpFlag.failed))).toBe(1);
		expect(frameAfter(pin, migrate(), restore())).toBe(1);
		expect(frameAfter(migrate(), restore())).not.toBe(1);
	});

	it("1.11 given a page that two mms map, when it migrates, then both get the same new page", () => {
		const { world } = modelAfter("drop", [
			...[slot(), filled(), fork(), migrate(), op("migrate", 0, [0, 0, 1, 1], child)],
			...[restore(), op("migrateRestore", 0, [1, 0], child)],
		]);
		expect(world.mm(0).get(SLOT_PAGE)?.frame).toBe(world.mm(9).get(SLOT_PAGE)?.frame);
		expect(world.frames.get(1).freed).toBe(true);
	});

	it("1.11 given a KSM page, when it migrates, then the new page is the KSM page", () => {
		const counter = replayed("drop", [slot(), filled(0, 2), ...promote(0, 5), migrate(), restore(), ...merge(1, 5), write(1)]);
		expect([counter("cowBreaks"), counter("ksmMerges")]).toEqual([1, 2]);
	});

	it("1.15 given a huge page covered whole, when it migrates, then it comes back huge; covered in part, it is split", () => {
		const whole = [slot(), filled(0, 512, 3), write(), migrate(0, 512), restore(0, 512), write(3)];
		expect([replayed("drop", whole)("vmexits"), modelAfter("drop", whole).world.mm(0).isHuge(SLOT_PAGE)]).toEqual([2, true]);
		const part = replayed("drop", [slot(), filled(0, 512, 3), migrate(0, 1), restore(0, 1)]);
		expect([part("bySite.thpSplit.count"), part("bySite.migrate.count")]).toEqual([1, 1]);
	});
});

describe("kernel.md 1.13: NUMA hinting", () => {
	it("1.13 given KSM, zero and fork-shared pages, when NUMA hinting runs, then their PTEs stay, and the bracket has zapped them all", () => {
		const pages = [
			slot(),
			filled(0, 4),
			fork(4),
			...[0, 1, 2].map((page) => onRange("zap", page, 1)),
			filled(0, 2),
			filled(2, 1, 2),
			...promote(1),
		];
		const { world } = modelAfter("drop", [...pages, numaHint(0, 4)]);
		const kinds = [0, 1, 2, 3].map((page) => world.mm(0).entry(SLOT_PAGE + page)?.kind);
		expect(kinds).toEqual(["protnone", undefined, undefined, undefined]);
		const touched = [0, 1, 2, 3].map((page) => read(page));
		expect(each(ALL, [...pages, ...touched, numaHint(0, 4), ...touched])).toEqual([8, 8, 8, 8, 8, 8]);
	});

	it("1.13 given a hidden page, when a thread of the host uses it, then it faults once and the rights are what they were", () => {
		const counter = replayed("drop", [slot(), filled(), hostWrite(), numaHint(), hostWrite(), hostWrite()]);
		expect([counter("hostFaults"), counter("cowReuses"), counter("cowCopies.shared")]).toEqual([1, 0, 0]);
	});

	it("1.13 given a hidden page, when the guest uses it, then one exit does, with no further notifier", () => {
		const counter = replayed("drop", [slot(), filled(), write(), numaHint(), write()]);
		expect([counter("vmexits"), counter("vmexitsFixed"), counter("notifier.rangeStart")]).toEqual([2, 2, 1]);
	});

	it("1.13 given nothing to hide, then the bracket runs and nothing is flushed", () => {
		const counter = replayed("drop", [slot(), filled(0, 1, 2), numaHint()]);
		expect([counter("notifier.rangeStart"), counter("flush.primaryTlb")]).toEqual([1, 0]);
	});

	it("1.11 and 1.13 given a hidden page, when it migrates (NUMA balancing), then it comes back accessible", () => {
		const { world } = modelAfter("drop", [slot(), filled(), numaHint(), migrate(), restore()]);
		expect([world.mm(0).get(SLOT_PAGE)?.writable, world.mm(0).entry(SLOT_PAGE)]).toEqual([true, undefined]);
	});

	it("1.13 given a huge mapping, then it is hidden as a whole and comes back as a whole", () => {
		const counter = replayed("drop", [slot(), filled(0, 512, 3), write(0), numaHint(0, 512), write(7), write(0)]);
		expect([counter("vmexits"), counter("bySite.thpSplit.count")]).toEqual([2, 0]);
	});

	it("1.13 given a hidden page, when mprotect gives or takes rights, then it is accessible with the new ones", () => {
		const protect = (flags: number) => onRange("protect", 0, 1, 2, flags);
		const writableAfter = (flags: number) =>
			modelAfter("drop", [slot(), filled(), numaHint(), protect(flags)])
				.world.mm(0)
				.get(SLOT_PAGE)?.writable;
		expect([writableAfter(0), writableAfter(OpFlag.writable)]).toEqual([false, true]);
	});
});

describe("kernel.md 1.9: what a fork makes of entries", () => {
	it("1.9 given swap and migration entries and hidden pages, when the mm forks, then the child has them too, and nothing is writable", () => {
		const before = [slot(), filled(0, 3), reclaim(0), migrate(1), numaHint(2), fork(3)];
		const { world } = modelAfter("drop", before);
		const kinds = [0, 1, 2].map((page) => world.mm(9).entry(SLOT_PAGE + page)?.kind);
		expect(kinds).toEqual(["swap", "migration", "protnone"]);
		const counter = replayed("drop", [...before, restore(1), op("migrateRestore", 1, [1, 0], child), write(0), write(1), write(2)]);
		expect(counter("cowCopies.shared")).toBe(3);
	});

	it("1.4 given a swapped page, when KSM write-protects it, then it was faulted in before", () => {
		const counter = replayed("wrapped", [slot(), filled(), reclaim(), onPage("ksmWriteProtect")]);
		expect([counter("notifier.changePte"), counter("ksmWriteProtects")]).toEqual([1, 1]);
	});
});
