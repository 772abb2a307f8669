// Words for the numbered scenarios of the kernel's rules: one VM of one slot, its vCPUs, a thread of the VMM, and the kernel at work on its mm.
import { counterIndex } from "../../src/counters.js";
import { ReferenceModel } from "../../src/model/replay.js";
import { findStrategy } from "../../src/strategies/index.js";
import { Access, AgentKind, OpFlag, Point } from "../../src/trace/kinds.js";
import type { Agent, TraceRecord } from "../../src/trace/record.js";

export const SLOT_PAGE = 0x1000;
const SLOT_GFN = 0x200;
const guest: Agent = { kind: AgentKind.guest, vm: 0, vcpu: 0, mm: 0, thread: 0 };
const host: Agent = { ...guest, kind: AgentKind.host, thread: 1 };
export const mm: Agent = { ...guest, kind: AgentKind.mm };
const vm: Agent = { ...guest, kind: AgentKind.vm };

type Name = Extract<TraceRecord, { kind: "operation" }>["name"];
/** An operation on the VMM's mm (or another's). */
export const op = (name: Name, page: number, args: readonly number[], agent = mm): TraceRecord => ({
	kind: "operation",
	name,
	agent,
	page: SLOT_PAGE + page,
	args,
});
/** A whole operation of one page with flags, and of a range. */
export const onPage = (name: Name, page = 0, flags = 0): TraceRecord => op(name, page, [Point.whole, 0, flags]);
export const onRange = (name: Name, page: number, pages: number, event = 1, ...more: number[]): TraceRecord =>
	op(name, page, [Point.whole, 0, pages, event, ...more]);
/** One point of an operation on a range. */
export const at = (point: Point, name: Name, page: number, pages: number, event = 1, ...more: number[]): TraceRecord =>
	op(name, page, [point, 1, pages, event, ...more]);
export const slot = (): TraceRecord => op("memslot", 0, [1, 0, SLOT_GFN, 4096, 0], vm);
export const filled = (page = 0, pages = 1, state = 1): TraceRecord => op("populate", page, [pages, state]);
const access = (kind: Access, page: number): TraceRecord => ({ kind: "access", access: kind, agent: guest, page: SLOT_GFN + page });
export const read = (page = 0): TraceRecord => access(Access.guestRead, page);
export const write = (page = 0): TraceRecord => access(Access.guestWrite, page);
const hostAccess = (kind: Access, page: number): TraceRecord => ({ kind: "access", access: kind, agent: host, page: SLOT_PAGE + page });
export const hostWrite = (page = 0): TraceRecord => hostAccess(Access.hostWrite, page);
export const hostRead = (page = 0): TraceRecord => hostAccess(Access.hostRead, page);
/** The page becomes a KSM page on its own: write-protect and promote. */
export const promote = (page = 0, kpage = 1): TraceRecord[] => [onPage("ksmWriteProtect", page), op("ksmPromote", page, [kpage, 0])];
/** The page is merged into a KSM page: write-protect with a kpage, and replace. */
export const merge = (page = 0, kpage = 1): TraceRecord[] => [
	onPage("ksmWriteProtect", page, OpFlag.kpageGiven),
	op("ksmReplace", page, [Point.whole, 0, 0, kpage]),
];

/** The counters after a replay by the reference model. */
export function replayed(strategy: string, records: readonly TraceRecord[]): (path: string) => number {
	const model = modelAfter(strategy, records);
	return (path) => Number(model.world.counters[counterIndex(path)]);
}

export function modelAfter(strategy: string, records: readonly TraceRecord[]): ReferenceModel {
	const found = findStrategy(strategy);
	if (found === undefined) throw new Error(strategy);
	const tlb = { l1: { sets: 16, ways: 4 }, l2: { sets: 128, ways: 12 } };
	const model = new ReferenceModel({ strategy: found, tlb, guestLevels: 4, hostLevels: 4, copiesRecorded: false });
	for (const [sequence, record] of records.entries()) model.replay(record, sequence);
	return model;
}

/** One counter under each strategy. */
export function each(names: readonly string[], records: readonly TraceRecord[], path = "vmexits"): number[] {
	return names.map((name) => replayed(name, records)(path));
}

/** The strategies that kernels ran or that were proposed, in the order of their results. */
export const ALL = ["wrapped", "drop", "fix", "fix-map", "establish", "establish-map"] as const;
