// The grammar of a KVM/KSM capture: what each task's events mean together (formats.md section 7, model.md section 3). Fed events in order, it
// leaves items (causes with begin, commit and end) and observations. Whose events they are: faults.ts, brackets.ts, callsites.ts, ksm.ts, upkeep.ts.
import { Young } from "../trace/kinds.js";
import { BracketGrammar } from "./brackets.js";
import { CallSites } from "./callsites.js";
import { ErrorCode } from "./errorcode.js";
import { CODES, Code, FIRST, HostFault, type KernelEvent, Memslot, Merge, MmFault, Move, Unmap } from "./event.js";
import { Evidence } from "./evidence.js";
import { FaultGrammar } from "./faults.js";
import type { CapturedHost, CapturedVm, Task } from "./host.js";
import { type ChildCopy, type HostFault as HostFaultSeen, HUGE_PAGES } from "./items.js";
import { type KnownSlot, NO_POINTER } from "./knownvm.js";
import { KsmGrammar } from "./ksm.js";
import { isVmMark } from "./samerun.js";
import type { Timeline } from "./timeline.js";
import { pageOf } from "./tracefs.js";
import { Upkeep } from "./upkeep.js";

/** An address; 0 where the event has none. */
const pointer = (value: number): number => (Number.isNaN(value) ? NO_POINTER : value);

export class Tracker {
	readonly host: CapturedHost;
	readonly timeline: Timeline;
	readonly evidence = new Evidence();
	/** Marks that tell of a VM. */
	readonly vmMarks: string[] = [];
	/** Copies outside every bracket, by tasks of no known VM. */
	readonly childCopies: ChildCopy[] = [];
	/** User faults of host threads on guest memory, with their exact addresses. */
	readonly hostFaults: HostFaultSeen[] = [];
	readonly faults: FaultGrammar;
	readonly brackets: BracketGrammar;
	readonly sites: CallSites;
	readonly upkeep: Upkeep;
	readonly #ksm: KsmGrammar;

