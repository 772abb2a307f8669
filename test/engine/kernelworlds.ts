// Random worlds that a kernel could have made: operations in the orders that its locks allow, each on pages in a state that it works on, brackets that
// overlap, accesses by vCPUs, host threads and devices in between; on the hosts and with the operations that some kernel had (eras.ts). Under a safe
// strategy nothing may go wrong in them.
import fc from "fast-check";
import {
	Access,
	AgentKind,
	DeviceKind,
	FaultFlag,
	MemslotFlag,
	type OperationName,
	OpFlag,
	Point,
	VmaKind,
} from "../../src/trace/kinds.js";
import type { Agent, TraceRecord } from "../../src/trace/record.js";
import { ERAS, type Era } from "./eras.js";
import { machines } from "./machines.js";
import { SMALL } from "./traces.js";
import type { RandomWorld } from "./worlds.js";

const HVA = 3 * 512;
const GFN = 512;
const BLOCK = 512;
/** Pages that everybody meets on; a second 2 MiB block behind the first can be huge. */
const PAGES = 6;
const SLOT_PAGES = 2 * BLOCK;
/** Where nobody's memslot is. */
const ELSEWHERE = HVA + 16 * BLOCK;
const CHILD_MM = 2;
/** Two of each kind. */
const DEVICES = 6;

const agent = (kind: AgentKind, fields: Partial<Omit<Agent, "kind">> = {}): Agent => ({
	kind,
	vm: 0,
	vcpu: 0,
	mm: 0,
	thread: 0,
	...fields,
});
const op = (name: OperationName, who: Agent, page: number, ...args: number[]): TraceRecord => ({
	kind: "operation",
	name,
	agent: who,
	page,
	args,
});
const access = (who: Agent, kind: Access, page: number): TraceRecord => ({ kind: "access", agent: who, access: kind, page });

type Records = fc.Arbitrary<TraceRecord[]>;

/** VM n is the process of mm n. */
const vm = fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, fc.constant(1));
const at = fc.oneof(
	{ weight: 5, arbitrary: fc.nat(PAGES - 1) },
	fc.nat(PAGES - 1).map((page) => BLOCK + page),
);
const guestKind = fc.constantFrom<Access[]>(Access.guestRead, Access.guestWrite, Access.guestFetch);

/** vCPU 2 is one of the VM that only some worlds have. */
const guestOf = (mm: number, vcpu: number): Agent =>
	vcpu === 2 ? agent(AgentKind.guest, { vm: 2, vcpu: 0, mm: 0 }) : agent(AgentKind.guest, { vm: mm, vcpu, mm });
const hostOf = (mm: number): Agent => agent(AgentKind.host, { mm, thread: 1 });
const mmOf = (mm: number): Agent => agent(AgentKind.mm, { mm });

const anyAccess: fc.Arbitrary<TraceRecord> = fc.oneof(
	{
		weight: 6,
		arbitrary: fc.tuple(vm, fc.nat(2), guestKind, at).map(([mm, vcpu, kind, page]) => access(guestOf(mm, vcpu), kind, GFN + page)),
	},
	{
		weight: 3,
		arbitrary: fc
			.tuple(fc.nat(CHILD_MM), fc.constantFrom<Access[]>(Access.hostRead, Access.hostWrite), at)
			.map(([mm, kind, page]) => access(hostOf(mm), kind, HVA + page)),
	},
	{
		weight: 2,
		arbitrary: fc
			.tuple(vm, fc.nat(DEVICES - 1), fc.constantFrom<Access[]>(Access.deviceRead, Access.deviceWrite), at)
			.map(([mm, thread, kind, page]) => access(agent(AgentKind.device, { thread, mm }), kind, HVA + page)),
	},
);
const accesses: Records = fc.array(anyAccess, { minLength: 1, maxLength: 6, size: "max" });
/** Nobody writes. */
const reads: Records = fc.array(
	fc.tuple(vm, fc.nat(1), at).map(([mm, vcpu, page]) => access(guestOf(mm, vcpu), Access.guestRead, GFN + page)),
	{ maxLength: 3 },
);

/** An anonymous page that the process has written: what KSM works on. */
const written = (mm: number, page: number): TraceRecord => access(hostOf(mm), Access.hostWrite, HVA + page);

