// Tracepoints in every form that captures have them: as the kernel prints them, or as name=value of the binary fields (trace-cmd report -R,
// trace.dat, Perfetto, bpftrace). The tracker reads the kernel's own print of 6.1.
import { field, word } from "./tracefs.js";

/** Text of one event → the tracker's text. */
export type Rewrite = (text: string) => string;

const same: Rewrite = (text) => text;

/** An unprefixed number of a %x field. */
const hexed = (text: string | undefined): string =>
	text === undefined || text === "" ? "0x0" : text.startsWith("0x") ? text : `0x${text}`;
/** A number of a field that trace-cmd -R prints by the event's own format: hex with or without 0x. */
const bare = (text: string | undefined): string => (text === undefined ? "0" : text.replace(/^0x/, ""));
/** A decimal number that may be printed in hex. */
const decimal = (text: string | undefined): string => (text === undefined ? "0" : String(Number(text)));

function pageFault(text: string): Rewrite {
	if (text.startsWith("vcpu ")) return same;
	// Up to 5.18: no vCPU, no rip.
	if (text.startsWith("address "))
		return (line) => `vcpu 0 rip 0x0 address ${hexed(word(line, "address"))} error_code ${hexed(word(line, "error_code"))}`;
	return (line) =>
		`vcpu ${decimal(field(line, "vcpu_id"))} rip ${hexed(field(line, "guest_rip"))} address ${hexed(field(line, "fault_address"))} error_code ${hexed(field(line, "error_code"))}`;
}

function spteChanged(text: string): Rewrite {
	if (!text.includes("gfn=")) return same;
	return (line) =>
		`as id ${decimal(field(line, "as_id"))} gfn ${bare(field(line, "gfn"))} level ${decimal(field(line, "level"))} old_spte ${bare(field(line, "old_spte"))} new_spte ${bare(field(line, "new_spte"))}`;
}

function pageFaultUser(text: string): Rewrite {
	return /address=0x/.test(text) && /error_code=0x/.test(text)
		? same
		: (line) => `address=${hexed(field(line, "address"))} error_code=${hexed(field(line, "error_code"))}`;
}

/** ksm_merge_with_ksm_page, ksm_merge_one_page: only whether it worked. */
const ksmMerge: Rewrite = (text) => `error ${field(text, "err") ?? word(text, "error") ?? word(text, "err") ?? "0"}`;

/** `addr=7f00, pte=…`: the kernel prints it without 0x and with a comma. */
const ADDRESSED: Rewrite = (text) => `addr=${hexed(field(text, "addr")?.replace(/,$/, "") ?? field(text, "address"))}`;

/** mm_collapse_huge_page: SCAN_SUCCEED is 1. */
const COLLAPSED: Rewrite = (text) => {
	const status = field(text, "status") ?? "";
	return `succeeded=${status === "succeeded" || Number(status) === 1 ? 1 : 0}`;
};

const MIGRATED: Rewrite = (text) => `succeeded=${decimal(field(text, "nr_succeeded") ?? field(text, "succeeded"))}`;

const SPAN = /hva: (?:0x)?([0-9a-f]+)(?: -- (?:0x)?([0-9a-f]+))?/;

/** kvm_age_hva, kvm_test_age_hva: "mmu notifier age hva: 0x… -- 0x…". */
const aged: Rewrite = (text) => {
	const [, start, end] = SPAN.exec(text) ?? [];
	const from = start ?? field(text, "start") ?? field(text, "hva");
	const to = end ?? field(text, "end");
	return `start=${hexed(from)}${to === undefined ? "" : ` end=${hexed(to)}`}`;
};

/** kvm_age_page, to 5.12: "hva 7f00 gfn 12 level 1 YOUNG". */
const agedPage: Rewrite = (text) => {
	const start = hexed(word(text, "hva") ?? field(text, "hva"));
	const level = Number(word(text, "level") ?? field(text, "level"));
	return `start=${start} end=0x${(BigInt(start) + (level === 2 ? 0x20_0000n : 0x1000n)).toString(16)}`;
};

function markWrite(text: string): Rewrite {
	const said = /^(?:[0-9a-fx]+ )?tracing_mark_write: /.exec(text);
	if (said !== null) return (line) => line.replace(/^(?:[0-9a-fx]+ )?tracing_mark_write: /, "");
	if (/\bbuf=/.test(text)) return (line) => line.slice(line.indexOf("buf=") + 4).trimEnd();
	return same;
}

interface Tracepoint {
	readonly event: string;
	readonly form: (text: string) => Rewrite;
	/** The tracker's values, and the binary fields that hold them. */
	readonly fields?: Readonly<Record<string, string>>;
}

