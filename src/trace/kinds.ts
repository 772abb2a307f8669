// What a record of a trace can be: the codes, their arguments, and what each means.
// Causes drive the replay; observations are what the captured kernel did in answer and are never replayed.
// Rules: kernel.md sections 1 and 3; the encoding of a record on disk: traces/mmtrace.proto (EventBlock).

/**
 * The low three bits of the `op` column. Kinds 0 to 6 are plain accesses, one byte for the first sixteen agents of a block.
 * `page` is the gfn for a guest agent, the hva page number for a host agent, the device-virtual page for a device.
 */
export const Access = {
	guestRead: 0,
	guestWrite: 1,
	guestFetch: 2,
	hostRead: 3,
	hostWrite: 4,
	deviceRead: 5,
	deviceWrite: 6,
} as const;
export type Access = (typeof Access)[keyof typeof Access];

/** The eighth kind: the record is an operation; its code and arguments are in the `argument` column: code, count, then count values. */
export const OPERATION = 7;
/** `op` = kind | agent index within the block << AGENT_SHIFT. */
export const AGENT_SHIFT = 3;

/** What a device is to an mm (kernel.md 4). */
export const DeviceKind = {
	/** Shares the CPU's page table and has a TLB of its own (ATS/PASID). */
	sva: 0,
	/** Has a page table of its own and an interval notifier (ODP, HMM). */
	mirror: 1,
	/** Reaches pages that are pinned for it (VFIO type1, FOLL_LONGTERM): no notifier. */
	pinned: 2,
} as const;
export type DeviceKind = (typeof DeviceKind)[keyof typeof DeviceKind];

/** Entries of an SVA device's TLB, at most. */
export const MAX_DEVICE_TLB = 4096;

/**
 * Where in its bracket a record stands. `whole` runs begin, commit and end at once. `set` is the commit up to its set-pte: the page-table lock is still
 * held, and the commit that follows is the rest of it (litmus a, g). A recorded fault has no such point.
 */
export const Point = { whole: 0, begin: 1, commit: 2, end: 3, set: 4 } as const;
export type Point = (typeof Point)[keyof typeof Point];

/** What an importer knows of the host's side of an access, beyond what the model derives. */
export const Hint = {
	/** Nothing: the model derives it. */
	derive: 0,
	/** A wp_page_copy is recorded for this access: copy, whatever the references say (kernel.md 1.2, stray references). */
	copy: 1,
	/** Copies are recorded in this capture and there is none for this access: reuse. */
	reuse: 2,
} as const;

/** Who a record speaks of. One table of agents a block; the index is in the `op` column. */
export const AgentKind = {
	/** A vCPU: vm, vcpu, mm. `page` is a gfn. */
	guest: 1,
	/** A thread of the VMM's process using its own mapping: mm, thread. `page` is an hva page number. */
	host: 2,
	/** The kernel working on an mm (ksmd, madvise, mprotect, reclaim): mm. `page` is an hva page number. */
	mm: 3,
	/** A VM as such (memslots): vm, mm. `page` is an hva page number. */
	vm: 4,
	/** A device: mm, thread = device id. */
	device: 5,
} as const;
export type AgentKind = (typeof AgentKind)[keyof typeof AgentKind];

