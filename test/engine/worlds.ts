// Random small worlds: one or two VMs on one or two mms whose records meet on few pages, in any order, well formed and not.
import fc from "fast-check";
import type { SimulatedMachine } from "../../src/machine/machine.js";
import { Access, AgentKind, MemslotFlag, type OperationName, OpFlag } from "../../src/trace/kinds.js";
import { hostOf, type KvmHost } from "../../src/trace/kvmhost.js";
import type { Agent, TraceRecord } from "../../src/trace/record.js";
import { machines } from "./machines.js";

export interface RandomWorld {
	readonly machine: SimulatedMachine;
	readonly copiesRecorded: boolean;
	readonly host: KvmHost;
	readonly records: readonly TraceRecord[];
}

/** Where a world's pages are: near the edges of leaf tables, of 32 bits, and high up where real processes map. */
interface Places {
	readonly hva: number;
	readonly gfn: number;
}

/** Pages that a world has: enough to cross a leaf table, few enough to meet. */
const PAGES = 10;
const CHILD_MM = 2;
const HUGE_PAGES = 512;

const agentOf = (kind: AgentKind, fields: Partial<Omit<Agent, "kind">>): Agent => ({ kind, vm: 0, vcpu: 0, mm: 0, thread: 0, ...fields });

const operation = (name: OperationName, agent: Agent, page: number, args: number[], text?: string): TraceRecord => ({
	kind: "operation",
	name,
	agent,
	page,
	args,
	...(text === undefined ? {} : { text }),
});

/** Flags that a record may have, some of them set. */
const flagsOf = (...flags: number[]): fc.Arbitrary<number> =>
	fc.subarray(flags).map((chosen) => chosen.reduce((all, flag) => all | flag, 0));

const point = fc.oneof({ weight: 4, arbitrary: fc.constant(0) }, fc.integer({ min: 1, max: 4 }));
const window = fc.nat(2);
const event = fc.nat(7);
/** Mostly the accesses that a guest makes. */
const guestKind: fc.Arbitrary<Access> = fc.oneof(
	{ weight: 12, arbitrary: fc.constantFrom<Access[]>(Access.guestRead, Access.guestWrite, Access.guestFetch) },
	fc.constantFrom<Access[]>(Access.hostRead, Access.hostWrite, Access.deviceRead, Access.deviceWrite),
);
const deviceKind: fc.Arbitrary<Access> = fc.constantFrom<Access[]>(Access.deviceRead, Access.deviceWrite);
const hostKind: fc.Arbitrary<Access> = fc.constantFrom<Access[]>(Access.hostRead, Access.hostWrite);

interface Arbitraries {
	readonly guest: fc.Arbitrary<Agent>;
	readonly host: fc.Arbitrary<Agent>;
	readonly mm: fc.Arbitrary<Agent>;
	readonly vm: fc.Arbitrary<Agent>;
	/** Two devices, mostly on the first mm. */
	readonly device: fc.Arbitrary<Agent>;
	readonly gfn: fc.Arbitrary<number>;
	readonly page: fc.Arbitrary<number>;
	/** Pages of a range: few, or more than the world has. */
	readonly pages: fc.Arbitrary<number>;
	/** Where a huge page around the world's pages, and the 2 MiB of guest memory around its gfns, begin. */
	readonly block: number;
	readonly gfnBlock: number;
}

