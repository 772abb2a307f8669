// One event of a capture in the tracker's grammar, as numbers: what every format becomes. Readers fill the same object again and again; who keeps
// an event keeps a copy. Which values an event has and how each is printed: SHAPES.
import { field, type TracefsEvent, word } from "./tracefs.js";

/** How a value is printed. wide: 64 bits that no number holds, as two words. copyTarget: a page that a copy may go to (mm_page_alloc). */
type ValueKind = "hex" | "decimal" | "wide" | "copyTarget";

interface EventValue {
	readonly key: string;
	readonly at: number;
	readonly kind: ValueKind;
}

export interface EventShape {
	readonly code: number;
	/** fields: `key=value`, as probes print them. words: `key value`, as most tracepoints do. */
	readonly style: "fields" | "words";
	readonly values: readonly EventValue[];
	/** Its text is kept. */
	readonly text: boolean;
}

/** Places of the values in KernelEvent.v; a 64-bit one of an SPTE takes two. */
export const Fault = { vcpu: 0, rip: 1, address: 2, errorCode: 3 } as const;
export const Spte = { as: 0, gfn: 1, level: 2, oldLow: 3, oldHigh: 4, newLow: 5, newHigh: 6 } as const;
export const Range = { mm: 0, start: 1, end: 2, flags: 3, event: 4 } as const;
export const ChangePte = { addr: 0, pteLow: 1 } as const;
/** wp_page_copy, do_wp_page, handle_mm_fault. */
export const MmFault = { mm: 0, addr: 1, flags: 2, page: 3 } as const;
export const Merge = { page: 0, kpage: 1, mm: 2, addr: 3 } as const;
export const Memslot = { kvm: 0, slot: 1, flags: 2, gpa: 3, size: 4, hva: 5 } as const;
export const HostFault = { address: 0, errorCode: 1 } as const;
/** try_to_unmap_one, try_to_migrate_one. */
export const Unmap = { addr: 0, flags: 1 } as const;
export const Move = { addr: 0, to: 1 } as const;
/** The notifiers' ageing callbacks; KVM's tracepoints of them have no mm. */
export const Age = { mm: 0, start: 1, end: 2 } as const;
export const KvmAge = { start: 0, end: 1 } as const;
export const DirtyLog = { kvm: 0, slot: 1, as: 2, offset: 3, maskLow: 4, maskHigh: 5 } as const;
export const Pin = { addr: 0, pages: 1, flags: 2, array: 3 } as const;
export const Unpin = { array: 0, pages: 1 } as const;
/** Of events with one value. */
export const FIRST = 0;

/** Places of values that an event has at most. */
export const VALUES = 8;

const hexes = (...keys: readonly string[]): EventValue[] => keys.map((key, at) => ({ key, at, kind: "hex" }));
const RET: readonly EventValue[] = [{ key: "ret", at: FIRST, kind: "decimal" }];
const RANGE: readonly EventValue[] = [...hexes("mm", "start", "end", "flags"), { key: "event", at: Range.event, kind: "decimal" }];
const MERGE = hexes("page", "kpage", "mm", "addr");
const MM_FAULT = hexes("mm", "addr", "flags", "page");
const AGED = hexes("mm", "start", "end");

