// The machines that are built in. TLB sizes are the vendors'; what no vendor publishes (replacement, paging-structure caches) is said to be an estimate.
import type { Machine, Psc, PscLevels } from "./machine.js";

const PSC_SIZES: PscLevels = { level2: 32, level3: 4, level4: 2, level5: 2 };
/** Off: a walk then takes the closed formula, which needs no estimate. `NAME:psc=true` turns them on. */
const PSC: Psc = { used: false, linear: PSC_SIZES, nested: PSC_SIZES };

const ESTIMATES =
	"estimates: LRU replacement; paging-structure caches of 32, 4 and 2 entries, as academic simulators have them (ChampSim, gem5 forks), which no vendor publishes";
const LINUX_X86 = "Linux x86: tlb_single_page_flush_ceiling, 33 pages (Documentation/arch/x86/tlb.rst)";

const SKYLAKE_SP: Machine = {
	name: "skylake-sp",
	title: "Intel Xeon Scalable (Skylake-SP), 2.7 GHz",
	source: [
		"Intel 64 and IA-32 Architectures Optimization Reference Manual, Skylake: 64-entry 4-way first-level data TLB, 1536-entry 12-way second level, 4 KiB pages",
		"the same: 32-entry 4-way first-level data TLB for 2 and 4 MiB pages; the second level is shared by 4 KiB and 2 MiB pages",
		LINUX_X86,
		ESTIMATES,
	],
	hz: 2_700_000_000,
	tlb: {
		l1: { entries: 64, ways: 4, replacement: "lru", huge: { entries: 32, ways: 4, replacement: "lru" } },
		l2: { entries: 1536, ways: 12, replacement: "lru", huge: "shared" },
	},
	psc: PSC,
	guestLevels: 4,
	hostLevels: 4,
	guestPageSize: "host",
	flush: { guest: "all", hostPages: 33 },
};

const ICELAKE_SP: Machine = {
	...SKYLAKE_SP,
	name: "icelake-sp",
	title: "Intel Xeon Scalable (Ice Lake-SP), 2.3 GHz",
	source: [
		"Intel 64 and IA-32 Architectures Optimization Reference Manual, Ice Lake: data TLB for loads of 64 entries, 4-way, 4 KiB pages, and 32 entries, 4-way, 2 and 4 MiB pages (its 16 entries for stores are left out)",
		"the same: second level of 2048 entries, 16-way; 2 MiB pages may use 1024 of them there, all of them here",
		LINUX_X86,
		ESTIMATES,
	],
	hz: 2_300_000_000,
	tlb: {
		l1: { entries: 64, ways: 4, replacement: "lru", huge: { entries: 32, ways: 4, replacement: "lru" } },
		l2: { entries: 2048, ways: 16, replacement: "lru", huge: "shared" },
	},
};

const ZEN3: Machine = {
	...SKYLAKE_SP,
	name: "zen3",
	title: "AMD EPYC 7003 (Zen 3), 2.45 GHz",
	source: [
		"AMD Software Optimization Guide for Family 19h Processors (56665): 64-entry fully associative first-level data TLB for all page sizes",
		"the same: 2048-entry second level for 4 KiB and 2 MiB pages; 16 ways (128 sets as in Zen, 1536 x 12) are an estimate, it is skewed and CPUID tells the ways that one page size can use",
		LINUX_X86,
		ESTIMATES,
	],
	hz: 2_450_000_000,
	tlb: {
		l1: { entries: 64, ways: 64, replacement: "lru", huge: "shared" },
		l2: { entries: 2048, ways: 16, replacement: "lru", huge: "shared" },
	},
};

const ZEN4: Machine = {
	...ZEN3,
	name: "zen4",
	title: "AMD EPYC 9004 (Zen 4), 2.4 GHz",
	source: [
		"AMD Software Optimization Guide for the Zen4 Microarchitecture (57647): 72-entry fully associative first-level data TLB for all page sizes",
		"the same: 3072-entry second level for 4 KiB and 2 MiB pages; 24 ways (128 sets, as before it) are an estimate",
		LINUX_X86,
		ESTIMATES,
	],
	hz: 2_400_000_000,
	tlb: {
		l1: { entries: 72, ways: 72, replacement: "lru", huge: "shared" },
		l2: { entries: 3072, ways: 24, replacement: "lru", huge: "shared" },
	},
};

const NEOVERSE_N1: Machine = {
	...SKYLAKE_SP,
	name: "neoverse-n1",
	title: "Arm Neoverse N1 (Graviton 2, Altra), 2.5 GHz",
	source: [
		"Arm Neoverse N1 Core Technical Reference Manual (100616), MMU: 48-entry fully associative first-level data TLB for all page sizes, 1280-entry 5-way second level",
		"stage 2 of three levels: KVM's default of 40-bit guest-physical addresses (KVM_VM_TYPE_ARM_IPA_SIZE), its first level concatenated",
		"Linux arm64: flush_tlb_range goes page by page below MAX_DVM_OPS, 512 pages",
		ESTIMATES,
	],
	hz: 2_500_000_000,
	tlb: {
		l1: { entries: 48, ways: 48, replacement: "lru", huge: "shared" },
		l2: { entries: 1280, ways: 5, replacement: "lru", huge: "shared" },
	},
	hostLevels: 3,
	flush: { guest: "all", hostPages: 511 },
};

export const MACHINES: readonly Machine[] = [SKYLAKE_SP, ICELAKE_SP, ZEN3, ZEN4, NEOVERSE_N1];
export const DEFAULT_MACHINE = SKYLAKE_SP;