/** Tracepoints that the tracker reads, with what makes their text its own: by the first line's form. */
export const TRACEPOINTS: Readonly<Record<string, Tracepoint>> = {
	kvm_page_fault: {
		event: "kvm_page_fault",
		form: pageFault,
		fields: { vcpu: "vcpu_id", rip: "guest_rip", address: "fault_address", error_code: "error_code" },
	},
	kvm_tdp_mmu_spte_changed: {
		event: "kvm_tdp_mmu_spte_changed",
		form: spteChanged,
		fields: { "as id": "as_id", gfn: "gfn", level: "level", old_spte: "old_spte", new_spte: "new_spte" },
	},
	kvm_unmap_hva_range: { event: "kvm_unmap_hva_range", form: () => same },
	kvm_exit: { event: "kvm_exit", form: () => same },
	kvm_pio: { event: "kvm_pio", form: () => same },
	kvm_entry: { event: "kvm_entry", form: () => same },
	page_fault_user: { event: "page_fault_user", form: pageFaultUser, fields: { address: "address", error_code: "error_code" } },
	ksm_merge_with_ksm_page: { event: "ksm_merge_with_ksm_page", form: () => ksmMerge },
	ksm_merge_one_page: { event: "ksm_merge_one_page", form: () => ksmMerge },
	mark_mmio_spte: { event: "mark_mmio_spte", form: () => same },
	mm_page_alloc: { event: "mm_page_alloc", form: () => same },
	set_migration_pte: { event: "set_migration_pte", form: () => ADDRESSED },
	remove_migration_pte: { event: "remove_migration_pte", form: () => ADDRESSED },
	set_migration_pmd: { event: "set_migration_pmd", form: () => ADDRESSED },
	remove_migration_pmd: { event: "remove_migration_pmd", form: () => ADDRESSED },
	mm_migrate_pages: { event: "mm_migrate_pages", form: () => MIGRATED },
	mm_collapse_huge_page: { event: "mm_collapse_huge_page", form: () => COLLAPSED },
	mm_vmscan_direct_reclaim_begin: { event: "mm_vmscan_reclaim_begin", form: () => same },
	mm_vmscan_memcg_reclaim_begin: { event: "mm_vmscan_reclaim_begin", form: () => same },
	mm_vmscan_memcg_softlimit_reclaim_begin: { event: "mm_vmscan_reclaim_begin", form: () => same },
	mm_vmscan_node_reclaim_begin: { event: "mm_vmscan_reclaim_begin", form: () => same },
	mm_vmscan_kswapd_wake: { event: "mm_vmscan_reclaim_begin", form: () => same },
	mm_vmscan_direct_reclaim_end: { event: "mm_vmscan_reclaim_end", form: () => same },
	mm_vmscan_memcg_reclaim_end: { event: "mm_vmscan_reclaim_end", form: () => same },
	mm_vmscan_memcg_softlimit_reclaim_end: { event: "mm_vmscan_reclaim_end", form: () => same },
	mm_vmscan_node_reclaim_end: { event: "mm_vmscan_reclaim_end", form: () => same },
	mm_vmscan_kswapd_sleep: { event: "mm_vmscan_reclaim_end", form: () => same },
	kvm_age_hva: { event: "kvm_age_hva", form: () => aged },
	kvm_test_age_hva: { event: "kvm_test_age_hva", form: () => aged },
	kvm_age_page: { event: "kvm_age_page", form: () => agedPage },
	kvm_mmu_zap_all_fast: { event: "kvm_mmu_zap_all_fast", form: () => same },
	tracing_mark_write: { event: "tracing_mark_write", form: markWrite },
	print: { event: "tracing_mark_write", form: markWrite },
};

/** Tracepoints of recipes that say nothing that the others do not. */
export const WITHOUT_MEANING: ReadonlySet<string> = new Set([
	"kvm_set_spte_hva",
	"kvm_mmu_set_spte",
	"kvm_mmu_spte_requested",
	"kvm_mmu_get_page",
	"kvm_mmu_prepare_zap_page",
	"kvm_userspace_exit",
	"kvm_smm_transition",
	"kvm_mmio",
	"mm_khugepaged_scan_pmd",
	"mm_collapse_huge_page_isolate",
	"mm_collapse_huge_page_swapin",
	"mm_migrate_pages_start",
	"mm_vmscan_lru_isolate",
	"mm_vmscan_lru_shrink_inactive",
	"mm_vmscan_lru_shrink_active",
	"mm_vmscan_wakeup_kswapd",
	"mm_vmscan_write_folio",
	"mm_vmscan_writepage",
	"kvm_emulate_insn",
	"fast_page_fault",
	"tlb_flush",
	"page_fault_kernel",
	"ksm_start_scan",
	"ksm_stop_scan",
	"ksm_remove_rmap_item",
	"ksm_remove_ksm_page",
	"ksm_enter",
	"ksm_exit",
	"ksm_advisor",
	"kvm_smm_transition",
	"rss_stat",
	"sched_process_fork",
	"sched_process_exec",
	"sched_process_exit",
	"sched_switch",
	"task_newtask",
	"task_rename",
	"mm_page_free",
	"damon_aggregated",
]);

/** Of these, none is from Linux before 6.3: ksm's tracepoints. */
export const isKsmTracepoint = (name: string): boolean =>
	/^ksm_(start_scan|stop_scan|enter|exit|merge_one_page|merge_with_ksm_page|remove_)/.test(name);