function arbitraries({ hva, gfn }: Places): Arbitraries {
	// The VM decides the mm, but for the odd record that says otherwise.
	const mmOf = (vm: number): fc.Arbitrary<number> => fc.oneof({ weight: 20, arbitrary: fc.constant(vm) }, fc.nat(CHILD_MM));
	const vms = fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, fc.constant(1));
	return {
		guest: fc.tuple(vms, fc.nat(1)).chain(([vm, vcpu]) => mmOf(vm).map((mm) => agentOf(AgentKind.guest, { vm, vcpu, mm }))),
		host: fc.tuple(fc.nat(1), fc.nat(1)).map(([mm, thread]) => agentOf(AgentKind.host, { mm, thread })),
		mm: fc.oneof({ weight: 6, arbitrary: fc.nat(1) }, fc.constant(CHILD_MM)).map((mm) => agentOf(AgentKind.mm, { mm })),
		device: fc.tuple(fc.nat(1), mmOf(0)).map(([thread, mm]) => agentOf(AgentKind.device, { thread, mm })),
		vm: vms.chain((vm) => mmOf(vm).map((mm) => agentOf(AgentKind.vm, { vm, mm }))),
		gfn: fc.oneof({ weight: 4, arbitrary: fc.nat(PAGES - 1) }, fc.nat(PAGES + 4)).map((at) => gfn + at),
		page: fc.nat(PAGES).map((at) => hva + at),
		pages: fc.oneof({ weight: 6, arbitrary: fc.nat(PAGES) }, fc.constantFrom(600, 2 ** 24, 2 ** 40)),
		block: hva - (hva % HUGE_PAGES),
		gfnBlock: gfn - (gfn % HUGE_PAGES),
	};
}

function accesses(of: Arbitraries): fc.Arbitrary<TraceRecord>[] {
	const plain = (agent: fc.Arbitrary<Agent>, access: fc.Arbitrary<Access>, page: fc.Arbitrary<number>): fc.Arbitrary<TraceRecord> =>
		fc.record({ kind: fc.constant("access" as const), agent, access, page });
	return [
		plain(of.guest, guestKind, of.gfn),
		plain(of.host, hostKind, of.page),
		plain(of.device, deviceKind, of.page),
		fc.tuple(of.guest, of.gfn, guestKind, fc.nat(2)).map(([agent, gfn, access, hint]) => operation("access", agent, gfn, [access, hint])),
		fc.tuple(of.host, of.page, hostKind, fc.nat(2)).map(([agent, page, access, hint]) => operation("access", agent, page, [access, hint])),
	];
}

function faults(of: Arbitraries): fc.Arbitrary<TraceRecord>[] {
	return [
		fc
			.tuple(of.guest, of.gfn, fc.oneof({ weight: 2, arbitrary: fc.constant(0) }, fc.integer({ min: 1, max: 3 })), guestKind, fc.nat(63))
			.map(([agent, gfn, at, access, flags]) => operation("fault", agent, gfn, [at, access, flags])),
		fc
			.tuple(of.guest, of.gfn, guestKind, fc.nat(1))
			.map(([agent, gfn, access, reserved]) => operation("mmio", agent, gfn, [access, reserved])),
	];
}

function ksm(of: Arbitraries): fc.Arbitrary<TraceRecord>[] {
	const kpage = fc.nat(3);
	return [
		fc
			.tuple(of.mm, of.page, point, window, flagsOf(OpFlag.kpageGiven, OpFlag.failed, OpFlag.unlocks, OpFlag.changed))
			.map(([agent, page, ...args]) => operation("ksmWriteProtect", agent, page, args)),
		fc
			.tuple(of.mm, of.page, point, window, flagsOf(OpFlag.failed, OpFlag.zeroPage, OpFlag.undone), kpage)
			.map(([agent, page, ...args]) => operation("ksmReplace", agent, page, args)),
		fc.tuple(of.mm, of.page, kpage, flagsOf(OpFlag.undone)).map(([agent, page, ...args]) => operation("ksmPromote", agent, page, args)),
	];
}