	constructor(host: CapturedHost, timeline: Timeline) {
		this.host = host;
		this.timeline = timeline;
		this.#ksm = new KsmGrammar(this.evidence, timeline.items);
		this.sites = new CallSites(timeline);
		this.upkeep = new Upkeep(host, timeline);
		this.faults = new FaultGrammar(timeline, this.evidence);
		this.brackets = new BracketGrammar(host, timeline, this.evidence, this.#ksm, this.sites);
	}

	/** Nothing but its return tells that a merge happened. */
	get mergesByReturn(): boolean {
		return !this.timeline.logged && this.#ksm.byReturn;
	}

	feed(event: KernelEvent): void {
		const task = this.host.task(event.pid, event.tgid, event.comm);
		const { brackets } = task;
		if (brackets.length > 0) {
			const inside = brackets[brackets.length - 1];
			if (inside.unmapped && inside.item !== null) inside.item.counted = true;
		}
		if (task.upkeep !== null) this.upkeep.settle(task, event);
		if (task.site !== null && LEAVES_SITE[event.code] === true) this.sites.leave(task, Number.NaN);
		MEANINGS[event.code]?.(this, task, event);
	}

	/** End of the capture: what is still open ends here. */
	finish(): void {
		this.#ksm.finish();
		for (const task of this.host.tasks()) {
			this.faults.close(task, this.timeline.at);
			this.brackets.finish(task);
		}
	}

	flush(task: Task): void {
		this.timeline.tentative(this.timeline.observe("flush", this.vmOfTask(task), 0, 0, []));
	}

	vmOfTask(task: Task): CapturedVm | null {
		return task.brackets.at(-1)?.item?.vm ?? task.vm ?? task.agedVm;
	}

	pageFault(task: Task, event: KernelEvent): void {
		const fault = this.faults.begins(task, event);
		// Where SPTEs are not recorded, a fault is the sign that its page is back.
		if (fault !== null && !this.faults.sptes && !fault.mmio) this.sites.installed(fault.vm, fault.vm.hvaPage(0, pageOf(fault.gpa)), 0);
	}

	spteChanged(task: Task, event: KernelEvent): void {
		const vm = this.vmOfTask(task);
		if (vm === null) return;
		const leaf = this.faults.spteChanged(task, vm, event);
		if (leaf !== null && leaf.page >= 0) this.sites.installed(vm, leaf.page, leaf.level);
	}

	hostFault(task: Task, { v }: KernelEvent): void {
		const hva = v[HostFault.address];
		const errorCode = v[HostFault.errorCode];
		const write = (errorCode & ErrorCode.write) !== 0;
		const page = pageOf(hva);
		const met = task.vm !== null ? [task.vm] : this.host.vms;
		const vm = met.find((candidate) => candidate.hits(page, 1));
		if (vm === undefined) return;
		this.timeline.observe("hostFault", vm, 0, page, [write ? 1 : 0]);
		if (!this.timeline.logged) return;
		if ((errorCode & ErrorCode.present) === 0) vm.settle(page, true);
		this.hostFaults.push({ at: this.timeline.at, vm, hva, write });
	}

	memslot(task: Task, { v }: KernelEvent): void {
		this.faults.close(task, this.timeline.at);
		const vm = this.host.vmOfKvm(pointer(v[Memslot.kvm]), task);
		const id = v[Memslot.slot];
		const slot = {
			slot: id % 65536,
			as: Math.floor(id / 65536),
			gfn: pageOf(v[Memslot.gpa]),
			page: v[Memslot.size] === 0 ? 0 : pageOf(v[Memslot.hva]),
			pages: pageOf(v[Memslot.size]),
			flags: pointer(v[Memslot.flags]),
		};
		task.deletesSlot = vm.slots.some((other) => other.slot === slot.slot && other.as === slot.as && movesSlot(other, slot));
		vm.setSlot(slot);
		const args = [slot.slot, slot.as, slot.gfn, slot.pages, slot.flags];
		this.timeline.instant("memslot", vm, slot.page, args);
	}

	copyBegins(task: Task, { v }: KernelEvent): void {
		this.brackets.copiesRecorded = true;
		task.copy = { page: pageOf(v[MmFault.addr]), flags: v[MmFault.flags], struct: v[MmFault.page], bracketed: false };
	}

	copyEnds(task: Task): void {
		if (this.timeline.logged && task.copy !== null && !task.copy.bracketed && task.vm === null)
			this.childCopies.push({ at: this.timeline.at, ksm: this.#ksm.isKsmPage(task.copy.struct), pid: task.pid, page: task.copy.page });
		task.copy = null;
	}

	/** try_to_merge_with_ksm_page is probed. */
	merges(): void {
		this.#ksm.probed();
	}

	mergeBegins(task: Task, { v }: KernelEvent): void {
		this.#ksm.begins(task, pointer(v[Merge.page]), pointer(v[Merge.kpage]));
	}

	mergeEnds(task: Task, { v }: KernelEvent): void {
		const before = this.timeline.items.length;
		this.#ksm.ends(task, pointer(v[FIRST]), this.timeline.at);
		if (this.timeline.items.length > before) this.timeline.edge();
	}

	stableTreeAppend({ v }: KernelEvent): void {
		const page = pageOf(v[Merge.addr]);
		if (this.mergesByReturn) return;
		this.timeline.observe("ksmMerge", this.#ksm.appended(page, v[Merge.mm]), 0, page, []);
	}

	mark(text: string): void {
		this.timeline.instant("mark", null, 0, [], text);
		if (isVmMark(text)) this.vmMarks.push(text);
	}
}

/** Deleting or moving a memslot zaps everything (kernel.md 3, model.md rule 7). */
const movesSlot = (before: KnownSlot, after: KnownSlot): boolean =>
	after.pages === 0 || before.gfn !== after.gfn || before.page !== after.page;

type Meaning = (tracker: Tracker, task: Task, event: KernelEvent) => void;

const closesFault: Meaning = (tracker, task) => tracker.faults.close(task, tracker.timeline.at);

/** What each event of the recipe means, by its code. */
const MEANINGS: (Meaning | undefined)[] = Array.from({ length: CODES });
MEANINGS[Code.pageFault] = (tracker, task, event) => tracker.pageFault(task, event);
MEANINGS[Code.spteChanged] = (tracker, task, event) => tracker.spteChanged(task, event);
MEANINGS[Code.rangeStart] = (tracker, task, event) => tracker.brackets.starts(task, event);
MEANINGS[Code.unmapHvaRange] = (tracker, task) => tracker.brackets.unmapped(task);
MEANINGS[Code.changePte] = (tracker, task, event) => tracker.brackets.changePte(task, event);
MEANINGS[Code.rangeEnd] = (tracker, task, event) => tracker.brackets.ends(task, event);
MEANINGS[Code.copy] = (tracker, task, event) => tracker.copyBegins(task, event);
MEANINGS[Code.copyReturn] = (tracker, task) => tracker.copyEnds(task);
MEANINGS[Code.mergeWithKsmPage] = (tracker, task) => {
	task.withKsmPage = true;
	tracker.merges();
};
MEANINGS[Code.mergeOnePage] = (tracker, task, event) => tracker.mergeBegins(task, event);
MEANINGS[Code.mergeOnePageReturn] = (tracker, task, event) => tracker.mergeEnds(task, event);
MEANINGS[Code.stableTreeAppend] = (tracker, _task, event) => tracker.stableTreeAppend(event);
MEANINGS[Code.breakKsm] = (_tracker, task, { v }) => {
	task.breakKsm = pageOf(v[Merge.addr]);
};
MEANINGS[Code.flush] = (tracker, task) => tracker.flush(task);
MEANINGS[Code.hostFault] = (tracker, task, event) => tracker.hostFault(task, event);
MEANINGS[Code.establishReturn] = (tracker, task, { v }) => tracker.brackets.establishReturned(task, pointer(v[FIRST]));
MEANINGS[Code.unmapGfnRange] = (tracker, task) => tracker.brackets.counted(task);
MEANINGS[Code.setSpteGfn] = (tracker, task) => tracker.brackets.changesSpte(task);
MEANINGS[Code.memslot] = (tracker, task, event) => tracker.memslot(task, event);
MEANINGS[Code.register] = (tracker, task, { v }) => tracker.host.register(task, pointer(v[FIRST]));
MEANINGS[Code.exit] = closesFault;
MEANINGS[Code.pio] = closesFault;
MEANINGS[Code.entry] = closesFault;

const leavesSite: Meaning = (tracker, task, { v }) => tracker.sites.leave(task, v[FIRST]);

/** Functions that say what the brackets inside them are for, with what ends them (callsites.ts). */
MEANINGS[Code.uprobe] = (tracker, task, { v }) => tracker.sites.enter(task, "uprobeReplace", pageOf(v[FIRST]));
MEANINGS[Code.movePageTables] = (tracker, task, { v }) => tracker.sites.enter(task, "mremap", pageOf(v[Move.addr]), 0, pageOf(v[Move.to]));
MEANINGS[Code.mkclean] = (tracker, task) => tracker.sites.enter(task, "mkclean");
MEANINGS[Code.protNuma] = (tracker, task) => tracker.sites.enter(task, "numaHint");
MEANINGS[Code.uffdWp] = (tracker, task, { v }) => {
	// What it takes back is allowed again at the next fault.
	if (v[FIRST] !== 0) tracker.sites.enter(task, "softDirty");
};
MEANINGS[Code.hugeWp] = (tracker, task) => tracker.sites.enter(task, "hugeCow");
MEANINGS[Code.copyHuge] = (_tracker, task) => {
	if (task.site !== null) task.site.copied = true;
};
MEANINGS[Code.collapse] = (tracker, task) => tracker.sites.enter(task, "thpCollapse");
MEANINGS[Code.unmapOne] = (tracker, task, { v }) => tracker.sites.enter(task, "reclaim", pageOf(v[Unmap.addr]), pointer(v[Unmap.flags]));
MEANINGS[Code.migrateOne] = (tracker, task, { v }) => tracker.sites.enter(task, "migrate", pageOf(v[Unmap.addr]), pointer(v[Unmap.flags]));
MEANINGS[Code.migrateVmaSetup] = (tracker, task) => tracker.sites.enter(task, "migrate");
MEANINGS[Code.migrateVmaPages] = (tracker, task) => tracker.sites.enter(task, "migrateVma");
MEANINGS[Code.migrateVmaFinalize] = (tracker, task) => tracker.sites.finalized(task, false);
MEANINGS[Code.uprobeReturn] = leavesSite;
MEANINGS[Code.unmapOneReturn] = leavesSite;
for (const code of [
	Code.mkcleanReturn,
	Code.protNumaReturn,
	Code.uffdWpReturn,
	Code.hugeWpReturn,
	Code.collapseReturn,
	Code.migrateOneReturn,
	Code.migrateVmaSetupReturn,
	Code.migrateVmaPagesReturn,
])
	MEANINGS[code] = (tracker, task) => tracker.sites.leave(task, Number.NaN);
MEANINGS[Code.collapsed] = (tracker, task, { v }) => tracker.sites.collapsed(task, v[FIRST] !== 0);
MEANINGS[Code.setMigration] = (tracker, task, { v }) => tracker.sites.migrationEntry(task, pageOf(v[FIRST]), 1);
MEANINGS[Code.setHugeMigration] = (tracker, task, { v }) => tracker.sites.migrationEntry(task, pageOf(v[FIRST]), HUGE_PAGES);
MEANINGS[Code.removeMigration] = (tracker, task, { v }) => tracker.sites.restored(task, pageOf(v[FIRST]), 1);
MEANINGS[Code.removeHugeMigration] = (tracker, task, { v }) => tracker.sites.restored(task, pageOf(v[FIRST]), HUGE_PAGES);
MEANINGS[Code.migratedPages] = (tracker, task, { v }) => tracker.sites.migrated(task, v[FIRST]);
MEANINGS[Code.reclaimBegin] = (_tracker, task) => {
	task.reclaims = true;
};
MEANINGS[Code.reclaimEnd] = (_tracker, task) => {
	task.reclaims = false;
};

/** Without a bracket (upkeep.ts). */
MEANINGS[Code.clearFlushYoung] = (tracker, task, event) => tracker.upkeep.ages(task, event, Young.clearFlush);
MEANINGS[Code.clearYoung] = (tracker, task, event) => tracker.upkeep.ages(task, event, Young.clear);
MEANINGS[Code.testYoung] = (tracker, task, event) => tracker.upkeep.ages(task, event, Young.test);
MEANINGS[Code.kvmAge] = (tracker, task, event) => tracker.upkeep.kvmAges(task, event, false);
MEANINGS[Code.kvmTestAge] = (tracker, task, event) => tracker.upkeep.kvmAges(task, event, true);
MEANINGS[Code.kvmAgePage] = (tracker, task, event) => tracker.upkeep.kvmAges(task, event, false);
MEANINGS[Code.zapAll] = (tracker, task) => tracker.upkeep.zapsAll(task, tracker.vmOfTask(task));
MEANINGS[Code.dirtyLog] = (tracker, task, event) => tracker.upkeep.dirtyLog(task, event);
MEANINGS[Code.pin] = (tracker, task, event) => tracker.upkeep.pins(task, event);
MEANINGS[Code.pinReturn] = () => undefined;
MEANINGS[Code.unpin] = (tracker, _task, event) => tracker.upkeep.unpins(event);

/** Parts of brackets, and what says more of a site: all else is outside the function. */
const WITHIN_SITE: readonly number[] = [
	Code.rangeStart,
	Code.unmapHvaRange,
	Code.unmapGfnRange,
	Code.setSpteGfn,
	Code.establishReturn,
	Code.spteChanged,
	Code.changePte,
	Code.rangeEnd,
	Code.flush,
	Code.copyHuge,
	Code.setMigration,
	Code.removeMigration,
	Code.setHugeMigration,
	Code.removeHugeMigration,
	Code.kvmAge,
	Code.kvmTestAge,
	Code.kvmAgePage,
	Code.clearFlushYoung,
	Code.clearYoung,
	Code.testYoung,
	Code.unmapOneReturn,
	Code.uprobeReturn,
];
const LEAVES_SITE: readonly boolean[] = MEANINGS.map((meaning, code) => meaning !== undefined && !WITHIN_SITE.includes(code));
