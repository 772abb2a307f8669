// What an importer finds in a capture before it is put in order: operations with their begin, commit and end, faults, and observations.
// Places are numbers of events in the capture.
import { type OperationName, OpFlag, type ZapCause } from "../trace/kinds.js";
import type { CapturedVm } from "./host.js";

/** An operation inside a notifier bracket. */
export interface BracketItem {
	readonly kind: "bracket";
	name:
		| "ksmWriteProtect"
		| "ksmReplace"
		| "cow"
		| "unshare"
		| "zap"
		| "protect"
		| "invalidate"
		| "fork"
		| "thpSplit"
		| "thpCollapse"
		| "thpCollapsed"
		| "uprobeReplace"
		| "migrateVma"
		| "mkclean"
		| "softDirty"
		| "hugeCow"
		| "mremap"
		| "reclaim"
		| "migrate"
		| "numaHint";
	readonly vm: CapturedVm;
	/** hva page. */
	readonly page: number;
	readonly pages: number;
	readonly event: number;
	/** The range meets a memslot: KVM takes part. Otherwise it is the VMM's own memory. */
	readonly hit: boolean;
	readonly begin: number;
	/** Its task went on after kvm_unmap_hva_range, so KVM has certainly counted it (the event comes before the lock). */
	counted: boolean;
	/** Place of the first SPTE that KVM removed under mmu_lock for it, in captures with an access log; -1 where none shows. */
	locked: number;
	/** Place of change_pte, or of the SPTE change that it made; -1 where there is none. */
	commit: number;
	end: number;
	flags: number;
	kpage: number;
	/** fork: the child's mm. */
	child: number;
	/** mremap: the hva page that the range moves to. */
	to: number;
	/** The page entered the stable tree (ksmReplace); see Tracker. */
	appended: boolean;
	/** Task that ran it, and whether it is a vCPU of the VM. */
	readonly pid: number;
	readonly vcpu: number;
	/** cow: what was copied. */
	source: "ksm" | "zero" | "other";
	/** In how many ways something to come may change what it was: its merge is open, or not in the stable tree yet. */
	pending: number;
}

/** One kvm_page_fault in a memslot, or outside every one (mmio). */
export interface FaultItem {
	readonly kind: "fault";
	readonly vm: CapturedVm;
	readonly vcpu: number;
	readonly gpa: number;
	readonly rip: number;
	readonly errorCode: number;
	readonly begin: number;
	end: number;
	/** Its own SPTE change was seen: it installed. */
	installed: boolean;
	/** Address space of its SPTE change; -1 until known. */
	as: number;
	/** A repeat of the same fault that tells the address space of this one. */
	next: FaultItem | null;
	filled: boolean;
	/** Its SPTE is a 2 MiB one. */
	huge: boolean;
	readonly mmio: boolean;
	/** The capture's own class at its begin (index into VMEXIT_CAUSES), by the SPTE of address space 0. */
	cause: number;
	/** It made a copy itself. */
	ownCow: boolean;
	/** Its access is placed behind it, from a log. */
	logged: boolean;
	/** What is observed of it. */
	observed: ObservedItem | null;
}

/** A copy that a forked child made: it is in no bracket, since the child's mm has no notifier. */
export interface ChildCopy {
	readonly at: number;
	/** The copied page was a KSM page. */
	readonly ksm: boolean;
	readonly pid: number;
	readonly page: number;
}

export interface InstantItem {
	readonly kind: "instant";
	readonly name:
		| "ksmPromote"
		| "memslot"
		| "mark"
		| "childCow"
		| "exit"
		| "migrateRestore"
		| "age"
		| "dirtyLog"
		| "kvmZapAll"
		| "pin"
		| "unpin";
	readonly vm: CapturedVm | null;
	/** mm of a forked child; otherwise the VM's. */
	readonly mm?: number;
	appended?: boolean;
	/** As of a BracketItem. */
	pending: number;
	readonly page: number;
	readonly args: number[];
	readonly text?: string;
	readonly begin: number;
}

export type Item = BracketItem | FaultItem | InstantItem;

/** An observation, at its place. */
export interface ObservedItem {
	readonly at: number;
	readonly name: OperationName;
	readonly vm: CapturedVm | null;
	readonly vcpu: number;
	readonly page: number;
	readonly args: number[];
	/** It was the end of a VM, and no work. */
	dropped: boolean;
}

export interface HostFault {
	readonly at: number;
	readonly vm: CapturedVm;
	readonly hva: number;
	readonly write: boolean;
}

/** What a bracket's zap of an SPTE counts as. */
export const ZAP_OF: Readonly<Record<BracketItem["name"], ZapCause>> = {
	ksmWriteProtect: "ksm",
	ksmReplace: "ksm",
	cow: "cow",
	unshare: "cow",
	zap: "notifier",
	protect: "notifier",
	invalidate: "notifier",
	fork: "notifier",
	thpSplit: "hugeSplit",
	thpCollapse: "notifier",
	thpCollapsed: "notifier",
	uprobeReplace: "notifier",
	migrateVma: "notifier",
	mkclean: "notifier",
	softDirty: "notifier",
	hugeCow: "cow",
	mremap: "notifier",
	reclaim: "notifier",
	migrate: "notifier",
	numaHint: "notifier",
};

/** 4 KiB pages of a 2 MiB one. */
export const HUGE_PAGES = 512;

/** A range that one huge PMD maps. */
export const isHugeRange = (page: number, pages: number): boolean => pages === HUGE_PAGES && page % HUGE_PAGES === 0;

/** Operations whose brackets change_pte was written for: strategies differ in them. */
export const isEligible = (name: BracketItem["name"]): boolean =>
	name === "cow" || name === "unshare" || name === "ksmWriteProtect" || name === "ksmReplace";

/** Class of a fault once its address space is known (its own, or that of the repeat). */
export function faultAddressSpace(fault: FaultItem): number {
	let at: FaultItem | null = fault;
	for (let hops = 0; at !== null && hops < 64; hops++, at = at.next) if (at.as >= 0) return at.as;
	return 0;
}

/** A page that was merged, and not into the zero page. */
export function isMerge(item: Item): item is BracketItem | InstantItem {
	if (item.kind === "instant") return item.name === "ksmPromote" && item.vm !== null;
	return item.kind === "bracket" && item.name === "ksmReplace" && (item.flags & (OpFlag.failed | OpFlag.zeroPage)) === 0;
}
