// KVM's side as numbered scenarios (kernel.md section 3): notifiers, the retry rule, change_pte, ageing, the fast path, levels, flushes.
import { describe, expect, it } from "vitest";
import { OpFlag, Point } from "../../src/trace/kinds.js";
import {
	AD,
	age,
	deleted,
	filled,
	GFN,
	guest,
	hugeFilled,
	invalidate,
	LOG,
	mm,
	NO_AD,
	op,
	PAGE,
	PAGES,
	play,
	promote,
	READ_ONLY,
	read,
	second,
	slot,
	slotAt,
	spteOf,
	vm,
	write,
	writeProtect,
	zap,
} from "./kvmscene.js";

/** The slot again at other gfns, and in address space 1. */
const alias = slotAt(2, 0, PAGES, 0, PAGES);
const smm = slotAt(1, 1, 0, 0, PAGES);
const smmWrite = op("fault", guest, GFN, Point.whole, 1, 1);

describe("kernel.md 3.1: from an hva to its gfns", () => {
	it("3.1 given two slots over one page, when the page is zapped, then both SPTEs go under one lock and one flush", () => {
		const scene = play("drop", AD, [slot(), alias, filled(), write(), write(PAGES)], [zap()]);
		expect(scene.counts("spteZapped", "mmuLockWrite", "flush.guestTlb", "bySite.zap.sptePresent")).toEqual([2, 2, 1, 2]);
		expect([spteOf(scene), spteOf(scene, PAGES)]).toEqual(["-", "-"]);
	});

	it("3.1 given a page in both address spaces, when it is zapped, then the SPTE of each root goes, under one lock", () => {
		const scene = play("drop", AD, [slot(), smm, filled(), write(), smmWrite], [zap()]);
		expect(scene.counts("spteZapped", "mmuLockWrite", "flush.guestTlb")).toEqual([2, 2, 1]);
	});

	it("3.1 given a range in no memslot, when it is invalidated, then no lock, no count and no sequence", () => {
		const scene = play("wrapped", AD, [slot(), filled(), write()], [invalidate(PAGES, 4)]);
		expect(scene.counts("notifier.rangeStart", "mmuLockWrite", "flush.guestTlb", "spteZapped")).toEqual([1, 0, 0, 0]);
		expect(scene.world.vms.get(0)?.seq).toBe(0);
	});

	it("3.1 given two VMs on one mm, when a page of both is zapped, then each takes its own lock and flushes its own vCPUs", () => {
		const other = { ...guest, vm: 1 };
		const otherSlot = op("memslot", { ...vm, vm: 1 }, PAGE, 1, 0, GFN, PAGES, 0);
		const scene = play("drop", AD, [slot(), otherSlot, filled(), write(), write(0, other)], [zap()]);
		expect(scene.counts("spteZapped", "mmuLockWrite", "flush.guestTlb")).toEqual([2, 4, 2]);
	});

	it("3.1 given an alias, when KSM replaces the page, then change_pte finds every gfn of it, under one lock and one flush", () => {
		const wp = writeProtect(0, OpFlag.unlocks);
		const scene = play("fix", AD, [slot(), alias, filled(), write(), write(PAGES)], [wp]);
		expect(scene.counts("notifier.changePte", "notifier.changePteEffective", "mmuLockWrite", "flush.guestTlb")).toEqual([1, 2, 1, 1]);
	});
});

