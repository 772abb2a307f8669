// Evidence for memslots that a capture does not record: which hva page is behind which gfn. A notifier range of one page in which its task zaps one
// gfn proves a pair; so do, more weakly, a nested fault and the one-page range or handle_mm_fault that its task comes to before anything else.
import { NotifyEvent, SpteBit } from "../trace/kinds.js";
import { leafBits } from "./spte.js";
import { field, hex, pageOf, type TracefsEvent, word } from "./tracefs.js";

/** FAULT_FLAG_USER | FAULT_FLAG_INTERRUPTIBLE: not a fault that KVM makes for its guest. */
const NOT_KVM = 0x40 | 0x200;
const RESERVED = 8;

export type PairStrength = "zap" | "fault";

/** hva pages seen behind one gfn, with how often and how. */
export type Candidates = Map<number, { zap: number; fault: number }>;

interface Bracket {
	readonly mm: string;
	readonly page: number;
	readonly pages: number;
	readonly zaps: { readonly as: number; readonly gfn: number }[];
}

/** A task that the evidence speaks of. */
export interface SeenTask {
	readonly pid: number;
	tgid: number;
	comm: string;
	/** The mm that its own events show, as the probes print it; "" if none did. */
	mm: string;
	/** The mm at its last nested fault; "" if it took none or none is known. */
	vmMm: string;
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
	readonly pairs = new Map<string, [Map<number, Candidates>, Map<number, Candidates>]>();
	/** mm → hva pages that ksmd worked on. */
	readonly ksmPages = new Map<string, Set<number>>();
	/** gfns that KVM marked as MMIO. */
	readonly mmio = new Set<number>();
	sptes = 0;

