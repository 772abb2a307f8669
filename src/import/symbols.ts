// What a probe on a kernel function tells, by the function's name: the canonical event of tracker.ts, its fields with the names that recipes give
// them, and the fetch expressions that mean each (formats.md section 3; struct layouts in profiles.ts).

export interface ProbeMeaning {
	/** The event's name in the tracker's grammar. */
	readonly event: string;
	/** Canonical field → names that it goes by. */
	readonly fields: Readonly<Record<string, readonly string[]>>;
	readonly required: readonly string[];
	/** Fetch expression → canonical field, where one expression can mean only one thing. */
	readonly fetched: Readonly<Record<string, string>>;
}

interface ProbedFunction {
	readonly entry?: ProbeMeaning;
	readonly return?: ProbeMeaning;
}

const MM = ["mm", "mm_struct"];
const ADDR = ["addr", "address", "hva", "vaddr", "va"];
const START = ["start", "s", "begin", "from"];
const END = ["end", "e", "to"];
const EVENT = ["event", "ev"];
const FLAGS = ["flags", "fl", "flag"];
const RET = ["ret", "err", "retval", "rc", "res", "result", "error", "r"];

function meaning(
	event: string,
	fields: Readonly<Record<string, readonly string[]>>,
	required: readonly string[] = [],
	fetched: Readonly<Record<string, string>> = {},
): ProbeMeaning {
	return { event, fields, required, fetched };
}

const returns = (event: string, required: readonly string[] = ["ret"]): ProbeMeaning =>
	meaning(event, { ret: RET }, required, { $retval: "ret" });

const RMAP_ITEM = { "+16($arg1)": "mm", "+24($arg1)": "addr" };
const VM_FAULT = { "+16(+0($arg1))": "mm", "+24($arg1)": "addr", "+40($arg1)": "flags", "+80($arg1)": "page" };

const SET_MEMORY_REGION = meaning(
	"kvm_set_memory_region",
	{
		kvm: ["kvm"],
		slot: ["slot", "id"],
		flags: FLAGS,
		gpa: ["gpa", "guest_phys_addr", "guest_phys"],
		size: ["size", "memory_size", "bytes"],
		hva: ["hva", "userspace_addr", "uaddr"],
	},
	["slot", "gpa", "size", "hva"],
	{ $arg1: "kvm", "+0($arg2)": "slot", "+4($arg2)": "flags", "+8($arg2)": "gpa", "+16($arg2)": "size", "+24($arg2)": "hva" },
);

const REGISTER = meaning("mn_register", { mm: MM }, ["mm"], { $arg2: "mm" });

