// Devices told to an import: what may be told, where the records stand, and what a replay makes of them.
import { describe, expect, it } from "vitest";
import { UsageError } from "../../src/errors.js";
import { DeviceSink, Devices, parseDevice } from "../../src/import/devices.js";
import { AgentKind, DeviceKind } from "../../src/trace/kinds.js";
import { operationRecord } from "../../src/trace/operations.js";
import type { Agent, OperationRecord, TraceRecord } from "../../src/trace/record.js";

const vm: Agent = { kind: AgentKind.vm, vm: 2, vcpu: 0, mm: 5, thread: 0 };
const memslot = (slot: number, page: number, pages: number, as = 0): OperationRecord => ({
	kind: "operation",
	name: "memslot",
	agent: vm,
	page,
	args: [slot, as, 0, pages, 0],
});

/** What is written besides the memslots themselves. */
function written(specs: readonly string[], slots: readonly OperationRecord[]): string[] {
	const found: TraceRecord[] = [];
	const sink = {
		cause: (record: TraceRecord) => void found.push(record),
		observe: () => undefined,
		operation: (...given: Parameters<typeof operationRecord>) => void found.push(operationRecord(...given)),
		block: () => undefined,
	};
	const devices = new DeviceSink(sink, new Devices(specs.map(parseDevice)));
	for (const slot of slots) devices.cause(slot);
	return found.flatMap((record) =>
		record.kind === "operation" && record.name !== "memslot"
			? [`${record.name} mm${record.agent.mm} device${record.agent.thread} ${record.page} ${record.args.join(" ")}`.trimEnd()]
			: [],
	);
}

describe("--device", () => {
	it("attaches a pinned device with each memslot of the normal address space, and detaches it with the memslot", () => {
		expect(written(["pinned"], [memslot(0, 100, 8), memslot(1, 200, 4), memslot(1, 200, 4, 1), memslot(0, 0, 0)])).toEqual([
			`deviceAttach mm5 device1 100 ${DeviceKind.pinned} 8 0`,
			`deviceAttach mm5 device2 200 ${DeviceKind.pinned} 4 0`,
			"deviceDetach mm5 device1 0",
		]);
	});

	it("attaches an SVA device once, and a range once", () => {
		expect(written(["sva:entries=64", "mirror:0x10000-0x14000"], [memslot(0, 100, 8), memslot(1, 200, 4), memslot(0, 0, 0)])).toEqual([
			`deviceAttach mm5 device1 100 ${DeviceKind.sva} 8 64`,
			`deviceAttach mm5 device2 16 ${DeviceKind.mirror} 4 0`,
		]);
	});

	it("leaves other VMs than the one that is named", () => {
		expect(written(["pinned:vm=0"], [memslot(0, 100, 8)])).toEqual([]);
		const devices = new Devices([parseDevice("pinned:vm=0")]);
		devices.follow(memslot(0, 100, 8));
		expect(devices.warning).toMatch(/nothing is attached/);
	});

	it.each([
		"",
		"gpu",
		"pinned:entries=3",
		"sva:0x1000-0x2000",
		"sva:entries=0",
		"sva:entries=5000",
		"mirror:0x2000-0x1000",
		"mirror:vm=-1",
		"pinned:a:b",
	])("does not understand %j", (text) => {
		expect(() => parseDevice(text)).toThrow(UsageError);
	});
});
