// One small run of KVM and KSM, written by hand, and encoders of it as text: every format must give the same trace. Binary ones: encodebinary.ts.
export interface RunEvent {
	readonly comm: string;
	readonly pid: number;
	readonly cpu: number;
	readonly ns: number;
	readonly name: string;
	/** The probed function; undefined for a tracepoint. */
	readonly symbol?: string;
	readonly returns?: boolean;
	/** Field, value, and its type in the kernel. */
	readonly fields: readonly (readonly [name: string, value: bigint, type: "u64" | "u32" | "s32"])[];
	/** The kernel's own print of a tracepoint. */
	readonly print?: string;
}

const hex = (value: bigint): string => `0x${value.toString(16)}`;
const PAGE = 4096n;
const HVA = 0x7f00_0000_0000n;
const MM = 0xffff_8881_0000_1000n;

class Run {
	readonly events: RunEvent[] = [];
	#ns = 10_000_000_000;

	#add(comm: string, pid: number, event: Omit<RunEvent, "comm" | "pid" | "cpu" | "ns">): void {
		this.#ns += 1_000_000;
		this.events.push({ comm, pid, cpu: pid % 2, ns: this.#ns, ...event });
	}

	probe(who: readonly [string, number], name: string, symbol: string, fields: RunEvent["fields"], returns = false): void {
		this.#add(...who, { name, symbol, fields, returns });
	}

	fault(who: readonly [string, number], gfn: bigint, rip: bigint, errorCode: bigint): void {
		const address = gfn * PAGE + 8n;
		this.#add(...who, {
			name: "kvm_page_fault",
			fields: [
				["vcpu_id", 0n, "u32"],
				["guest_rip", rip, "u64"],
				["fault_address", address, "u64"],
				["error_code", errorCode, "u64"],
			],
			print: `vcpu 0 rip ${hex(rip)} address 0x${address.toString(16).padStart(16, "0")} error_code ${hex(errorCode)}`,
		});
	}

	spte(who: readonly [string, number], gfn: bigint, before: bigint, after: bigint): void {
		this.#add(...who, {
			name: "kvm_tdp_mmu_spte_changed",
			fields: [
				["gfn", gfn, "u64"],
				["old_spte", before, "u64"],
				["new_spte", after, "u64"],
				["level", 1n, "u32"],
				["as_id", 0n, "u32"],
			],
			print: `as id 0 gfn ${gfn.toString(16)} level 1 old_spte ${before.toString(16)} new_spte ${after.toString(16)}`,
		});
	}

	range(who: readonly [string, number], page: bigint, inside: () => void): void {
		const start = HVA + page * PAGE;
		const fields = [
			["mm", MM, "u64"],
			["start", start, "u64"],
			["end", start + PAGE, "u64"],
		] as const;
		this.probe(who, "mn_range_start", "__mmu_notifier_invalidate_range_start", [...fields, ["flags", 1n, "u32"], ["event", 1n, "u32"]]);
		this.#add(...who, {
			name: "kvm_unmap_hva_range",
			fields: [
				["start", start, "u64"],
				["end", start + PAGE, "u64"],
			],
			print: `mmu notifier unmap range: ${hex(start)} -- ${hex(start + PAGE)}`,
		});
		inside();
		this.probe(who, "mn_range_end", "__mmu_notifier_invalidate_range_end", fields);
	}
}

const VCPU = ["CPU 0/KVM", 201] as const;
const KSMD = ["ksmd", 30] as const;
const PAGES = 16n;

