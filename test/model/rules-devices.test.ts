// Devices as numbered scenarios: given a device on the mm, when …, then. The number is kernel.md's section.
import { describe, expect, it } from "vitest";
import { counterIndex } from "../../src/counters.js";
import { ReferenceModel } from "../../src/model/replay.js";
import { findStrategy } from "../../src/strategies/index.js";
import { Access, AgentKind, DeviceKind, OpFlag, Point } from "../../src/trace/kinds.js";
import type { Agent, TraceRecord } from "../../src/trace/record.js";

const PAGE = 0x1000;
const GFN = 0x200;
const none: Agent = { kind: AgentKind.mm, vm: 0, vcpu: 0, mm: 0, thread: 0 };
const guest: Agent = { ...none, kind: AgentKind.guest };
const host: Agent = { ...none, kind: AgentKind.host, thread: 1 };
const device: Agent = { ...none, kind: AgentKind.device, thread: 7 };

type Name = Extract<TraceRecord, { kind: "operation" }>["name"];
const op = (name: Name, agent: Agent, page: number, ...args: number[]): TraceRecord => ({ kind: "operation", name, agent, page, args });
const access = (agent: Agent, kind: Access, page: number): TraceRecord => ({ kind: "access", agent, access: kind, page });
const slot = op("memslot", { ...none, kind: AgentKind.vm }, PAGE, 1, 0, GFN, 1024, 0);
const filled = (pages = 1): TraceRecord => op("populate", none, PAGE, pages, 1);
const attach = (kind: DeviceKind, pages = 16, entries = 64, agent = device): TraceRecord =>
	op("deviceAttach", agent, PAGE, kind, pages, entries);
const detach = op("deviceDetach", device, 0);
const read = access(guest, Access.guestRead, GFN);
const write = access(guest, Access.guestWrite, GFN);
const hostWrite = access(host, Access.hostWrite, PAGE);
const dmaRead = (page = 0): TraceRecord => access(device, Access.deviceRead, PAGE + page);
const dmaWrite = (page = 0): TraceRecord => access(device, Access.deviceWrite, PAGE + page);
/** The page is shared with a child, read-only: a write copies it. */
const fork = op("fork", none, PAGE, Point.whole, 0, 1, 3, 9);
const promote = [op("ksmWriteProtect", none, PAGE, Point.whole, 0, 0), op("ksmPromote", none, PAGE, 1, 0)];
const protects = (point: Point): TraceRecord => op("ksmWriteProtect", none, PAGE, point, 2, OpFlag.unlocks);
const cow = (point: Point): TraceRecord => op("cow", none, PAGE, point, 1, 0);
const zap = op("zap", none, PAGE, Point.whole, 0, 1, 1);

interface Replayed {
	count(path: string): number;
	readonly violation: string | null;
}

function replayed(strategy: string, records: readonly TraceRecord[]): Replayed {
	const found = findStrategy(strategy);
	if (found === undefined) throw new Error(strategy);
	const tlb = { l1: { sets: 16, ways: 4 }, l2: { sets: 128, ways: 12 } };
	const model = new ReferenceModel({ strategy: found, tlb, guestLevels: 4, hostLevels: 4, copiesRecorded: false });
	for (const [sequence, record] of records.entries()) model.replay(record, sequence);
	const [violation] = model.world.violations;
	return {
		count: (path) => Number(model.world.counters[counterIndex(path)]),
		violation: violation === undefined ? null : `${violation.rule} ${violation.agent}`,
	};
}

const counts = (strategy: string, records: readonly TraceRecord[], ...paths: string[]): number[] => {
	const { count } = replayed(strategy, records);
	return paths.map(count);
};

const SAFE = ["wrapped", "drop", "fix", "fix-map", "flag", "establish", "establish-map", "establish-lean", "legacy-3.6"] as const;

