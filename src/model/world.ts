// Everything one strategy's replay knows: frames, mms, VMs, vCPUs, TLBs, counters. The verbs are in steps.ts, fault.ts and replay.ts.
import { type Rule, VIOLATIONS_KEPT, type Violation } from "../coherence.js";
import { COUNTER_PATHS, counterIndex, REFAULT_BUCKETS, REFAULT_NS_BUCKETS, RETRY_CHAINS, type Site } from "../counters.js";
import type { FlushScope, GuestPageSize, Psc } from "../machine/machine.js";
import type { Strategy } from "../strategies/steps.js";
import type { Access, ZapCause } from "../trace/kinds.js";
import { DEFAULT_HOST, type KvmHost } from "../trace/kvmhost.js";
import type { Device } from "./devices.js";
import { Frames } from "./frames.js";
import { Mm, type Pte } from "./mm.js";
import type { Operation } from "./operation.js";
import { type WalkedLevels, Walker } from "./psc.js";
import { isDirty } from "./spte.js";
import { Tlb, type TlbGeometry } from "./tlb.js";
import type { RetryCause, Spte, TdpRoot, Vm } from "./vm.js";
import { Vm as VmState } from "./vm.js";

/** A nested page fault between its begin and its end. */
export interface Flight {
	readonly as: number;
	readonly gfn: number;
	readonly access: Access;
	/** seq before gup. */
	snapshot: number;
	/** The fault made a copy itself. */
	ownCow: boolean;
	/** What gup found at the begin, if the PTE had the right; null: it comes back at the end (kernel.md section 5, e and i). */
	gup: Pick<Pte, "frame" | "writable"> | null;
}

interface PendingAccess {
	readonly as: number;
	readonly gfn: number;
	readonly access: Access;
	/** Its fault has not failed, but waits for a page that is kept write-protected: no further exit. */
	readonly waits: boolean;
}

export interface Waiting {
	readonly as: number;
	readonly gfn: number;
	readonly access: Access;
	readonly hint: number;
	/** It has exited; otherwise it went through a stale translation. */
	readonly missed: boolean;
	/** seq before gup. */
	readonly snapshot: number;
}

export interface Vcpu {
	readonly vm: Vm;
	readonly id: number;
	readonly tlb: Tlb;
	readonly walker: Walker;
	flight: Flight | null;
	/** An access of the log that is stale while a bracket is in progress: it exits again when that one ends, or at this vCPU's next record. */
	pending: PendingAccess | null;
	/** An access that waits for a migration of its page (migration_entry_wait, 1.11). */
	waiting: Waiting | null;
	/** gfn of the running in-progress loop; -1 if there is none. */
	loop: number;
	/** Stale attempts in a row: on which gfn, how many, and whether the vCPU's last exit is one of them. */
	chain: { gfn: number; length: number; goesOn: boolean };
	/** KVM_REQ_TLB_FLUSH is pending. */
	flushRequested: boolean;
}

/** A thread of the VMM's process: the TLB and the walk caches of its CPU. */
export interface HostCpu {
	readonly mm: number;
	readonly tlb: Tlb;
	readonly walker: Walker;
}

/** gfns [gfn, gfn + pages) of an address space. */
export interface GfnRun {
	readonly as: number;
	readonly gfn: number;
	readonly pages: number;
}

export interface WorldOptions {
	readonly strategy: Strategy;
	readonly tlb: TlbGeometry;
	/** Levels of the guest's and of the host's page table, for the memory references of a two-dimensional walk. */
	readonly guestLevels: number;
	readonly hostLevels: number;
	/** Left out: no paging-structure caches. */
	readonly psc?: Psc;
	/** `host` where it is left out: the guest maps pages as large as KVM's leaf. */
	readonly guestPageSize?: GuestPageSize;
	/** The whole VM, and one page, where it is left out. */
	readonly flush?: FlushScope;
	/** Copies are recorded: a write to a read-only page without one is a reuse. */
	readonly copiesRecorded: boolean;
	/** By default a current Intel host. */
	readonly host?: KvmHost | undefined;
}

const GUEST_READS = counterIndex("accesses.guestRead");
const GUEST_WRITES = counterIndex("accesses.guestWrite");

export class World {
	readonly options: WorldOptions;
	readonly host: KvmHost;
	readonly counters = new BigUint64Array(COUNTER_PATHS.length);
	readonly frames = new Frames();
	readonly mms = new Map<number, Mm>();
	readonly vms = new Map<number, Vm>();
	readonly vcpus = new Map<string, Vcpu>();
	readonly hostCpus = new Map<string, HostCpu>();
	/** In order of attachment. */
	readonly devices = new Map<string, Device>();
	/** Operations that have changed their PTEs and have still to come to their end. */
	readonly open = new Set<Operation>();
	/** Frame that ksmd holds locked between write_protect_page and the end of the merge; a write fault on it copies (1.2). */
	locked = -1;
	/** Number of the cause being replayed, and its time in ns; undefined where the trace has none. */
	event = 0;
	ns: number | undefined;
	readonly violations: Violation[] = [];
	/** vmexits by VM and 512 gfns: `vm.range`. */
	readonly exits = new Map<string, number>();