describe("kernel.md 3.2: start and end", () => {
	it("3.2 given a mapped page, when a range with it is invalidated, then two locks, and three where change_pte is called", () => {
		const before = [slot(), filled(), write()];
		expect(play("drop", AD, before, [writeProtect(0, OpFlag.unlocks)]).counts("mmuLockWrite", "flush.guestTlb")).toEqual([2, 1]);
		expect(play("wrapped", AD, before, [writeProtect(0, OpFlag.unlocks)]).counts("mmuLockWrite", "flush.guestTlb")).toEqual([3, 1]);
	});

	it("3.2 given nothing mapped, when a range is invalidated, then there is no flush", () => {
		expect(play("drop", AD, [slot(), filled()], [zap()]).counts("mmuLockWrite", "flush.guestTlb", "spteZapped")).toEqual([2, 0, 0]);
	});

	it("3.2 and I-17 given a 2 MiB leaf, when one page of it is invalidated, then the whole leaf goes, once", () => {
		const scene = play("drop", AD, [slot(), hugeFilled(), write(3)], [invalidate(7, 1)]);
		expect(scene.counts("spteZapped", "pfnDirtied", "pfnAccessed")).toEqual([1, 1, 1]);
		expect([spteOf(scene, 3), spteOf(scene, 511)]).toEqual(["-", "-"]);
	});

	it("3.2 and I-15 given an SPTE that was written, when it is zapped, then the page hears that it is dirty and accessed", () => {
		expect(play("drop", AD, [slot(), filled(), write()], [zap()]).counts("pfnDirtied", "pfnAccessed")).toEqual([1, 1]);
		// Without A/D bits W stands for D.
		expect(play("drop", NO_AD, [slot(), filled(), write()], [zap()]).counts("pfnDirtied", "pfnAccessed")).toEqual([1, 1]);
	});

	it("3.2 given a read-only SPTE, when it is zapped, then the page hears of the access only", () => {
		for (const kvm of [AD, NO_AD])
			expect(play("drop", kvm, [slot(), filled(), writeProtect(), promote(), read()], [zap()]).counts("pfnDirtied", "pfnAccessed")).toEqual(
				[0, 1],
			);
	});

	it("3.2 and litmus l given a writable SPTE, when change_pte write-protects it in place, then the page is told before its PTE is clean", () => {
		for (const kvm of [AD, NO_AD])
			expect(play("fix", kvm, [slot(), filled(), write()], [writeProtect(0, OpFlag.unlocks)]).counts("pfnDirtied", "pfnAccessed")).toEqual([
				1, 1,
			]);
	});
});

describe("kernel.md 3.3: the retry rule", () => {
	const begin = (page: number, window: number, pages = 1) => invalidate(page, pages, Point.begin, window);
	const end = (page: number, window: number, pages = 1) => invalidate(page, pages, Point.end, window);
	const fault = (gfn: number, point: number, agent = guest) => op("fault", agent, GFN + gfn, point, 0, 2);

	it("3.3 given a bracket over a page, when the guest touches it, then it is stale, and exits again when the bracket ends", () => {
		const scene = play("drop", AD, [slot(), filled(0, 4)], [begin(1, 1), read(1), end(1, 1)]);
		expect(scene.counts("vmexits", "vmexitsRetried", "vmexitsFixed", "inProgressLoops")).toEqual([2, 1, 1, 1]);
	});

	it("3.3 and I-12 given two brackets, when the second ends, then the hull is still their union, until the count is 0", () => {
		const open = [slot(), filled(0, 8), begin(1, 1), begin(5, 2)];
		// Page 3 is in neither range, and in the hull.
		expect(play("drop", AD, open, [read(3)]).counts("vmexits", "vmexitsRetried")).toEqual([1, 1]);
		expect(play("drop", AD, [...open, end(5, 2)], [read(5)]).counts("vmexits", "vmexitsRetried")).toEqual([1, 1]);
		expect(play("drop", AD, [...open, end(5, 2), end(1, 1)], [read(5)]).counts("vmexits", "vmexitsRetried")).toEqual([1, 0]);
		expect(play("drop", AD, [...open, end(5, 2), end(1, 1), begin(6, 3)], [read(1)]).counts("vmexitsRetried")).toEqual([0]);
	});

	it("3.3 given a bracket elsewhere in progress, when the guest touches a page outside the hull, then it is not stale", () => {
		expect(play("drop", AD, [slot(), filled(0, 8), begin(5, 1)], [read(1)]).counts("vmexits", "vmexitsRetried")).toEqual([1, 0]);
	});

	it("3.3 and I-13 given a fault in flight, when any bracket of the VM ends, then it is stale, whatever its page", () => {
		const before = [slot(), filled(0, 8)];
		const whole = [fault(0, Point.begin), invalidate(6, 1), fault(0, Point.end)];
		expect(play("drop", AD, before, whole).counts("vmexitsRetried", "vmexitsFixed")).toEqual([1, 0]);
		// A range in no memslot raises no sequence.
		const foreign = [fault(0, Point.begin), invalidate(PAGES + 1, 1), fault(0, Point.end)];
		expect(play("drop", AD, before, foreign).counts("vmexitsRetried", "vmexitsFixed")).toEqual([0, 1]);
	});

	it("3.3 given an own copy, when the fault comes back, then its own bracket has made it stale: two exits", () => {
		const scene = play("drop", AD, [slot(), filled(), writeProtect(), promote(), read()], [write()]);
		expect(scene.counts("vmexits", "vmexitsRetried", "vmexitsByCause.retryAfterCow.write")).toEqual([2, 1, 1]);
	});

	it("3.3 given a bracket over the page, when the SPTE can be repaired without the lock, then nobody asks whether it is stale", () => {
		const before = [slot(LOG), filled(0, 2), write(), op("dirtyLog", vm, 0, 1, 0, 0, 1)];
		const scene = play("drop", { ...AD, pml: false }, before, [begin(1, 1, 1), write(0), end(1, 1, 1)]);
		expect(scene.counts("vmexits", "vmexitsFast", "vmexitsRetried")).toEqual([1, 1, 0]);
	});
});