/** Operation codes of causes (1 to 63) and observations (64 to 127), with the names of their arguments in order. */
export const Operation = {
	/** An access with a hint. access: an Access; hint: a Hint. */
	access: { code: 1, args: ["access", "hint"] },
	/**
	 * A recorded nested page fault (captures without an access log): one attempt of a vCPU. begin = kvm_page_fault, end = its SPTE change,
	 * or that vCPU's next event. access: an Access; flags: FaultFlag.
	 */
	fault: { code: 2, args: ["point", "access", "flags"] },
	/** A fault outside every memslot of its address space. reserved: 1 if error_code had the reserved bit (not in pf_taken). */
	mmio: { code: 3, args: ["access", "reserved"] },
	/** ksm write_protect_page (kernel.md 1.4). flags: OpFlag.kpageGiven, OpFlag.failed. */
	ksmWriteProtect: { code: 4, args: ["point", "window", "flags"] },
	/** ksm replace_page (1.5). kpage: the capture's KSM page, a dense id; 0 with OpFlag.zeroPage. */
	ksmReplace: { code: 5, args: ["point", "window", "flags", "kpage"] },
	/** The write-protected page itself becomes KSM page `kpage` (try_to_merge_one_page with kpage == NULL returned 0). */
	ksmPromote: { code: 6, args: ["kpage", "flags"] },
	/** wp_page_copy outside an access of the log. flags: OpFlag.ownFault (agent is the guest), failed, breakKsm. `page` is the hva page. */
	cow: { code: 7, args: ["point", "window", "flags"] },
	/** break_ksm since 6.2: a read-only exclusive copy with the same content (1.6). */
	unshare: { code: 8, args: ["point", "window", "flags"] },
	/** PTEs removed: munmap, MADV_DONTNEED, truncate (1.14). event: enum mmu_notifier_event. */
	zap: { code: 9, args: ["point", "window", "pages", "event"] },
	/** mprotect, NUMA hinting (1.13). flags: OpFlag.writable if the VMA allows writing afterwards. */
	protect: { code: 10, args: ["point", "window", "pages", "event", "flags"] },
	/** A notifier range of which the capture does not say what it did to the PTEs: they stay. */
	invalidate: { code: 11, args: ["point", "window", "pages", "event"] },
	/**
	 * State of PTEs before the capture began. state: 0 none, 1 a private writable page each, 2 the zero page, 3 as 1, by huge mappings, 4 the huge zero page.
	 * Where a file is mapped: 1 as a write leaves it, 2 as a read does. No kernel event.
	 */
	populate: { code: 12, args: ["pages", "state"] },
	/** KVM_SET_USER_MEMORY_REGION. `page` = first hva page; pages 0 deletes the slot. flags: MemslotFlag. */
	memslot: { code: 13, args: ["slot", "as", "gfn", "pages", "flags"] },
	/** A phase mark. edge: 0 begin, 1 end, 2 a note; label: index into the block's strings. */
	mark: { code: 14, args: ["phase", "edge", "label"] },
	/** fork of an mm (1.9): `pages` from `page` are shared with mm `child`. */
	fork: { code: 15, args: ["point", "window", "pages", "event", "child"] },
	/** __split_huge_pmd (1.15): a huge mapping becomes 512 PTEs with the same pages. */
	thpSplit: { code: 17, args: ["point", "window", "pages", "event"] },
	/** khugepaged's bracket (1.15) where nothing came of it, or nothing is known to have: the PTEs stay. */
	thpCollapse: { code: 18, args: ["point", "window", "pages", "event"] },
	/**
	 * A device begins to use an mm: agent = the device. device: a DeviceKind; pages: of its range from `page` on (an SVA device has the whole mm);
	 * entries: of an SVA device's TLB (1 to MAX_DEVICE_TLB).
	 */
	deviceAttach: { code: 35, args: ["device", "pages", "entries"] },
	/** The device lets go of the mm: its translations and pins are gone. */
	deviceDetach: { code: 36, args: [] },
	/** An mm is gone (exit_mmap after its notifiers were released). */
	exit: { code: 16, args: [] },
	/** uprobes __replace_page (1.7): a private read-only page with other content. flags: OpFlag.failed. */
	uprobeReplace: { code: 19, args: ["point", "window", "flags"] },
	/** migrate_vma_insert_page (1.8): the page at `page`, none or the zero page, becomes a new one; the bracket covers `pages`, to the end of the call. */
	migrateVma: { code: 20, args: ["point", "window", "pages", "event"] },
	/** page_mkclean, DAX (1.12): PTEs become read-only and clean; the next write is a reuse. */
	mkclean: { code: 21, args: ["point", "window", "pages", "event"] },
	/** clear_refs (1.14), uffd-wp (1.13): PTEs become read-only, the VMA does not. */
	softDirty: { code: 22, args: ["point", "window", "pages", "event"] },
	/** do_huge_pmd_wp_page until 5.7 (1.15): the huge page at `page` is copied as a whole. */
	hugeCow: { code: 23, args: ["point", "window", "pages", "event"] },
	/** mremap (1.17): the PTEs move to hva page `to`; memslots stay where they are. */
	mremap: { code: 24, args: ["point", "window", "pages", "event", "to"] },
	/** gup(FOLL_PIN, FOLL_WRITE) of one page (O_DIRECT, vhost): a reference that lasts until `unpin` with the same number. */
	pin: { code: 25, args: ["pin"] },
	unpin: { code: 26, args: ["pin"] },
	/** The same where it succeeded: after the range end the 2 MiB range is one new huge page. */
	thpCollapsed: { code: 27, args: ["point", "window", "pages", "event"] },
	/** try_to_unmap for reclaim (1.11): PTEs become swap entries. */
	reclaim: { code: 28, args: ["point", "window", "pages", "event"] },
	/** try_to_migrate (1.11): PTEs become migration entries until `migrateRestore`. */
	migrate: { code: 29, args: ["point", "window", "pages", "event"] },
	/** remove_migration_ptes (1.11): migration entries become PTEs of the new pages. flags: OpFlag.failed: of the old ones. */
	migrateRestore: { code: 30, args: ["pages", "flags"] },
	/** change_prot_numa (1.13): private pages become inaccessible until the next fault. */
	numaHint: { code: 31, args: ["point", "window", "pages", "event"] },
	/**
	 * mmap: [page, page + pages) maps file `file` from its page `offset` on; nothing of it is present, and what was mapped there is unmapped first. Where a
	 * trace says nothing, and after an unmap (a zap with that event), memory is private and anonymous. vma: a VmaKind; 0 needs no file.
	 */
	mmap: { code: 32, args: ["pages", "vma", "file", "offset"] },
	/** hugetlb_wp (1.16) outside an access of the log: the 2 MiB page around `page` is copied as a whole. */
	hugetlbCow: { code: 34, args: ["point", "window", "pages", "event"] },
	/** remap_file_pages until 3.19 (1.18): the PTEs of a shared mapping go, and its pages are those of the file from `offset` on. */
	remapFilePages: { code: 33, args: ["point", "window", "pages", "event", "offset"] },
	/** clear_flush_young, clear_young, test_young of the notifiers (3.5). young: a Young. */
	age: { code: 45, args: ["pages", "young"] },
	/** KVM_GET_DIRTY_LOG, KVM_CLEAR_DIRTY_LOG: pages [offset, offset + pages) of a slot were found dirty and are watched again. `page` is 0. */
	dirtyLog: { code: 46, args: ["slot", "as", "offset", "pages"] },
	/** kvm_mmu_zap_all_fast for another reason than a memslot (a module parameter, a vCPU's model). `page` is 0. */
	kvmZapAll: { code: 47, args: [] },

	/** One kvm_page_fault in a memslot. protection: error_code bit 0; cause: index into VMEXIT_CAUSES, as the capture's own SPTEs show it. */
	vmexit: { code: 64, args: ["access", "protection", "cause"] },
	/** One fault outside every memslot. */
	mmioFault: { code: 65, args: ["access", "reserved"] },
	rangeStart: { code: 66, args: ["pages", "event"] },
	rangeEnd: { code: 67, args: ["pages", "event"] },
	/** __mmu_notifier_change_pte. writable: the new PTE's W bit. */
	changePte: { code: 68, args: ["writable"] },
	/** kvm_tdp_mmu_spte_changed. before, after: SpteBit sets; cause: index into ZAP_CAUSES where present -> absent, else 0. */
	spteChanged: { code: 69, args: ["as", "level", "before", "after", "cause"] },
	/** wp_page_copy on a page of a memslot. ksm: 1 if the copied page was a KSM page. */
	cowCopy: { code: 70, args: ["ksm"] },
	hostFault: { code: 71, args: ["write"] },
	/** kvm_flush_remote_tlbs. */
	flush: { code: 72, args: [] },
	/** A kernel counter's growth within a phase. name: index into the block's strings (KVM debugfs, vmstat, KSM sysfs). */
	counters: { code: 73, args: ["phase", "name", "value"] },
	/** stable_tree_append: a page entered the stable tree. */
	ksmMerge: { code: 74, args: [] },
} as const;
export type OperationName = keyof typeof Operation;

