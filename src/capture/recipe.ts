// Which recipe a host permits: bpftrace first, then trace-cmd, perf, tracefs by hand; what each needs, and what an import of it will lack.
import type { HostFacts } from "./host.js";
import { type Placement, place } from "./points.js";
import { type Method, recipeScript } from "./script.js";

export const METHODS: readonly Method[] = ["bpftrace", "trace-cmd", "perf", "tracefs"];

interface MethodState {
	readonly method: Method;
	/** Why it cannot be used here, as this user or as root; "" where it can. */
	readonly obstacle: string;
}

interface Recipe {
	readonly method: Method;
	readonly privilege: string;
	readonly placement: Placement;
	readonly script: string;
}

export interface Advice {
	readonly methods: readonly MethodState[];
	/** null: nothing can be recorded on this host. */
	readonly recipe: Recipe | null;
	/** Sentences: what an import will not know. */
	readonly missing: readonly string[];
	/** Sentences: what to see to before a capture is of use. */
	readonly notes: readonly string[];
}

const PRIVILEGE: Readonly<Record<Method, string>> = {
	bpftrace: "root (CAP_BPF, CAP_PERFMON and, for kprobes, CAP_SYS_ADMIN)",
	"trace-cmd": "root (it writes to tracefs)",
	perf: "root (or CAP_PERFMON with tracefs readable, where perf_event_paranoid is above -1)",
	tracefs: "root (it writes to tracefs)",
};

function kprobesOf(facts: HostFacts): { allowed: boolean; why: string } {
	if (facts.lockdown === "confidentiality") return { allowed: false, why: "lockdown=confidentiality forbids probes" };
	return { allowed: facts.kprobes, why: "this kernel has no kprobes" };
}

/** Why no method will do: without kvm's own events there is nothing to import. */
function commonObstacle(facts: HostFacts): string {
	if (!facts.linux) return "this is not Linux";
	if (!facts.kvm) return "the kvm module is not loaded (modprobe kvm_intel or kvm_amd, then run this again)";
	const traced = facts.symbols === undefined || facts.symbols.has("__tracepoint_kvm_page_fault");
	return traced ? "" : "this kernel has no tracepoint kvm_page_fault: nothing would tell the vmexits";
}

function obstacle(facts: HostFacts, method: Method): string {
	const common = commonObstacle(facts);
	if (common !== "") return common;
	if (facts.tracefs === undefined) return "tracefs is not mounted (mount -t tracefs nodev /sys/kernel/tracing)";
	const confidential = facts.lockdown === "confidentiality";
	switch (method) {
		case "bpftrace":
			if (facts.tools.bpftrace === undefined) return "bpftrace is not installed";
			return facts.types === undefined ? "the kernel has no type data (/sys/kernel/btf/vmlinux)" : "";
		case "trace-cmd":
			if (facts.tools["trace-cmd"] === undefined) return "trace-cmd is not installed";
			return confidential ? "lockdown=confidentiality forbids it" : "";
		case "perf":
			return facts.tools.perf === undefined ? "perf is not installed" : "";
		case "tracefs":
			return confidential ? "lockdown=confidentiality forbids it" : "";
	}
}

function missingOf(facts: HostFacts, { missed }: Placement): string[] {
	const sentences = missed.map(({ point, why }) => `${point.event}: ${why}; ${point.without}`);
	if (facts.symbols === undefined)
		sentences.unshift("/proc/kallsyms cannot be read, so whether each function can be probed shows only when the recipe runs");
	sentences.push("guest accesses that find their mapping: no tracepoint shows them, so TLB and walk figures will be null");
	if (facts.vms !== undefined && facts.vms > 0) {
		sentences.push(
			`memslots of the ${facts.vms} VMs that run already: they are inferred at import, or given with --memslots; start a VM while the recipe runs to have its own recorded`,
		);
	}
	return sentences;
}

function notesOf(facts: HostFacts): string[] {
	const notes = [];
	if (!facts.linux)
		return ["capture records what Linux does; an access stream (valgrind, QEMU) can be imported anywhere, with --overlay ksm"];
	if (facts.vms === 0) notes.push("no VM runs: there is nothing to record before one does");
	const shadow = Object.entries(facts.kvmParameters).find(([, value]) => value === "N" || value === "0");
	if (shadow !== undefined) notes.push(`${shadow[0]}=${shadow[1]}: kvm_tdp_mmu_spte_changed shows nothing without the TDP MMU`);
	if (facts.ksm === undefined) notes.push("this kernel has no KSM (CONFIG_KSM): only COW and zaps can be recorded");
	else if (facts.ksm.run !== "1") notes.push("KSM is off: echo 1 > /sys/kernel/mm/ksm/run, and QEMU needs mem-merge=on (its default)");
	return notes;
}

/**
 * @param wanted a method that the user asks for; by default the first that nothing stands in the way of
 * @param keepNames whether process names may stay in what is recorded
 */
export function advise(facts: HostFacts, wanted: Method | undefined, keepNames: boolean): Advice {
	const methods = METHODS.map((method) => ({ method, obstacle: obstacle(facts, method) }));
	const chosen = methods.find((state) => state.obstacle === "" && (wanted === undefined || state.method === wanted));
	if (chosen === undefined) return { methods, recipe: null, missing: [], notes: notesOf(facts) };
	const { method } = chosen;
	const placement = place(facts, kprobesOf(facts));
	const script = recipeScript(facts, { method, placed: placement.placed, keepNames });
	return {
		methods,
		recipe: { method, privilege: PRIVILEGE[method], placement, script },
		missing: missingOf(facts, placement),
		notes: notesOf(facts),
	};
}