describe("kernel.md 3.4: change_pte", () => {
	const merged = [slot(), filled(), writeProtect(), promote()];
	const hostCow = op("cow", mm, PAGE, Point.whole, 0, 0);
	const unshare = op("unshare", mm, PAGE, Point.whole, 0, 0);

	it("3.4 given no SPTE, when the PTE changes, then change_pte does nothing", () => {
		for (const strategy of ["fix", "fix-map"]) {
			const scene = play(strategy, AD, merged, [hostCow]);
			expect(scene.counts("notifier.changePte", "notifier.changePteEffective", "flush.guestTlb", "spteInstalled")).toEqual([1, 0, 0, 0]);
		}
	});

	it("3.4 given a present SPTE, when the new PTE is read-only, then the page is replaced and W, MMU-writable and A are clear", () => {
		const scene = play("fix", AD, [slot(), filled(), write()], [writeProtect(0, OpFlag.unlocks)]);
		// D stays with it, as kvm_mmu_changed_pte_notifier_make_spte leaves it.
		expect([spteOf(scene), ...scene.counts("spteChanged", "spteZapped", "flush.guestTlb")]).toEqual(["D", 1, 0, 1]);
		expect(spteOf(play("fix", AD, [...merged, read(), unshare]))).toBe("R");
	});

	it("3.4 given a present SPTE, when the new PTE is writable, then it is zapped, or mapped where the strategy says so", () => {
		expect(spteOf(play("fix", AD, [...merged, read(), hostCow]))).toBe("-");
		expect(spteOf(play("fix-map", AD, [...merged, read(), hostCow]))).toBe("WMD");
	});

	it("3.4 and 3.6 given an SPTE that change_pte made read-only, when the guest writes, then the fast path may not raise it", () => {
		for (const kvm of [AD, NO_AD]) {
			const scene = play("fix", kvm, [slot(), filled(), write(), writeProtect(0, OpFlag.unlocks)], [write()]);
			expect(scene.counts("vmexits", "vmexitsFast", "cowReuses")).toEqual([1, 0, 1]);
		}
	});

	it("3.4 given no A/D bits, when change_pte has changed an SPTE, then the next read exits, and is repaired without the lock", () => {
		const before = [slot(), filled(), write(), writeProtect(0, OpFlag.unlocks)];
		const scene = play("fix", NO_AD, before, [read(), read()]);
		expect(scene.counts("vmexits", "vmexitsFast", "vmexitsFixed", "vmexitsNotPresent", "mmuLockWrite")).toEqual([1, 1, 1, 1, 0]);
		expect(scene.count("vmexitsByCause.accessTrack.read")).toBe(1);
		expect(play("fix", AD, before, [read(), read()]).count("vmexits")).toBe(0);
	});

	it("3.4 and 2.8 given no A/D bits, when change_pte establishes an SPTE, then it is an access-track one", () => {
		const before = [slot(), filled(0, 2), writeProtect(), promote(), read(1)];
		expect(spteOf(play("establish", NO_AD, [...before, unshare]))).toBe("R");
		expect(play("establish", NO_AD, [...before, unshare], [read()]).counts("vmexits", "vmexitsFast")).toEqual([1, 1]);
		// MMU-writable, so a store gets W with it.
		const own = play("establish-map", NO_AD, [...before, hostCow], [write()]);
		expect([spteOf(own), ...own.counts("vmexits", "vmexitsFast")]).toEqual(["WMA", 1, 1]);
	});

	it("3.4 given a 2 MiB leaf, when a PTE changes without a bracket, then the split before it has taken the leaf away", () => {
		const scene = play("fix", AD, [slot(), hugeFilled(), write(3)], [writeProtect(3, OpFlag.unlocks)]);
		expect(scene.counts("spteZappedByCause.hugeSplit", "notifier.changePteEffective")).toEqual([1, 0]);
	});

	it("3.4 and 3.7 given both roots, when a PTE changes, then change_pte changes one SPTE in each", () => {
		const scene = play("fix", AD, [slot(), smm, filled(), write(), smmWrite], [writeProtect(0, OpFlag.unlocks)]);
		expect([scene.count("notifier.changePteEffective"), spteOf(scene), spteOf(scene, 0, 1)]).toEqual([2, "D", "D"]);
	});

	it("3.4 and 10.4 given a slot that is read-only or logs dirty pages, when change_pte makes an SPTE for a writable PTE, then it is read-only", () => {
		for (const flags of [LOG, READ_ONLY]) {
			const before = [slot(flags), filled(0, 2), writeProtect(), promote(), read(), read(1)];
			expect(spteOf(play("fix-map", AD, [...before, hostCow]))).toBe("R");
			expect(spteOf(play("establish-map", AD, [...before, hostCow]))).toBe("R");
		}
	});
});

