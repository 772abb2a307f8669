// One VM with one memslot on one mm, and its records: what the scenarios of KVM's rules are told in.
import { counterIndex } from "../../src/counters.js";
import { ReferenceModel } from "../../src/model/replay.js";
import type { World } from "../../src/model/world.js";
import { findStrategy } from "../../src/strategies/index.js";
import { Access, AgentKind, MemslotFlag, Point, Young } from "../../src/trace/kinds.js";
import { DEFAULT_HOST, hostOf, type KvmHost } from "../../src/trace/kvmhost.js";
import type { Agent, TraceRecord } from "../../src/trace/record.js";

/** The slot: aligned to 2 MiB on both sides. */
export const PAGE = 0x1000;
export const GFN = 0x200;
export const PAGES = 1024;

export const guest: Agent = { kind: AgentKind.guest, vm: 0, vcpu: 0, mm: 0, thread: 0 };
export const second: Agent = { ...guest, vcpu: 1 };
const host: Agent = { ...guest, kind: AgentKind.host, thread: 1 };
export const mm: Agent = { ...guest, kind: AgentKind.mm };
export const vm: Agent = { ...guest, kind: AgentKind.vm };

/** Hosts by what differs from a current Intel one. */
export const AD = DEFAULT_HOST;
export const NO_AD = hostOf({ eptAd: false });
export const NO_PML = hostOf({ pml: false });
export const LEGACY = hostOf({ mmu: "legacy" });
export const LEGACY_NO_AD = hostOf({ mmu: "legacy", eptAd: false });
export const LEGACY_NO_PML = hostOf({ mmu: "legacy", pml: false });

type Name = Extract<TraceRecord, { kind: "operation" }>["name"];
export const op = (name: Name, agent: Agent, page: number, ...args: number[]): TraceRecord => ({
	kind: "operation",
	name,
	agent,
	page,
	args,
});

export const LOG = MemslotFlag.logDirty;
export const READ_ONLY = MemslotFlag.readOnly;
/** Slot `number` in address space `as`: `pages` from gfn GFN + `gfn` over hva PAGE + `page`. */
export const slotAt = (number: number, as: number, gfn: number, page: number, pages: number, flags = 0): TraceRecord =>
	op("memslot", vm, PAGE + page, number, as, GFN + gfn, pages, flags);
/** The one slot, with flags. */
export const slot = (flags = 0): TraceRecord => slotAt(1, 0, 0, 0, PAGES, flags);
export const deleted = (number = 1): TraceRecord => op("memslot", vm, 0, number, 0, 0, 0, 0);
export const filled = (page = 0, pages = 1): TraceRecord => op("populate", mm, PAGE + page, pages, 1);
export const hugeFilled = (pages = PAGES): TraceRecord => op("populate", mm, PAGE, pages, 3);

const access = (kind: Access, gfn: number, agent: Agent): TraceRecord => ({ kind: "access", access: kind, agent, page: GFN + gfn });
export const read = (gfn = 0, agent = guest): TraceRecord => access(Access.guestRead, gfn, agent);
export const write = (gfn = 0, agent = guest): TraceRecord => access(Access.guestWrite, gfn, agent);
export const hostWrite = (page = 0): TraceRecord => ({ kind: "access", access: Access.hostWrite, agent: host, page: PAGE + page });

export const zap = (page = 0, pages = 1, point: number = Point.whole, window = 0): TraceRecord =>
	op("zap", mm, PAGE + page, point, window, pages, 0);
/** A range of which nothing but its bracket is known. */
export const invalidate = (page: number, pages: number, point: number = Point.whole, window = 0): TraceRecord =>
	op("invalidate", mm, PAGE + page, point, window, pages, 1);
export const writeProtect = (page = 0, flags = 0): TraceRecord => op("ksmWriteProtect", mm, PAGE + page, Point.whole, 0, flags);
export const promote = (page = 0, kpage = 1): TraceRecord => op("ksmPromote", mm, PAGE + page, kpage, 0);
export const replace = (page = 0, kpage = 1): TraceRecord => op("ksmReplace", mm, PAGE + page, Point.whole, 0, 0, kpage);
export const age = (how: keyof typeof Young, page = 0, pages = 1): TraceRecord => op("age", mm, PAGE + page, pages, Young[how]);
export const harvest = (offset: number, pages: number): TraceRecord => op("dirtyLog", vm, 0, 1, 0, offset, pages);

/** What a replay by the reference model came to. */
export interface Scene {
	readonly world: World;
	/** A counter. */
	count(path: string): number;
	/** Several counters. */
	counts(...paths: string[]): number[];
}

/** The records under a strategy on a host, after `before`, which is not counted. */
export function play(strategy: string, kvm: KvmHost, before: readonly TraceRecord[], records: readonly TraceRecord[] = []): Scene {
	const found = findStrategy(strategy);
	if (found === undefined) throw new Error(strategy);
	const tlb = { l1: { sets: 16, ways: 4 }, l2: { sets: 128, ways: 12 } };
	const model = new ReferenceModel({ strategy: found, tlb, guestLevels: 4, hostLevels: 4, copiesRecorded: false, host: kvm });
	let sequence = 0;
	for (const record of before) model.replay(record, sequence++);
	const start = records.length === 0 ? new BigUint64Array(model.world.counters.length) : model.world.counters.slice();
	for (const record of records) model.replay(record, sequence++);
	const count = (path: string): number => Number((model.world.counters[counterIndex(path)] ?? 0n) - (start[counterIndex(path)] ?? 0n));
	return { world: model.world, count, counts: (...paths) => paths.map(count) };
}

/** SPTE of a gfn: its letters in the order W M D A, or "-" where it is absent. */
export function spteOf({ world }: Scene, gfn = 0, as = 0): string {
	const spte = world.vms
		.get(0)
		?.root(as)
		.peek(GFN + gfn);
	if (spte === undefined || spte.frame === null) return "-";
	const letter = (bit: boolean, name: string): string => (bit ? name : "");
	const bits = letter(spte.writable, "W") + letter(spte.mmuWritable, "M") + letter(spte.dirty, "D") + letter(spte.accessed, "A");
	return (spte.huge ? "2M:" : "") + (bits === "" ? "R" : bits);
}
