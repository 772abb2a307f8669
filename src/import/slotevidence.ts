// Evidence for memslots that a capture does not record: which hva page is behind which gfn. A notifier range of one page in which its task zaps one
// gfn proves a pair; so do, more weakly, a nested fault and the one-page range or handle_mm_fault that its task comes to before anything else.
import { NotifyEvent, SpteBit } from "../trace/kinds.js";
import { CODES, Code, Fault, FIRST, type KernelEvent, MmFault, Range, Spte } from "./event.js";
import { isRange } from "./evidence.js";
import { NO_POINTER } from "./knownvm.js";
import { leafBits } from "./spte.js";
import { pageOf } from "./tracefs.js";

/** FAULT_FLAG_USER | FAULT_FLAG_INTERRUPTIBLE: not a fault that KVM makes for its guest. */
const NOT_KVM = 0x40 | 0x200;
const RESERVED = 8;

export type PairStrength = "zap" | "fault";

/** hva pages seen behind one gfn, with how often and how. */
export type Candidates = Map<number, { zap: number; fault: number }>;

interface Bracket {
	readonly mm: number;
	readonly page: number;
	readonly pages: number;
	readonly zaps: { readonly as: number; readonly gfn: number }[];
}

/** A task that the evidence speaks of. */
export interface SeenTask {
	readonly pid: number;
	tgid: number;
	comm: string;
	/** By its comm a thread of the kernel, which works on everybody's mm. */
	kernel: boolean;
	/** The mm that its own events show, as the probes print it; NO_POINTER if none did. */
	mm: number;
	/** The mm at its last nested fault; NO_POINTER if it took none or none is known. */
	vmMm: number;
	faults: number;
	vcpu: number;
	/** gfn of its open nested fault; -1 if there is none. */
	fault: number;
	copy: { readonly page: number; readonly flags: number } | null;
	merging: boolean;
	readonly brackets: Bracket[];
	/** gfns that it faulted on: whether ever with the reserved bit, and whether a leaf was installed. */
	readonly gfns: Map<number, { reserved: boolean; installed: boolean }>;
}

const KERNEL_THREAD = /^(ksmd|khugepaged|kswapd|kcompactd|kworker|migration)/;

export class SlotEvidence {
	readonly tasks = new Map<number, SeenTask>();
	/** mm → address space → gfn → candidates. */
	readonly pairs = new Map<number, [Map<number, Candidates>, Map<number, Candidates>]>();
	/** mm → hva pages that ksmd worked on. */
	readonly ksmPages = new Map<number, Set<number>>();
	/** gfns that KVM marked as MMIO. */
	readonly mmio = new Set<number>();
	sptes = 0;
	#last: SeenTask | undefined;

	feed(event: KernelEvent): void {
		STEPS[event.code]?.(this, this.#task(event), event.v);
	}

	#task(event: KernelEvent): SeenTask {
		let task = this.#last?.pid === event.pid ? this.#last : this.tasks.get(event.pid);
		if (task === undefined) {
			task = {
				pid: event.pid,
				tgid: event.tgid,
				comm: event.comm,
				kernel: KERNEL_THREAD.test(event.comm),
				mm: NO_POINTER,
				vmMm: NO_POINTER,
				faults: 0,
				vcpu: 0,
				fault: -1,
				copy: null,
				merging: false,
				brackets: [],
				gfns: new Map(),
			};
			this.tasks.set(event.pid, task);
		}
		if (task.comm !== event.comm) {
			task.comm = event.comm;
			task.kernel = KERNEL_THREAD.test(event.comm);
		}
		if (event.tgid >= 0) task.tgid = event.tgid;
		this.#last = task;
		return task;
	}

	ownMm(task: SeenTask, mm: number): void {
		if (mm !== NO_POINTER && !task.kernel) task.mm = mm;
	}

	pageFault(task: SeenTask, v: Float64Array): void {
		const gfn = pageOf(v[Fault.address]);
		const errorCode = v[Fault.errorCode] & 0xffff;
		task.faults++;
		task.vcpu = v[Fault.vcpu];
		if (task.mm !== NO_POINTER) task.vmMm = task.mm;
		task.fault = gfn;
		task.copy = null;
		const known = task.gfns.get(gfn);
		const reserved = (errorCode & RESERVED) !== 0;
		if (known === undefined) task.gfns.set(gfn, { reserved, installed: false });
		else if (reserved) known.reserved = true;
	}

	/** handle_mm_fault, wp_page_copy or do_wp_page: of the task's own mm unless a kernel thread works on another's. */
	mmFault(task: SeenTask, v: Float64Array, copies: boolean): void {
		const flags = v[MmFault.flags];
		this.ownMm(task, pointer(v[MmFault.mm]));
		const page = pageOf(v[MmFault.addr]);
		if (copies) task.copy = { page, flags };
		else if (task.fault >= 0 && (flags & NOT_KVM) === 0 && task.mm !== NO_POINTER) this.pair(task.mm, 0, task.fault, page, "fault");
		if (task.faults > 0 && task.mm !== NO_POINTER) task.vmMm = task.mm;
	}

