// The reference model: one strategy, one record at a time, written from kernel.md and meant to be obviously right. The engine must equal it in every
// counter and in the final state (test/model).

import { OperationArgs } from "../trace/arguments.js";
import { type Access, AgentKind, DeviceKind, FaultFlag, Hint, MemslotFlag, NotifyEvent, OpFlag, Point, VmaKind } from "../trace/kinds.js";
import type { Agent, OperationRecord, TraceRecord } from "../trace/record.js";
import { age } from "./age.js";
import { breakOrReuse, cowChange, isPinned } from "./cow.js";
import { attachDevice, detachAll, detachDevice, deviceAccess, resolvePendingDevices } from "./devices.js";
import { restoreMigrated } from "./entries.js";
import { goOn, guestAccess, isMigrating, isOwnCowAware, isWrite, populateFresh, presentAfterFault, resolvePending } from "./fault.js";
import { mmap } from "./files.js";
import { faultBegin, faultEnd } from "./flight.js";
import { copiesNothing, fork, inherit, protectedRanges, protectOperation } from "./fork.js";
import type { Frame } from "./frames.js";
import { hostAccess } from "./host.js";
import { splitFirst, splitOperation } from "./huge.js";
import { isHugetlbNone, isHugetlbPage, PUD_PAGES } from "./hugetlb.js";
import { promote, replace, writeProtect } from "./ksm.js";
import { harvestDirtyLog, setMemslot, zapAll } from "./memslots.js";
import { HUGE_PAGES, type Mm } from "./mm.js";
import { type Operation, openOperation } from "./operation.js";
import { checkWriters } from "./oracle.js";
import { runWhole, siteOperation, UNCHANGED, zapOperation } from "./sites.js";
import { abandonOperation, beginOperation, commitOperation, endOperation, setOperation } from "./steps.js";
import { PAGE_LIMIT } from "./vmas.js";
import { windowOpen } from "./windows.js";
import { type Vcpu, World, type WorldOptions } from "./world.js";

/** Operations on one page: a huge mapping of it is split first. */
const ONE_PAGE: ReadonlySet<string> = new Set(["cow", "unshare", "ksmWriteProtect", "ksmReplace", "uprobeReplace", "migrateVma"]);

export class ReferenceModel {
	readonly world: World;
	readonly #open = new Map<number, Operation>();
	/** Pinned pages by the number of their pin. */
	readonly #pins = new Map<number, Frame>();

	constructor(options: WorldOptions) {
		this.world = new World(options);
	}

	/** Replay one cause; `sequence` is its number in the trace. Observations are ignored. */
	replay(record: TraceRecord, sequence: number): void {
		this.world.event = sequence;
		this.world.ns = record.ns;
		if (record.kind === "access") this.#access(record.agent, record.access, record.page, Hint.derive);
		else {
			// A host's or device's access may have ended a migration: nobody takes a lock before who waited for it is through.
			this.#releaseWaiting();
			this.#operation(record);
			this.#releaseWaiting();
		}
	}