describe("kernel.md 3.5: ageing", () => {
	it("3.5 given a young SPTE, when it is aged with a flush, then A is clear, and the guest's next access does not exit", () => {
		const scene = play("drop", AD, [slot(), filled(), write()], [age("clearFlush"), write()]);
		expect(scene.counts("spteChanged", "flush.guestTlb", "bySite.age.flushes", "mmuLockWrite", "vmexits")).toEqual([1, 1, 1, 1, 0]);
		expect(spteOf(play("drop", AD, [slot(), filled(), write(), age("clearFlush")]))).toBe("WMD");
	});

	it("3.5 given an SPTE that is not young, when it is aged again, then there is nothing to flush", () => {
		const aged = [slot(), filled(), write(), age("clearFlush")];
		expect(play("drop", AD, aged, [age("clearFlush")]).counts("spteChanged", "flush.guestTlb", "mmuLockWrite")).toEqual([0, 0, 1]);
	});

	it("3.5 given a young SPTE, when clear_young comes, then A is clear without a flush: an access that hits the TLB does not set it", () => {
		const scene = play("drop", AD, [slot(), filled(), write()], [age("clear"), write()]);
		expect([spteOf(scene), ...scene.counts("spteChanged", "flush.guestTlb", "vmexits")]).toEqual(["WMD", 1, 0, 0]);
	});

	it("3.5 given a young SPTE, when test_young comes, then nothing changes but the lock was taken", () => {
		for (const kvm of [AD, NO_AD]) {
			const scene = play("drop", kvm, [slot(), filled(), write()], [age("test")]);
			expect(scene.counts("spteChanged", "flush.guestTlb", "mmuLockWrite")).toEqual([0, 0, 1]);
		}
	});

	it("3.5 given no memslot over the range, when it is aged, then no lock is taken", () => {
		expect(play("drop", AD, [slot()], [age("clearFlush", PAGES)]).counts("mmuLockWrite", "bySite.age.count")).toEqual([0, 1]);
	});

	it("3.5 given no A/D bits, when an SPTE is aged, then the page hears of W, and the next access exits to the fast path", () => {
		const aged = [slot(), filled(), write(), age("clearFlush")];
		expect(play("drop", NO_AD, [slot(), filled(), write()], [age("clearFlush")]).counts("pfnDirtied", "spteChanged")).toEqual([1, 1]);
		const reads = play("drop", NO_AD, aged, [read()]);
		// W was not saved: a store after it exits once more, to the fast path again.
		expect([spteOf(reads), ...reads.counts("vmexits", "vmexitsFast")]).toEqual(["MA", 1, 1]);
		expect(play("drop", NO_AD, aged, [read(), write(), write()]).counts("vmexits", "vmexitsFast", "mmuLockWrite")).toEqual([2, 2, 0]);
		const writes = play("drop", NO_AD, aged, [write(), write()]);
		expect([spteOf(writes), ...writes.counts("vmexits", "vmexitsFast")]).toEqual(["WMA", 1, 1]);
	});

	it("3.5 given no A/D bits and an SPTE that was aged without a flush, when the guest hits its TLB, then it does not exit", () => {
		expect(play("drop", NO_AD, [slot(), filled(), write(), age("clear")], [write(), read()]).count("vmexits")).toBe(0);
		// Another vCPU walks.
		expect(play("drop", NO_AD, [slot(), filled(), write(), age("clear")], [read(0, second)]).counts("vmexits", "vmexitsFast")).toEqual([
			1, 1,
		]);
	});

	it("3.5 given a 2 MiB leaf, when one page of it is aged, then the leaf is, and one exit repairs it", () => {
		const before = [slot(), hugeFilled(), write(3)];
		expect(play("drop", AD, before, [age("clearFlush", 9), age("clearFlush", 3)]).counts("spteChanged", "flush.guestTlb")).toEqual([1, 1]);
		const scene = play("drop", NO_AD, [...before, age("clearFlush", 9)], [write(3), write(4), read(5)]);
		expect([spteOf(scene, 4), ...scene.counts("vmexits", "vmexitsFast")]).toEqual(["2M:WMA", 1, 1]);
	});

	it("3.5 given an aged SPTE, when its range is zapped, then the page does not hear of an access, and the vCPUs are flushed", () => {
		for (const kvm of [AD, NO_AD]) {
			const scene = play("drop", kvm, [slot(), filled(), write(), age("clear")], [zap()]);
			expect(scene.counts("pfnAccessed", "flush.guestTlb", "spteZapped")).toEqual([0, 1, 1]);
		}
	});
});

