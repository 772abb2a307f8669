// Accesses of a log beside what the kernel did at the same time: where faults, copies and accesses come to stand.
import { describe, expect, it } from "vitest";
import { AccessList, type AccessLog } from "../../src/import/accesslog.js";
import { AccessSpool } from "../../src/import/accessspool.js";
import { CapturedVm } from "../../src/import/host.js";
import type { BracketItem, FaultItem, Item } from "../../src/import/items.js";
import { Phase } from "../../src/import/phases.js";

const PAGE = 4096;
const FIRST_PAGE = 256;
const vm = new CapturedVm(0, 1);
vm.setSlot({ slot: 0, as: 0, gfn: 0, page: FIRST_PAGE, pages: 16, flags: 0 });

const fault = (gfn: number, begin: number, end: number, write: boolean): FaultItem => ({
	kind: "fault",
	vm,
	vcpu: 0,
	gpa: gfn * PAGE,
	rip: 0,
	errorCode: write ? 2 : 0,
	begin,
	end,
	installed: true,
	as: 0,
	next: null,
	filled: false,
	huge: false,
	mmio: false,
	cause: 0,
	ownCow: false,
	logged: false,
	observed: null,
});
const bracket = (name: BracketItem["name"], gfn: number, begin: number, end: number, vcpu: number): BracketItem => ({
	kind: "bracket",
	name,
	vm,
	page: FIRST_PAGE + gfn,
	pages: 1,
	event: 1,
	hit: true,
	begin,
	counted: true,
	locked: -1,
	commit: -1,
	end,
	flags: 0,
	kpage: 0,
	child: 0,
	to: 0,
	appended: false,
	pid: 2,
	vcpu,
	source: "ksm",
	pending: 0,
});
interface Access {
	readonly gfn: number;
	readonly write: boolean;
}
const access = (gfn: number, write: boolean): Access => ({ gfn, write });

function listOf(accesses: readonly Access[]): AccessList {
	const list = new AccessList(new AccessSpool());
	for (const { gfn, write } of accesses) list.push(gfn * PAGE, (FIRST_PAGE + gfn) * PAGE, write);
	return list;
}

const logOf = (guest: Access[], host: Access[] = []): AccessLog => ({
	vm: 0,
	pid: 1,
	slots: [],
	phases: new Map([[1, { guest: listOf(guest), host: listOf(host), operations: [] }]]),
	source: { name: "", sha256: "" },
	warnings: [],
	gaps: 0,
	damaged: 0,
	close: () => undefined,
});

/** Places of the accesses of a phase, one for each, resolved in parts that end before `cuts`. */
function placed(
	log: AccessLog,
	items: readonly Item[],
	hostFaults: { at: number; gfn: number; write: boolean }[] = [],
	cuts: number[] = [],
) {
	const seen = hostFaults.map(({ at, gfn, write }) => ({ at, vm, hva: (FIRST_PAGE + gfn) * PAGE, write }));
	const phase = new Phase({ number: 1, begin: 10, end: 100 }, new Map([[vm, log]]));
	const concurrent = phase.actors.length > 1 || items.some((item) => phase.partOf(item) === "foreign");
	const at: number[] = [];
	const left: Item[] = [];
	let from = 10;
	for (const end of [...cuts, 100]) {
		const within = items.filter(({ begin }) => begin >= from && begin < end);
		const faults = seen.filter((fault) => fault.at >= from && fault.at < end);
		const resolved = phase.resolve(within, faults, { concurrent, copies: [] }, from, end === 100);
		for (const run of resolved.runs) at.push(...Array.from({ length: run.to - run.from }, () => run.at));
		left.push(...resolved.left);
		from = end;
	}
	return { at, left, concurrent, unmatched: phase.unmatched };
}

describe("accesses of a log", () => {
	it("stand at the begin of a phase in which nothing else ran, and the model makes their faults and copies", () => {
		const items = [fault(1, 20, 21, false), fault(2, 30, 31, true), bracket("cow", 2, 32, 35, 0)];
		const { at, left, concurrent } = placed(logOf([access(1, false), access(2, true)]), items);
		expect(at).toEqual([10, 10]);
		expect(left).toEqual([]);
		expect(concurrent).toBe(false);
	});

	it("stand behind the faults that were seen of them where ksmd ran beside, and these and their copies keep their own places", () => {
		const own = [fault(1, 20, 24, false), fault(2, 30, 45, true), bracket("cow", 2, 32, 35, 0)];
		const beside = bracket("ksmWriteProtect", 3, 22, 33, -1);
		const { at, left, concurrent } = placed(logOf([access(1, false), access(1, false), access(2, true), access(3, false)]), [
			...own,
			beside,
		]);
		expect(at).toEqual([24, 24, 45, 45]);
		expect(left.length).toBe(4);
		expect(concurrent).toBe(true);
		expect(own.filter((item) => item.kind === "fault" && item.logged).length).toBe(2);
	});

	it("stand behind the last attempt of a fault that was stale", () => {
		const attempts = [fault(2, 30, 40, true), fault(2, 41, 50, true), fault(2, 51, 60, true)];
		const { at, unmatched } = placed(logOf([access(2, true), access(4, false)]), [...attempts, bracket("ksmReplace", 2, 25, 55, -1)]);
		expect(at).toEqual([60, 60]);
		expect(unmatched).toBe(0);
	});

	it("of the host stand behind the copy that its own fault made, and not behind one of a later fault", () => {
		const items = [bracket("cow", 2, 42, 48, -1), bracket("cow", 5, 62, 68, -1), bracket("ksmWriteProtect", 3, 22, 33, -1)];
		const log = logOf([], [access(5, true), access(2, true), access(5, true)]);
		const seen = [
			{ at: 38, gfn: 5, write: true },
			{ at: 40, gfn: 2, write: true },
			{ at: 60, gfn: 5, write: true },
		];
		expect(placed(log, items, seen).at).toEqual([38, 48, 68]);
	});

	it("of a phase that is resolved in parts stand where they would as a whole, or behind the cut", () => {
		const items = [fault(1, 20, 24, false), bracket("ksmWriteProtect", 3, 22, 33, -1), fault(2, 30, 45, true), fault(4, 70, 72, false)];
		const log = logOf([access(1, false), access(1, false), access(2, true), access(3, false), access(4, false), access(5, false)]);
		expect(placed(log, items).at).toEqual([24, 24, 45, 45, 72, 72]);
		expect(placed(log, items, [], [50]).at).toEqual([24, 24, 45, 50, 72, 72]);
		expect(placed(log, items, [], [28, 60]).at).toEqual([24, 28, 45, 60, 72, 72]);
	});
});
