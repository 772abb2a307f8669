// Causes that are told by the functions around their brackets, or that have no bracket: each from what a kernel prints (kernel.md 1.7 to 1.17, 3.5).
import { describe, expect, it } from "vitest";
import { NotifyEvent, OpFlag, Point, Young } from "../../src/trace/kinds.js";
import type { OperationRecord } from "../../src/trace/record.js";
import { type ImportedSources, imported } from "./sources.js";

const HVA = 0x7f00_0000_0000;
const PAGE = 4096;
const FIRST = HVA / PAGE;
const VCPU = ["CPU 0/KVM", 201] as const;
const VMM = ["qemu", 200] as const;
type Who = readonly [comm: string, pid: number];

const hva = (page: number): string => `0x${(HVA + page * PAGE).toString(16)}`;

/** A VM of 2048 pages at HVA, and what happens to it: lines of /sys/kernel/tracing/trace. */
class Host {
	readonly #lines: string[] = ["# tracer: nop", "#"];
	#us = 1_000_000;

	constructor() {
		this.tracepoint(VMM, "mn_register", "(__mmu_notifier_register+0x0/0x100) mm=0xffff888100001000");
		this.tracepoint(
			VMM,
			"kvm_set_memory_region",
			`(__kvm_set_memory_region+0x0/0x100) kvm=0xffffc90000001000 slot=0x0 flags=0x1 gpa=0x0 size=0x800000 hva=${hva(0)}`,
		);
		this.fault(1999);
	}

	tracepoint([comm, pid]: Who, name: string, text: string): this {
		this.#us += 10;
		this.#lines.push(
			`${comm.padStart(16)}-${pid}     (  ${pid === 201 ? 200 : pid}) [000] ..... ${(this.#us / 1e6).toFixed(6)}: ${name}: ${text}`,
		);
		return this;
	}

	/** A probe of whatever name: its function tells. */
	probe(who: Who, symbol: string, fields = ""): this {
		return this.tracepoint(who, "some_probe_".concat(symbol), `(${symbol}+0x0/0x100) ${fields}`.trimEnd());
	}

	returns(who: Who, symbol: string, fields = ""): this {
		return this.tracepoint(who, `another_${symbol}`, `(caller+0x10/0x100 <- ${symbol}) ${fields}`.trimEnd());
	}

	range(who: Who, page: number, pages: number, event: number, inside: () => void = () => undefined): this {
		return this.bounds(who, hva(page), hva(page + pages), event, inside);
	}

	bounds(who: Who, start: string, end: string, event: number, inside: () => void = () => undefined): this {
		const range = `mm=0xffff888100001000 start=${start} end=${end}`;
		this.tracepoint(who, "mn_range_start", `(__mmu_notifier_invalidate_range_start+0x0/0x100) ${range} flags=0x1 event=${event}`);
		this.tracepoint(who, "kvm_unmap_hva_range", `mmu notifier unmap range: ${start} -- ${end}`);
		inside();
		return this.tracepoint(who, "mn_range_end", `(__mmu_notifier_invalidate_range_end+0x0/0x100) ${range}`);
	}

	fault(page: number, level = 1): this {
		const gfn = level === 2 ? page - (page % 512) : page;
		this.tracepoint(
			VCPU,
			"kvm_page_fault",
			`vcpu 0 rip 0x1000 address 0x${(page * PAGE).toString(16).padStart(16, "0")} error_code 0x100000006`,
		);
		const spte = ((0x10_0000 + page) * PAGE + (level === 2 ? 0xee7 : 0xe67)).toString(16);
		return this.tracepoint(VCPU, "kvm_tdp_mmu_spte_changed", `as id 0 gfn ${gfn.toString(16)} level ${level} old_spte 0 new_spte ${spte}`);
	}

	/** The capture, behind which a bracket comes that says nothing: so that a replay may begin at once. */
	async causes(): Promise<OperationRecord[]> {
		const trace = await this.trace();
		return trace.causes.flatMap((record) => (record.kind === "operation" && !KNOWN.has(record.name) ? [record] : []));
	}

	async trace(): Promise<ImportedSources> {
		return await imported(`${this.#lines.join("\n")}\n`);
	}
}