describe("kernel.md 4: what devices are", () => {
	it("4 given no device attached, when it accesses memory, then the access is counted and nothing else happens", () => {
		expect(counts("drop", [slot, filled(), dmaRead(), dmaWrite()], "accesses.deviceRead", "accesses.deviceWrite", "hostFaults")).toEqual([
			1, 1, 0,
		]);
	});

	it("4 given an SVA device, when it misses in its TLB, then it walks the CPU's table, and asks the host only where that does not suffice", () => {
		const paths = ["device.tlbMiss", "device.tlbHit", "device.pageRequests", "hostFaults"];
		expect(counts("drop", [filled(), attach(DeviceKind.sva), dmaWrite(), dmaWrite()], ...paths)).toEqual([1, 1, 0, 0]);
		expect(counts("drop", [attach(DeviceKind.sva), dmaWrite(), dmaRead()], ...paths)).toEqual([1, 1, 1, 1]);
	});

	it("4 given a device TLB of two entries, when three pages are read in turn, then the least recently used goes", () => {
		const records = [filled(3), attach(DeviceKind.sva, 16, 2), dmaRead(0), dmaRead(1), dmaRead(0), dmaRead(2), dmaRead(0), dmaRead(1)];
		expect(counts("drop", records, "device.tlbHit", "device.tlbMiss")).toEqual([2, 4]);
	});

	it("4 given a mirror, when a bracket meets its interval, then its entries go and it faults again", () => {
		const paths = ["device.mirrorFaults", "device.mirrorInvalidations", "hostFaults"];
		expect(counts("drop", [filled(), attach(DeviceKind.mirror), dmaRead(), dmaRead(), ...promote, dmaRead()], ...paths)).toEqual([2, 1, 0]);
		const elsewhere = op("zap", none, PAGE + 100, Point.whole, 0, 1, 1);
		expect(counts("drop", [filled(), attach(DeviceKind.mirror), dmaRead(), elsewhere, dmaRead()], ...paths)).toEqual([1, 0, 0]);
	});

	it("4 given a mirror, when its own fault copies the page, then the copy's bracket makes it retry", () => {
		const records = [filled(), fork, attach(DeviceKind.mirror), dmaWrite()];
		expect(counts("drop", records, "device.mirrorRetries", "cowCopies.shared", "hostFaults")).toEqual([1, 1, 1]);
		expect(counts("legacy-3.6", records, "device.mirrorRetries")).toEqual([1]);
	});

	it("4 given a bracket in progress, when a mirror faults inside it, then the fault waits for its end", () => {
		const records = [filled(), attach(DeviceKind.mirror), protects(Point.begin), dmaRead()];
		expect(counts("drop", records, "device.waits", "device.mirrorFaults")).toEqual([1, 1]);
		const ended = [...records, protects(Point.commit), protects(Point.end), dmaRead()];
		expect(counts("drop", ended, "device.waits", "device.mirrorFaults")).toEqual([1, 1]);
		expect(counts("drop", [...records, dmaRead()], "device.mirrorRetries", "device.waits")).toEqual([1, 2]);
	});

	it("4 given a device whose mm exits, when it accesses memory again, then it reaches nothing", () => {
		const records = [filled(), attach(DeviceKind.sva), dmaRead(), op("exit", none, 0), dmaRead()];
		expect(counts("drop", records, "device.tlbHit", "device.tlbMiss")).toEqual([0, 1]);
		expect(replayed("drop", records).violation).toBeNull();
	});
});

describe("kernel.md 4 and 1.4: pinned pages", () => {
	it("4 given a type1 device, when it is attached, then its pages are faulted in for writing, and merges broken", () => {
		expect(counts("drop", [attach(DeviceKind.pinned, 3)], "hostFaults")).toEqual([3]);
		expect(counts("drop", [filled(), ...promote, attach(DeviceKind.pinned, 1)], "cowBreaks")).toEqual([1]);
	});

	it("1.4 given a pinned page, when KSM write-protects it, then the bracket runs, the PTE is flushed for nothing and stays writable", () => {
		const records = [slot, filled(), attach(DeviceKind.pinned, 1), write, ...promote, write];
		expect(counts("wrapped", records, "ksmRefused", "ksmMerges", "notifier.rangeStart", "notifier.changePte")).toEqual([1, 0, 1, 0]);
		expect(counts("wrapped", records, "flush.primaryTlb", "vmexits", "cowBreaks")).toEqual([1, 2, 0]);
		expect(counts("fix", records, "vmexits", "notifier.rangeStart")).toEqual([1, 0]);
	});

	it("1.5 given a pinned page, when a merge into a KSM page is recorded, then there is no second bracket and ksmd's page lock is free", () => {
		const merge = [
			op("ksmWriteProtect", none, PAGE, Point.whole, 0, OpFlag.kpageGiven),
			op("ksmReplace", none, PAGE, Point.whole, 0, 0, 1),
		];
		const records = [slot, filled(), attach(DeviceKind.pinned, 1), ...merge, hostWrite];
		expect(counts("drop", records, "notifier.rangeStart", "ksmReplaces", "ksmMerges", "cowCopies.shared")).toEqual([1, 0, 0, 0]);
	});

	it("1.9 given a pinned page, when the mm forks, then the child gets its copy at once and the parent stays writable", () => {
		const records = [filled(), attach(DeviceKind.pinned, 1), fork, hostWrite];
		expect(counts("drop", records, "hostFaults", "cowCopies.shared", "cowReuses")).toEqual([0, 0, 0]);
	});

	it("4 given a pin that is gone, when KSM comes again, then the page is merged", () => {
		const records = [filled(), attach(DeviceKind.pinned, 1), ...promote, detach, ...promote];
		expect(counts("drop", records, "ksmRefused", "ksmMerges")).toEqual([1, 1]);
	});

	it("4 given two devices that pin a page, when one lets go, then KSM still leaves it", () => {
		const second = attach(DeviceKind.pinned, 1, 0, { ...device, thread: 8 });
		const records = [filled(), attach(DeviceKind.pinned, 1), second, detach, ...promote];
		expect(counts("drop", records, "ksmRefused", "ksmMerges")).toEqual([1, 0]);
	});

	it("6, I-1 given a pinned page that munmap took, when the device writes to it, then the page is still the device's", () => {
		const records = [filled(), attach(DeviceKind.pinned, 1), zap, dmaWrite()];
		for (const strategy of SAFE) expect(replayed(strategy, records).violation).toBeNull();
	});
});

