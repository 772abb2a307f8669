// Copies, merges and their edges that the other rule files leave out. The number is kernel.md's section.
import { describe, expect, it } from "vitest";
import { OpFlag, Point } from "../../src/trace/kinds.js";
import { ALL, each, filled, hostRead, hostWrite, merge, onPage, onRange, op, promote, read, replayed, slot, write } from "./scenario.js";

describe("kernel.md 1.2 and 1.3: reuse and copy", () => {
	it("1.2 given a read-only page that the guest has mapped, when a host thread reuses it, then no notifier is told, and the guest's own write exits once more", () => {
		const before = [slot(), filled(), onPage("ksmWriteProtect", 0, OpFlag.unlocks), read(), hostWrite()];
		expect(each(ALL, before)).toEqual(ALL.map(() => 1));
		// Of the write-protect alone, where that has a bracket.
		expect(each(ALL, before, "notifier.rangeStart")).toEqual([1, 1, 0, 0, 1, 1]);
		const drop = replayed("drop", [...before, write()]);
		expect([drop("vmexits"), drop("cowReuses"), drop("vmexitsByCause.readOnlySpte.write")]).toEqual([2, 1, 1]);
	});

	it("1.3 given a copy that finds its PTE changed, when it takes the lock, then its bracket ran and nothing was copied", () => {
		const records = [slot(), filled(), read(), ...promote(), read(), onPage("cow", 0, OpFlag.failed), read()];
		for (const [name, exits] of [
			["drop", 3],
			["fix", 1],
		] as const) {
			const counter = replayed(name, records);
			expect([counter("cowBreaks"), counter("bySite.cow.count"), counter("vmexits")]).toEqual([0, 1, exits]);
		}
	});

	it("1.3 given a kernel before 3.7, when a page is copied, then there is no bracket, and change_pte is called", () => {
		const records = [slot(), filled(), read(), ...promote(), hostWrite()];
		for (const name of ["legacy-2.6.32", "legacy-3.6"]) {
			const counter = replayed(name, records);
			expect([counter("cowBreaks"), counter("notifier.rangeStart"), counter("notifier.changePte")]).toEqual([1, 0, 2]);
		}
		expect(replayed("wrapped", records)("notifier.rangeStart")).toBe(2);
	});
});

describe("kernel.md 1.5 and 1.6: the zero page, and breaking", () => {
	const zeroMerge = [onPage("ksmWriteProtect", 0, OpFlag.kpageGiven), op("ksmReplace", 0, [Point.whole, 0, OpFlag.zeroPage, 0])];

	it("1.5 given use_zero_pages, when a page is merged, then it maps the zero page, and a write copies that, not a KSM page", () => {
		const counter = replayed("drop", [slot(), filled(), ...zeroMerge, read(), write()]);
		expect([counter("ksmZeroMerges"), counter("ksmMerges")]).toEqual([1, 0]);
		expect([counter("cowCopies.zero"), counter("cowBreaks"), counter("vmexits")]).toEqual([1, 0, 3]);
	});

	it("1.6 given break_ksm up to 6.1, when a page is broken, then the copy is writable, and the guest's write needs no other", () => {
		const records = [slot(), filled(), ...promote(), onPage("cow", 0, OpFlag.breakKsm), write()];
		const counter = replayed("drop", records);
		expect([counter("cowBreaks"), counter("cowReuses"), counter("vmexits"), counter("vmexitsRetried")]).toEqual([1, 0, 1, 0]);
	});

	it("1.6 given a zero page that KSM placed, when it is broken by unshare, then the copy is read-only and a write reuses it", () => {
		const counter = replayed("drop", [slot(), filled(), ...zeroMerge, onPage("unshare"), read(), write()]);
		expect([counter("cowCopies.unshare"), counter("cowCopies.zero"), counter("cowReuses")]).toEqual([1, 0, 1]);
	});

	it("1.6 given two pages of one KSM page, when one is broken, then the other still maps it", () => {
		const records = [slot(), filled(0, 2), ...promote(0), ...merge(1), onPage("unshare", 1), hostRead(0), hostWrite(0)];
		expect(replayed("drop", records)("cowBreaks")).toBe(1);
	});
});

describe("kernel.md 1.14: part of a huge mapping", () => {
	it("1.14 and 1.15 given part of a huge mapping, when it is unmapped, then it is split first, in a bracket of its own", () => {
		const counter = replayed("drop", [slot(), filled(0, 512, 3), onRange("zap", 3, 4)]);
		expect([counter("bySite.thpSplit.count"), counter("bySite.zap.count"), counter("notifier.rangeStart")]).toEqual([1, 1, 2]);
		const whole = replayed("drop", [slot(), filled(0, 512, 3), onRange("zap", 0, 512)]);
		expect([whole("bySite.thpSplit.count"), whole("notifier.rangeStart")]).toEqual([0, 1]);
	});
});