/** One VM of 16 pages from `base` on: all read, all merged in pairs, four written. */
export function smallRun(base = 0n): RunEvent[] {
	const run = new Run();
	const end = base + PAGES;
	const spteOf = (gfn: bigint, writable: boolean): bigint => ((0x10_0000n + gfn) << 12n) | (writable ? 0xe67n : 0x825n);
	for (let gfn = base; gfn < end; gfn++) {
		run.fault(VCPU, gfn, 0x1000n, 0x1_0000_0004n);
		run.spte(VCPU, gfn, 0n, spteOf(gfn, true));
	}
	for (let gfn = base; gfn < end; gfn++) {
		const first = gfn % 2n === 0n;
		const struct = 0xffff_ea00_0000_0000n + (gfn << 6n);
		const kpage = first ? 0n : struct - 64n;
		run.probe(KSMD, "ksm_try_to_merge_one_page", "try_to_merge_one_page", [
			["page", struct, "u64"],
			["kpage", kpage, "u64"],
		]);
		run.range(KSMD, gfn, () => run.spte(KSMD, gfn, spteOf(gfn, true), 0n));
		if (!first) run.range(KSMD, gfn, () => undefined);
		run.probe(KSMD, "ksm_try_to_merge_one_page_ret", "try_to_merge_one_page", [["ret", 0n, "s32"]], true);
	}
	for (let gfn = base; gfn < end; gfn++) {
		run.fault(VCPU, gfn, 0x2000n, 0x1_0000_0004n);
		run.spte(VCPU, gfn, 0n, spteOf(gfn & ~1n, false));
	}
	for (let gfn = base; gfn < end; gfn += 4n) {
		run.fault(VCPU, gfn, 0x3000n, 0x1_0000_0007n);
		const addr = HVA + gfn * PAGE;
		run.probe(VCPU, "wp_page_copy", "wp_page_copy", [
			["addr", addr, "u64"],
			["flags", 0x81dn, "u32"],
			["page", 0xffff_ea00_0000_0000n + (gfn << 6n), "u64"],
		]);
		run.range(VCPU, gfn, () => run.spte(VCPU, gfn, spteOf(gfn, false), 0n));
		run.probe(VCPU, "wp_page_copy_ret", "wp_page_copy", [["ret", 0n, "u32"]], true);
		run.fault(VCPU, gfn, 0x3000n, 0x1_0000_0006n);
		run.spte(VCPU, gfn, 0n, spteOf(gfn + 64n, true));
	}
	return run.events;
}

const seconds = (ns: number, digits: number): string => (ns / 1e9).toFixed(digits);
const shown = ([name, value, type]: RunEvent["fields"][number]): string =>
	`${name}=${type === "s32" || name === "event" ? value : hex(value)}`;

function tracefsBody(event: RunEvent): string {
	if (event.print !== undefined) return event.print;
	const fields = event.fields.map(shown).join(" ");
	return event.returns === true ? `(caller+0x10/0x100 <- ${event.symbol}) ${fields}` : `(${event.symbol}+0x0/0x100) ${fields}`;
}

export const asTracefs = (events: readonly RunEvent[]): string =>
	[
		"# tracer: nop",
		"#",
		`# entries-in-buffer/entries-written: ${events.length}/${events.length}   #P:2`,
		...events.map(
			(e) => `${e.comm.padStart(16)}-${e.pid}     [00${e.cpu}] ..... ${seconds(e.ns, 6).padStart(12)}: ${e.name}: ${tracefsBody(e)}`,
		),
		"",
	].join("\n");

export const asLatency = (events: readonly RunEvent[]): string =>
	[
		"# tracer: nop",
		"#",
		"# nop latency trace v1.1.5 on 6.1.0-50-amd64",
		`# latency: 0 us, #${events.length}/${events.length}, CPU#0 | (M:desktop VP:0, KP:0, SP:0 HP:0 #P:1)`,
		...events.map((e) => `${e.comm.slice(0, 8).padStart(8)}-${e.pid}       ${e.cpu}...1. ${e.ns / 1000}us+: ${e.name}: ${tracefsBody(e)}`),
		"",
	].join("\n");

function rawBody(event: RunEvent): string {
	const fields = event.fields.map(([name, value, type]) => {
		const bare = name === "gfn" || name === "old_spte" || name === "new_spte";
		return `${name}=${type === "s32" || name === "event" || name === "level" || name === "vcpu_id" || name === "as_id" ? value : bare ? value.toString(16) : hex(value)}`;
	});
	if (event.symbol !== undefined)
		fields.unshift(
			event.returns === true ? "__probe_func=ffffffff81321130 __probe_ret_ip=ffffffff81322ce7" : "__probe_ip=ffffffff81321130",
		);
	return fields.join(" ");
}