function mmOperations(of: Arbitraries): fc.Arbitrary<TraceRecord>[] {
	return [
		fc
			.tuple(fc.oneof(of.mm, of.guest), of.page, point, window, flagsOf(OpFlag.ownFault, OpFlag.failed, OpFlag.breakKsm))
			.map(([agent, page, ...args]) => operation("cow", agent, page, args)),
		fc
			.tuple(of.mm, of.page, point, window, flagsOf(OpFlag.failed))
			.map(([agent, page, ...args]) => operation("unshare", agent, page, args)),
		fc.tuple(of.mm, of.page, point, window, of.pages, event).map(([agent, page, ...args]) => operation("zap", agent, page, args)),
		fc
			.tuple(
				of.mm,
				of.page,
				point,
				window,
				of.pages.map((pages) => Math.min(pages, 600)),
				event,
				flagsOf(OpFlag.writable),
			)
			.map(([agent, page, ...args]) => operation("protect", agent, page, args)),
		fc.tuple(of.mm, of.page, point, window, of.pages, event).map(([agent, page, ...args]) => operation("invalidate", agent, page, args)),
		fc
			.tuple(of.mm, of.page, point, window, of.pages, event, fc.oneof({ weight: 4, arbitrary: fc.constant(CHILD_MM) }, fc.nat(1)))
			.map(([agent, page, ...args]) => operation("fork", agent, page, args)),
		of.mm.map((agent) => operation("exit", agent, 0, [])),
		fc.tuple(of.mm, of.page, point, window, of.pages, event).map(([agent, page, ...args]) => operation("thpSplit", agent, page, args)),
		fc.tuple(of.mm, of.page, point, window, of.pages, event).map(([agent, page, ...args]) => operation("thpCollapse", agent, page, args)),
	];
}

/** The call sites beside KSM, COW and the plain ranges. */
function sites(of: Arbitraries): fc.Arbitrary<TraceRecord>[] {
	const range = (name: OperationName): fc.Arbitrary<TraceRecord> =>
		fc.tuple(of.mm, of.page, point, window, of.pages, event).map(([agent, page, ...args]) => operation(name, agent, page, args));
	const huge = (name: OperationName): fc.Arbitrary<TraceRecord> =>
		fc
			.tuple(of.mm, fc.constantFrom(0, 3, 512), point, window, fc.constantFrom(512, 512, 511), event)
			.map(([agent, page, ...args]) => operation(name, agent, of.block + page, args));
	return [
		fc
			.tuple(of.mm, of.page, point, window, flagsOf(OpFlag.failed))
			.map(([agent, page, ...args]) => operation("uprobeReplace", agent, page, args)),
		range("migrateVma"),
		range("mkclean"),
		range("softDirty"),
		range("reclaim"),
		range("migrate"),
		range("numaHint"),
		huge("migrate"),
		huge("numaHint"),
		fc
			.tuple(of.mm, of.page, of.pages, flagsOf(OpFlag.failed))
			.map(([agent, page, ...args]) => operation("migrateRestore", agent, page, args)),
		huge("hugeCow"),
		huge("thpCollapsed"),
		fc
			.tuple(of.mm, of.page, point, window, fc.nat(PAGES), event, fc.oneof(of.page, fc.constantFrom(of.block + 2048, of.block + 2051)))
			.map(([agent, page, ...args]) => operation("mremap", agent, page, args)),
		fc
			.tuple(of.mm, fc.constantFrom(0, 1, 512), point, window, fc.constantFrom(512, 600, 1024), event, fc.constantFrom(1024, 1536, 1540))
			.map(([agent, page, at, id, pages, kind, to]) =>
				operation("mremap", agent, of.block + page, [at, id, pages, kind, of.block + page + to]),
			),
		fc.tuple(of.mm, of.page, fc.nat(2)).map(([agent, page, pin]) => operation("pin", agent, page, [pin])),
		fc.tuple(of.mm, of.page, fc.nat(2)).map(([agent, page, pin]) => operation("unpin", agent, page, [pin])),
	];
}

