// The bpftrace program of a capture: one line an event, as src/import/bpftrace.ts reads them. Structs are read through the kernel's own types.
import type { HostFacts } from "./host.js";
import { releaseNumber } from "./host.js";
import { structName } from "./layout.js";
import type { Placed } from "./points.js";

/** First arguments that are read as structs, by the variable that stands for them. */
const STRUCTS: Readonly<Record<string, string>> = { $r: "mmu_notifier_range", $i: "ksm_rmap_item", $v: "vm_fault" };

/** Up to 5.18 kvm_page_fault has neither the vCPU nor the rip. */
function pageFaultIsShort(facts: HostFacts): boolean {
	if (facts.pageFaultFields !== undefined) return !facts.pageFaultFields.includes("vcpu_id");
	const release = releaseNumber(facts.release);
	return release !== 0 && release < 5019;
}

function probeOf({ point, symbol }: Placed): string {
	if (point.kind === "tracepoint") return `tracepoint:${point.event.replace("/", ":")}`;
	return `${point.kind === "entry" ? "kprobe" : "kretprobe"}:${symbol ?? ""}`;
}

function lineOf(placed: Placed, facts: HostFacts): string {
	const { point } = placed;
	const short = point.event === "kvm/kvm_page_fault" && pageFaultIsShort(facts);
	const bpf = short ? "KVM_PF gpa=%llx ec=%llx | args->fault_address, args->error_code" : point.bpf;
	const [format = "", values = ""] = bpf.split(" | ");
	const structs = Object.entries(STRUCTS)
		.filter(([variable]) => values.includes(`${variable}->`))
		.map(([variable, struct]) => `${variable} = (struct ${structName(facts, struct)} *)arg0; `);
	const filter = point.kind === "tracepoint" || point.filter === undefined ? "" : `/${point.filter.bpf}/ `;
	return `${probeOf(placed)} ${filter}{ ${structs.join("")}printf("M %llu %d %d %d %s ${format}\\n", nsecs, cpu, pid, tid, comm, ${values}); }`;
}

export function bpfProgram(placed: readonly Placed[], facts: HostFacts): string {
	return [
		"#!/usr/bin/env bpftrace",
		"/* M <ns> <cpu> <tgid> <tid> <comm> <EVENT> key=value ...; addresses in hexadecimal without 0x */",
		`BEGIN { printf("# mmtrace 1 clock=monotonic\\n# kernel ${facts.release}\\n"); }`,
		...placed.map((each) => lineOf(each, facts)),
		"",
	].join("\n");
}