	constructor(options: WorldOptions) {
		this.options = options;
		this.host = options.host ?? DEFAULT_HOST;
	}

	count(path: string, by = 1): void {
		const index = counterIndex(path);
		this.counters[index] = (this.counters[index] ?? 0n) + BigInt(by);
	}

	/** Guest accesses so far, the one at hand included. */
	accesses(): number {
		return Number((this.counters[GUEST_READS] ?? 0n) + (this.counters[GUEST_WRITES] ?? 0n));
	}

	/** The first exit behind a zap. */
	countRefault(zappedAt: number, zappedNs: number | undefined): void {
		const distance = this.accesses() - zappedAt;
		this.count(`refaultAccesses.${REFAULT_BUCKETS.findLast((from) => from <= distance) ?? 0}`);
		if (zappedNs === undefined || this.ns === undefined) return;
		// Sources of one trace may run a little apart.
		const ns = Math.max(0, this.ns - zappedNs);
		this.count(`refaultNs.${REFAULT_NS_BUCKETS.findLast((from) => from <= ns) ?? 0}`);
	}

	countSite(site: Site, counter: string, by = 1): void {
		this.count(`bySite.${site}.${counter}`, by);
	}

	mm(id: number): Mm {
		const known = this.mms.get(id);
		if (known !== undefined) return known;
		const made = new Mm(id, this.frames);
		this.mms.set(id, made);
		return made;
	}

	vm(id: number, mm: number): Vm {
		const known = this.vms.get(id);
		if (known !== undefined) return known;
		const made = new VmState(id, this.mm(mm));
		this.vms.set(id, made);
		return made;
	}

	/** The VMs whose notifier is registered on an mm. */
	vmsOf(mm: Mm): Vm[] {
		return [...this.vms.values()].filter((vm) => vm.mm === mm);
	}

	vcpu(vm: Vm, id: number): Vcpu {
		const key = `${vm.id}.${id}`;
		const known = this.vcpus.get(key);
		if (known !== undefined) return known;
		const made: Vcpu = {
			vm,
			id,
			...this.#mmu(),
			flight: null,
			pending: null,
			waiting: null,
			loop: -1,
			chain: { gfn: -1, length: 0, goesOn: false },
			flushRequested: false,
		};
		this.vcpus.set(key, made);
		return made;
	}