const TABLE: readonly (readonly [name: string, style: "fields" | "words", values: readonly EventValue[]])[] = [
	[
		"kvm_page_fault",
		"words",
		[
			{ key: "vcpu", at: Fault.vcpu, kind: "decimal" },
			{ key: "rip", at: Fault.rip, kind: "hex" },
			{ key: "address", at: Fault.address, kind: "hex" },
			{ key: "error_code", at: Fault.errorCode, kind: "hex" },
		],
	],
	[
		"kvm_tdp_mmu_spte_changed",
		"words",
		[
			{ key: "as id", at: Spte.as, kind: "decimal" },
			{ key: "gfn", at: Spte.gfn, kind: "hex" },
			{ key: "level", at: Spte.level, kind: "decimal" },
			{ key: "old_spte", at: Spte.oldLow, kind: "wide" },
			{ key: "new_spte", at: Spte.newLow, kind: "wide" },
		],
	],
	["mn_range_start", "fields", RANGE],
	["mn_range_end", "fields", RANGE],
	["kvm_unmap_hva_range", "fields", []],
	[
		"mn_change_pte",
		"fields",
		[
			{ key: "addr", at: ChangePte.addr, kind: "hex" },
			{ key: "pte", at: ChangePte.pteLow, kind: "wide" },
		],
	],
	["wp_page_copy", "fields", MM_FAULT],
	["wp_page_copy_ret", "fields", []],
	["do_wp_page", "fields", MM_FAULT],
	["handle_mm_fault", "fields", MM_FAULT],
	["ksm_try_to_merge_with_ksm_page", "fields", MERGE],
	["ksm_try_to_merge_with_ksm_page_ret", "fields", RET],
	["ksm_try_to_merge_one_page", "fields", MERGE],
	["ksm_try_to_merge_one_page_ret", "fields", RET],
	["ksm_stable_tree_append", "fields", MERGE],
	["ksm_break_ksm", "fields", MERGE],
	["kvm_flush_remote_tlbs", "fields", []],
	["page_fault_user", "fields", hexes("address", "error_code")],
	["kvm_establish_ret", "fields", RET],
	["kvm_set_memory_region", "fields", hexes("kvm", "slot", "flags", "gpa", "size", "hva")],
	["mn_register", "fields", hexes("mm")],
	["kvm_exit", "fields", []],
	["kvm_pio", "fields", []],
	["kvm_entry", "fields", []],
	["mark_mmio_spte", "words", hexes("gfn")],
	["ksm_merge_with_ksm_page", "words", [{ key: "error", at: FIRST, kind: "decimal" }]],
	["ksm_merge_one_page", "words", [{ key: "error", at: FIRST, kind: "decimal" }]],
	["mm_page_alloc", "fields", [{ key: "", at: FIRST, kind: "copyTarget" }]],
	["uprobe_write_opcode", "fields", hexes("addr")],
	["uprobe_write_opcode_ret", "fields", RET],
	["move_page_tables", "fields", hexes("addr", "to")],
	["page_mkclean", "fields", []],
	["page_mkclean_ret", "fields", []],
	["change_prot_numa", "fields", []],
	["change_prot_numa_ret", "fields", []],
	["uffd_wp_range", "fields", hexes("enable")],
	["uffd_wp_range_ret", "fields", []],
	["do_huge_pmd_wp_page", "fields", []],
	["do_huge_pmd_wp_page_ret", "fields", []],
	["copy_huge_page", "fields", []],
	["collapse_huge_page", "fields", hexes("addr")],
	["collapse_huge_page_ret", "fields", []],
	["try_to_unmap_one", "fields", hexes("addr", "flags")],
	["try_to_unmap_one_ret", "fields", RET],
	["try_to_migrate_one", "fields", hexes("addr", "flags")],
	["try_to_migrate_one_ret", "fields", []],
	["migrate_vma_setup", "fields", []],
	["migrate_vma_setup_ret", "fields", []],
	["migrate_vma_pages", "fields", []],
	["migrate_vma_pages_ret", "fields", []],
	["migrate_vma_finalize", "fields", []],
	["mm_collapse_huge_page", "fields", [{ key: "succeeded", at: FIRST, kind: "decimal" }]],
	["set_migration_pte", "fields", hexes("addr")],
	["remove_migration_pte", "fields", hexes("addr")],
	["set_migration_pmd", "fields", hexes("addr")],
	["remove_migration_pmd", "fields", hexes("addr")],
	["mm_migrate_pages", "fields", [{ key: "succeeded", at: FIRST, kind: "decimal" }]],
	["mm_vmscan_reclaim_begin", "fields", []],
	["mm_vmscan_reclaim_end", "fields", []],
	["kvm_age_hva", "fields", hexes("start", "end")],
	["kvm_test_age_hva", "fields", hexes("start", "end")],
	["kvm_age_page", "fields", hexes("start", "end")],
	["mn_clear_flush_young", "fields", AGED],
	["mn_clear_young", "fields", AGED],
	["mn_test_young", "fields", AGED],
	["kvm_mmu_zap_all_fast", "fields", []],
	["kvm_dirty_log_masked", "fields", [...hexes("kvm", "slot", "as", "offset"), { key: "mask", at: DirtyLog.maskLow, kind: "wide" }]],
	["pin_user_pages", "fields", hexes("addr", "pages", "flags", "array")],
	["pin_user_pages_ret", "fields", RET],
	["unpin_user_pages", "fields", hexes("array", "pages")],
	["tracing_mark_write", "fields", []],
	["kvm_unmap_gfn_range", "fields", []],
	["kvm_set_spte_gfn", "fields", []],
];

