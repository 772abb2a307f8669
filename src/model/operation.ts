// An operation between its begin and its end, as the step programs (steps.ts) and the sites know it.
import type { Site } from "../counters.js";
import type { OperationKind } from "../strategies/steps.js";
import type { ZapCause } from "../trace/kinds.js";
import type { Device } from "./devices.js";
import type { Frame } from "./frames.js";
import type { Mm } from "./mm.js";
import type { Vm } from "./vm.js";
import type { Flight } from "./world.js";

/** What an operation does to the primary PTEs, decided at its commit. */
export interface PrimaryChange {
	/** False: the PTEs are not what the operation expected (recheck, pte_same), or there is nothing to change. */
	readonly changes: boolean;
	/** The one new PTE of an eligible operation. */
	readonly frame: Frame | null;
	readonly writable: boolean;
	/**
	 * Which steps under the lock run. `all`; `restored`: the PTE is cleared, flushed and put back as it was (write_protect_page on a pinned page, 1.4);
	 * `appeared`: none -> present, so there is nothing to flush and no notifier (1.8).
	 */
	readonly extent?: "all" | "restored" | "appeared";
	/** The old page, on which the fault, ksmd or uprobes keep a reference of their own until after the range end (1.3, 1.5, 1.7). */
	readonly old?: Frame | undefined;
	/** set_pte (or its removal). */
	apply(): void;
	/** What follows range_end: the collapse of a huge page copies only then (1.15). */
	finish?(): void;
}

export interface Operation {
	readonly kind: OperationKind;
	readonly site: Site;
	readonly cause: ZapCause;
	readonly mm: Mm;
	readonly page: number;
	readonly pages: number;
	/** A write-protect with a kpage given: a replace follows. */
	readonly replaceFollows: boolean;
	/** alloc_page + copy happen before the bracket. */
	readonly copies: boolean;
	readonly primary: () => PrimaryChange;
	/** VMs whose memslots the bracket's start hit: their end must pair. */
	bracketed: Vm[];
	/** What the last commit did. */
	change: PrimaryChange | null;
	/** Begin, commit and end are records of their own. */
	apart: boolean;
	/** The commit has been cut behind its set-pte; what is left of it is `rest`, if it changed anything. */
	cut: boolean;
	rest: Rest | null;
	/** write_protect_page gave up for a reference. */
	refused: boolean;
	/** Mirrors whose interval the start met: their end must pair. */
	readonly mirrors: Device[];
	/** The new PTE is kept write-protected until the end (litmus c). */
	protects: boolean;
	/** It is made writable then. */
	makesWritable: boolean;
	/** A host thread's store waits for it. */
	deferredStore: boolean;
	/** The fault that makes this copy and does not retry for it (10.2). */
	own: { readonly vm: Vm; readonly flight: Flight } | null;
}

/** A commit behind its set-pte, with the page-table lock held. */
export interface Rest {
	readonly change: PrimaryChange;
	/** The change as change_pte is told of it. */
	readonly told: PrimaryChange;
	/** Whether the PTE was read-only before: I-8. */
	readonly wasReadOnly: boolean;
}

const SITE_OF: Readonly<Record<OperationKind, Site>> = {
	cow: "cow",
	unshare: "unshare",
	"ksm-write-protect": "ksmWriteProtect",
	"ksm-replace": "ksmReplace",
	zap: "zap",
	protect: "protect",
	fork: "fork",
	invalidate: "invalidate",
	"thp-split": "thpSplit",
	"thp-collapse": "thpCollapse",
	"uprobe-replace": "uprobeReplace",
	"migrate-vma": "migrateVma",
	mkclean: "mkclean",
	"soft-dirty": "softDirty",
	"huge-cow": "hugeCow",
	mremap: "mremap",
	reclaim: "reclaim",
	migrate: "migrate",
	"numa-hint": "numaHint",
	"remap-file-pages": "remapFilePages",
	"hugetlb-cow": "hugetlbCow",
};

const CAUSE_OF: Readonly<Record<OperationKind, ZapCause>> = {
	cow: "cow",
	unshare: "cow",
	"ksm-write-protect": "ksm",
	"ksm-replace": "ksm",
	zap: "notifier",
	protect: "notifier",
	fork: "notifier",
	invalidate: "notifier",
	"thp-split": "hugeSplit",
	"thp-collapse": "notifier",
	"uprobe-replace": "notifier",
	"migrate-vma": "notifier",
	mkclean: "notifier",
	"soft-dirty": "notifier",
	"huge-cow": "cow",
	mremap: "notifier",
	reclaim: "notifier",
	migrate: "notifier",
	"numa-hint": "notifier",
	"remap-file-pages": "notifier",
	"hugetlb-cow": "cow",
};

export function openOperation(
	kind: OperationKind,
	mm: Mm,
	page: number,
	pages: number,
	primary: () => PrimaryChange,
	replaceFollows = false,
): Operation {
	return {
		kind,
		site: SITE_OF[kind],
		cause: CAUSE_OF[kind],
		mm,
		page,
		pages,
		replaceFollows,
		copies: kind === "cow" || kind === "unshare",
		primary,
		bracketed: [],
		change: null,
		apart: false,
		cut: false,
		rest: null,
		refused: false,
		mirrors: [],
		protects: false,
		makesWritable: false,
		deferredStore: false,
		own: null,
	};
}