/** Files under the world's pages: few pages of few files, so that mappings share them. */
function files(of: Arbitraries): fc.Arbitrary<TraceRecord>[] {
	const vma = fc.oneof({ weight: 5, arbitrary: fc.integer({ min: 1, max: 5 }) }, fc.constant(0));
	const map = fc
		.tuple(of.mm, of.page, of.pages, vma, fc.nat(1), fc.constantFrom(0, 0, 3))
		.map(([agent, page, ...args]) => operation("mmap", agent, page, args));
	const huge = fc
		.tuple(of.mm, fc.constantFrom(0, 0, 512), fc.constantFrom(512, 1024, 1500), fc.constantFrom(3, 4, 4, 5), fc.nat(1))
		.map(([agent, page, pages, kind, file]) => operation("mmap", agent, of.block + page, [pages, kind, file, page]));
	const remap = fc
		.tuple(of.mm, of.page, point, window, of.pages, event, fc.nat(PAGES))
		.map(([agent, page, ...args]) => operation("remapFilePages", agent, page, args));
	const copy = fc
		.tuple(of.mm, fc.constantFrom(0, 3, 512), point, window, fc.constant(512), event)
		.map(([agent, page, ...args]) => operation("hugetlbCow", agent, of.block + page, args));
	const protect = fc
		.tuple(of.mm, of.page, point, window, fc.constantFrom(1, 5, 600), event, flagsOf(OpFlag.writable, OpFlag.fromPmd, OpFlag.fromPud))
		.map(([agent, page, ...args]) => operation("protect", agent, page, args));
	return [map, map, huge, remap, copy, protect];
}

function topology(of: Arbitraries): fc.Arbitrary<TraceRecord>[] {
	return [
		fc
			.tuple(of.vm, of.page, fc.nat(2), fc.nat(1), of.gfn, fc.nat(PAGES + 2), flagsOf(MemslotFlag.logDirty, MemslotFlag.readOnly))
			.map(([agent, page, ...args]) => operation("memslot", agent, page, args)),
		fc.tuple(of.mm, of.page, fc.nat(PAGES), fc.nat(4)).map(([agent, page, ...args]) => operation("populate", agent, page, args)),
		fc
			.tuple(of.device, of.page, fc.nat(2), fc.nat(PAGES), fc.constantFrom(0, 1, 3, 64))
			.map(([agent, page, ...args]) => operation("deviceAttach", agent, page, args)),
		of.device.map((agent) => operation("deviceDetach", agent, 0, [])),
		// A slot and huge pages that are congruent, and some that are not.
		fc
			.tuple(of.vm, fc.constantFrom(0, 1, 512), fc.constantFrom(0, 1, 512), fc.constantFrom(512, 1024, 1030), fc.nat(1), fc.nat(1))
			.map(([agent, page, gfn, pages, as, flags]) =>
				operation("memslot", agent, of.block + page, [3, as, of.gfnBlock + gfn, pages, flags]),
			),
		fc
			.tuple(of.mm, fc.constantFrom(0, 5, 512), fc.constantFrom(512, 600, 1024), fc.constantFrom(3, 3, 4))
			.map(([agent, page, ...args]) => operation("populate", agent, of.block + page, args)),
		fc
			.tuple(of.mm, fc.nat(3), fc.nat(2), fc.constantFrom("", "warm", "merge"))
			.map(([agent, phase, edge, label]) => operation("mark", agent, 0, [phase, edge, 0], label)),
	];
}

