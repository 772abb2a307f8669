// What every strategy shares: the operations at which change_pte was never called (kernel.md 1.1), and the shapes of the five at which it was.
import type { ChangePte, OperationKind, Step } from "./steps.js";

type Plain = Exclude<Step["step"], "change-pte" | "range-start" | "range-end">;
const plain = (...steps: Plain[]): Step[] => steps.map((step) => ({ step }));

/** zap_page_range, change_protection, copy_page_range, and ranges of which only the bracket is known: start, the PTEs, end (1.9, 1.13, 1.14). */
const range: readonly Step[] = [
	{ step: "range-start" },
	...plain("lock", "clear-flush", "notify-secondary-tlb", "set-pte", "unlock"),
	{ step: "range-end" },
	...plain("free-old"),
];
/** copy_page_range and a bare range flush the primary TLB elsewhere (fork: once, at the end of dup_mmap, 1.9). */
const bare: readonly Step[] = [{ step: "range-start" }, ...plain("lock", "set-pte", "unlock"), { step: "range-end" }];

/** Downgrades and moves: no secondary TLB is told under the lock, but by the arch flush from 6.6 on (1.1, 1.12, 1.13, 1.17). */
const downgrade: readonly Step[] = range.filter(({ step }) => step !== "notify-secondary-tlb");

/** The operations that replace or downgrade one PTE in place: those at which change_pte may act, the five users of set_pte_at_notify (1.1). */
const ELIGIBLE = ["cow", "unshare", "ksm-write-protect", "ksm-replace", "uprobe-replace", "migrate-vma"] as const;
type Eligible = (typeof ELIGIBLE)[number];

const neverEligible: Readonly<Record<Exclude<OperationKind, Eligible>, readonly Step[]>> = {
	zap: range,
	protect: range,
	fork: bare,
	invalidate: bare,
	"thp-split": range,
	"thp-collapse": range,
	mkclean: downgrade,
	"soft-dirty": downgrade,
	"huge-cow": [{ step: "alloc-copy" }, ...range],
	mremap: downgrade,
	reclaim: range,
	migrate: range,
	"numa-hint": downgrade,
	// zap_pte flushes page by page (1.18).
	"remap-file-pages": range.filter(({ step }) => step !== "clear-flush"),
	"hugetlb-cow": [{ step: "alloc-copy" }, ...range],
};
/** From 6.6 on every flush of the primary TLB tells the device TLBs too. */
const neverEligibleArchFlush: typeof neverEligible = {
	...neverEligible,
	mkclean: range,
	"soft-dirty": range,
	mremap: range,
	"numa-hint": range,
};

/** Which of the eligible operations bring a new page, and put the old one. */
const copies: Record<Eligible, boolean> = {
	cow: true,
	unshare: true,
	"ksm-write-protect": false,
	"ksm-replace": false,
	"uprobe-replace": true,
	"migrate-vma": true,
};
/** write_protect_page and replace_page of KSM are not `_notify` from 4.15 to 6.5: same content, or a downgrade (1.4, 1.5, litmus f and n3). */
const notifies = copies;

function eligible(make: (operation: Eligible) => Step[]): Record<Eligible, readonly Step[]> {
	return {
		cow: make("cow"),
		unshare: make("unshare"),
		"ksm-write-protect": make("ksm-write-protect"),
		"ksm-replace": make("ksm-replace"),
		"uprobe-replace": make("uprobe-replace"),
		"migrate-vma": make("migrate-vma"),
	};
}

/**
 * The eligible operations inside range_start/range_end (3.7 and later).
 * `changePte`: what KVM's handler does between clear and set; left out where there is no such call. `kvm: false`: KVM ignores the bracket.
 * `archFlush`: from 6.6 on the flush of the primary TLB tells the device TLBs too, at KSM's sites as at all others (1.0).
 */