/** Name of the `counters` record that says that guest and host disagreed about a page in a phase (ok of stats.jsonl): its value is 1. */
export const DISAGREED = "disagreed";

/** First operation code that is an observation. */
export const FIRST_OBSERVATION = 64;

/** Flags of `fault`. */
export const FaultFlag = {
	/** Address space 1 (SMM): taken from `as id` of that vCPU's own SPTE change (kvm_page_fault does not tell). */
	smm: 1,
	/** A first touch by a read found a page that the VMM had filled, not the zero page. */
	filled: 2,
	/** The capture records no copies: copy or reuse is derived at the fault. Otherwise a copy has its own `cow` record. */
	deriveCopy: 4,
	/** It installed although a bracket ended after its kvm_page_fault: the sequence was read after that end (kernel.md 3.6, steps 5 and 6). */
	lateSnapshot: 8,
	/** Its SPTE is a 2 MiB one: the host maps the page by a huge PMD (host_pfn_mapping_level). */
	huge: 16,
	/** The access that faulted is a record of its own, behind the last of its attempts: it is counted there. */
	logged: 32,
} as const;

/** What a VMA maps (kernel.md 1.2, 1.3, 1.10). */
export const VmaKind = {
	/** MAP_PRIVATE memory of nobody else's. */
	anonymous: 0,
	/** MAP_PRIVATE of a file: a write takes a copy of the file's page. */
	privateFile: 1,
	/** MAP_SHARED of a file whose file system is told of the first write (page_mkwrite, dirty accounting). */
	sharedFile: 2,
	/** MAP_SHARED of shmem, memfd: nobody is told, so that a read maps it writable. */
	sharedMemory: 3,
	/** MAP_PRIVATE and MAP_SHARED of hugetlbfs: 2 MiB pages, whole ones only. */
	privateHugetlb: 4,
	sharedHugetlb: 5,
} as const;
export type VmaKind = (typeof VmaKind)[keyof typeof VmaKind];