/** What KVM does without the notifiers' ranges, and the flags of a slot going to and fro. */
function kvm(of: Arbitraries, { hva, gfn }: Places): fc.Arbitrary<TraceRecord>[] {
	return [
		fc.tuple(of.mm, of.page, of.pages, fc.nat(2)).map(([agent, page, ...args]) => operation("age", agent, page, args)),
		fc
			.tuple(of.vm, fc.constantFrom(0, 0, 1, 3), fc.nat(1), fc.nat(PAGES), of.pages)
			.map(([agent, ...args]) => operation("dirtyLog", agent, 0, args)),
		of.vm.map((agent) => operation("kvmZapAll", agent, 0, [])),
		// The slots of the preamble, logging or not.
		fc
			.tuple(of.vm, fc.nat(1), fc.nat(1))
			.map(([agent, slot, flags]) =>
				operation("memslot", agent, slot === 0 ? hva : hva + 2, slot === 0 ? [0, 0, gfn, PAGES, flags] : [1, 0, gfn + PAGES, 3, flags]),
			),
		fc
			.tuple(of.vm, fc.constantFrom(512, 1024), fc.nat(1))
			.map(([agent, pages, flags]) => operation("memslot", agent, of.block, [3, 0, of.gfnBlock, pages, flags])),
	];
}

/** A slot of huge pages, read and written, logged and aged: what random records seldom line up. */
function hugeScript(of: Arbitraries): fc.Arbitrary<TraceRecord[]> {
	const vm = agentOf(AgentKind.vm, { vm: 0, mm: 0 });
	const slot = (flags: number): TraceRecord => operation("memslot", vm, of.block, [3, 0, of.gfnBlock, 1024, flags]);
	const touch = fc
		.tuple(of.guest, fc.constantFrom(0, 1, 2, 511, 512), guestKind)
		.map(([agent, at, access]): TraceRecord => ({ kind: "access", agent, access, page: of.gfnBlock + at }));
	const some = fc.array(
		fc.oneof(
			{ weight: 4, arbitrary: touch },
			fc.nat(2).map((young) => operation("age", agentOf(AgentKind.mm, { mm: 0 }), of.block + 1, [3, young])),
			fc.constant(operation("dirtyLog", vm, 0, [3, 0, 0, 4])),
		),
		{ minLength: 1, maxLength: 4 },
	);
	return fc
		.tuple(some, some, some)
		.map(([a, b, c]) => [
			...[0, 1].map((at) => operation("memslot", vm, 0, [at, 0, 0, 0, 0])),
			operation("populate", agentOf(AgentKind.mm, { mm: 0 }), of.block, [1024, 3]),
			slot(0),
			...a,
			slot(MemslotFlag.logDirty),
			...b,
			slot(0),
			...c,
		]);
}

const host: fc.Arbitrary<KvmHost> = fc
	.record({
		mmu: fc.oneof({ weight: 2, arbitrary: fc.constant<"tdp">("tdp") }, fc.constant<"legacy">("legacy")),
		eptAd: fc.oneof({ weight: 2, arbitrary: fc.constant(true) }, fc.constant(false)),
		pml: fc.boolean(),
	})
	.map((told) => hostOf(told));

/** What most traces begin with: each VM's slot over its mm, an alias, its pages. */
function preamble({ hva, gfn }: Places): fc.Arbitrary<TraceRecord[]> {
	const vmCount = fc.oneof({ weight: 6, arbitrary: fc.constant(1) }, { weight: 4, arbitrary: fc.constant(2) }, fc.constant(0));
	// Half of the worlds have devices: of any kinds, over all or some of the pages.
	const attached = fc.record({ device: fc.nat(2), from: fc.nat(3), entries: fc.constantFrom(1, 2, 5, 64) });
	const devices = fc.oneof(fc.constant([]), fc.array(attached, { minLength: 1, maxLength: 2 }));
	// A third of the worlds maps a file: the same for all, each in its way.
	const mapped = fc.oneof({ weight: 2, arbitrary: fc.constant([0, 0]) }, fc.tuple(fc.nat(3), fc.nat(3)));
	return fc.tuple(vmCount, fc.nat(2), fc.boolean(), fc.boolean(), devices, mapped).map(([vms, state, alias, smm, attachments, vmas]) => {
		const records: TraceRecord[] = [];
		for (let vm = 0; vm < vms; vm++) {
			const agent = agentOf(AgentKind.vm, { vm, mm: vm });
			records.push(operation("memslot", agent, hva, [0, 0, gfn, PAGES, 0]));
			if (alias) records.push(operation("memslot", agent, hva + 2, [1, 0, gfn + PAGES, 3, 0]));
			if (smm) records.push(operation("memslot", agent, hva, [0, 1, gfn, PAGES + 3, 0]));
			const vma = vmas[vm] ?? 0;
			if (vma !== 0) records.push(operation("mmap", agentOf(AgentKind.mm, { mm: vm }), hva, [PAGES, vma, 0, 0]));
			if (state > 0) records.push(operation("populate", agentOf(AgentKind.mm, { mm: vm }), hva, [PAGES, state], undefined));
		}
		for (const [thread, { device, from, entries }] of attachments.entries())
			records.push(operation("deviceAttach", agentOf(AgentKind.device, { thread }), hva + from, [device, PAGES, entries]));
		return records;
	});
}

