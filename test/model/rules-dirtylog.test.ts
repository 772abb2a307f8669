// Dirty logging and the legacy MMU as numbered scenarios (kernel.md 3.2, 3.4, 3.6 to 3.8).
import { describe, expect, it } from "vitest";
import { OpFlag, Point } from "../../src/trace/kinds.js";
import type { KvmHost } from "../../src/trace/kvmhost.js";
import {
	AD,
	filled,
	harvest,
	hugeFilled,
	invalidate,
	LEGACY,
	LEGACY_NO_AD,
	LEGACY_NO_PML,
	LOG,
	mm,
	NO_AD,
	NO_PML,
	op,
	PAGE,
	PAGES,
	play,
	promote,
	READ_ONLY,
	read,
	slot,
	slotAt,
	spteOf,
	vm,
	write,
	writeProtect,
	zap,
} from "./kvmscene.js";

describe("dirty logging (kernel.md 3.6)", () => {
	const mapped = [slot(), filled(0, 2), write(), writeProtect(1, OpFlag.unlocks), read(1)];

	it("3.6 given no page-modification logging, when logging begins, then W goes and MMU-writable stays, and the vCPUs are flushed", () => {
		const scene = play("drop", NO_PML, mapped, [slot(LOG)]);
		expect([spteOf(scene), spteOf(scene, 1)]).toEqual(["MDA", "A"]);
		expect(scene.counts("spteChanged", "spteZapped", "flush.guestTlb", "pfnDirtied", "mmuLockWrite")).toEqual([1, 0, 1, 0, 0]);
		// Without D it is W that says dirty.
		expect(play("drop", NO_AD, mapped, [slot(LOG)]).counts("spteChanged", "pfnDirtied")).toEqual([1, 1]);
	});

	it("3.6 given W taken by the log, when the guest writes, then the fast path gives it back: no lock, no gup, no retry", () => {
		for (const kvm of [NO_PML, NO_AD, LEGACY_NO_PML]) {
			const scene = play("drop", kvm, [...mapped, slot(LOG)], [write(), write()]);
			expect(scene.counts("vmexits", "vmexitsFast", "vmexitsFixed", "mmuLockWrite", "vmexitsByCause.readOnlySpte.write")).toEqual([
				1, 1, 1, 0, 1,
			]);
			expect(spteOf(scene)).toContain("WM");
		}
	});

	it("3.6 given a page that the host maps read-only, when the guest writes under logging, then it goes the long way", () => {
		const scene = play("drop", NO_PML, [...mapped, slot(LOG)], [write(1)]);
		expect(scene.counts("vmexits", "vmexitsFast", "cowReuses")).toEqual([1, 0, 1]);
	});

	it("3.6 given page-modification logging, when logging begins, then D goes and the page hears of it, and no store exits", () => {
		const scene = play("drop", AD, mapped, [slot(LOG)]);
		expect([spteOf(scene), spteOf(scene, 1)]).toEqual(["WMA", "A"]);
		expect(scene.counts("spteChanged", "pfnDirtied", "flush.guestTlb")).toEqual([1, 1, 1]);
		const after = play("drop", AD, [...mapped, slot(LOG)], [read(), write()]);
		// The read fills the TLB with an entry that may not be written through before a walk has set D.
		expect([spteOf(after), ...after.counts("vmexits", "walk.count")]).toEqual(["WMDA", 0, 2]);
	});

	it("3.6 given the dirty log is read, then the pages that were dirty are watched again, under the lock, with a flush", () => {
		const before = [slot(LOG), filled(0, 4), write(0), write(1), write(2)];
		const scene = play("drop", NO_PML, before, [harvest(1, 2), write(0), write(1), write(2)]);
		expect(scene.counts("mmuLockWrite", "bySite.dirtyLog.flushes", "vmexits", "vmexitsFast")).toEqual([1, 1, 2, 2]);
		expect(play("drop", AD, before, [harvest(1, 2), write(1)]).counts("vmexits", "pfnDirtied")).toEqual([0, 2]);
	});

	it("3.6 given the log of a slot that does not log, or is not there, or no pages, when it is read, then nothing happens", () => {
		const before = [slot(), filled(), write()];
		for (const record of [harvest(0, 1), op("dirtyLog", vm, 0, 9, 0, 0, 1)])
			expect(play("drop", NO_PML, before, [record]).counts("mmuLockWrite", "flush.guestTlb", "spteChanged")).toEqual([0, 0, 0]);
		expect(play("drop", NO_PML, [slot(LOG), filled(), write()], [harvest(0, 0), harvest(PAGES, 5)]).counts("mmuLockWrite")).toEqual([0]);
	});

	it("3.6 given a 2 MiB leaf, when logging begins, then the TDP MMU splits it, and no page of it is zapped", () => {
		const scene = play("drop", NO_PML, [slot(), hugeFilled(), write(3)], [slot(LOG)]);
		expect([spteOf(scene, 3), spteOf(scene, 511), spteOf(scene, 512)]).toEqual(["MDA", "MDA", "-"]);
		expect(scene.counts("spteZapped", "spteChanged", "flush.guestTlb")).toEqual([0, 513, 1]);
		expect(spteOf(play("drop", AD, [slot(), hugeFilled(), write(3), slot(LOG)]), 4)).toBe("WMA");
	});

	it("3.6 given a 2 MiB leaf of the legacy MMU, when logging begins, then it is write-protected, and the first store maps 4 KiB in its place", () => {
		for (const kvm of [LEGACY, LEGACY_NO_PML]) {
			const before = [slot(), hugeFilled(), write(3), slot(LOG)];
			expect(spteOf(play("drop", kvm, before), 3)).toBe("2M:MDA");
			const scene = play("drop", kvm, before, [write(3), write(4)]);
			expect([spteOf(scene, 3), spteOf(scene, 4), spteOf(scene, 5)]).toEqual(["WMDA", "WMDA", "-"]);
			expect(scene.counts("vmexits", "vmexitsFast", "spteZapped")).toEqual([2, 0, 1]);
		}
	});

	it("3.6 given logging, when it ends, then tables whose pages the host maps huge go, and the next fault maps 2 MiB again", () => {
		const before = [slot(LOG), hugeFilled(512), write(3), write(700)];
		const tdp = play("drop", AD, before, [slot()]);
		expect([spteOf(tdp, 3), spteOf(tdp, 700)]).toEqual(["-", "WMDA"]);
		expect(tdp.counts("spteZappedByCause.kvmZap", "flush.guestTlb", "mmuLockWrite")).toEqual([1, 1, 0]);
		const legacy = play("drop", LEGACY, before, [slot()]);
		expect(legacy.counts("spteZappedByCause.kvmZap", "flush.guestTlb", "mmuLockWrite")).toEqual([1, 1, 1]);
		expect(spteOf(play("drop", AD, [...before, slot(), read(5)]), 3)).toBe("2M:WMDA");
	});

	it("3.6 given a read-only slot, when logging is switched, then there is nothing to do", () => {
		const scene = play("drop", NO_PML, [slot(READ_ONLY), filled(), read()], [slot(READ_ONLY | LOG), slot(READ_ONLY)]);
		expect(scene.counts("spteChanged", "spteZapped", "flush.guestTlb")).toEqual([0, 0, 0]);
	});

	it("3.6 given address space 1, when its slot logs, then the SPTEs of address space 0 stay as they are", () => {
		const scene = play("drop", NO_PML, [slot(), slotAt(1, 1, 0, 0, PAGES), filled(), write()], [slotAt(1, 1, 0, 0, PAGES, LOG)]);
		expect([spteOf(scene), scene.count("spteChanged")]).toEqual(["WMDA", 0]);
	});

	it("I-15 given D that the log cleared, when the guest writes again and the SPTE is zapped, then the page hears of it again", () => {
		const scene = play("drop", AD, [slot(LOG), filled(), write(), harvest(0, 1)], [write(), zap()]);
		expect([scene.count("pfnDirtied"), scene.world.violations]).toEqual([1, []]);
		expect(play("drop", AD, [slot(LOG), filled(), write(), harvest(0, 1)], [read(), zap()]).count("pfnDirtied")).toBe(0);
	});
});