export function bracketed(options: {
	changePte?: ChangePte;
	kvm?: false;
	bumpSeq?: true;
	archFlush?: true;
}): Readonly<Record<OperationKind, readonly Step[]>> {
	const kvm = options.kvm === false ? { kvm: false } : {};
	return {
		...(options.archFlush === true ? neverEligibleArchFlush : neverEligible),
		...eligible((operation) => [
			...(copies[operation] ? plain("alloc-copy") : []),
			{ step: "range-start", ...kvm },
			...plain("lock", "recheck", "clear-flush"),
			...(options.archFlush === true || notifies[operation] ? plain("notify-secondary-tlb") : []),
			...(options.changePte ? [options.changePte] : []),
			...(options.bumpSeq ? plain("bump-seq") : []),
			...plain("set-pte", "unlock"),
			{ step: "range-end", ...kvm },
			...plain("free-old"),
		]),
	};
}

/**
 * The eligible operations without a bracket (option 2): the sequence is raised under the same mmu_lock (litmus i), and a notifier without
 * change_pte is invalidated late, with the new PTE kept write-protected until then (litmus c).
 */
export function unbracketed(changePte: ChangePte): Readonly<Record<OperationKind, readonly Step[]>> {
	return {
		...neverEligible,
		...eligible((operation) => [
			...(copies[operation] ? plain("alloc-copy") : []),
			...plain("lock", "recheck", "clear-flush"),
			...(notifies[operation] ? plain("notify-secondary-tlb") : []),
			changePte,
			...plain("bump-seq", "set-pte", "set-pte-write-protected", "unlock", "invalidate-missing", "make-writable", "free-old"),
		]),
	};
}

/**
 * The eligible operations up to 3.6: no bracket; change_pte under the lock raises the sequence, and a notifier without it gets invalidate_page at the
 * same place (2.2, 2.3). `order`: what comes first, the new PTE (to 3.5, litmus g) or change_pte (3.6).
 */
export function unwrapped(order: "set-pte-first" | "change-pte-first"): Readonly<Record<OperationKind, readonly Step[]>> {
	const notify: Step[] = [{ step: "change-pte", mode: "update", writable: "zap" }, ...plain("bump-seq", "invalidate-missing")];
	// The rmap walkers have no bracket before 4.13: ptep_clear_flush_notify, which is invalidate_page under the lock (1.0, 1.1).
	const walker = plain("lock", "clear-flush", "invalidate-range", "bump-seq", "set-pte", "unlock", "free-old");
	return {
		...neverEligible,
		mkclean: walker,
		reclaim: walker,
		migrate: walker,
		...eligible((operation) => [
			...(copies[operation] ? plain("alloc-copy") : []),
			...plain("lock", "recheck", "clear-flush"),
			...(order === "set-pte-first" ? [...plain("set-pte"), ...notify] : [...notify, ...plain("set-pte")]),
			...plain("unlock", "free-old"),
		]),
	};
}

/** Every operation as the draft of January 2008 had it: the page tables change, and one callback invalidates the range after the lock (2.1). */
export function invalidatedAfterUnlock(): Readonly<Record<OperationKind, readonly Step[]>> {
	const late = plain("lock", "clear-flush", "set-pte", "unlock", "invalidate-range", "free-old");
	const bareLate = plain("lock", "set-pte", "unlock", "invalidate-range");
	return {
		zap: late,
		protect: late,
		fork: bareLate,
		invalidate: bareLate,
		"thp-split": late,
		"thp-collapse": late,
		mkclean: late,
		"soft-dirty": late,
		"huge-cow": [...plain("alloc-copy"), ...late],
		mremap: late,
		reclaim: late,
		migrate: late,
		"numa-hint": late,
		// The range was told before populate_range, and nothing kept it from coming back (2.1, litmus e).
		"remap-file-pages": plain("invalidate-range", "lock", "set-pte", "unlock", "free-old"),
		"hugetlb-cow": [...plain("alloc-copy"), ...late],
		...eligible((operation) => [
			...(copies[operation] ? plain("alloc-copy") : []),
			...plain("lock", "recheck", "clear-flush", "set-pte", "unlock", "invalidate-range", "free-old"),
		]),
	};
}