	#mmu(): { tlb: Tlb; walker: Walker } {
		return { tlb: new Tlb(this.options.tlb), walker: new Walker(this.options.psc) };
	}

	hostCpu(mm: number, thread: number): HostCpu {
		const key = `${mm}.${thread}`;
		const known = this.hostCpus.get(key);
		if (known !== undefined) return known;
		const made = { mm, ...this.#mmu() };
		this.hostCpus.set(key, made);
		return made;
	}

	/** Levels that a walk goes through on the host's side (TDP or primary), down to a leaf of 4 KiB or 2 MiB. */
	hostWalk(huge: boolean): WalkedLevels {
		return { top: this.options.hostLevels, leaf: huge ? 2 : 1 };
	}

	/** Those on the guest's side, over a leaf of KVM's. */
	guestWalk(huge: boolean): WalkedLevels {
		const { guestLevels, guestPageSize = "host" } = this.options;
		return { top: guestLevels, leaf: guestPageSize === "2m" || (guestPageSize === "host" && huge) ? 2 : 1 };
	}

	vcpusOf(vm: Vm): Vcpu[] {
		return [...this.vcpus.values()].filter((vcpu) => vcpu.vm === vm).sort((a, b) => a.id - b.id);
	}

	/** Something is wrong by a rule of kernel.md section 6, as `agent` met it at a page of his. */
	violate(rule: Rule, agent: string, page: number): void {
		this.count("coherence.violations");
		this.count(`coherence.byRule.${rule}`);
		if (this.violations.length < VIOLATIONS_KEPT) this.violations.push({ event: this.event, rule, agent, address: page * 4096 });
	}

	#cpusOf(mm: number): HostCpu[] {
		return [...this.hostCpus.values()].filter((cpu) => cpu.mm === mm);
	}

	/** flush_tlb_range: every CPU of the mm, page by page where these are few. INVLPG takes all paging-structure entries along. */
	flushPrimary(mm: number, page: number, pages: number): void {
		this.count("flush.primaryTlb");
		if (pages < 1 || pages > (this.options.flush?.hostPages ?? 1)) {
			this.dropHostTlbs(mm);
			return;
		}
		for (const { tlb, walker } of this.#cpusOf(mm)) {
			this.count("hostTlb.flushed", tlb.flushRange(0, page, pages));
			walker.forgetAll();
		}
	}

	/** The CPUs' TLBs of an mm are emptied by a flush that is not one of the operation's steps. */
	dropHostTlbs(mm: number): void {
		for (const { tlb, walker } of this.#cpusOf(mm)) {
			this.count("hostTlb.flushed", tlb.flush());
			walker.forgetAll();
		}
	}

	/** A vCPU loses all that it holds of its VM: how many entries there were. */
	emptyTlb({ tlb, walker }: Vcpu): number {
		const dropped = tlb.flush();
		this.count("tlb.flushed", dropped);
		walker.forgetAll();
		return dropped;
	}

	/**
	 * kvm_flush_remote_tlbs (3.8). `deferred`: requested only, for each vCPU to do at its next exit. `runs`: what it is for, which is all that goes where
	 * the host flushes by range; null: a flush of the whole VM anywhere. It is effective where some TLB has an entry to lose.
	 */
	flushGuest(vm: Vm, site: Site | null, runs: readonly GfnRun[] | null = null, deferred = false): void {
		this.count("flush.guestTlb");
		if (site !== null) this.countSite(site, "flushes");
		let effective = false;
		for (const vcpu of this.vcpusOf(vm)) {
			if (deferred) {
				vcpu.flushRequested = true;
				if (!vcpu.tlb.isEmpty()) effective = true;
			} else if (runs === null || this.options.flush?.guest !== "ranged") {
				if (this.emptyTlb(vcpu) > 0) effective = true;
			} else for (const run of runs) if (this.#dropRun(vcpu, run) > 0) effective = true;
		}
		if (!effective) return;
		this.count("flush.guestTlbEffective");
		if (site !== null) this.countSite(site, "flushesEffective");
	}

	/** vCPUs' accesses are those of address space 0, and so is what they hold. */
	#dropRun({ tlb, walker }: Vcpu, { as, gfn, pages }: GfnRun): number {
		if (as !== 0) return 0;
		const dropped = tlb.flushRange(as, gfn, pages);
		this.count("tlb.flushed", dropped);
		walker.forget(gfn, pages);
		return dropped;
	}

	/** mmu_lock taken for writing. */
	lockForWrite(site: Site | null): void {
		this.count("mmuLockWrite");
		if (site !== null) this.countSite(site, "mmuLockWrite");
	}

	/** The entries of a leaf go or get another page: what their pages have to know (kvm_set_pfn_accessed, kvm_set_pfn_dirty; 3.2, litmus l). */
	handOver(entries: readonly Spte[]): void {
		if (entries.some(({ accessed }) => accessed)) this.count("pfnAccessed");
		const dirty = entries.some((entry) => isDirty(this.host, entry));
		if (dirty) this.count("pfnDirtied");
		for (const entry of entries) {
			if (dirty && entry.frame !== null) entry.frame.dirty = true;
			if (entry.stored && entry.frame?.dirty !== true) throw new Error("a store that its page was not told of (I-15)");
			entry.stored = false;
		}
	}

	/** Remove one SPTE if it is present; says whether it was. */
	zapSpte(root: TdpRoot, gfn: number, cause: ZapCause, site: Site | null): boolean {
		const spte = root.peek(gfn);
		if (spte === undefined || spte.frame === null) return false;
		if (spte.established && !spte.accessed) this.count("establish.neverTouched");
		// A huge leaf that overlaps the range is zapped whole (3.2).
		const entries = root.leaf(gfn);
		this.handOver(entries);
		for (const entry of entries) {
			entry.frame = null;
			entry.writable = false;
			entry.hostWritable = false;
			entry.mmuWritable = false;
			entry.accessed = false;
			entry.dirty = false;
			entry.established = false;
			entry.huge = false;
			entry.absent = cause;
			entry.site = site;
			entry.zappedAt = this.accesses();
			entry.zappedNs = this.ns;
		}
		this.count("spteZapped");
		this.count(`spteZappedByCause.${cause}`);
		return true;
	}

	/** An exit: it goes on with a chain of stale attempts if the vCPU's exit before it was one, on the same gfn. */
	beginAttempt({ chain }: Vcpu, gfn: number): void {
		if (!chain.goesOn || chain.gfn !== gfn) chain.length = 0;
		chain.gfn = gfn;
		chain.goesOn = false;
	}

	retried(vcpu: Vcpu, gfn: number, cause: RetryCause): void {
		this.count("vmexitsRetried");
		vcpu.chain.length++;
		vcpu.chain.goesOn = true;
		// Each chain is counted at every length that it comes to.
		if (RETRY_CHAINS.includes(vcpu.chain.length)) this.count(`retriesInARow.${vcpu.chain.length}`);
		// The class of the fault that follows (see countExit) is read off address space 0.
		const spte = vcpu.vm.root(0).entry(gfn);
		if (spte.frame === null) {
			spte.absent = cause;
			spte.site = null;
		}
		if (cause === "retryInProgress") {
			if (vcpu.loop !== gfn) this.count("inProgressLoops");
			vcpu.loop = gfn;
		} else vcpu.loop = -1;
	}
}