export const SHAPES: ReadonlyMap<string, EventShape> = new Map(
	TABLE.map(([name, style, values], code) => [name, { code, style, values, text: name === "tracing_mark_write" }]),
);

/** How many events the tracker's grammar has, and that which says nothing there. */
export const CODES = TABLE.length + 1;
const SILENT = TABLE.length;

/** Names of the events in the tracker's grammar, by their codes. */
export const NAMES: readonly string[] = TABLE.map(([name]) => name);

/** How many places of KernelEvent.v the values of an event take, by its code. */
export const WIDTHS = Uint8Array.from({ length: CODES }, (_, code) =>
	Math.max(0, ...(TABLE[code]?.[2] ?? []).map(({ at, kind }) => at + (kind === "wide" ? 2 : 1))),
);

const codeOf = (name: string): number => SHAPES.get(name)?.code ?? SILENT;

/** Codes by name. */
export const Code = {
	pageFault: codeOf("kvm_page_fault"),
	spteChanged: codeOf("kvm_tdp_mmu_spte_changed"),
	rangeStart: codeOf("mn_range_start"),
	rangeEnd: codeOf("mn_range_end"),
	unmapHvaRange: codeOf("kvm_unmap_hva_range"),
	changePte: codeOf("mn_change_pte"),
	copy: codeOf("wp_page_copy"),
	copyReturn: codeOf("wp_page_copy_ret"),
	doWpPage: codeOf("do_wp_page"),
	handleMmFault: codeOf("handle_mm_fault"),
	mergeWithKsmPage: codeOf("ksm_try_to_merge_with_ksm_page"),
	mergeWithKsmPageReturn: codeOf("ksm_try_to_merge_with_ksm_page_ret"),
	mergeOnePage: codeOf("ksm_try_to_merge_one_page"),
	mergeOnePageReturn: codeOf("ksm_try_to_merge_one_page_ret"),
	stableTreeAppend: codeOf("ksm_stable_tree_append"),
	breakKsm: codeOf("ksm_break_ksm"),
	flush: codeOf("kvm_flush_remote_tlbs"),
	hostFault: codeOf("page_fault_user"),
	establishReturn: codeOf("kvm_establish_ret"),
	memslot: codeOf("kvm_set_memory_region"),
	register: codeOf("mn_register"),
	exit: codeOf("kvm_exit"),
	pio: codeOf("kvm_pio"),
	entry: codeOf("kvm_entry"),
	mmioSpte: codeOf("mark_mmio_spte"),
	mergeTracepoint: codeOf("ksm_merge_with_ksm_page"),
	mergeOneTracepoint: codeOf("ksm_merge_one_page"),
	pageAlloc: codeOf("mm_page_alloc"),
	uprobe: codeOf("uprobe_write_opcode"),
	uprobeReturn: codeOf("uprobe_write_opcode_ret"),
	movePageTables: codeOf("move_page_tables"),
	mkclean: codeOf("page_mkclean"),
	mkcleanReturn: codeOf("page_mkclean_ret"),
	protNuma: codeOf("change_prot_numa"),
	protNumaReturn: codeOf("change_prot_numa_ret"),
	uffdWp: codeOf("uffd_wp_range"),
	uffdWpReturn: codeOf("uffd_wp_range_ret"),
	hugeWp: codeOf("do_huge_pmd_wp_page"),
	hugeWpReturn: codeOf("do_huge_pmd_wp_page_ret"),
	copyHuge: codeOf("copy_huge_page"),
	collapse: codeOf("collapse_huge_page"),
	collapseReturn: codeOf("collapse_huge_page_ret"),
	unmapOne: codeOf("try_to_unmap_one"),
	unmapOneReturn: codeOf("try_to_unmap_one_ret"),
	migrateOne: codeOf("try_to_migrate_one"),
	migrateOneReturn: codeOf("try_to_migrate_one_ret"),
	migrateVmaSetup: codeOf("migrate_vma_setup"),
	migrateVmaSetupReturn: codeOf("migrate_vma_setup_ret"),
	migrateVmaPages: codeOf("migrate_vma_pages"),
	migrateVmaPagesReturn: codeOf("migrate_vma_pages_ret"),
	migrateVmaFinalize: codeOf("migrate_vma_finalize"),
	collapsed: codeOf("mm_collapse_huge_page"),
	setMigration: codeOf("set_migration_pte"),
	removeMigration: codeOf("remove_migration_pte"),
	setHugeMigration: codeOf("set_migration_pmd"),
	removeHugeMigration: codeOf("remove_migration_pmd"),
	migratedPages: codeOf("mm_migrate_pages"),
	reclaimBegin: codeOf("mm_vmscan_reclaim_begin"),
	reclaimEnd: codeOf("mm_vmscan_reclaim_end"),
	kvmAge: codeOf("kvm_age_hva"),
	kvmTestAge: codeOf("kvm_test_age_hva"),
	kvmAgePage: codeOf("kvm_age_page"),
	clearFlushYoung: codeOf("mn_clear_flush_young"),
	clearYoung: codeOf("mn_clear_young"),
	testYoung: codeOf("mn_test_young"),
	zapAll: codeOf("kvm_mmu_zap_all_fast"),
	dirtyLog: codeOf("kvm_dirty_log_masked"),
	pin: codeOf("pin_user_pages"),
	pinReturn: codeOf("pin_user_pages_ret"),
	unpin: codeOf("unpin_user_pages"),
	mark: codeOf("tracing_mark_write"),
	unmapGfnRange: codeOf("kvm_unmap_gfn_range"),
	setSpteGfn: codeOf("kvm_set_spte_gfn"),
	silent: SILENT,
} as const;