/** Steps of a merge in their order, with accesses in the gaps: what random records seldom find. */
function mergeScript(of: Arbitraries): fc.Arbitrary<TraceRecord[]> {
	const gap = fc.array(fc.oneof(...accesses(of)), { maxLength: 2 });
	return fc
		.tuple(of.mm, of.page, fc.integer({ min: 1, max: 3 }), fc.boolean(), gap, gap, gap)
		.map(([agent, page, kpage, given, a, b, c]) => [
			operation("ksmWriteProtect", agent, page, [1, 5, given ? OpFlag.kpageGiven : 0]),
			...a,
			operation("ksmWriteProtect", agent, page, [2, 5, 0]),
			...b,
			operation("ksmWriteProtect", agent, page, [3, 5, 0]),
			...c,
			given ? operation("ksmReplace", agent, page, [0, 6, 0, kpage]) : operation("ksmPromote", agent, page, [kpage, 0]),
		]);
}

/** A copy on write in its three points, with accesses by everybody in its windows. */
function copyScript(of: Arbitraries): fc.Arbitrary<TraceRecord[]> {
	const [guest = fc.constant<TraceRecord>(operation("exit", agentOf(AgentKind.mm, {}), 0, []))] = accesses(of);
	const at = (agent: fc.Arbitrary<Agent>, kind: fc.Arbitrary<Access>, page: number): fc.Arbitrary<TraceRecord> =>
		fc.record({ kind: fc.constant("access" as const), agent, access: kind, page: fc.constant(page) });
	return of.page.chain((page) => {
		const gap = fc.array(fc.oneof(guest, at(of.host, hostKind, page), at(of.device, deviceKind, page), at(of.device, deviceKind, page)), {
			maxLength: 4,
			size: "max",
		});
		return fc
			.tuple(of.mm, fc.constantFrom<OperationName[]>("cow", "unshare", "ksmWriteProtect"), gap, gap, gap, gap, gap, fc.boolean())
			.map(([agent, name, a, b, c, d, e, isCut]) => [
				...a,
				operation(name, agent, page, [1, 4, 0]),
				...b,
				...(isCut ? [operation(name, agent, page, [4, 4, 0]), ...e] : []),
				operation(name, agent, page, [2, 4, 0]),
				...c,
				operation(name, agent, page, [3, 4, 0]),
				...d,
			]);
	});
}

/** One vCPU, or one thread, on a few pages: what finds its TLB filled. */
function burst(of: Arbitraries): fc.Arbitrary<TraceRecord[]> {
	const by = (agent: fc.Arbitrary<Agent>, page: fc.Arbitrary<number>, kind: fc.Arbitrary<Access>): fc.Arbitrary<TraceRecord[]> =>
		fc
			.tuple(agent, page, fc.array(fc.tuple(fc.nat(3), kind), { minLength: 3, maxLength: 14, size: "max" }))
			.map(([who, first, steps]) => steps.map(([at, access]): TraceRecord => ({ kind: "access", agent: who, access, page: first + at })));
	return fc.oneof(
		{ weight: 4, arbitrary: by(of.guest, of.gfn, guestKind) },
		by(of.host, of.page, hostKind),
		by(of.device, of.page, deviceKind),
	);
}