	feed(event: TracefsEvent): void {
		const step = STEPS[event.name];
		if (step !== undefined) step(this, this.#task(event), event.text);
	}

	#task(event: TracefsEvent): SeenTask {
		let task = this.tasks.get(event.pid);
		if (task === undefined) {
			task = {
				pid: event.pid,
				tgid: event.tgid,
				comm: event.comm,
				mm: "",
				vmMm: "",
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
		task.comm = event.comm;
		if (event.tgid >= 0) task.tgid = event.tgid;
		return task;
	}

	ownMm(task: SeenTask, mm: string | undefined): void {
		if (mm !== undefined && mm !== "" && mm !== "0x0" && !KERNEL_THREAD.test(task.comm)) task.mm = mm;
	}

	pageFault(task: SeenTask, text: string): void {
		const gfn = pageOf(hex(word(text, "address")));
		const errorCode = Number(BigInt(word(text, "error_code") ?? "0") & 0xffffn);
		task.faults++;
		task.vcpu = Number(word(text, "vcpu") ?? 0);
		if (task.mm !== "") task.vmMm = task.mm;
		task.fault = gfn;
		task.copy = null;
		const known = task.gfns.get(gfn);
		const reserved = (errorCode & RESERVED) !== 0;
		if (known === undefined) task.gfns.set(gfn, { reserved, installed: false });
		else if (reserved) known.reserved = true;
	}

	/** handle_mm_fault, wp_page_copy or do_wp_page: of the task's own mm unless a kernel thread works on another's. */
	mmFault(task: SeenTask, text: string, copies: boolean): void {
		const mm = field(text, "mm");
		const flags = hex(field(text, "flags") ?? "0x0");
		this.ownMm(task, mm);
		const page = pageOf(hex(field(text, "addr")));
		if (copies) task.copy = { page, flags };
		else if (task.fault >= 0 && (flags & NOT_KVM) === 0 && task.mm !== "") this.pair(task.mm, 0, task.fault, page, "fault");
		if (task.faults > 0 && task.mm !== "") task.vmMm = task.mm;
	}

	rangeStart(task: SeenTask, text: string): void {
		const start = hex(field(text, "start"));
		const pages = pageOf(hex(field(text, "end"))) - pageOf(start);
		const mm = field(text, "mm") ?? "";
		const page = pageOf(start);
		this.ownMm(task, mm);
		if (task.faults > 0 && task.mm !== "") task.vmMm = task.mm;
		task.brackets.push({ mm, page, pages, zaps: [] });
		if (pages !== 1) return;
		if (task.merging) {
			const known = this.ksmPages.get(mm) ?? new Set<number>();
			this.ksmPages.set(mm, known.add(page));
			return;
		}
		const { copy } = task;
		const kvms = copy === null || (copy.page === page && (copy.flags & NOT_KVM) === 0);
		if (task.fault >= 0 && kvms && Number(field(text, "event") ?? NotifyEvent.clear) === NotifyEvent.clear)
			this.pair(mm, 0, task.fault, page, "fault");
	}

	rangeEnd(task: SeenTask): void {
		const bracket = task.brackets.pop();
		if (bracket === undefined || bracket.pages !== 1) return;
		for (const as of [0, 1]) {
			const [zap, more] = bracket.zaps.filter((candidate) => candidate.as === as);
			// A second gfn in the same address space is an alias: then the zaps do not tell which slot is which.
			if (zap !== undefined && more === undefined) this.pair(bracket.mm, as, zap.gfn, bracket.page, "zap");
		}
	}

	spteChanged(task: SeenTask, text: string): void {
		this.sptes++;
		const level = Number(word(text, "level") ?? 1);
		const was = leafBits(BigInt(`0x${word(text, "old_spte") ?? "0"}`), level);
		const is = leafBits(BigInt(`0x${word(text, "new_spte") ?? "0"}`), level);
		const gfn = hex(word(text, "gfn"));
		const bracket = task.brackets.at(-1);
		if (bracket !== undefined) {
			if ((was & SpteBit.present) !== 0 && is === 0 && level === 1)
				bracket.zaps.push({ as: Number(word(text, "as id") ?? word(text, "id") ?? 0), gfn });
			return;
		}
		const seen = task.gfns.get(task.fault);
		if (is !== 0 && seen !== undefined && (level > 1 || gfn === task.fault)) seen.installed = true;
	}

	pair(mm: string, as: number, gfn: number, page: number, strength: PairStrength): void {
		const spaces = this.pairs.get(mm) ?? [new Map<number, Candidates>(), new Map<number, Candidates>()];
		this.pairs.set(mm, spaces);
		const space = spaces[as === 1 ? 1 : 0];
		const candidates: Candidates = space.get(gfn) ?? new Map();
		space.set(gfn, candidates);
		const counts = candidates.get(page) ?? { zap: 0, fault: 0 };
		candidates.set(page, counts);
		counts[strength]++;
	}
}

const STEPS: Readonly<Record<string, (evidence: SlotEvidence, task: SeenTask, text: string) => void>> = {
	kvm_page_fault: (evidence, task, text) => evidence.pageFault(task, text),
	kvm_tdp_mmu_spte_changed: (evidence, task, text) => evidence.spteChanged(task, text),
	mn_range_start: (evidence, task, text) => evidence.rangeStart(task, text),
	mn_range_end: (evidence, task) => evidence.rangeEnd(task),
	handle_mm_fault: (evidence, task, text) => evidence.mmFault(task, text, false),
	wp_page_copy: (evidence, task, text) => evidence.mmFault(task, text, true),
	do_wp_page: (evidence, task, text) => evidence.mmFault(task, text, true),
	mark_mmio_spte: (evidence, _task, text) => evidence.mmio.add(hex(word(text, "gfn") ?? field(text, "gfn"))),
	ksm_try_to_merge_with_ksm_page: (_evidence, task) => {
		task.merging = true;
	},
	ksm_try_to_merge_with_ksm_page_ret: (_evidence, task) => {
		task.merging = false;
	},
	ksm_try_to_merge_one_page: (_evidence, task) => {
		task.merging = true;
	},
	ksm_try_to_merge_one_page_ret: (_evidence, task) => {
		task.merging = false;
	},
	kvm_exit: (_evidence, task) => {
		task.fault = -1;
	},
	kvm_entry: (_evidence, task) => {
		task.fault = -1;
	},
	kvm_pio: (_evidence, task) => {
		task.fault = -1;
	},
};