export const asReport = (events: readonly RunEvent[], raw: boolean): string =>
	[
		"cpus=2",
		...events.map((e) => {
			const head = e.returns === true ? "(ffffffff81321130 <- ffffffff81322ce7)" : "(ffffffff81321130)";
			const body = raw ? rawBody(e) : (e.print ?? `${head} ${e.fields.map(shown).join(" ")}`);
			return `${e.comm.padStart(16)}-${e.pid}   [00${e.cpu}] ${seconds(e.ns, 9).padStart(16)}: ${`${e.name}:`.padEnd(22)} ${body}`;
		}),
		"",
	].join("\n");

export const asPerf = (events: readonly RunEvent[]): string =>
	[
		...events.map((e) => {
			const name = e.symbol === undefined ? `kvm:${e.name}` : `probe:${e.symbol}${e.returns === true ? "__return" : ""}`;
			const head = e.returns === true ? "(ffffffff81321130 <- ffffffff81322ce7)" : "(ffffffff81321130)";
			return `${e.comm.padStart(16)} ${String(e.pid).padStart(5)}/${String(e.pid).padEnd(5)} [00${e.cpu}] ${seconds(e.ns, 9).padStart(15)}: ${name.padStart(28)}: ${e.print ?? `${head} ${e.fields.map(shown).join(" ")}`}`;
		}),
		"",
	].join("\n");

/** Our bpftrace recipe's names of the events and of their fields; what is not named is printed as it is. */
const BPF: Readonly<Record<string, readonly [name: string, fields: Readonly<Record<string, string>>]>> = {
	kvm_page_fault: ["KVM_PF", { vcpu_id: "vcpu", guest_rip: "rip", fault_address: "gpa", error_code: "ec" }],
	kvm_tdp_mmu_spte_changed: ["KVM_SPTE", { old_spte: "old", new_spte: "new", as_id: "as" }],
	kvm_unmap_hva_range: ["KVM_UNMAP", {}],
	mn_range_start: ["MN_START", {}],
	mn_range_end: ["MN_END", {}],
	ksm_try_to_merge_one_page: ["KSM_ONE", {}],
	ksm_try_to_merge_one_page_ret: ["KSM_ONE_RET", { ret: "err" }],
	wp_page_copy: ["WP_COPY", {}],
	wp_page_copy_ret: ["WP_COPY_RET", {}],
};
const BPF_DECIMAL = new Set(["vcpu", "level", "as", "event", "err"]);

function bpfLine(e: RunEvent): string {
	const [name = "", renamed = {}] = BPF[e.name] ?? [];
	const fields = e.fields.map(([field, value]) => {
		const called = renamed[field] ?? field;
		return `${called}=${BPF_DECIMAL.has(called) ? value : value.toString(16)}`;
	});
	return ["M", e.ns, e.cpu, e.pid, e.pid, e.comm, name, ...fields].join(" ");
}

export const asBpftrace = (events: readonly RunEvent[]): string => ["# mmtrace 1 clock=monotonic", ...events.map(bpfLine), ""].join("\n");

export const asBpftraceJson = (events: readonly RunEvent[]): string =>
	[
		'{"type": "attached_probes", "data": {"probes": 12}}',
		'{"type": "printf", "data": "# mmtrace 1 clock=monotonic\\n"}',
		...events.map((e) => `{"type": "printf", "data": "${bpfLine(e)}\\n"}`),
		"",
	].join("\n");

/** What the importers make of a small run, by kind. */
export const SMALL_RUN_OPERATIONS = {
	memslot: 1,
	fault: 40,
	ksmWriteProtect: 16,
	ksmPromote: 8,
	ksmReplace: 8,
	cow: 4,
	vmexit: 40,
	spteChanged: 56,
	rangeStart: 28,
	rangeEnd: 28,
	ksmMerge: 16,
	cowCopy: 4,
};