	#vcpu(agent: Agent): Vcpu {
		return this.world.vcpu(this.world.vm(agent.vm, agent.mm), agent.vcpu);
	}

	#access(agent: Agent, access: Access, page: number, hint: number): void {
		if (agent.kind === AgentKind.guest) {
			this.world.count(isWrite(access) ? "accesses.guestWrite" : "accesses.guestRead");
			const vcpu = this.#vcpu(agent);
			resolvePending(this.world, vcpu);
			guestAccess(this.world, vcpu, 0, page, access, hint);
		} else if (agent.kind === AgentKind.host) {
			this.world.count(isWrite(access) ? "accesses.hostWrite" : "accesses.hostRead");
			hostAccess(this.world, agent, page, isWrite(access), hint);
		} else {
			this.world.count(isWrite(access) ? "accesses.deviceWrite" : "accesses.deviceRead");
			if (agent.kind === AgentKind.device) deviceAccess(this.world, this.world.mm(agent.mm), agent.thread, page, isWrite(access));
		}
	}

	/** A bracket has ended: accesses that were stale because of it exit again. */
	#resolveAllPending(): void {
		for (const vcpu of this.world.vcpus.values()) {
			const { pending, vm } = vcpu;
			if (pending === null) continue;
			const page = vm.hva(pending.as, pending.gfn);
			const waits = page !== undefined && pending.waits && windowOpen(this.world, vm.mm, page);
			if (page === undefined || !(vm.inHull(page) || waits || isMigrating(vcpu, pending.gfn))) resolvePending(this.world, vcpu);
		}
		resolvePendingDevices(this.world);
	}

	/** Accesses that waited for a migration go on where it is over. */
	#releaseWaiting(): void {
		for (const vcpu of this.world.vcpus.values()) if (vcpu.waiting !== null && !isMigrating(vcpu, vcpu.waiting.gfn)) goOn(this.world, vcpu);
	}

	#operation(record: OperationRecord): void {
		const { world } = this;
		const { agent, page } = record;
		const args = new OperationArgs(record);
		switch (record.name) {
			case "access":
				this.#access(agent, args.access(), page, args.get("hint"));
				return;
			case "fault":
				this.#fault(agent, page, args);
				return;
			case "mmio":
				world.count(isWrite(args.access()) ? "mmio.write" : "mmio.read");
				if (args.get("reserved") !== 0) world.count("mmio.reserved");
				return;
			case "ksmPromote":
				promote(world, world.mm(agent.mm), page, args.get("kpage"), args.get("flags"));
				return;
			case "populate":
				this.#populate(world.mm(agent.mm), page, args.get("pages"), args.get("state"));
				return;
			case "mmap":
				mmap(world, world.mm(agent.mm), page, args.get("pages"), vmaKind(args.get("vma")), args.get("file"), args.get("offset"));
				return;
			case "memslot":
				this.#memslot(agent, page, args);
				return;
			case "deviceAttach":
				attachDevice(world, world.mm(agent.mm), agent.thread, deviceKind(args.get("device")), page, args.get("pages"), args.get("entries"));
				return;
			case "deviceDetach":
				detachDevice(world, world.mm(agent.mm), agent.thread);
				return;
			case "age":
				age(world, world.mm(agent.mm), page, args.get("pages"), args.get("young"));
				return;
			case "dirtyLog":
				harvestDirtyLog(world, world.vm(agent.vm, agent.mm), args.get("slot"), args.get("as"), args.get("offset"), args.get("pages"));
				return;
			case "kvmZapAll":
				world.countSite("kvmZapAll", "count");
				zapAll(world, world.vm(agent.vm, agent.mm), "kvmZapAll");
				return;
			case "exit":
				detachAll(world, world.mm(agent.mm));
				for (const at of world.mm(agent.mm).pages()) world.mm(agent.mm).clear(at);
				world.mm(agent.mm).vmas.remove(0, PAGE_LIMIT);
				return;
			case "ksmWriteProtect":
			case "ksmReplace":
			case "cow":
			case "unshare":
			case "zap":
			case "protect":
			case "invalidate":
			case "thpSplit":
			case "thpCollapse":
			case "thpCollapsed":
			case "fork":
			case "uprobeReplace":
			case "migrateVma":
			case "mkclean":
			case "softDirty":
			case "hugeCow":
			case "mremap":
			case "reclaim":
			case "migrate":
			case "numaHint":
			case "remapFilePages":
			case "hugetlbCow":
				this.#bracket(record, args);
				return;
			case "migrateRestore":
				restoreMigrated(world, world.mm(agent.mm), page, args.get("pages"), (args.get("flags") & OpFlag.failed) !== 0);
				this.#resolveAllPending();
				return;
			case "pin":
				this.#pin(world.mm(agent.mm), page, args.get("pin"));
				return;
			case "unpin":
				this.#unpin(args.get("pin"));
				return;
			default:
				return;
		}
	}

	#fault(agent: Agent, gfn: number, args: OperationArgs): void {
		const point = args.get("point");
		const flags = args.get("flags");
		const access = args.access();
		const as = (flags & FaultFlag.smm) !== 0 ? 1 : 0;
		const vcpu = this.#vcpu(agent);
		if (point !== Point.end) {
			if ((flags & FaultFlag.logged) === 0) this.world.count(isWrite(access) ? "accesses.guestWrite" : "accesses.guestRead");
			faultBegin(this.world, vcpu, as, gfn, access, flags);
		}
		if (point !== Point.begin) faultEnd(this.world, vcpu, as, gfn, access, flags);
	}

	#populate(mm: Mm, page: number, pages: number, state: number): void {
		for (let at = page; at < page + pages; at++) {
			const isHugetlb = isHugetlbPage(mm, at);
			if (state > 0 && isHugetlb) {
				if (isHugetlbNone(mm, at)) populateFresh(this.world, mm, at, state === 1 || state === 3);
				continue;
			}
			mm.split(at, 1);
			// A device has had it faulted in already.
			if (isPinned(mm.get(at)?.frame)) continue;
			if (state > 0 && mm.vmas.at(at) !== undefined) populateFresh(this.world, mm, at, state === 1 || state === 3);
			else if (state === 1 || state === 3) mm.set(at, this.world.frames.allocate(), true);
			else if (state === 2 || state === 4) mm.set(at, this.world.frames.zeroPage, false);
			else mm.clear(at);
		}
		if (state < 3) return;
		for (let at = page + ((HUGE_PAGES - (page % HUGE_PAGES)) % HUGE_PAGES); at + HUGE_PAGES <= page + pages; at += HUGE_PAGES)
			if (!isHugetlbPage(mm, at)) mm.makeHuge(at);
	}

	/** gup(FOLL_PIN | FOLL_WRITE): a write fault where the PTE is not writable, then a reference on the page. Nothing where the VMA forbids it. */
	#pin(mm: Mm, page: number, pin: number): void {
		const { world } = this;
		this.#unpin(pin);
		const pte = mm.get(page) ?? presentAfterFault(world, mm, page, true);
		if (pte !== undefined && !pte.writable && mm.writingAllowed(page)) breakOrReuse(world, mm, page, pte, Hint.derive);
		const now = mm.get(page);
		if (now === undefined || !now.writable) return;
		world.frames.pin(now.frame);
		this.#pins.set(pin, now.frame);
	}

	#unpin(pin: number): void {
		const frame = this.#pins.get(pin);
		if (frame === undefined) return;
		this.#pins.delete(pin);
		this.world.frames.unpin(frame);
	}

	#memslot(agent: Agent, page: number, args: OperationArgs): void {
		const flags = args.get("flags");
		setMemslot(this.world, this.world.vm(agent.vm, agent.mm), {
			slot: args.get("slot"),
			as: args.get("as"),
			gfn: args.get("gfn"),
			page,
			pages: args.get("pages"),
			readOnly: (flags & MemslotFlag.readOnly) !== 0,
			logDirty: (flags & MemslotFlag.logDirty) !== 0,
		});
	}

	/** An operation with a step table, whole or one of its points. */
	#bracket(record: OperationRecord, args: OperationArgs): void {
		const { world } = this;
		const point = args.get("point");
		const window = args.get("window");
		let operation: Operation | undefined;
		if (point === Point.whole || point === Point.begin) {
			const forgotten = point === Point.begin ? this.#open.get(window) : undefined;
			if (forgotten !== undefined) abandonOperation(world, forgotten);
			if (point === Point.begin) this.#open.delete(window);
			if (record.name === "protect" && this.#protectsLazily(record, args)) return;
			if (this.#leavesPinned(record, args) || this.#forksNothing(record, args)) return;
			operation = this.#openBracket(record, args);
			operation.apart = point === Point.begin;
			if (point === Point.begin) this.#open.set(window, operation);
			beginOperation(world, operation);
		} else operation = this.#open.get(window);
		if (operation === undefined) return;
		if (point === Point.set) setOperation(world, operation);
		if (point === Point.whole || point === Point.commit) commitOperation(world, operation);
		if (point === Point.whole || point === Point.end) {
			endOperation(world, operation);
			if (point === Point.end) this.#open.delete(window);
			if ((args.get("flags") & OpFlag.unlocks) !== 0 || operation.refused) world.locked = -1;
			this.#resolveAllPending();
		}
	}

	/** Nobody replaces a pinned page: do_wp_page reuses it, and no merge comes so far (kernel.md 1.4, 4). */
	#leavesPinned({ name, agent, page }: OperationRecord, args: OperationArgs): boolean {
		const { world } = this;
		const mm = world.mm(agent.mm);
		if (!(name === "cow" || name === "unshare" || name === "ksmReplace") || !isPinned(mm.get(page)?.frame)) return false;
		if (name === "ksmReplace") world.locked = -1;
		const pte = mm.get(page);
		const failed = (args.get("flags") & OpFlag.failed) !== 0;
		if (name === "cow" && !failed && pte?.writable === false && mm.writingAllowed(page)) breakOrReuse(world, mm, page, pte, Hint.derive);
		return true;
	}

	/** is_cow_mapping, vma_needs_copy: a fork leaves out what a fault fills as well, and then has no bracket (kernel.md 1.1, 1.9). */
	#forksNothing({ name, agent, page }: OperationRecord, args: OperationArgs): boolean {
		const mm = this.world.mm(agent.mm);
		if (name !== "fork" || !copiesNothing(mm, page, args.get("pages"))) return false;
		inherit(mm, page, args.get("pages"), this.world.mm(args.get("child")));
		return true;
	}

	/** mprotect over a VMA: all of it at its first point, in brackets where there is anything (1.13). */
	#protectsLazily({ agent, page }: OperationRecord, args: OperationArgs): boolean {
		const flags = args.get("flags");
		if ((flags & (OpFlag.fromPmd | OpFlag.fromPud)) === 0) return false;
		const { world } = this;
		const mm = world.mm(agent.mm);
		const allowed = (flags & OpFlag.writable) !== 0;
		mm.allowWriting(page, args.get("pages"), allowed);
		const [stretch, step] = (flags & OpFlag.fromPmd) !== 0 ? [PUD_PAGES, HUGE_PAGES] : [PUD_PAGES * HUGE_PAGES, PUD_PAGES];
		for (const [first, pages] of protectedRanges(mm, page, args.get("pages"), stretch, step))
			runWhole(world, protectOperation(mm, first, pages, allowed));
		this.#resolveAllPending();
		return true;
	}

	#openBracket(record: OperationRecord, args: OperationArgs): Operation {
		const { world } = this;
		const { agent, page } = record;
		const mm = world.mm(agent.mm);
		const flags = args.get("flags");
		const failed = (flags & OpFlag.failed) !== 0;
		if (ONE_PAGE.has(record.name)) splitFirst(world, mm, page);
		switch (record.name) {
			case "ksmWriteProtect": {
				world.count("ksmWriteProtects");
				world.locked = mm.get(page)?.frame.id ?? -1;
				return openOperation(
					"ksm-write-protect",
					mm,
					page,
					1,
					() => (failed ? UNCHANGED : writeProtect(world, mm, page, (flags & OpFlag.changed) !== 0)),
					(flags & OpFlag.kpageGiven) !== 0,
				);
			}
			case "ksmReplace":
				world.count("ksmReplaces");
				if (!failed) checkWriters(world, mm, page);
				return openOperation("ksm-replace", mm, page, 1, () => (failed ? UNCHANGED : replace(world, mm, page, args.get("kpage"), flags)));
			case "cow": {
				const operation = openOperation("cow", mm, page, 1, () => (failed ? UNCHANGED : cowChange(world, mm, page, false)));
				if ((flags & OpFlag.ownFault) !== 0) {
					const { flight, vm } = this.#vcpu(agent);
					if (flight !== null) flight.ownCow = true;
					if (flight !== null && isOwnCowAware(world)) operation.own = { vm, flight };
				}
				return operation;
			}
			case "unshare":
				return openOperation("unshare", mm, page, 1, () => (failed ? UNCHANGED : cowChange(world, mm, page, true)));
			case "zap":
				return zapOperation(world, mm, page, args.get("pages"), args.get("event") === NotifyEvent.unmap);
			case "protect":
				return protectOperation(mm, page, args.get("pages"), (flags & OpFlag.writable) !== 0);
			case "fork":
				return openOperation("fork", mm, page, args.get("pages"), () =>
					fork(world, mm, page, args.get("pages"), world.mm(args.get("child"))),
				);
			case "thpSplit":
				return splitOperation(mm, page, args.get("pages"));
			default:
				return siteOperation(world, record.name, mm, page, args);
		}
	}
}

function vmaKind(code: number): VmaKind {
	const known = Object.values(VmaKind).find((kind) => kind === code);
	if (known === undefined) throw new RangeError(`no VMA kind ${code}`);
	return known;
}

function deviceKind(code: number): DeviceKind {
	return code === DeviceKind.sva || code === DeviceKind.mirror ? code : DeviceKind.pinned;
}
