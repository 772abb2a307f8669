// What a capture records, and what each of it is for (model.md section 1, kernel.md section 7, formats.md sections 3 and 7). The importers know the
// names: those of kprobes from src/import/symbols.ts, those of bpftrace lines from src/import/bpftrace.ts.
import { type HostFacts, releaseNumber } from "./host.js";
import type { CapturePoint } from "./point.js";
import { SITE_POINTS } from "./sitepoints.js";

const RANGE =
	"mm=+{mmu_notifier_range.mm}($arg1):x64 start=+{mmu_notifier_range.start}($arg1):x64 end=+{mmu_notifier_range.end}($arg1):x64";
const BPF_RANGE = "mm=%llx start=%llx end=%llx | (uint64)$r->mm, $r->start, $r->end";
const RMAP = "mm=+{ksm_rmap_item.mm}($arg1):x64 addr=+{ksm_rmap_item.address}($arg1):x64";
const BPF_RMAP = "mm=%llx addr=%llx | (uint64)$i->mm, $i->address";
const FAULT =
	"addr=+{vm_fault.address}($arg1):x64 flags=+{vm_fault.flags}($arg1):x32 page=+{vm_fault.page}($arg1):x64 sub=+{mm_struct.notifier_subscriptions}(+{vm_area_struct.vm_mm}(+{vm_fault.vma}($arg1))):x64";
const BPF_FAULT = "mm=%llx addr=%llx flags=%x page=%llx | (uint64)$v->vma->vm_mm, $v->address, $v->flags, (uint64)$v->page";

const WITH_NOTIFIER = { field: "sub", bpf: "((struct vm_fault *)arg0)->vma->vm_mm->notifier_subscriptions != 0" };