describe("the legacy MMU (kernel.md 3.2, 3.4, 3.6, 3.7)", () => {
	const present = (kvm: KvmHost, records: Parameters<typeof play>[2]): number[] => {
		const scene = play("drop", kvm, records);
		return Array.from({ length: 24 }, (_, gfn) => gfn).filter((gfn) => spteOf(scene, gfn) !== "-");
	};

	it("3.6 given writable pages beside it, when a page faults, then the aligned eight are mapped, not accessed, and their next access does not exit", () => {
		const before = [slot(), filled(0, 24), read(10)];
		expect(present(LEGACY, before)).toEqual([8, 9, 10, 11, 12, 13, 14, 15]);
		const scene = play("drop", LEGACY, before);
		expect([spteOf(scene, 10), spteOf(scene, 11), scene.count("sptePrefetched"), scene.count("spteInstalled")]).toEqual([
			"WMDA",
			"WMD",
			7,
			8,
		]);
		expect(play("drop", LEGACY, before, [write(11), read(15)]).count("vmexits")).toBe(0);
		expect(present(AD, before)).toEqual([10]);
	});

	it("3.6 given a page in the run that is not writable, then get_user_pages stops there, and what is behind the fault's own gfn is tried all the same", () => {
		// 0 1 are writable, 2 is none, 3 is writable | 4 faults | 5 is writable, 6 read-only.
		const pages = [filled(0, 2), filled(3, 3), filled(6), writeProtect(6, OpFlag.unlocks), filled(7)];
		expect(present(LEGACY, [slot(), ...pages, read(4)])).toEqual([0, 1, 4, 5]);
	});

	it("3.6 given a run whose first page is not writable, then the prefetch ends, also for the runs behind it", () => {
		expect(present(LEGACY, [slot(), filled(1, 7), read(4)])).toEqual([4]);
		expect(present(LEGACY, [slot(), filled(4, 4), read(4)])).toEqual([4]);
	});

	it("3.6 given present entries in the group, then the runs between them are tried", () => {
		const holes = [slot(), filled(0, 4), filled(5, 3)];
		expect(present(LEGACY, [...holes, read(0)])).toEqual([0, 1, 2, 3]);
		// The rest is one run that begins with a page that is not there.
		expect(present(LEGACY, [...holes, read(0), read(6)])).toEqual([0, 1, 2, 3, 6]);
	});

	it("3.6 given no A/D bits, a bracket in progress anywhere, a slot that logs or is read-only, or one that ends within the run, then none is prefetched", () => {
		const pages = filled(0, 24);
		expect(present(LEGACY_NO_AD, [slot(), pages, read(10)])).toEqual([10]);
		expect(present(LEGACY, [slot(), pages, invalidate(900, 1, Point.begin, 1), read(10)])).toEqual([10]);
		expect(present(LEGACY, [slot(LOG), pages, read(10)])).toEqual([10]);
		expect(present(LEGACY, [slot(READ_ONLY), pages, read(10)])).toEqual([10]);
		expect(present(LEGACY, [slotAt(1, 0, 0, 0, 14), pages, read(10)])).toEqual([8, 9, 10]);
		expect(present(LEGACY, [slotAt(1, 0, 9, 9, 1000), pages, read(10)])).toEqual([10]);
	});

	it("3.6 given a fault that maps 2 MiB, then there is nothing to prefetch", () => {
		const scene = play("drop", LEGACY, [slot(), hugeFilled(), read(3)]);
		expect([spteOf(scene, 4), scene.count("sptePrefetched")]).toEqual(["2M:WMDA", 0]);
	});

	it("3.6 given a fault, then mmu_lock is taken for writing, and not by the fast path nor where KVM emulates", () => {
		const scene = (kvm: KvmHost, before: Parameters<typeof play>[2], records: Parameters<typeof play>[3]): number =>
			play("drop", kvm, before, records).count("mmuLockWrite");
		expect([scene(AD, [slot(), filled()], [read()]), scene(LEGACY, [slot(), filled()], [read()])]).toEqual([0, 1]);
		expect(scene(LEGACY_NO_PML, [slot(LOG), filled(), write(), harvest(0, 1)], [write()])).toBe(0);
		expect(scene(LEGACY, [slot(READ_ONLY), filled(), read()], [write()])).toBe(0);
		// An own copy: bracket, two faults.
		expect(scene(LEGACY, [slot(), filled(), writeProtect(), promote(), read()], [write()])).toBe(4);
	});

	it("3.6 given logging that begins, then the legacy MMU takes the lock for writing, twice where it clears D", () => {
		const locks = [LEGACY, LEGACY_NO_PML, LEGACY_NO_AD, AD].map((kvm) =>
			play("drop", kvm, [slot(), filled(), write()], [slot(LOG)]).count("mmuLockWrite"),
		);
		expect(locks).toEqual([2, 1, 1, 0]);
	});

	it("3.2 and 3.7 given prefetched entries and a 2 MiB leaf, when their pages are zapped, then the rmap of every level leads to them", () => {
		expect(play("drop", LEGACY, [slot(), filled(0, 8), read(3)], [zap(0, 8)]).counts("spteZapped", "pfnAccessed", "pfnDirtied")).toEqual([
			8, 1, 8,
		]);
		expect(play("drop", LEGACY, [slot(), hugeFilled(), read(3)], [invalidate(9, 1)]).counts("spteZapped")).toEqual([1]);
	});

	it("3.4 and 3.7 given the rmap, when change_pte comes, then it changes what is there, and has nothing to establish", () => {
		const before = [slot(), filled(0, 2), writeProtect(0), promote(0), read(0)];
		const unshare = op("unshare", mm, PAGE, Point.whole, 0, 0);
		expect(play("fix", LEGACY, before, [unshare]).counts("notifier.changePteEffective", "spteChanged")).toEqual([1, 1]);
		expect(play("establish", LEGACY, before, [unshare]).counts("notifier.changePteEstablished", "establish.refusedNoTable")).toEqual([
			0, 1,
		]);
		expect(play("establish", AD, before, [unshare]).counts("notifier.changePteEstablished")).toEqual([1]);
	});
});