/** Which functions' probes carry something, by symbol. */
export const PROBED: Readonly<Record<string, ProbedFunction>> = {
	__mmu_notifier_invalidate_range_start: {
		// What its fetch expressions mean depends on the kernel: profiles.ts.
		entry: meaning("mn_range_start", { mm: MM, start: START, end: END, flags: FLAGS, event: EVENT }, ["start", "end"]),
	},
	__mmu_notifier_invalidate_range_end: {
		entry: meaning("mn_range_end", { mm: MM, start: START, end: END, event: EVENT }, ["start", "end"]),
	},
	__mmu_notifier_change_pte: {
		entry: meaning("mn_change_pte", { mm: MM, addr: ADDR, pte: ["pte", "new_pte", "val"] }, ["addr"], {
			$arg1: "mm",
			$arg2: "addr",
			$arg3: "pte",
		}),
	},
	__mmu_notifier_register: { entry: REGISTER },
	mmu_notifier_register: { entry: REGISTER },
	wp_page_copy: {
		entry: meaning("wp_page_copy", { mm: MM, addr: ADDR, flags: FLAGS, page: ["page", "old_page"] }, ["addr"], VM_FAULT),
		return: returns("wp_page_copy_ret", []),
	},
	do_wp_page: { entry: meaning("do_wp_page", { mm: MM, addr: ADDR, flags: FLAGS, page: ["page"] }, ["addr"], VM_FAULT) },
	handle_mm_fault: {
		entry: meaning("handle_mm_fault", { mm: MM, addr: ADDR, flags: FLAGS }, ["addr"], {
			"+16($arg1)": "mm",
			$arg2: "addr",
			$arg3: "flags",
		}),
	},
	try_to_merge_with_ksm_page: {
		entry: meaning("ksm_try_to_merge_with_ksm_page", { mm: MM, addr: ADDR, page: ["page"], kpage: ["kpage", "ksm_page"] }, [], {
			...RMAP_ITEM,
			$arg2: "page",
			$arg3: "kpage",
		}),
		return: returns("ksm_try_to_merge_with_ksm_page_ret"),
	},
	try_to_merge_one_page: {
		entry: meaning("ksm_try_to_merge_one_page", { page: ["page"], kpage: ["kpage", "ksm_page"] }, ["page", "kpage"], {
			$arg2: "page",
			$arg3: "kpage",
		}),
		return: returns("ksm_try_to_merge_one_page_ret"),
	},
	stable_tree_append: { entry: meaning("ksm_stable_tree_append", { mm: MM, addr: ADDR }, ["addr"], RMAP_ITEM) },
	break_ksm: { entry: meaning("ksm_break_ksm", { addr: ADDR }, ["addr"], { $arg2: "addr" }) },
	break_cow: { entry: meaning("ksm_break_cow", { mm: MM, addr: ADDR }, [], RMAP_ITEM) },
	replace_page: { entry: meaning("ksm_replace_page", { page: ["page"], kpage: ["kpage"] }) },
	write_protect_page: { entry: meaning("ksm_write_protect_page", { page: ["page"] }) },
	kvm_flush_remote_tlbs: { entry: meaning("kvm_flush_remote_tlbs", { kvm: ["kvm"] }, [], { $arg1: "kvm" }) },
	__kvm_set_memory_region: { entry: SET_MEMORY_REGION },
	kvm_set_memory_region: { entry: SET_MEMORY_REGION },
	kvm_vm_ioctl_set_memory_region: { entry: SET_MEMORY_REGION },
	tdp_mmu_establish_spte: { return: returns("kvm_establish_ret") },
	// Probed by recipes, and telling nothing that the others do not.
	__mmu_notifier_invalidate_range: {},
	__mmu_notifier_arch_invalidate_secondary_tlbs: {},
	kvm_set_spte_gfn: {},
	kvm_unmap_gfn_range: {},
	kvm_mmu_notifier_change_pte: {},
	unmerge_ksm_pages: {},
	wp_page_reuse: {},
};

/** Events of our own recipes (rig/init and the one before it), for lines that show no symbol. */
export const RECIPE_NAMES: Readonly<Record<string, { readonly symbol: string; readonly returns: boolean }>> = {
	...Object.fromEntries(
		Object.entries(PROBED).flatMap(([symbol, probed]) =>
			([probed.entry, probed.return] as const).flatMap((side, at) =>
				side === undefined ? [] : [[side.event, { symbol, returns: at === 1 }]],
			),
		),
	),
	kvm_set_memory_region: { symbol: "__kvm_set_memory_region", returns: false },
	mn_register: { symbol: "__mmu_notifier_register", returns: false },
	mn_inv_start: { symbol: "__mmu_notifier_invalidate_range_start", returns: false },
	mn_inv_end: { symbol: "__mmu_notifier_invalidate_range_end", returns: false },
	mn_range: { symbol: "__mmu_notifier_invalidate_range", returns: false },
	mm_fault: { symbol: "handle_mm_fault", returns: false },
	mm_do_wp: { symbol: "do_wp_page", returns: false },
	mm_wp_copy: { symbol: "wp_page_copy", returns: false },
	ksm_try: { symbol: "try_to_merge_with_ksm_page", returns: false },
	ksm_try_ret: { symbol: "try_to_merge_with_ksm_page", returns: true },
	kvm_set_spte_gfn: { symbol: "kvm_set_spte_gfn", returns: false },
	kvm_set_spte_gfn_ret: { symbol: "kvm_set_spte_gfn", returns: true },
	kvm_unmap_gfn_range: { symbol: "kvm_unmap_gfn_range", returns: false },
	kvm_unmap_gfn_range_ret: { symbol: "kvm_unmap_gfn_range", returns: true },
};

/** A symbol without what the compiler or the module appended: `try_to_merge_one_page.isra.0`, `f [kvm]`. */
export function plainSymbol(symbol: string): string {
	return symbol.replace(/^\w+:/, "").replace(/(\.(isra|constprop|part|cold|llvm)(\.\d+)?)+$/, "");
}