describe("kernel.md 1.0, 2.5 and 5: who is told, and when", () => {
	it("1.0 given an mm without a VM, when a range is invalidated, then the notifier core is entered for a device with a notifier only", () => {
		expect(counts("drop", [filled(), zap], "notifier.rangeStart")).toEqual([0]);
		expect(counts("drop", [filled(), attach(DeviceKind.sva), zap], "notifier.rangeStart", "notifier.rangeEnd")).toEqual([1, 1]);
		expect(counts("drop", [filled(), attach(DeviceKind.pinned), zap], "notifier.rangeStart")).toEqual([0]);
	});

	it("1.3 given an SVA device, when a page is copied, then its TLB is told under the lock, once", () => {
		const records = [filled(), fork, attach(DeviceKind.sva), dmaRead(), hostWrite];
		for (const strategy of ["wrapped", "drop", "flag", "fix"] as const) {
			const [told, flushes] = counts(strategy, records, "notifier.invalidateSecondaryTlb", "flush.deviceTlb");
			// fix tells it once more: as a notifier without change_pte.
			expect([strategy, told, flushes]).toEqual([strategy, 1, strategy === "fix" ? 2 : 1]);
		}
	});

	it("2.5 given an SVA device, when KSM write-protects, then 4.15 to 6.5 tell it at the end and 6.6 under the lock", () => {
		const records = [filled(), attach(DeviceKind.sva), dmaWrite(), protects(Point.begin), protects(Point.commit)];
		expect(counts("wrapped", records, "flush.deviceTlb")).toEqual([0]);
		expect(counts("drop", records, "flush.deviceTlb")).toEqual([1]);
		expect(counts("wrapped", [...records, protects(Point.end)], "flush.deviceTlb")).toEqual([1]);
		expect(counts("drop", [...records, protects(Point.end)], "flush.deviceTlb")).toEqual([1]);
	});

	it("5 (b) given an SVA device that has read a page, when the host writes the copy, then only a draft that is told late reads the old one", () => {
		const records = [filled(), fork, attach(DeviceKind.sva), dmaRead(), cow(Point.begin), cow(Point.commit), hostWrite, dmaRead()];
		for (const strategy of SAFE) expect([strategy, replayed(strategy, records).violation]).toEqual([strategy, null]);
		expect(replayed("range-after-unlock", records).violation).toBe("I-10 mm0 device7");
	});

	it("5 (c) given a mirror, when the host writes between set_pte and the late invalidation, then the write-protected step makes it wait", () => {
		const begin = [slot, filled(), fork, attach(DeviceKind.mirror), dmaRead(), cow(Point.begin), cow(Point.commit)];
		const records = [...begin, hostWrite, dmaRead(), cow(Point.end), dmaRead()];
		for (const strategy of SAFE) expect([strategy, replayed(strategy, records).violation]).toEqual([strategy, null]);
		expect(replayed("fix:writeProtectStep=false", records).violation).toBe("I-10 mm0 device7");
		expect(replayed("range-after-unlock", records).violation).toBe("I-10 mm0 device7");
	});

	it("5 (c') given the window of fix, when a write fault may reuse the page in it, then the mirror reads the old one", () => {
		const records = [slot, filled(), fork, attach(DeviceKind.mirror), dmaRead(), cow(Point.begin), cow(Point.commit), hostWrite, dmaRead()];
		expect(replayed("fix:reuseInWindow=true", records).violation).toBe("I-2 mm0 device7");
	});

	it("5 (c') given the window of fix, when the guest writes in it, then its one exit is over when the window is", () => {
		const records = [slot, filled(), fork, attach(DeviceKind.mirror), cow(Point.begin), cow(Point.commit), write];
		expect(counts("fix", records, "vmexits", "vmexitsFixed", "vmexitsRetried")).toEqual([1, 0, 0]);
		expect(counts("fix", [...records, cow(Point.end)], "vmexits", "vmexitsFixed", "vmexitsRetried")).toEqual([1, 1, 0]);
		expect(counts("fix", [...records, write], "vmexits", "vmexitsRetried")).toEqual([2, 1]);
	});

	it("10.1 given a notifier without change_pte, when a page is copied, then fix flushes the primary TLB once more, and not for a merge", () => {
		const [copy, merged] = [
			[slot, filled(), fork, attach(DeviceKind.mirror), write],
			[slot, filled(), attach(DeviceKind.mirror), ...promote],
		];
		const paths = ["flush.primaryTlb", "notifier.invalidateMissing", "device.mirrorInvalidations"];
		expect(counts("fix", copy, ...paths)).toEqual([2, 1, 1]);
		expect(counts("fix", merged, ...paths)).toEqual([1, 1, 1]);
		expect(counts("fix", [slot, filled(), fork, write], ...paths)).toEqual([1, 0, 0]);
		expect(counts("drop", copy, ...paths)).toEqual([1, 0, 1]);
	});

	it("10.2 given a notifier without change_pte, when the host copies, then fix gives KVM the write-protected PTE and zaps nothing", () => {
		const records = [slot, filled(), fork, read, attach(DeviceKind.mirror), hostWrite, read, write];
		expect(counts("fix", records, "spteZapped", "spteChanged", "vmexits")).toEqual([0, 2, 2]);
		const alone = [slot, filled(), fork, read, hostWrite, read, write];
		expect(counts("fix", alone, "spteZapped", "vmexits")).toEqual([1, 2]);
	});

	it("2.6 given flag, when a mirror is on the mm, then it keeps its bracket while KVM skips it", () => {
		const records = [slot, filled(), read, attach(DeviceKind.mirror), dmaRead(), ...promote, read];
		expect(counts("flag", records, "device.mirrorInvalidations", "notifier.rangeStart", "spteZapped", "vmexits")).toEqual([1, 1, 0, 1]);
		expect(counts("flag", records, "notifier.invalidateMissing", "mmuLockWrite")).toEqual([0, 1]);
	});

	it("2.3 given 3.6, when a mirror is on the mm, then it is told under the lock", () => {
		const records = [slot, filled(), fork, attach(DeviceKind.mirror), dmaRead(), cow(Point.begin), cow(Point.commit)];
		expect(counts("legacy-3.6", records, "notifier.invalidateMissing")).toEqual([1]);
		expect(counts("fix", records, "notifier.invalidateMissing")).toEqual([0]);
	});

	it("5 (f) given a merge whose device is told at the end, when it reads in between, then it reads the same content of a page that is kept", () => {
		const merge = (point: Point): TraceRecord => op("ksmReplace", none, PAGE, point, 3, 0, 1);
		const records = [
			op("populate", none, PAGE + 1, 1, 1),
			op("ksmWriteProtect", none, PAGE + 1, Point.whole, 0, 0),
			op("ksmPromote", none, PAGE + 1, 1, 0),
			filled(),
			attach(DeviceKind.sva),
			op("ksmWriteProtect", none, PAGE, Point.whole, 0, OpFlag.kpageGiven),
			dmaRead(),
			merge(Point.begin),
			merge(Point.commit),
			dmaRead(),
			merge(Point.end),
			dmaRead(),
		];
		for (const strategy of SAFE) expect([strategy, replayed(strategy, records).violation]).toEqual([strategy, null]);
	});

	it("1.14 and 5 (d) given an SVA device, when its page is unmapped, then only the draft of 2008 leaves its TLB behind until after the free", () => {
		const zapped = (point: Point): TraceRecord => op("zap", none, PAGE, point, 4, 1, 1);
		const records = [filled(), attach(DeviceKind.sva), dmaRead(), zapped(Point.begin), zapped(Point.commit), dmaRead(), zapped(Point.end)];
		for (const strategy of SAFE) expect([strategy, replayed(strategy, records).violation]).toEqual([strategy, null]);
		expect(replayed("range-after-unlock", records).violation).toBe("I-1 mm0 device7");
	});
});