describe("kernel.md 3.6: the fault", () => {
	it("3.6 given a write to a read-only memslot, then KVM emulates it, on every access, and a read maps the page read-only", () => {
		for (const kvm of [AD, NO_AD]) {
			const scene = play("drop", kvm, [slot(READ_ONLY), filled()], [read(), write(), write()]);
			expect([spteOf(scene), ...scene.counts("vmexits", "vmexitsEmulated", "vmexitsFast")]).toEqual(["A", 3, 2, 0]);
		}
	});

	it("3.6 given a read of a page whose PTE is writable, then the SPTE is writable at once, and dirty with it", () => {
		expect(spteOf(play("drop", AD, [slot(), filled(), read()]))).toBe("WMDA");
		expect(spteOf(play("drop", NO_AD, [slot(), filled(), read()]))).toBe("WMA");
		expect(spteOf(play("drop", AD, [slot(), read()]))).toBe("A");
	});

	it("3.6 given a huge mapping of the host, then the SPTE is a 2 MiB one only where the slot is aligned with it and has all of it", () => {
		expect(spteOf(play("drop", AD, [slot(), hugeFilled(), read(3)]), 3)).toBe("2M:WMDA");
		// One page less in front; hva and gpa not congruent; the slot ends within.
		expect(spteOf(play("drop", AD, [slotAt(1, 0, 1, 1, 511), hugeFilled(), read(3)]), 3)).toBe("WMDA");
		expect(spteOf(play("drop", AD, [slotAt(1, 0, 0, 1, 1000), hugeFilled(), read(3)]), 3)).toBe("WMDA");
		expect(spteOf(play("drop", AD, [slotAt(1, 0, 0, 0, 600), hugeFilled(), read(520)]), 520)).toBe("WMDA");
		expect(spteOf(play("drop", AD, [slot(LOG), hugeFilled(), read(3)]), 3)).toBe("WMDA");
	});

	it("3.6 and I-7 given a PTE that changed without a notifier, when the guest writes, then the TDP MMU stops at another page in a present leaf", () => {
		// A fork puts another page into the child: nobody tells the child's KVM.
		const other = { ...mm, mm: 1 };
		const swapped = [op("populate", other, PAGE, 1, 1), op("fork", other, PAGE, Point.whole, 0, 1, 3, 0)];
		const shared = [slot(), filled(), writeProtect(0, OpFlag.unlocks), read(), ...swapped];
		const fault = op("fault", guest, GFN, Point.whole, 1, 4);
		const gone = op("exit", other, 0);
		const tdp = play("fix", AD, [...shared, gone], [fault]);
		expect([tdp.world.violations[0]?.rule, tdp.count("flush.guestTlb")]).toEqual(["I-7", 0]);
		const legacy = play("fix", { ...AD, mmu: "legacy" }, [...shared, gone], [fault]);
		expect([legacy.world.violations, legacy.count("flush.guestTlb")]).toEqual([[], 1]);
	});
});

