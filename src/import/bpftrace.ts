// Output of our bpftrace recipe, as text and as JSON (formats.md 3): "M ns cpu tgid tid comm EVENT k=v …", numbers in hex without 0x except
// where BPF_EVENTS says. The kernel's own loss notes are in both.
import type { TextLine } from "./textsource.js";

interface BpfEvent {
	/** The tracepoint, or the probed function with `__return` where it is one's return. */
	readonly name: string;
	readonly decimal: readonly string[];
	readonly renamed: Readonly<Record<string, string>>;
}

const bpf = (name: string, decimal: readonly string[] = [], renamed: Readonly<Record<string, string>> = {}): BpfEvent => ({
	name,
	decimal,
	renamed,
});

/** Events of the recipe, by the name in their lines. */
export const BPF_EVENTS: Readonly<Record<string, BpfEvent>> = {
	KVM_PF: bpf("kvm_page_fault", ["vcpu"], { vcpu: "vcpu_id", rip: "guest_rip", gpa: "fault_address", ec: "error_code" }),
	KVM_UNMAP: bpf("kvm_unmap_hva_range"),
	KVM_SPTE: bpf("kvm_tdp_mmu_spte_changed", ["level", "as_id"], { old: "old_spte", new: "new_spte", as: "as_id" }),
	KVM_MMIO_SPTE: bpf("mark_mmio_spte"),
	KVM_EXIT: bpf("kvm_exit"),
	KVM_SMM: bpf("kvm_smm_transition", ["vcpu"]),
	KVM_FLUSH: bpf("kvm_flush_remote_tlbs"),
	KVM_MEMSLOT: bpf("__kvm_set_memory_region"),
	MN_START: bpf("__mmu_notifier_invalidate_range_start", ["event"]),
	MN_END: bpf("__mmu_notifier_invalidate_range_end", ["event"]),
	MN_CHANGE_PTE: bpf("__mmu_notifier_change_pte"),
	MN_REGISTER: bpf("__mmu_notifier_register"),
	WP_COPY: bpf("wp_page_copy"),
	WP_COPY_RET: bpf("wp_page_copy__return"),
	DO_WP: bpf("do_wp_page"),
	MM_FAULT: bpf("handle_mm_fault"),
	KSM_TRY: bpf("try_to_merge_with_ksm_page"),
	KSM_MERGED: bpf("try_to_merge_with_ksm_page__return", ["err"]),
	KSM_ONE: bpf("try_to_merge_one_page"),
	KSM_ONE_RET: bpf("try_to_merge_one_page__return", ["err"]),
	KSM_APPEND: bpf("stable_tree_append"),
	KSM_BREAK: bpf("break_cow"),
	KSM_BREAK_KSM: bpf("break_ksm"),
	UPROBE: bpf("uprobe_write_opcode"),
	UPROBE_RET: bpf("uprobe_write_opcode__return", ["err"]),
	MOVE: bpf("move_page_tables"),
	MKCLEAN: bpf("folio_mkclean"),
	MKCLEAN_RET: bpf("folio_mkclean__return"),
	PROT_NUMA: bpf("change_prot_numa"),
	PROT_NUMA_RET: bpf("change_prot_numa__return"),
	UFFD_WP: bpf("mwriteprotect_range"),
	UFFD_WP_RET: bpf("mwriteprotect_range__return"),
	HUGE_WP: bpf("do_huge_pmd_wp_page"),
	HUGE_WP_RET: bpf("do_huge_pmd_wp_page__return"),
	HUGE_COPY: bpf("copy_user_huge_page"),
	COLLAPSE: bpf("collapse_huge_page"),
	COLLAPSE_RET: bpf("collapse_huge_page__return"),
	COLLAPSED: bpf("mm_collapse_huge_page", ["status"]),
	UNMAP_ONE: bpf("try_to_unmap_one"),
	MIGRATE_ONE: bpf("try_to_migrate_one"),
	MIGRATION_SET: bpf("set_migration_pte"),
	MIGRATION_GONE: bpf("remove_migration_pte"),
	MIGRATED: bpf("mm_migrate_pages", ["succeeded"]),
	VMA_SETUP: bpf("migrate_vma_setup"),
	VMA_SETUP_RET: bpf("migrate_vma_setup__return"),
	VMA_PAGES: bpf("migrate_vma_pages"),
	VMA_PAGES_RET: bpf("migrate_vma_pages__return"),
	VMA_FINALIZE: bpf("migrate_vma_finalize"),
	RECLAIM: bpf("mm_vmscan_direct_reclaim_begin"),
	RECLAIM_END: bpf("mm_vmscan_direct_reclaim_end"),
	AGE_FLUSH: bpf("__mmu_notifier_clear_flush_young"),
	AGE_CLEAR: bpf("__mmu_notifier_clear_young"),
	AGE_TEST: bpf("__mmu_notifier_test_young"),
	KVM_AGE: bpf("kvm_age_hva"),
	KVM_TEST_AGE: bpf("kvm_test_age_hva"),
	KVM_ZAP_ALL: bpf("kvm_mmu_zap_all_fast"),
	KVM_DIRTY: bpf("kvm_arch_mmu_enable_log_dirty_pt_masked"),
	PIN: bpf("pin_user_pages_fast"),
	PIN_RET: bpf("pin_user_pages_fast__return", ["ret"]),
	UNPIN: bpf("unpin_user_pages"),
	PF_USER: bpf("page_fault_user", [], { ec: "error_code" }),
};

