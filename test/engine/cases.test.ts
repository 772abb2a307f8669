// What random worlds seldom reach, record by record: the engine's shortcuts where they must not be taken. Each case is held against the
// reference model under every strategy, and says what must come out.
import { describe, expect, it } from "vitest";
import { counterIndex } from "../../src/counters.js";
import { type ReplayResult, replayTrace, type StrategyReplay } from "../../src/engine/replay.js";
import { DEFAULT_MACHINE } from "../../src/machine/machine.js";
import { STRATEGIES } from "../../src/strategies/index.js";
import { Access, type AgentKind, Hint, type OperationName, OpFlag } from "../../src/trace/kinds.js";
import { openTrace } from "../../src/trace/reader.js";
import type { TraceRecord } from "../../src/trace/record.js";
import { expectEqual } from "./compare.js";
import { referenceReplay } from "./reference.js";
import { traceBytes } from "./traces.js";

const agent = (kind: AgentKind, id: number) => ({ kind, vm: id, vcpu: 0, mm: id, thread: 0 });
const operation = (name: OperationName, kind: AgentKind, id: number, page: number, ...args: number[]): TraceRecord => ({
	kind: "operation",
	name,
	agent: agent(kind, id),
	page,
	args,
});
const GUEST = 1;
const HOST = 2;
const MM = 3;
const VM = 4;

/** VM `id` on mm `id`: gfns from 0 over pages from 100. */
const slot = (id: number, pages: number, page = 100) => operation("memslot", VM, id, page, 0, 0, 0, pages, 0);
const populate = (mm: number, page: number, pages: number) => operation("populate", MM, mm, page, pages, 1);
const guest = (vm: number, access: Access, gfn: number, hint: number = Hint.derive) => operation("access", GUEST, vm, gfn, access, hint);
const host = (mm: number, access: Access, page: number) => operation("access", HOST, mm, page, access, Hint.derive);
const fault = (vm: number, access: Access, gfn: number) => operation("fault", GUEST, vm, gfn, 0, access, 0);
const fork = (mm: number, child: number, page: number) => operation("fork", MM, mm, page, 0, 0, 1, 0, child);
const cow = (mm: number, page: number) => operation("cow", MM, mm, page, 0, 0, 0);
const writeProtect = (mm: number, page: number, flags = 0) => operation("ksmWriteProtect", MM, mm, page, 0, 0, flags);
const replace = (mm: number, page: number, kpage: number) => operation("ksmReplace", MM, mm, page, 0, 0, 0, kpage);
const zap = (mm: number, page: number) => operation("zap", MM, mm, page, 0, 0, 1, 0);

function replay(records: readonly TraceRecord[], copiesRecorded = false): ReplayResult {
	const bytes = traceBytes(records, copiesRecorded);
	const options = { strategies: STRATEGIES, machine: DEFAULT_MACHINE, check: true };
	const result = replayTrace(openTrace(bytes), options);
	expectEqual(result, referenceReplay(openTrace(bytes), options));
	return result;
}

function each(result: ReplayResult, counter: string): bigint[] {
	return result.strategies.map(({ counters }) => counters[counterIndex(counter)] ?? 0n);
}

const all = (value: bigint): bigint[] => STRATEGIES.map(() => value);

describe("a stale translation", () => {
	it("does not decide what write_protect_page does", () => {
		// A fork puts a KSM page in the place of a writable one, without a word to the child's SPTE: the store through it leaves the new PTE clean.
		const result = replay([
			...[slot(0, 2), populate(0, 100, 2), guest(0, Access.guestWrite, 0), populate(1, 100, 1)],
			...[writeProtect(1, 100, OpFlag.kpageGiven), replace(1, 100, 1), fork(1, 0, 100)],
			...[operation("fault", GUEST, 0, 0, 1, Access.guestWrite, 0), writeProtect(0, 100)],
		]);
		const met = ({ violations }: StrategyReplay): unknown[] => violations.filter(({ agent }) => agent === "vm0 vcpu0");
		expect(result.strategies.map((one) => met(one).length)).toEqual(STRATEGIES.map(() => 1));
		expect(each(result, "flush.primaryTlb")).toEqual(all(2n));
	});

	it("is told from the same content by a store that hit the TLB after the page was copied", () => {
		const result = replay(
			[
				...[slot(0, 1), slot(1, 1), populate(0, 100, 1), fork(0, 1, 100)],
				// A reuse beside the child's mapping, then a copy for the child: the store that follows hits an entry from before the copy.
				...[guest(0, Access.guestWrite, 0, Hint.reuse), cow(1, 100), fork(1, 2, 100), guest(1, Access.guestRead, 0)],
				...[guest(0, Access.guestWrite, 0), fork(0, 1, 100), guest(1, Access.guestRead, 0)],
			],
			true,
		);
		expect(result.strategies.map(({ violations }) => violations[0]?.rule)).toEqual(STRATEGIES.map(() => "I-2"));
	});

	it("is told from the same content by a store at a recorded fault", () => {
		const result = replay([
			...[slot(0, 1), slot(1, 1), populate(0, 100, 1), fork(0, 1, 100), cow(0, 100), fork(0, 2, 100)],
			...[fault(0, Access.guestWrite, 0), fork(1, 0, 100), fault(0, Access.guestRead, 0)],
		]);
		expect(result.strategies.map(({ violations }) => violations[0]?.rule)).toEqual(STRATEGIES.map(() => "I-2"));
	});

	it("is none where the content is the same", () => {
		const result = replay([
			...[slot(0, 1), slot(1, 1), populate(0, 100, 1), fork(0, 1, 100), cow(0, 100), fork(0, 2, 100)],
			...[fault(0, Access.guestRead, 0), fork(1, 0, 100), fault(0, Access.guestRead, 0)],
		]);
		expect(each(result, "coherence.violations")).toEqual(all(0n));
	});
});