describe("memslots (kernel.md 3.1; model.md section 3, rule 7)", () => {
	const mapped = [slot(), alias, smm, filled(0, 2), write(), write(PAGES), smmWrite];

	it("3.1 given SPTEs in both address spaces, when any slot is deleted, then all of them go, with their tables, without a flush of its own", () => {
		const scene = play("drop", AD, mapped, [deleted(2)]);
		expect(scene.counts("spteZapped", "spteZappedByCause.kvmZap", "mmuLockWrite", "flush.guestTlb")).toEqual([3, 3, 1, 0]);
		expect(play("drop", AD, [...mapped, deleted(2)], [write()]).counts("vmexits", "vmexitsByCause.kvmZap.write")).toEqual([1, 1]);
		// No table, so nothing can be established.
		const merge = [writeProtect(0, OpFlag.unlocks)];
		expect(
			play("establish", AD, [...mapped, deleted(2)], merge).counts("notifier.changePteEstablished", "establish.refusedNoTable"),
		).toEqual([0, 2]);
	});

	it("3.1 given a slot, when it moves to other gfns, then everything goes, and its pages are found at the new place", () => {
		const scene = play("drop", AD, [slot(), filled(), write()], [slotAt(1, 0, 2048, 0, PAGES), write(2048), write()]);
		expect(scene.counts("spteZapped", "vmexits", "mmio.write")).toEqual([1, 1, 1]);
	});

	it("3.1 given a slot, when it is set again as it is, then nothing happens", () => {
		expect(play("drop", AD, mapped, [slot()]).counts("spteZapped", "mmuLockWrite", "bySite.memslot.count")).toEqual([0, 0, 1]);
	});

	it("3.1 given a slot, when another hva, size or read-only flag is set, which the kernel refuses, then it was deleted and made anew", () => {
		for (const changed of [slotAt(1, 0, 0, 1, PAGES - 1), slotAt(1, 0, 0, 0, PAGES - 1), slot(READ_ONLY)])
			expect(play("drop", AD, mapped, [changed]).count("spteZapped")).toBe(3);
	});

	it("3.1 given a slot that is deleted twice, or was never there, then nothing happens", () => {
		expect(play("drop", AD, [slot(), deleted(), deleted(7)], [deleted()]).counts("mmuLockWrite", "spteZapped")).toEqual([0, 0]);
	});

	it("3.8 given a reason of its own, when KVM zaps everything, then the roots go as with a memslot", () => {
		const scene = play("drop", AD, mapped, [op("kvmZapAll", vm, 0), write()]);
		expect(scene.counts("spteZapped", "bySite.kvmZapAll.count", "bySite.kvmZapAll.exitsCaused", "flush.guestTlb")).toEqual([3, 1, 1, 0]);
	});
});