function mergeRecords(mm: number, page: number, kpage: number, given: boolean, between: readonly TraceRecord[]): TraceRecord[] {
	const who = mmOf(mm);
	const hva = HVA + page;
	if (!given) return [written(mm, page), op("ksmWriteProtect", who, hva, 0, 0, 0), op("ksmPromote", who, hva, kpage, 0)];
	return [
		written(mm, page),
		op("ksmWriteProtect", who, hva, 0, 0, OpFlag.kpageGiven),
		...between,
		op("ksmReplace", who, hva, 0, 0, 0, kpage),
	];
}

const merge: Records = fc
	.tuple(vm, at, fc.integer({ min: 1, max: 3 }), fc.boolean(), reads)
	.map(([mm, page, kpage, given, between]) => mergeRecords(mm, page, kpage, given, between));

/** Accesses to other pages than one: what may happen while ksmd works on it. */
const elsewhere = (page: number): Records => accesses.map((found) => found.filter((record) => (record.page - page) % BLOCK !== 0));

/** The same with its points apart, or into the zero page. */
const slowMerge: Records = fc
	.tuple(vm, at, fc.integer({ min: 1, max: 3 }), fc.boolean())
	.chain(([mm, page, kpage, zero]) =>
		fc
			.tuple(elsewhere(page), elsewhere(page), reads, reads)
			.map(([a, b, c, d]) => [
				written(mm, page),
				op("ksmWriteProtect", mmOf(mm), HVA + page, Point.begin, 5, OpFlag.kpageGiven),
				...a,
				op("ksmWriteProtect", mmOf(mm), HVA + page, Point.commit, 5, OpFlag.kpageGiven),
				...c,
				op("ksmWriteProtect", mmOf(mm), HVA + page, Point.end, 5, OpFlag.kpageGiven),
				...b,
				op("ksmReplace", mmOf(mm), HVA + page, Point.begin, 6, zero ? OpFlag.zeroPage : 0, kpage),
				...d,
				op("ksmReplace", mmOf(mm), HVA + page, Point.commit, 6, zero ? OpFlag.zeroPage : 0, kpage),
				...a,
				op("ksmReplace", mmOf(mm), HVA + page, Point.end, 6, zero ? OpFlag.zeroPage : 0, kpage),
			]),
	);

/** Somebody wrote in between: pte_same fails. */
const lostMerge: Records = fc
	.tuple(vm, at, accesses)
	.map(([mm, page, between]) => [
		written(mm, page),
		op("ksmWriteProtect", mmOf(mm), HVA + page, 0, 0, OpFlag.kpageGiven),
		...between,
		op("ksmReplace", mmOf(mm), HVA + page, 0, 0, OpFlag.failed, 1),
	]);

/** Copies of a KSM page by a host thread, with reads in the window; its points apart. */
const copy: Records = fc
	.tuple(vm, at, fc.constantFrom<OperationName[]>("cow", "unshare"), reads, reads)
	.map(([mm, page, name, a, b]) => [
		...mergeRecords(mm, page, 2, true, []),
		op(name, mmOf(mm), HVA + page, Point.begin, 7, 0),
		...a,
		op(name, mmOf(mm), HVA + page, Point.commit, 7, 0),
		...b,
		op(name, mmOf(mm), HVA + page, Point.end, 7, 0),
	]);

const range = fc.oneof(
	fc.tuple(at, fc.integer({ min: 1, max: PAGES })),
	fc.constantFrom<[number, number][]>([0, SLOT_PAGES], [BLOCK, BLOCK], [BLOCK - 2, 4]),
);

/** What one record does under mmap_lock for writing, or at once. */
const whole: Records = fc.tuple(vm, range, fc.nat(15), fc.boolean()).map(([mm, [page, pages], which, flag]): TraceRecord[] => {
	const who = mmOf(mm);
	const hva = HVA + page;
	switch (which) {
		case 0:
		case 1:
			return [op("zap", who, hva, 0, 0, pages, 1)];
		case 2:
			return [op("protect", who, hva, 0, 0, pages, 2, flag ? OpFlag.writable : 0)];
		case 3:
		case 4:
			return [op("fork", who, hva, 0, 0, pages, 3, CHILD_MM)];
		case 5:
			return [op("invalidate", who, hva, 0, 0, pages, 1)];
		case 6:
			return [op("softDirty", who, hva, 0, 0, pages, 4)];
		case 7:
			return [op("mkclean", who, hva, 0, 0, 1, 3)];
		case 8:
			return [op("thpSplit", who, HVA + BLOCK, 0, 0, BLOCK, 1)];
		case 9:
			return [op("thpCollapsed", who, HVA + BLOCK, 0, 0, BLOCK, 1)];
		case 10:
			return [op("mremap", who, hva, 0, 0, pages, 0, ELSEWHERE + page)];
		case 11:
			return [op("zap", who, HVA + page, 0, 0, 1, 1), op("migrateVma", who, HVA + page, 0, 0, 1, 6)];
		case 12:
			return [op("uprobeReplace", who, hva, 0, 0, 0)];
		case 13:
			return [op("hugeCow", who, HVA + BLOCK, 0, 0, BLOCK, 1)];
		case 14:
			return [op("thpCollapse", who, HVA + BLOCK, 0, 0, BLOCK, 1)];
		default:
			return [op("pin", who, HVA + page, page), ...(flag ? [op("unpin", who, HVA + page, page)] : [])];
	}
});