/** Huge pages under a slot that lies as they do, and accesses all over them: what fills TLBs with 2 MiB entries. */
function hugeBurst(of: Arbitraries): fc.Arbitrary<TraceRecord[]> {
	const at = fc.constantFrom(0, 1, 3, 511, 512, 513, 1023);
	const accesses = fc.array(fc.tuple(at, fc.boolean(), guestKind, hostKind), { minLength: 3, maxLength: 14, size: "max" });
	return fc
		.tuple(of.guest, of.host, fc.constantFrom(512, 1024), accesses)
		.map(([guest, host, pages, steps]) => [
			operation("memslot", agentOf(AgentKind.vm, { vm: guest.vm, mm: guest.mm }), of.block, [3, 0, of.gfnBlock, pages, 0]),
			operation("populate", agentOf(AgentKind.mm, { mm: guest.mm }), of.block, [pages, 3]),
			...steps.map(
				([page, byHost, guestAccess, hostAccess]): TraceRecord =>
					byHost
						? { kind: "access", agent: { ...host, mm: guest.mm }, access: hostAccess, page: of.block + page }
						: { kind: "access", agent: guest, access: guestAccess, page: of.gfnBlock + page },
			),
		]);
}

const places: fc.Arbitrary<Places> = fc.record({
	hva: fc.constantFrom(0, 507, 2 ** 32 - 4, 0x7_f123_45fb),
	gfn: fc.oneof({ weight: 5, arbitrary: fc.constantFrom(0, 505) }, fc.constantFrom(2 ** 32 - 5, 2 ** 35 + 509)),
});

/** Times of the records: none; even or uneven ones, far apart or close, now and then going back; or of some records only. */
const clock: fc.Arbitrary<(at: number) => number | undefined> = fc.constantFrom(
	() => undefined,
	(at: number) => at * 3,
	(at: number) => 2 ** 40 + ((at * 7919) % 1000) * 2 ** (at % 31),
	(at: number) => (at % 20 < 12 ? at * 1_000_003 : undefined),
);

export const randomWorld: fc.Arbitrary<RandomWorld> = places.chain((where) => {
	const of = arbitraries(where);
	const single = (records: fc.Arbitrary<TraceRecord>[], weight: number) => ({
		weight,
		arbitrary: fc.oneof(...records).map((record): TraceRecord[] => [record]),
	});
	const [access = fc.constant<TraceRecord>(operation("exit", agentOf(AgentKind.mm, {}), 0, []))] = accesses(of);
	const piece = fc.oneof(
		single([access], 8),
		single(accesses(of), 8),
		single(faults(of), 6),
		single(ksm(of), 6),
		single(mmOperations(of), 6),
		single(sites(of), 8),
		single(topology(of), 2),
		single(kvm(of, where), 3),
		single(files(of), 2),
		{ weight: 7, arbitrary: burst(of) },
		{ weight: 2, arbitrary: hugeBurst(of) },
		{ weight: 2, arbitrary: mergeScript(of) },
		{ weight: 3, arbitrary: copyScript(of) },
	);
	return fc.record({
		machine: machines,
		copiesRecorded: fc.boolean(),
		host,
		records: fc
			.tuple(
				preamble(where),
				fc.oneof({ weight: 14, arbitrary: fc.constant<TraceRecord[]>([]) }, hugeScript(of)),
				fc.array(piece, { maxLength: 60, size: "max" }),
				clock,
			)
			.map(([first, script, pieces, nsAt]) =>
				[...first, ...script, ...pieces.flat()].map((record, at) => {
					const ns = nsAt(at);
					return ns === undefined ? record : { ...record, ns };
				}),
			),
	});
});