/** In a bpf text: what to print | the values. `$r`, `$i`, `$v` are the first argument as mmu_notifier_range, ksm_rmap_item, vm_fault. */
const POINTS: readonly CapturePoint[] = [
	{
		kind: "tracepoint",
		event: "kvm/kvm_page_fault",
		bpf: "KVM_PF vcpu=%u rip=%llx gpa=%llx ec=%llx | args->vcpu_id, args->guest_rip, args->fault_address, args->error_code",
		need: "required",
		use: "one line a nested page fault: the vmexits that everything is about",
		without: "no vmexits: nothing to count",
	},
	{
		kind: "tracepoint",
		event: "kvmmmu/kvm_tdp_mmu_spte_changed",
		bpf: "KVM_SPTE as=%x gfn=%llx level=%d old=%llx new=%llx | args->as_id, args->gfn, args->level, args->old_spte, args->new_spte",
		need: "useful",
		use: "what each fault installed and each bracket zapped; tells retries from installs, SMM from normal faults, and which memslot a page is in",
		without: "SPTE counts cannot be checked, retries are told by repetition only, and memslots of running VMs can hardly be inferred",
		from: 5011,
	},
	{
		kind: "tracepoint",
		event: "kvm/kvm_unmap_hva_range",
		bpf: "KVM_UNMAP start=%llx end=%llx | args->start, args->end",
		need: "useful",
		use: "that KVM itself took part in a bracket, and when: tells wrapped and drop kernels from flag ones",
		without: "every notifier range is taken to reach KVM",
		from: 5013,
	},
	{
		kind: "tracepoint",
		event: "kvm/kvm_smm_transition",
		bpf: "KVM_SMM vcpu=%u | args->vcpu_id",
		need: "useful",
		use: "which address space a vCPU is in; only firmware uses the second one",
		without: "faults of firmware in SMM are told by their SPTEs only",
		from: 5019,
	},
	{
		kind: "entry",
		event: "mn_range_start",
		symbols: ["__mmu_notifier_invalidate_range_start"],
		fetch: `${RANGE} flags=+{mmu_notifier_range.flags}($arg1):x32 event=+{mmu_notifier_range.event}($arg1):u32`,
		bpf: "MN_START mm=%llx start=%llx end=%llx event=%d flags=%x | (uint64)$r->mm, $r->start, $r->end, $r->event, $r->flags",
		need: "required",
		use: "the begin of a bracket with its range, mm and reason; only mms with a notifier (VMs, devices) get here",
		without: "no brackets: KSM and COW operations cannot be told, strategies cannot be compared",
	},
	{
		kind: "entry",
		event: "mn_range_end",
		symbols: ["__mmu_notifier_invalidate_range_end"],
		fetch: `${RANGE} event=+{mmu_notifier_range.event}($arg1):u32`,
		bpf: `MN_END ${BPF_RANGE}`,
		need: "required",
		use: "its end: faults in between are stale and exit again",
		without: "brackets have no end: faults that race with one are not decidable",
	},
	{
		kind: "entry",
		event: "mn_change_pte",
		symbols: ["__mmu_notifier_change_pte"],
		fetch: "mm=$arg1:x64 addr=$arg2:x64 pte=$arg3:x64",
		bpf: "MN_CHANGE_PTE mm=%llx addr=%llx pte=%llx | arg0, arg1, arg2",
		need: "useful",
		use: "that the kernel still calls change_pte, and whether the new PTE is writable",
		without: "wrapped and drop kernels look alike",
		to: 6009,
	},
	{
		kind: "entry",
		event: "wp_page_copy",
		symbols: ["wp_page_copy"],
		fetch: FAULT,
		filter: WITH_NOTIFIER,
		bpf: `WP_COPY ${BPF_FAULT}`,
		need: "useful",
		use: "a COW copy, by whom and of which page: the COW breaks",
		without: "copies are told by do_wp_page with a bracket, and reuse is what has none",
	},
	{
		kind: "entry",
		event: "do_wp_page",
		symbols: ["do_wp_page"],
		fetch: FAULT,
		filter: WITH_NOTIFIER,
		bpf: `DO_WP ${BPF_FAULT}`,
		need: "useful",
		use: "in place of wp_page_copy where that is inlined: a write fault on a read-only page, copied or reused",
		without: "COW breaks are not told from other zaps",
		unless: "wp_page_copy",
	},
	{
		kind: "entry",
		event: "ksm_try_to_merge_with_ksm_page",
		symbols: ["try_to_merge_with_ksm_page"],
		fetch: `${RMAP} page=$arg2:x64 kpage=$arg3:x64`,
		bpf: "KSM_TRY mm=%llx addr=%llx page=%llx kpage=%llx | (uint64)$i->mm, $i->address, arg1, arg2",
		need: "useful",
		use: "the address and mm that ksmd is about to merge (the ksm tracepoints have neither); a merge without it is one into the zero page",
		without: "merges into the zero page are not told from others",
	},
	{
		kind: "return",
		event: "ksm_try_to_merge_with_ksm_page_ret",
		symbols: ["try_to_merge_with_ksm_page"],
		fetch: "ret=$retval:s32",
		bpf: "KSM_MERGED err=%d | (int32)retval",
		need: "useful",
		use: "whether it merged, where try_to_merge_one_page is inlined",
		without: "a failed merge is not told from one that worked",
		unless: "ksm_try_to_merge_one_page_ret",
	},
	{
		kind: "entry",
		event: "ksm_try_to_merge_one_page",
		symbols: ["try_to_merge_one_page"],
		fetch: "page=$arg2:x64 kpage=$arg3:x64",
		bpf: "KSM_ONE page=%llx kpage=%llx | arg1, arg2",
		need: "useful",
		use: "which of ksmd's brackets write-protects and which replaces, and with what page",
		without: "it is taken from try_to_merge_with_ksm_page",
	},
	{
		kind: "return",
		event: "ksm_try_to_merge_one_page_ret",
		symbols: ["try_to_merge_one_page"],
		fetch: "ret=$retval:s32",
		bpf: "KSM_ONE_RET err=%d | (int32)retval",
		need: "useful",
		use: "whether the merge worked: only 0 is one",
		without: "a failed merge is not told from one that worked",
	},
	{
		kind: "entry",
		event: "ksm_stable_tree_append",
		symbols: ["stable_tree_append"],
		fetch: RMAP,
		bpf: `KSM_APPEND ${BPF_RMAP}`,
		need: "useful",
		use: "that the page entered the stable tree: the count of merges",
		without: "merges that were undone at once are counted",
	},
	{
		kind: "entry",
		event: "ksm_break_ksm",
		symbols: ["break_ksm"],
		fetch: "addr=$arg2:x64",
		bpf: "KSM_BREAK_KSM addr=%llx | arg1",
		need: "useful",
		use: "an unmerge by the kernel (MADV_UNMERGEABLE, run=2): since 6.2 a copy that stays read-only",
		without: "unmerges are taken for COW breaks",
	},
	{
		kind: "entry",
		event: "kvm_set_memory_region",
		symbols: ["__kvm_set_memory_region", "kvm_set_memory_region"],
		fetch: "kvm=$arg1:x64 slot=+0($arg2):x32 flags=+4($arg2):x32 gpa=+8($arg2):x64 size=+16($arg2):x64 hva=+24($arg2):x64",
		bpf: "KVM_MEMSLOT kvm=%llx slot=%x flags=%x gpa=%llx size=%llx hva=%llx | arg0, *(uint32 *)arg1, *(uint32 *)(arg1 + 4), *(uint64 *)(arg1 + 8), *(uint64 *)(arg1 + 16), *(uint64 *)(arg1 + 24)",
		need: "useful",
		use: "memslots of VMs that start while the capture runs: which guest page is which page of the host",
		without: "memslots are inferred from zaps and faults, or given by hand (--memslots)",
	},
	{
		kind: "entry",
		event: "mn_register",
		symbols: ["__mmu_notifier_register"],
		fetch: "sub=$arg1:x64 mm=$arg2:x64",
		bpf: "MN_REGISTER mm=%llx | arg1",
		need: "useful",
		use: "which mm is which VM's, for VMs that start while the capture runs",
		without: "VM and mm are matched by tasks and ranges",
	},
	{
		kind: "entry",
		event: "kvm_flush_remote_tlbs",
		symbols: ["kvm_flush_remote_tlbs"],
		fetch: "kvm=$arg1:x64",
		bpf: "KVM_FLUSH kvm=%llx | arg0",
		need: "useful",
		use: "each flush of a VM's TLBs: the price of keeping mappings",
		without: "flushes are predicted and cannot be checked",
	},
];