/** The rmap walkers and change_prot_numa take no mmap_lock for writing: accesses run into what they leave, before and after they are done. */
const entries: Records = fc
	.tuple(vm, range, fc.constantFrom<OperationName[]>("reclaim", "migrate", "numaHint"), accesses, fc.boolean())
	.map(([mm, [page, pages], name, between, failed]) => [
		op(name, mmOf(mm), HVA + page, 0, 0, pages, 1),
		...between,
		...(name === "migrate" ? [op("migrateRestore", mmOf(mm), HVA + page, pages, failed ? OpFlag.failed : 0)] : []),
	]);

/** A vCPU's recorded fault that is in flight while others work. */
const flight = (inner: Records): Records =>
	fc
		.tuple(vm, fc.nat(1), guestKind, at, inner)
		.map(([mm, vcpu, kind, page, between]) => [
			op("fault", guestOf(mm, vcpu), GFN + page, Point.begin, kind, FaultFlag.deriveCopy),
			...between,
			op("fault", guestOf(mm, vcpu), GFN + page, Point.end, kind, FaultFlag.deriveCopy),
		]);

/** MADV_DONTNEED holds mmap_lock for reading: faults, copies and merges run inside its bracket (litmus h). */
const window = (inner: Records, number: number): Records =>
	fc
		.tuple(vm, range, fc.constantFrom<OperationName[]>("zap", "zap", "invalidate", "reclaim", "migrate", "numaHint"), inner, inner)
		.map(([mm, [page, pages], name, a, b]) => [
			op(name, mmOf(mm), HVA + page, Point.begin, number, pages, 1),
			...a,
			op(name, mmOf(mm), HVA + page, Point.commit, number, pages, 1),
			...b,
			op(name, mmOf(mm), HVA + page, Point.end, number, pages, 1),
		]);

/** KSM_SET_USER_MEMORY_REGION: away and back. */
const memslot: Records = fc
	.tuple(vm, accesses)
	.map(([mm, between]) => [
		op("memslot", agent(AgentKind.vm, { vm: mm, mm }), HVA, 0, 0, 0, 0, 0),
		...between,
		op("memslot", agent(AgentKind.vm, { vm: mm, mm }), HVA, 0, 0, GFN, SLOT_PAGES, 0),
	]);

/** What KVM does of itself: dirty logging on, harvested and off again; ageing; all roots anew. */
const kvm: Records = fc
	.tuple(vm, accesses, accesses, range, fc.nat(2), fc.nat(2))
	.map(([mm, a, b, [page, pages], young, which]): TraceRecord[] => {
		const who = agent(AgentKind.vm, { vm: mm, mm });
		const slot = (flags: number): TraceRecord => op("memslot", who, HVA, 0, 0, GFN, SLOT_PAGES, flags);
		if (which === 0) return [op("age", mmOf(mm), HVA + page, pages, young)];
		if (which === 1) return [op("kvmZapAll", who, 0)];
		return [slot(MemslotFlag.logDirty), ...a, op("dirtyLog", who, 0, 0, 0, page, pages), ...b, slot(0)];
	});

const step: Records = fc.oneof(
	{ weight: 8, arbitrary: accesses },
	{ weight: 4, arbitrary: merge },
	{ weight: 1, arbitrary: lostMerge },
	{ weight: 2, arbitrary: copy },
	{ weight: 2, arbitrary: slowMerge },
	{ weight: 2, arbitrary: kvm },
	{ weight: 4, arbitrary: whole },
	{ weight: 3, arbitrary: entries },
);
const inside: Records = fc.array(fc.oneof({ weight: 3, arbitrary: accesses }, merge), { maxLength: 3 }).map((steps) => steps.flat());
const overlapping: Records = fc.oneof(inside, window(inside, 9));
const piece: Records = fc.oneof(
	{ weight: 6, arbitrary: step },
	{ weight: 2, arbitrary: flight(fc.oneof(step, window(inside, 9))) },
	{ weight: 2, arbitrary: window(overlapping, 8) },
	{ weight: 1, arbitrary: memslot },
);

