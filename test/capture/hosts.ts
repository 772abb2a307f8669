// Hosts that are not here: what a probe of each would find.
import type { HostProbe } from "../../src/capture/probe.js";

export interface FakeHost {
	readonly files?: Readonly<Record<string, string | Uint8Array>>;
	readonly folders?: Readonly<Record<string, readonly string[]>>;
	readonly tools?: Readonly<Record<string, string>>;
	readonly uid?: number;
	readonly platform?: string;
}

export function fakeProbe({ files = {}, folders = {}, tools = {}, uid = 0, platform = "linux" }: FakeHost): HostProbe {
	const file = (path: string): string | Uint8Array | undefined => (Object.hasOwn(files, path) ? files[path] : undefined);
	return {
		platform,
		uid,
		text: (path) => {
			const found = file(path);
			return found === undefined || typeof found === "string" ? found : Buffer.from(found).toString("utf8");
		},
		bytes: (path) => {
			const found = file(path);
			return typeof found === "string" ? Buffer.from(found) : found;
		},
		names: (path) => folders[path],
		exists: (path) => file(path) !== undefined || Object.keys(files).some((name) => name.startsWith(`${path}/`)) || path in folders,
		version: (tool) => tools[tool],
	};
}

/** A struct for `btf`: its members with their offsets; a member that is a list is an unnamed struct within. */
export interface FakeStruct {
	readonly name: string;
	readonly members: readonly (readonly [name: string, offset: number] | readonly [within: FakeStruct, offset: number])[];
}

/** Type data with these structs and nothing else. */
export function btf(structs: readonly FakeStruct[]): Uint8Array {
	const strings = [""];
	const offsets = new Map<string, number>([["", 0]]);
	let length = 1;
	const string = (text: string): number => {
		const known = offsets.get(text);
		if (known !== undefined) return known;
		const at = length;
		offsets.set(text, at);
		strings.push(text);
		length += Buffer.byteLength(text) + 1;
		return at;
	};
	const types: number[] = [];
	let ids = 1;
	const INT = 1;
	const word = (...values: number[]): void => void types.push(...values);
	word(string("int"), (INT << 24) >>> 0, 4, 32);
	const add = (struct: FakeStruct): number => {
		const members = struct.members.map(([member, offset]) =>
			typeof member === "string" ? { name: member, type: 1, offset } : { name: "", type: add(member), offset },
		);
		word(string(struct.name), ((4 << 24) | members.length) >>> 0, 256);
		for (const { name, type, offset } of members) word(string(name), type, offset * 8);
		return ++ids;
	};
	for (const struct of structs) add(struct);
	const text = Buffer.from(strings.map((each) => `${each}\0`).join(""));
	const header = Buffer.alloc(24);
	header.writeUInt16LE(0xeb9f, 0);
	header[2] = 1;
	header.writeUInt32LE(24, 4);
	header.writeUInt32LE(0, 8);
	header.writeUInt32LE(types.length * 4, 12);
	header.writeUInt32LE(types.length * 4, 16);
	header.writeUInt32LE(text.length, 20);
	return Buffer.concat([header, Buffer.from(new Uint32Array(types).buffer), text]);
}

/** Functions and tracepoints that tell of more than KSM and COW (src/capture/sitepoints.ts). */
const SITES = [
	"try_to_unmap_one",
	"try_to_migrate_one",
	"change_prot_numa",
	"mwriteprotect_range",
	"folio_mkclean",
	"uprobe_write_opcode",
	"move_page_tables",
	"collapse_huge_page",
	"migrate_vma_setup",
	"migrate_vma_pages",
	"migrate_vma_finalize",
	"__mmu_notifier_clear_flush_young",
	"__mmu_notifier_clear_young",
	"__mmu_notifier_test_young",
	"pin_user_pages_fast",
	"unpin_user_pages",
	"__tracepoint_mm_vmscan_direct_reclaim_begin",
	"__tracepoint_mm_vmscan_direct_reclaim_end",
	"__tracepoint_set_migration_pte",
	"__tracepoint_remove_migration_pte",
	"__tracepoint_mm_migrate_pages",
	"__tracepoint_mm_collapse_huge_page",
	"__tracepoint_kvm_age_hva",
	"__tracepoint_kvm_test_age_hva",
	"__tracepoint_kvm_mmu_zap_all_fast",
	"kvm_arch_mmu_enable_log_dirty_pt_masked",
];
const SYMBOLS = [
	"__mmu_notifier_invalidate_range_start",
	"__mmu_notifier_invalidate_range_end",
	"__mmu_notifier_register",
	"do_wp_page",
	"try_to_merge_with_ksm_page",
	"try_to_merge_one_page",
	"stable_tree_append",
	"break_ksm",
];
const KVM_SYMBOLS = [
	"__kvm_set_memory_region",
	"kvm_flush_remote_tlbs",
	"__tracepoint_kvm_page_fault",
	"__tracepoint_kvm_tdp_mmu_spte_changed",
	"__tracepoint_kvm_unmap_hva_range",
	"__tracepoint_kvm_smm_transition",
];

