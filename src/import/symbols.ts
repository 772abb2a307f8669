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

/** A function that says what its brackets are for, by being open. */
const during = (event: string): ProbedFunction => ({ entry: meaning(event, {}), return: meaning(`${event}_ret`, {}) });

const UNMAP = { addr: ADDR, flags: FLAGS };
const AGED = meaning("mn_aged", { mm: MM, start: [...START, ...ADDR], end: END }, ["start"], { $arg1: "mm", $arg2: "start", $arg3: "end" });
const aged = (event: string): ProbedFunction => ({ entry: { ...AGED, event } });
const PIN = {
	addr: [...START, ...ADDR],
	pages: ["nr", "nr_pages", "npages", "pages"],
	flags: [...FLAGS, "gup_flags"],
	array: ["array", "pages_array"],
};
const pinned = (fetched: Readonly<Record<string, string>>): ProbedFunction => ({
	entry: meaning("pin_user_pages", PIN, ["addr", "pages", "flags"], fetched),
	return: returns("pin_user_pages_ret"),
});
const UNPINNED = { entry: meaning("unpin_user_pages", { array: ["array", "pages"] }, ["array"], { $arg1: "array" }) };

/** Functions of mm and KVM whose work no tracepoint tells, or tells with its address (kernel.md 1.7 to 1.17, 3.5). */
const CALL_SITES: Readonly<Record<string, ProbedFunction>> = {
	uprobe_write_opcode: {
		entry: meaning("uprobe_write_opcode", { addr: ADDR }, ["addr"], { $arg3: "addr" }),
		return: returns("uprobe_write_opcode_ret"),
	},
	move_page_tables: {
		entry: meaning("move_page_tables", { addr: [...ADDR, "old_addr", "old", "from"], to: ["to", "new_addr", "new"] }, ["addr", "to"], {
			$arg2: "addr",
			$arg4: "to",
		}),
	},
	folio_mkclean: during("page_mkclean"),
	page_mkclean: during("page_mkclean"),
	page_mkclean_one: during("page_mkclean"),
	page_vma_mkclean_one: during("page_mkclean"),
	pfn_mkclean_range: during("page_mkclean"),
	dax_entry_mkclean: during("page_mkclean"),
	change_prot_numa: during("change_prot_numa"),
	task_numa_work: during("change_prot_numa"),
	mwriteprotect_range: {
		entry: meaning("uffd_wp_range", { enable: ["enable", "enable_wp"] }, ["enable"], { $arg4: "enable" }),
		return: meaning("uffd_wp_range_ret", {}),
	},
	do_huge_pmd_wp_page: during("do_huge_pmd_wp_page"),
	copy_user_huge_page: { entry: meaning("copy_huge_page", {}) },
	collapse_huge_page: during("collapse_huge_page"),
	try_to_unmap_one: {
		entry: meaning("try_to_unmap_one", UNMAP, ["addr"], { $arg3: "addr", $arg4: "flags" }),
		return: returns("try_to_unmap_one_ret"),
	},
	try_to_migrate_one: {
		entry: meaning("try_to_migrate_one", UNMAP, ["addr"], { $arg3: "addr", $arg4: "flags" }),
		return: meaning("try_to_migrate_one_ret", {}),
	},
	migrate_vma_setup: during("migrate_vma_setup"),
	migrate_vma_collect: during("migrate_vma_setup"),
	migrate_vma_pages: during("migrate_vma_pages"),
	migrate_vma_insert_page: during("migrate_vma_pages"),
	migrate_vma_finalize: { entry: meaning("migrate_vma_finalize", {}) },
	__mmu_notifier_clear_flush_young: aged("mn_clear_flush_young"),
	__mmu_notifier_clear_young: aged("mn_clear_young"),
	__mmu_notifier_test_young: aged("mn_test_young"),
	kvm_mmu_zap_all_fast: { entry: meaning("kvm_mmu_zap_all_fast", {}) },
	kvm_arch_mmu_enable_log_dirty_pt_masked: {
		entry: meaning(
			"kvm_dirty_log_masked",
			{ kvm: ["kvm"], slot: ["slot", "id"], as: ["as", "as_id"], offset: ["offset", "gfn_offset"], mask: ["mask"] },
			["offset", "mask"],
			{
				$arg1: "kvm",
				$arg3: "offset",
				$arg4: "mask",
			},
		),
	},
	pin_user_pages: pinned({ $arg1: "addr", $arg2: "pages", $arg3: "flags", $arg4: "array" }),
	pin_user_pages_fast: pinned({ $arg1: "addr", $arg2: "pages", $arg3: "flags", $arg4: "array" }),
	pin_user_pages_unlocked: pinned({ $arg1: "addr", $arg2: "pages", $arg3: "array", $arg4: "flags" }),
	unpin_user_pages: UNPINNED,
	unpin_user_pages_dirty_lock: UNPINNED,
	// The end of a VM; and parts of a change of a memslot's flags, which that event tells.
	kvm_mmu_zap_all: {},
	kvm_mmu_slot_remove_write_access: {},
	kvm_mmu_slot_leaf_clear_dirty: {},
	kvm_mmu_zap_collapsible_sptes: {},
	kvm_mmu_slot_try_split_huge_pages: {},
};

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
	...CALL_SITES,
	kvm_unmap_gfn_range: { entry: meaning("kvm_unmap_gfn_range", {}) },
	kvm_set_spte_gfn: { entry: meaning("kvm_set_spte_gfn", {}) },
	// Probed by recipes, and telling nothing that the others do not.
	__mmu_notifier_invalidate_range: {},
	__mmu_notifier_arch_invalidate_secondary_tlbs: {},
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