/** A device over some of the pages of a process. */
const device = fc.record({
	mm: vm,
	kind: fc.constantFrom<DeviceKind[]>(DeviceKind.sva, DeviceKind.mirror, DeviceKind.pinned),
	entries: fc.constantFrom(1, 4),
	pages: fc.constantFrom(2, SLOT_PAGES),
});

function attached(
	{ mm, kind, entries, pages }: { mm: number; kind: DeviceKind; entries: number; pages: number },
	place: number,
): TraceRecord {
	// Pinning all of a slot would leave KSM nothing to do.
	const some = kind === DeviceKind.pinned ? 2 : pages;
	return op("deviceAttach", agent(AgentKind.device, { thread: place, mm }), HVA, kind, some, entries);
}

const preamble = ({ huge }: Era): Records =>
	fc
		.tuple(
			fc.boolean(),
			fc.boolean(),
			fc.boolean(),
			fc.boolean(),
			fc.oneof({ weight: 2, arbitrary: fc.constant([]) }, fc.array(device, { minLength: 1, maxLength: DEVICES })),
		)
		.map(([alias, smm, filledHuge, third, devices]) => [
			...[0, 1].flatMap((mm) => {
				const who = agent(AgentKind.vm, { vm: mm, mm });
				return [
					op("memslot", who, HVA, 0, 0, GFN, SLOT_PAGES, 0),
					...(alias ? [op("memslot", who, HVA, 1, 0, GFN + 8 * BLOCK, 3, 0)] : []),
					...(smm ? [op("memslot", who, HVA, 0, 1, GFN, PAGES, 0)] : []),
					...(huge && filledHuge ? [op("populate", mmOf(mm), HVA + BLOCK, BLOCK, 3)] : []),
				];
			}),
			// A second VM of the first process.
			...(third ? [op("memslot", agent(AgentKind.vm, { vm: 2, mm: 0 }), HVA, 0, 0, GFN, SLOT_PAGES, 0)] : []),
			...devices.map(attached),
		]);

/** What the two processes map; both the same file. KSM does not work on what is shared, and nobody breaks what it has not merged. */
const KSM_ONLY: ReadonlySet<string> = new Set(["ksmWriteProtect", "ksmReplace", "ksmPromote", "cow", "unshare"]);
const vmaKind = fc.oneof(
	{ weight: 3, arbitrary: fc.constant<VmaKind>(VmaKind.anonymous) },
	// Operations of 4 KiB are not for hugetlb.
	fc.constantFrom<VmaKind[]>(VmaKind.privateFile, VmaKind.sharedFile, VmaKind.sharedMemory),
);
const mapped = (kind: VmaKind): TraceRecord[] =>
	kind === VmaKind.anonymous ? [] : [0, 1].map((mm) => op("mmap", mmOf(mm), HVA, SLOT_PAGES, kind, 1, 0));
const worksOn = (kind: VmaKind, record: TraceRecord): boolean =>
	kind === VmaKind.anonymous || kind === VmaKind.privateFile || record.kind === "access" || !KSM_ONLY.has(record.name);

const hasAll = ({ lacks }: Era, records: readonly TraceRecord[]): boolean =>
	records.every((record) => record.kind !== "operation" || !lacks.has(record.name));

export const kernelWorld: fc.Arbitrary<RandomWorld> = fc.constantFrom(...ERAS).chain((era) =>
	fc
		.tuple(
			era.host,
			fc.oneof(fc.constant(SMALL), machines),
			preamble(era),
			vmaKind,
			fc.array(
				piece.filter((records) => hasAll(era, records)),
				{ maxLength: 30, size: "max" },
			),
		)
		.map(([host, machine, first, kind, pieces]) => ({
			machine,
			// No copy is recorded here: if that meant reuse, a page would stay shared with a forked mm, and KSM's count check would refuse what is promoted.
			copiesRecorded: false,
			host,
			records: [...mapped(kind), ...first, ...pieces.flat().filter((record) => worksOn(kind, record))],
		})),
);