/** A point as it can be recorded here; a probe with its symbol. */
export interface Placed {
	readonly point: CapturePoint;
	readonly symbol: string | null;
}

interface Missed {
	readonly point: CapturePoint;
	readonly why: string;
}

export interface Placement {
	readonly placed: readonly Placed[];
	readonly missed: readonly Missed[];
}

function expected(point: CapturePoint, release: number): boolean {
	return release === 0 || (release >= (point.from ?? 0) && release <= (point.to ?? Number.POSITIVE_INFINITY));
}

/** The compiler's variants have other arguments than the source: `f.isra.0`, `f.constprop.0`. */
function absence(symbols: ReadonlySet<string>, names: readonly string[]): string {
	const [name = ""] = names;
	const variant = [...symbols].find((symbol) => names.some((each) => symbol.startsWith(`${each}.`)));
	return variant === undefined
		? `${name} is inlined in this kernel`
		: `this kernel has only ${variant}, whose arguments are not the source's`;
}

/** Which points can be recorded. `kprobes`: whether probes may be placed; `why` says why not. */
export function place(facts: HostFacts, kprobes: { readonly allowed: boolean; readonly why: string }): Placement {
	const placed: Placed[] = [];
	const missed: Missed[] = [];
	const release = releaseNumber(facts.release);
	const { symbols } = facts;
	for (const point of [...POINTS, ...SITE_POINTS]) {
		if (!expected(point, release)) continue;
		if (point.unless !== undefined && placed.some((other) => other.point.event === point.unless)) continue;
		if (point.kind === "tracepoint") {
			const name = point.event.split("/")[1] ?? "";
			if (symbols === undefined || symbols.has(`__tracepoint_${name}`)) placed.push({ point, symbol: null });
			else missed.push({ point, why: "this kernel has no such tracepoint" });
			continue;
		}
		const symbol = symbols === undefined ? point.symbols[0] : point.symbols.find((name) => symbols.has(name));
		if (!kprobes.allowed) missed.push({ point, why: kprobes.why });
		else if (symbol !== undefined) placed.push({ point, symbol });
		else if (symbols !== undefined) missed.push({ point, why: absence(symbols, point.symbols) });
	}
	return { placed, missed };
}