const KNOWN = new Set(["memslot", "fault", "mmio"]);
const { clear, unmap, protectionVma, protectionPage, softDirty, migrate } = NotifyEvent;

/** An operation as the trace has it; a bracket as a whole. */
const cause = (name: string, page: number, ...args: number[]): Partial<OperationRecord> =>
	({ kind: "operation", name, page: FIRST + page, args }) as Partial<OperationRecord>;
const whole = (name: string, page: number, pages: number, event: number, ...more: number[]): Partial<OperationRecord> =>
	cause(name, page, 0, 0, pages, event, ...more);

async function expectCauses(host: Host, ...wanted: Partial<OperationRecord>[]): Promise<void> {
	const found = await host.causes();
	expect(found.map(({ name, page, args }) => ({ name, page, args }))).toEqual(wanted.map(({ name, page, args }) => ({ name, page, args })));
}

describe("a bracket is what the function around it says", () => {
	it("1.7: uprobes write an opcode, and failed where it returns an error", async () => {
		const host = new Host();
		const write = (page: number, result: number): void => {
			host.probe(VMM, "uprobe_write_opcode", `addr=${hva(page)}`).range(VMM, page, 1, clear);
			host.returns(VMM, "uprobe_write_opcode", `ret=${result}`);
		};
		write(7, 0);
		write(8, -11);
		await expectCauses(host, cause("uprobeReplace", 7, 0, 0, 0), cause("uprobeReplace", 8, 0, 0, OpFlag.failed));
	});

	it("1.8: migrate_vma takes pages away, and puts new ones in", async () => {
		const host = new Host();
		host.probe(VMM, "migrate_vma_setup").range(VMM, 16, 4, migrate).returns(VMM, "migrate_vma_setup", "ret=0");
		host.probe(VMM, "migrate_vma_pages").range(VMM, 17, 3, migrate).returns(VMM, "migrate_vma_pages");
		host.probe(VMM, "migrate_vma_finalize");
		await expectCauses(host, whole("migrate", 16, 4, migrate), whole("migrateVma", 17, 3, migrate), cause("migrateRestore", 16, 4, 0));
	});

	it("1.11: try_to_unmap_one reclaims; what is mapped still was left alone", async () => {
		const host = new Host();
		const kswapd = ["kswapd0", 40] as const;
		host.probe(kswapd, "try_to_unmap_one", `addr=${hva(3)} flags=0x40`).range(kswapd, 3, 1, clear);
		host
			.probe(kswapd, "try_to_unmap_one", `addr=${hva(4)} flags=0x40`)
			.range(kswapd, 4, 1, clear)
			.returns(kswapd, "try_to_unmap_one", "ret=0");
		await expectCauses(host, whole("reclaim", 3, 1, clear), whole("invalidate", 4, 1, clear));
	});

	it("1.11: a huge page is split before it is reclaimed, and split_huge_page migrates nothing", async () => {
		const host = new Host();
		const [kswapd, ksmd] = [["kswapd0", 40] as const, ["ksmd", 30] as const];
		host
			.probe(kswapd, "try_to_unmap_one", `addr=${hva(512)} flags=0x44`)
			.range(kswapd, 512, 512, clear)
			.range(kswapd, 512, 512, clear);
		host
			.probe(ksmd, "try_to_migrate_one", `addr=${hva(1024)} flags=0x94`)
			.range(ksmd, 1024, 512, clear)
			.range(ksmd, 1024, 512, clear);
		await expectCauses(
			host,
			whole("thpSplit", 512, 512, clear),
			whole("reclaim", 512, 512, clear),
			whole("thpSplit", 1024, 512, clear),
			whole("thpSplit", 1024, 512, clear),
		);
	});

	it("1.11: direct reclaim is known by its tracepoints alone, and so is kswapd by its name", async () => {
		const host = new Host();
		host.tracepoint(VMM, "mm_vmscan_direct_reclaim_begin", "order=0 gfp_flags=GFP_HIGHUSER_MOVABLE");
		host.range(VMM, 5, 1, clear).tracepoint(VMM, "mm_vmscan_direct_reclaim_end", "nr_reclaimed=1").range(["kswapd0", 40], 6, 1, clear);
		host.range(["sh", 300], 7, 2, clear);
		await expectCauses(host, whole("reclaim", 5, 1, clear), whole("reclaim", 6, 1, clear), whole("zap", 7, 2, clear));
	});

	it("1.11: migration lasts from set_migration_pte to remove_migration_pte; where none succeeded the old pages are back", async () => {
		const host = new Host();
		const kcompactd = ["kcompactd0", 41] as const;
		const move = (page: number, succeeded: number): void => {
			host.range(kcompactd, page, 1, clear, () =>
				host.tracepoint(kcompactd, "set_migration_pte", `addr=${hva(page).slice(2)}, pte=6400000000123 order=0`),
			);
			host.tracepoint(kcompactd, "remove_migration_pte", `addr=${hva(page).slice(2)}, pte=8000000123456867 order=0`);
			const said = `nr_succeeded=${succeeded} nr_failed=${1 - succeeded} nr_thp_succeeded=0 nr_thp_failed=0 nr_thp_split=0 mode=MIGRATE_ASYNC reason=compaction`;
			host.tracepoint(kcompactd, "mm_migrate_pages", said);
		};
		move(20, 1);
		move(21, 0);
		await expectCauses(
			host,
			whole("migrate", 20, 1, clear),
			cause("migrateRestore", 20, 1, 0),
			whole("migrate", 21, 1, clear),
			cause("migrateRestore", 21, 1, OpFlag.failed),
		);
	});

	it("1.11: where nothing tells the end of a migration, the next entry of the page does, before it", async () => {
		const host = new Host();
		host
			.probe(["sh", 300], "try_to_migrate_one", `addr=${hva(9)} flags=0x10`)
			.range(["sh", 300], 9, 1, clear)
			.fault(9);
		const { causes } = await host.trace();
		const last = causes.slice(-4).map((record) => (record.kind === "operation" ? [record.name, record.args[0]] : []));
		expect(last).toEqual([
			["migrate", Point.whole],
			["fault", Point.begin],
			["migrateRestore", 1],
			["fault", Point.end],
		]);
	});

	it("1.12: writeback write-protects inside folio_mkclean, fork elsewhere", async () => {
		const host = new Host();
		host
			.probe(["kworker/u4:1", 50], "folio_mkclean")
			.range(["kworker/u4:1", 50], 11, 1, protectionPage)
			.returns(["kworker/u4:1", 50], "folio_mkclean");
		host.range(VMM, 0, 2048, protectionPage);
		await expectCauses(host, whole("mkclean", 11, 1, protectionPage), whole("invalidate", 0, 2048, protectionPage));
	});

	it("1.13: NUMA hinting and uffd-wp change protections, and mprotect does too", async () => {
		const host = new Host();
		host.probe(VCPU, "change_prot_numa").range(VCPU, 0, 512, protectionVma).returns(VCPU, "change_prot_numa", "ret=0x20");
		host.probe(VMM, "mwriteprotect_range", "enable_wp=0x1").range(VMM, 32, 16, protectionVma).returns(VMM, "mwriteprotect_range", "ret=0");
		host.probe(VMM, "mwriteprotect_range", "enable_wp=0x0").range(VMM, 32, 16, protectionVma).returns(VMM, "mwriteprotect_range", "ret=0");
		const trace = await host.trace();
		await expectCauses(
			host,
			whole("numaHint", 0, 512, protectionVma),
			whole("softDirty", 32, 16, protectionVma),
			whole("invalidate", 32, 16, protectionVma),
		);
		expect(trace.header.warnings.join("\n")).toMatch(
			/1 ranges over guest memory change the protection of mappings: mprotect, NUMA hinting or uffd-wp/,
		);
	});

	it("1.14: clear_refs reaches all memslots", async () => {
		const host = new Host().bounds(["sh", 300], "0x0", "0xffffffffffffffff", softDirty);
		await expectCauses(host, whole("softDirty", 0, 2048, softDirty));
	});

	it("1.15: until 5.7 a huge page is copied whole, since then it is split", async () => {
		const host = new Host();
		host.probe(VCPU, "do_huge_pmd_wp_page").probe(VCPU, "copy_user_huge_page").range(VCPU, 512, 512, clear);
		host.probe(VCPU, "do_huge_pmd_wp_page").range(VCPU, 1024, 512, clear).returns(VCPU, "do_huge_pmd_wp_page", "ret=0x800");
		await expectCauses(host, whole("hugeCow", 512, 512, clear), whole("thpSplit", 1024, 512, clear));
	});

	it("1.15: a collapse succeeded if its tracepoint says so", async () => {
		const host = new Host();
		const collapse = (page: number, status: string): void => {
			host.range(["khugepaged", 22], page, 512, clear);
			host.tracepoint(["khugepaged", 22], "mm_collapse_huge_page", `mm=00000000abcdef12, isolated=1, status=${status}`);
		};
		collapse(512, "succeeded");
		collapse(1024, "pmd_null");
		await expectCauses(host, whole("thpCollapsed", 512, 512, clear), whole("thpCollapse", 1024, 512, clear));
	});

	it("1.15: without it, if a fault then finds a huge page", async () => {
		const host = new Host();
		host.range(["khugepaged", 22], 512, 512, clear).fault(700, 2);
		// MADV_COLLAPSE: any task.
		host
			.probe(VMM, "collapse_huge_page", `addr=${hva(1024)}`)
			.range(VMM, 1024, 512, clear)
			.returns(VMM, "collapse_huge_page", "ret=0x1");
		host.fault(1100, 1);
		await expectCauses(host, whole("thpCollapsed", 512, 512, clear), whole("thpCollapse", 1024, 512, clear));
	});

	it("1.17: mremap moves page tables; the old range is unmapped behind it", async () => {
		const host = new Host();
		host.probe(VMM, "move_page_tables", `old_addr=${hva(64)} new_addr=${hva(4096)} len=0x4000`).range(VMM, 64, 4, unmap);
		host.probe(VMM, "wp_page_copy", `addr=${hva(1)}`).range(VMM, 64, 4, unmap);
		await expectCauses(host, whole("mremap", 64, 4, unmap, FIRST + 4096), whole("zap", 64, 4, unmap));
	});
});