	rangeStart(task: SeenTask, v: Float64Array): void {
		const start = v[Range.start];
		const pages = pageOf(v[Range.end]) - pageOf(start);
		const mm = pointer(v[Range.mm]);
		const page = pageOf(start);
		this.ownMm(task, mm);
		if (task.faults > 0 && task.mm !== NO_POINTER) task.vmMm = task.mm;
		task.brackets.push({ mm, page, pages: isRange(start, v[Range.end]) ? pages : 0, zaps: [] });
		if (pages !== 1 || !isRange(start, v[Range.end])) return;
		if (task.merging) {
			const known = this.ksmPages.get(mm) ?? new Set<number>();
			this.ksmPages.set(mm, known.add(page));
			return;
		}
		const { copy } = task;
		const kvms = copy === null || (copy.page === page && (copy.flags & NOT_KVM) === 0);
		if (task.fault >= 0 && kvms && (Number.isNaN(v[Range.event]) || v[Range.event] === NotifyEvent.clear))
			this.pair(mm, 0, task.fault, page, "fault");
	}

	rangeEnd(task: SeenTask): void {
		const bracket = task.brackets.pop();
		if (bracket === undefined || bracket.pages !== 1) return;
		const { zaps } = bracket;
		// A second gfn in the same address space is an alias: then the zaps do not tell which slot is which.
		for (const { as, gfn } of zaps)
			if (zaps.length === 1 || zaps.filter((other) => other.as === as).length === 1) this.pair(bracket.mm, as, gfn, bracket.page, "zap");
	}

	spteChanged(task: SeenTask, v: Float64Array): void {
		this.sptes++;
		const level = v[Spte.level];
		const was = leafBits(v[Spte.oldLow], level);
		const is = leafBits(v[Spte.newLow], level);
		const gfn = v[Spte.gfn];
		const bracket = task.brackets.at(-1);
		if (bracket !== undefined) {
			if ((was & SpteBit.present) !== 0 && is === 0 && level === 1) bracket.zaps.push({ as: v[Spte.as], gfn });
			return;
		}
		const seen = task.gfns.get(task.fault);
		if (is !== 0 && seen !== undefined && (level > 1 || gfn === task.fault)) seen.installed = true;
	}

	pair(mm: number, as: number, gfn: number, page: number, strength: PairStrength): void {
		let spaces = this.pairs.get(mm);
		if (spaces === undefined) {
			spaces = [new Map<number, Candidates>(), new Map<number, Candidates>()];
			this.pairs.set(mm, spaces);
		}
		const space = spaces[as === 1 ? 1 : 0];
		let candidates = space.get(gfn);
		if (candidates === undefined) {
			candidates = new Map();
			space.set(gfn, candidates);
		}
		const counts = candidates.get(page);
		if (counts === undefined) candidates.set(page, { zap: strength === "zap" ? 1 : 0, fault: strength === "fault" ? 1 : 0 });
		else counts[strength]++;
	}
}

const pointer = (value: number): number => (Number.isNaN(value) ? NO_POINTER : value);

type Step = (evidence: SlotEvidence, task: SeenTask, v: Float64Array) => void;

const merges: Step = (_evidence, task) => {
	task.merging = true;
};
const hasMerged: Step = (_evidence, task) => {
	task.merging = false;
};
const runs: Step = (_evidence, task) => {
	task.fault = -1;
};

/** By the events' codes. */
const STEPS: (Step | undefined)[] = Array.from({ length: CODES });
STEPS[Code.pageFault] = (evidence, task, v) => evidence.pageFault(task, v);
STEPS[Code.spteChanged] = (evidence, task, v) => evidence.spteChanged(task, v);
STEPS[Code.rangeStart] = (evidence, task, v) => evidence.rangeStart(task, v);
STEPS[Code.rangeEnd] = (evidence, task) => evidence.rangeEnd(task);
STEPS[Code.handleMmFault] = (evidence, task, v) => evidence.mmFault(task, v, false);
STEPS[Code.copy] = (evidence, task, v) => evidence.mmFault(task, v, true);
STEPS[Code.doWpPage] = (evidence, task, v) => evidence.mmFault(task, v, true);
STEPS[Code.mmioSpte] = (evidence, _task, v) => evidence.mmio.add(v[FIRST]);
STEPS[Code.mergeWithKsmPage] = merges;
STEPS[Code.mergeWithKsmPageReturn] = hasMerged;
STEPS[Code.mergeOnePage] = merges;
STEPS[Code.mergeOnePageReturn] = hasMerged;
STEPS[Code.exit] = runs;
STEPS[Code.entry] = runs;
STEPS[Code.pio] = runs;