/** A page of the user's that a copy goes to: order 0, movable. */
const COPY_TARGET = /\border=0\b.*(migratetype=1\b|MOVABLE)/;

export class KernelEvent {
	code: number = SILENT;
	ns = 0;
	pid = 0;
	tgid = -1;
	comm = "";
	/** Values by the constants above; NaN where the event does not have one. Addresses as signed 64-bit numbers, so that kernel pointers are exact. */
	readonly v = new Float64Array(VALUES);
	/** What a mark says. */
	text = "";

	copy(): KernelEvent {
		return new KernelEvent().set(this);
	}

	set(other: KernelEvent): this {
		this.code = other.code;
		this.ns = other.ns;
		this.pid = other.pid;
		this.tgid = other.tgid;
		this.comm = other.comm;
		this.v.set(other.v);
		this.text = other.text;
		return this;
	}

	/** From an event in the tracker's words. */
	read({ name, text, ns, pid, tgid, comm }: TracefsEvent): void {
		const shape = SHAPES.get(name);
		this.code = shape?.code ?? SILENT;
		this.ns = ns;
		this.pid = pid;
		this.tgid = tgid;
		this.comm = comm;
		this.text = shape?.text === true ? text : "";
		this.v.fill(Number.NaN);
		if (shape === undefined) return;
		for (const value of shape.values) {
			const given = textOf(text, shape.style, value.key);
			if (value.kind === "hex") this.v[value.at] = hexNumber(given);
			else if (value.kind === "decimal") this.v[value.at] = given === undefined ? Number.NaN : Number(given);
			else if (value.kind === "copyTarget") this.v[value.at] = COPY_TARGET.test(text) ? 1 : 0;
			else if (given !== undefined) {
				const bits = wideNumber(given);
				this.v[value.at] = Number(bits & 0xffff_ffffn);
				this.v[value.at + 1] = Number(bits >> 32n);
			}
		}
	}
}

function textOf(text: string, style: "fields" | "words", key: string): string | undefined {
	if (style === "fields") return field(text, key);
	return word(text, key) ?? (key === "as id" ? word(text, "id") : key === "gfn" ? field(text, key) : undefined);
}

const HEX = /^(?:0x)?[0-9a-fA-F]+$/;

const digitsOf = (text: string): string => (text.startsWith("0x") ? text.slice(2) : text);

function wideNumber(text: string): bigint {
	return HEX.test(text) ? BigInt.asUintN(64, BigInt(`0x${digitsOf(text)}`)) : 0n;
}

/** A hexadecimal number with or without 0x, signed as 64 bits; NaN where it is missing or none, as in "(fault)". */
export function hexNumber(text: string | undefined): number {
	if (text === undefined || !HEX.test(text)) return Number.NaN;
	const digits = digitsOf(text);
	if (digits.length <= 12) return Number.parseInt(digits, 16);
	return Number(BigInt.asIntN(64, BigInt(`0x${digits}`)));
}

/** As the probes print it. */
export const hexText = (value: number): string => `0x${(value < 0 ? BigInt.asUintN(64, BigInt(value)) : value).toString(16)}`;

/** Events in a batch of a source: each is lent for the time of the visit. */
export interface EventBatch {
	each(visit: (event: KernelEvent) => void): void;
}