describe("what has no bracket", () => {
	it("3.5: ageing is told by the notifiers' own functions, and not twice", async () => {
		const host = new Host();
		const mm = "mm=0xffff888100001000";
		host.probe(["kswapd0", 40], "__mmu_notifier_clear_flush_young", `${mm} start=${hva(2)} end=${hva(3)}`);
		host.tracepoint(["kswapd0", 40], "kvm_age_hva", `mmu notifier age hva: ${hva(2)} -- ${hva(3)}`);
		host.probe(["kdamond.0", 60], "__mmu_notifier_clear_young", `${mm} start=${hva(8)} end=${hva(16)}`);
		host.probe(["khugepaged", 22], "__mmu_notifier_test_young", `${mm} address=${hva(30)}`);
		await expectCauses(host, cause("age", 2, 1, Young.clearFlush), cause("age", 8, 8, Young.clear), cause("age", 30, 1, Young.test));
	});

	it("3.5: by KVM's tracepoints alone, a flush behind one tells which it was", async () => {
		const host = new Host();
		host.tracepoint(["kswapd0", 40], "kvm_age_hva", `mmu notifier age hva: ${hva(2)} -- ${hva(3)}`);
		host.tracepoint(["kswapd0", 40], "kvm_tdp_mmu_spte_changed", "as id 0 gfn 2 level 1 old_spte 100002e67 new_spte 100002e47");
		host.probe(["kswapd0", 40], "kvm_flush_remote_tlbs", "kvm=0xffffc90000001000");
		host.tracepoint(["kswapd0", 40], "kvm_age_hva", `mmu notifier age hva: ${hva(4)} -- ${hva(5)}`);
		host.tracepoint(["khugepaged", 22], "kvm_test_age_hva", `mmu notifier test age hva: ${hva(6)}`);
		host.tracepoint(["kswapd0", 40], "kvm_age_page", `hva ${hva(512).slice(2)} gfn 200 level 2 YOUNG`);
		host.tracepoint(["kswapd0", 40], "kvm_age_hva", "mmu notifier age hva: 0x5555000 -- 0x5556000");
		await expectCauses(
			host,
			cause("age", 2, 1, Young.clearFlush),
			cause("age", 4, 1, Young.clear),
			cause("age", 6, 1, Young.test),
			cause("age", 512, 512, Young.clear),
		);
	});

	it("KVM zaps everything, by itself or for a memslot that goes", async () => {
		const host = new Host();
		const zap = "kvm-mmu-valid-gen 1 used_pages 20";
		host.tracepoint(VMM, "kvm_mmu_zap_all_fast", zap);
		host.tracepoint(
			VMM,
			"kvm_set_memory_region",
			`(__kvm_set_memory_region+0x0/0x100) kvm=0xffffc90000001000 slot=0x0 flags=0x0 gpa=0x0 size=0x0 hva=${hva(0)}`,
		);
		host.tracepoint(VMM, "kvm_mmu_zap_all_fast", zap);
		const found = await host.causes();
		expect(found.map(({ name, page }) => [name, page])).toEqual([["kvmZapAll", 0]]);
	});

	it("the dirty log is one range for the words of a call", async () => {
		const host = new Host();
		const word = (offset: number, mask: string): Host =>
			host.probe(
				VMM,
				"kvm_arch_mmu_enable_log_dirty_pt_masked",
				`kvm=0xffffc90000001000 slot=0x0 as_id=0x0 gfn_offset=0x${offset.toString(16)} mask=${mask}`,
			);
		word(64, "0x8000000000000010");
		word(128, "0x3");
		host.probe(VMM, "kvm_flush_remote_tlbs", "kvm=0xffffc90000001000");
		word(0, "0x4");
		const found = await host.causes();
		expect(found.map(({ name, args }) => [name, ...args])).toEqual([
			["dirtyLog", 0, 0, 68, 62],
			["dirtyLog", 0, 0, 2, 1],
		]);
	});

	it("litmus m: pins last from the call to that which gives its array back", async () => {
		const host = new Host();
		host.probe(VMM, "pin_user_pages_fast", `start=${hva(40)} nr_pages=3 gup_flags=0x1 array=0xffff888100abc000`);
		host.returns(VMM, "pin_user_pages_fast", "ret=2");
		// Only for reading.
		host
			.probe(VMM, "pin_user_pages_fast", `start=${hva(50)} nr_pages=3 gup_flags=0x0 array=0xffff888100abd000`)
			.returns(VMM, "pin_user_pages_fast", "ret=3");
		host.probe(["ksoftirqd/0", 12], "unpin_user_pages", "array=0xffff888100abc000 npages=2");
		await expectCauses(host, cause("pin", 40, 1), cause("pin", 41, 2), cause("unpin", 40, 1), cause("unpin", 41, 2));
	});
});