describe("tables that grow", () => {
	it("hold many memslots over one page, and many VMs on one mm", () => {
		const VMS = 90;
		const SLOTS = 170;
		const records: TraceRecord[] = [];
		for (let vm = 0; vm < VMS; vm++) {
			const who = { kind: VM, vm, vcpu: 0, mm: 0, thread: 0 } as const;
			const slots = vm === 0 ? SLOTS : 1;
			for (let alias = 0; alias < slots; alias++) {
				records.push({ ...operation("memslot", VM, 0, 100, alias, 0, alias * 3, 2, 0), agent: who });
				records.push({ ...guest(0, Access.guestWrite, alias * 3), agent: { ...who, kind: GUEST, vcpu: alias % 7 } });
			}
		}
		records.push(cow(0, 100), guest(0, Access.guestRead, 0), operation("zap", MM, 0, 90, 0, 0, 2 ** 30, 0), guest(0, Access.guestRead, 3));
		const result = replay(records);
		expect(each(result, "bySite.cow.sptePresent")).toEqual(all(BigInt(VMS + SLOTS - 1)));
	});

	it("hold windows, KSM pages, mms and threads by the thousand", () => {
		const records: TraceRecord[] = [];
		for (let id = 0; id < 3000; id++) {
			records.push(operation("ksmReplace", MM, id % 400, 100 + id, 1, id * 7, 0, id));
			records.push({ ...host(0, Access.hostRead, 100 + id), agent: { ...agent(HOST, 0), thread: id % 50 } });
			if (id % 3 === 0) records.push(operation("ksmReplace", MM, 0, 0, 2, id * 7, 0, 0));
			if (id % 5 === 0) records.push(operation("ksmReplace", MM, 0, 0, 3, id * 7, 0, 0));
		}
		for (let id = 0; id < 3000; id++) records.push(operation("ksmReplace", MM, 0, 0, 2, id * 7, 0, 0));
		for (let mm = 0; mm < 400; mm += 2) records.push(operation("exit", MM, mm, 0));
		replay(records);
	});
});

describe("a freed frame", () => {
	it("that ksmd still holds locked is not another page's", () => {
		const result = replay([
			...[populate(0, 100, 1), writeProtect(0, 100), zap(0, 100)],
			// If page 200 got the locked frame, the write of another thread (whose TLB does not know the page) would copy.
			...[host(0, Access.hostWrite, 200), fork(0, 1, 200), operation("exit", MM, 1, 0)],
			{ ...host(0, Access.hostWrite, 200), agent: { ...agent(HOST, 0), thread: 1 } },
		]);
		expect(each(result, "cowReuses")).toEqual(all(1n));
		expect(each(result, "cowCopies.shared")).toEqual(all(0n));
	});

	it("that was a KSM page is not found again by its KSM page", () => {
		const result = replay([
			...[populate(0, 100, 1), writeProtect(0, 100), operation("ksmPromote", MM, 0, 100, 7, 0), zap(0, 100)],
			...[populate(0, 200, 1), populate(0, 201, 1), writeProtect(0, 201, OpFlag.kpageGiven), replace(0, 201, 7)],
			...[host(0, Access.hostWrite, 200)],
		]);
		expect(each(result, "cowCopies.shared")).toEqual(all(0n));
	});
});