/** Files and their pages: what a mmap may name. */
export const MAX_FILES = 2 ** 24;
export const MAX_FILE_PAGES = 2 ** 36;

/** Flags of struct kvm_userspace_memory_region. */
export const MemslotFlag = { logDirty: 1, readOnly: 2 } as const;

/** Which of the notifiers' ageing callbacks: clear_flush_young, clear_young, test_young. */
export const Young = { clearFlush: 0, clear: 1, test: 2 } as const;

/** Flags of the operations. */
export const OpFlag = {
	/** ksmWriteProtect: a kpage is given, so a replace follows unless it fails. */
	kpageGiven: 1,
	/** The bracket ran and changed nothing. */
	failed: 2,
	/** ksmReplace: the new page is the zero page. */
	zeroPage: 4,
	/** cow: the copy was made by KVM's own fault (fault flags 0x81d on the fault's page). */
	ownFault: 8,
	/** cow: made by break_ksm (unmerge) up to 6.1. */
	breakKsm: 16,
	/** protect: the VMA allows writing afterwards. */
	writable: 32,
	/** ksmWriteProtect: neither replace nor promote follows; ksmd drops the page lock after this bracket. */
	unlocks: 64,
	/** ksmPromote, ksmReplace: the merge was undone before the page entered the stable tree (break_cow after a failed pair). */
	undone: 128,
	/** protect: the range is the VMA's; a bracket for each 1 GiB of it runs from the first 2 MiB where anything is mapped (change_pmd_range, 6.1). */
	fromPmd: 512,
	/** protect: likewise, one bracket from the first 1 GiB where anything is mapped to the end (change_pud_range, 6.12). */
	fromPud: 1024,
	/** ksmWriteProtect: change_pte is recorded in its bracket, so it changed the PTE, whatever the model derives. */
	changed: 256,
} as const;

/** Bits of an SPTE as recorded. */
export const SpteBit = { present: 1, writable: 2, accessed: 4, dirty: 8 } as const;

/** Why a vmexit happened: the keys of `vmexitsByCause` in the compare JSON. Index = code. */
export const VMEXIT_CAUSES = [
	"firstTouch",
	"ksm",
	"cow",
	"readOnlySpte",
	"retryAfterCow",
	"retryInProgress",
	"retryOther",
	"hugeSplit",
	"kvmZap",
	"notifier",
	"other",
	"accessTrack",
] as const;
export type VmexitCause = (typeof VMEXIT_CAUSES)[number];

/** What removed an SPTE: the keys of `spteZappedByCause`. Index = code; each is also the vmexit cause of the access that follows. */
export const ZAP_CAUSES = ["other", "ksm", "cow", "hugeSplit", "kvmZap", "notifier"] as const;
export type ZapCause = (typeof ZAP_CAUSES)[number];

/** enum mmu_notifier_event (since 5.2). */
export const NotifyEvent = {
	unmap: 0,
	clear: 1,
	protectionVma: 2,
	protectionPage: 3,
	softDirty: 4,
	release: 5,
	migrate: 6,
	exclusive: 7,
} as const;