export const kallsyms = (symbols: readonly string[], kvm = KVM_SYMBOLS): string =>
	[...symbols.map((name) => `0000000000000000 t ${name}`), ...kvm.map((name) => `0000000000000000 t ${name}\t[kvm]`)].join("\n");

const FAULT: FakeStruct = {
	name: "vm_fault",
	members: [
		[
			{
				name: "",
				members: [
					["vma", 0],
					["address", 24],
				],
			},
			0,
		],
		["flags", 40],
		["page", 80],
	],
};
const COMMON: readonly FakeStruct[] = [
	FAULT,
	{ name: "vm_area_struct", members: [["vm_mm", 16]] },
	{ name: "mm_struct", members: [["notifier_subscriptions", 952]] },
	{
		name: "ksm_rmap_item",
		members: [
			["mm", 16],
			["address", 24],
		],
	},
];

const KSM_ON = { "/sys/kernel/mm/ksm/run": "1\n", "/sys/kernel/mm/ksm/pages_sharing": "1234\n" };
const TRACEFS = {
	"/proc/mounts": "sysfs /sys sysfs rw 0 0\ntracefs /sys/kernel/tracing tracefs rw 0 0\n",
	"/sys/kernel/tracing/kprobe_events": "",
};
const ALL_TOOLS = { bpftrace: "bpftrace v0.20.2", "trace-cmd": "trace-cmd version 3.2", perf: "perf version 6.12" };

/** Debian 12 with everything. */
export const DEBIAN_12: FakeHost = {
	files: {
		"/proc/sys/kernel/osrelease": "6.1.0-50-amd64\n",
		"/proc/kallsyms": kallsyms([...SYMBOLS, ...SITES, "wp_page_copy", "__mmu_notifier_change_pte"]),
		"/sys/kernel/security/lockdown": "[none] integrity confidentiality\n",
		"/sys/kernel/btf/vmlinux": btf([
			...COMMON,
			{
				name: "mmu_notifier_range",
				members: [
					["vma", 0],
					["mm", 8],
					["start", 16],
					["end", 24],
					["flags", 32],
					["event", 36],
				],
			},
		]),
		"/sys/module/kvm/parameters/tdp_mmu": "Y\n",
		...TRACEFS,
		...KSM_ON,
	},
	folders: { "/sys/kernel/debug/kvm": ["812-14", "990-14", "pf_taken"] },
	tools: ALL_TOOLS,
};

/** Linux 6.12: wp_page_copy inlined, no change_pte, a newer mmu_notifier_range. */
export const DEBIAN_13: FakeHost = {
	...DEBIAN_12,
	files: {
		...DEBIAN_12.files,
		"/proc/sys/kernel/osrelease": "6.12.9-amd64\n",
		"/proc/kallsyms": kallsyms([...SYMBOLS, ...SITES]),
		"/sys/kernel/btf/vmlinux": btf([
			...COMMON,
			{
				name: "mmu_notifier_range",
				members: [
					["mm", 0],
					["start", 8],
					["end", 16],
					["flags", 24],
					["event", 28],
				],
			},
		]),
	},
};

/** Locked down to the last. */
export const LOCKED: FakeHost = {
	...DEBIAN_12,
	files: { ...DEBIAN_12.files, "/sys/kernel/security/lockdown": "none integrity [confidentiality]\n" },
};

/** A laptop in a container: nothing. */
export const BARE: FakeHost = { files: { "/proc/sys/kernel/osrelease": "6.18.1\n" }, uid: 1000 };