// comm may hold spaces: the event is the first word in capitals of which everything behind it is k=v.
const LINE = /^M (\d+) (\d+) (-?\d+) (\d+) (.*?) ([A-Z][A-Z0-9_]*)((?: \w+=\S*)*)\s*$/;
const MARK = /^P (\d+) (.*)$/;
const HEADER = /^# mmtrace (\d+) clock=(\w+)/;
const NOISE = /^(Attaching \d+ probes?\.\.\.|Attached \d+ probes?|@.*|)$/;
const LOST = /^(?:WARNING: )?Lost (\d+) events/i;

function rewritten(event: BpfEvent, text: string): string {
	if (text === "") return text;
	return text
		.trim()
		.split(" ")
		.map((pair) => {
			const equals = pair.indexOf("=");
			const key = pair.slice(0, equals);
			const value = pair.slice(equals + 1);
			const hex = event.decimal.includes(key) || value.startsWith("0x") || value === "" ? value : `0x${value}`;
			return `${event.renamed[key] ?? key}=${hex}`;
		})
		.join(" ");
}

export function parseBpftraceLine(line: string): TextLine {
	const match = LINE.exec(line);
	if (match === null) {
		const mark = MARK.exec(line);
		if (mark !== null) {
			const event = { comm: "", pid: 0, tgid: -1, cpu: 0, ns: Number(mark[1]), name: "tracing_mark_write", text: mark[2] ?? "" };
			return { kind: "event", event };
		}
		const header = HEADER.exec(line);
		if (header !== null) return { kind: "clock", clock: header[2] === "monotonic" ? "mono" : (header[2] ?? "") };
		const lost = LOST.exec(line);
		if (lost !== null) return { kind: "lost", cpu: 0, events: Number(lost[1]) };
		const kernel = /^# kernel (\S+)/.exec(line);
		if (kernel !== null) return { kind: "kernel", release: kernel[1] ?? "" };
		return NOISE.test(line) || line.startsWith("#") ? { kind: "comment" } : { kind: "foreign" };
	}
	const [, ns, cpu, tgid, pid, comm = "", name = "", text = ""] = match;
	const known = BPF_EVENTS[name];
	return {
		kind: "event",
		event: {
			comm,
			pid: Number(pid),
			tgid: Number(tgid),
			cpu: Number(cpu),
			ns: Number(ns),
			name: known?.name ?? name,
			text: known === undefined ? text : rewritten(known, text),
		},
	};
}

/** One object of `bpftrace -f json`: what it prints as lines of text, or what it says of losses. undefined: no such object. */
export function parseBpftraceJson(line: string): { readonly text: string } | { readonly lost: number } | undefined {
	let object: unknown;
	try {
		object = JSON.parse(line);
	} catch {
		return undefined;
	}
	if (typeof object !== "object" || object === null || !("type" in object)) return undefined;
	const data: unknown = "data" in object ? object.data : undefined;
	if (object.type === "printf" && typeof data === "string") return { text: data };
	if (object.type === "lost_events" && typeof data === "object" && data !== null && "events" in data && typeof data.events === "number")
		return { lost: data.events };
	return { text: "" };
}
