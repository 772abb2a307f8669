// What a host permits and has, as far as recording what its mm and KVM do goes (formats.md sections 0 and 3, kernel.md section 7).
import { KernelTypes } from "./btf.js";
import type { HostProbe } from "./probe.js";

const TOOLS = ["bpftrace", "trace-cmd", "perf"] as const;
type Tool = (typeof TOOLS)[number];

/** Kernel lockdown; "unknown" where it may not be read. Confidentiality forbids kprobes and tracefs, also to root. */
type Lockdown = "none" | "integrity" | "confidentiality" | "unknown";

export interface HostFacts {
	readonly linux: boolean;
	/** uname -r; "" where there is none. */
	readonly release: string;
	readonly root: boolean;
	readonly lockdown: Lockdown;
	/** Functions that probes can be put on, modules' included; undefined where /proc/kallsyms cannot be read. */
	readonly symbols: ReadonlySet<string> | undefined;
	/** Where tracefs is; undefined where it is not mounted. */
	readonly tracefs: string | undefined;
	/** The kernel has kprobes: tracefs shows their file, or, to who may not look there, kallsyms their function. */
	readonly kprobes: boolean;
	/** Fields of kvm_page_fault, where its format may be read. */
	readonly pageFaultFields: readonly string[] | undefined;
	readonly types: KernelTypes | undefined;
	/** Versions of what is installed. */
	readonly tools: Readonly<Partial<Record<Tool, string>>>;
	/** Files of /sys/kernel/mm/ksm; undefined: no KSM in this kernel. */
	readonly ksm: Readonly<Record<string, string>> | undefined;
	/** The kvm module is there. */
	readonly kvm: boolean;
	/** tdp_mmu of kvm, ept of kvm_intel, npt of kvm_amd: as the module shows them. */
	readonly kvmParameters: Readonly<Record<string, string>>;
	/** VMs that run now; undefined where debugfs may not be read. */
	readonly vms: number | undefined;
}

const KSM_FILES = [
	"run",
	"pages_shared",
	"pages_sharing",
	"pages_to_scan",
	"sleep_millisecs",
	"full_scans",
	"use_zero_pages",
	"smart_scan",
];
const KVM_PARAMETERS = ["kvm/parameters/tdp_mmu", "kvm_intel/parameters/ept", "kvm_amd/parameters/npt"];

/** Names of kallsyms; `name [module]` counts under its name. */
function symbolsOf(text: string): Set<string> {
	const symbols = new Set<string>();
	for (const line of text.split("\n")) {
		const name = line.split(/\s+/, 3)[2];
		if (name !== undefined) symbols.add(name);
	}
	return symbols;
}

/** `none [integrity] confidentiality`: the one in brackets. */
function lockdownOf(probe: HostProbe): Lockdown {
	const path = "/sys/kernel/security/lockdown";
	const text = probe.text(path);
	// Without the file there is no lockdown in this kernel, unless securityfs is not mounted: then nobody has asked for it either.
	if (text === undefined) return probe.exists(path) ? "unknown" : "none";
	const mode = /\[(\w+)\]/.exec(text)?.[1];
	return mode === "integrity" || mode === "confidentiality" || mode === "none" ? mode : "unknown";
}

function tracefsOf(probe: HostProbe): string | undefined {
	const mounts = (probe.text("/proc/mounts") ?? "").split("\n").map((line) => line.split(" "));
	const mounted = mounts.find(([, , type]) => type === "tracefs")?.[1];
	if (mounted !== undefined) return mounted;
	const debugfs = mounts.find(([, , type]) => type === "debugfs")?.[1];
	return debugfs === undefined ? undefined : `${debugfs}/tracing`;
}

function typesOf(probe: HostProbe): KernelTypes | undefined {
	const bytes = probe.bytes("/sys/kernel/btf/vmlinux");
	if (bytes === undefined) return undefined;
	try {
		return new KernelTypes(bytes);
	} catch {
		return undefined;
	}
}

function recordOf(entries: readonly (readonly [string, string | undefined])[]): Record<string, string> {
	return Object.fromEntries(entries.flatMap(([name, text]) => (text === undefined ? [] : [[name, text.trim()]])));
}

export function probeHost(probe: HostProbe): HostFacts {
	const kallsyms = probe.text("/proc/kallsyms");
	const tracefs = tracefsOf(probe);
	const format = tracefs === undefined ? undefined : probe.text(`${tracefs}/events/kvm/kvm_page_fault/format`);
	const ksm = "/sys/kernel/mm/ksm";
	const symbols = kallsyms === undefined || kallsyms === "" ? undefined : symbolsOf(kallsyms);
	return {
		linux: probe.platform === "linux",
		release: probe.text("/proc/sys/kernel/osrelease")?.trim() ?? "",
		root: probe.uid === 0,
		lockdown: lockdownOf(probe),
		symbols,
		tracefs,
		kprobes: (tracefs !== undefined && probe.exists(`${tracefs}/kprobe_events`)) || (symbols?.has("register_kprobe") ?? false),
		pageFaultFields: format === undefined ? undefined : [...format.matchAll(/field:.*?(\w+);/g)].map(([, name = ""]) => name),
		types: typesOf(probe),
		tools: recordOf(TOOLS.map((tool) => [tool, probe.version(tool)])),
		ksm: probe.exists(`${ksm}/run`) ? recordOf(KSM_FILES.map((name) => [name, probe.text(`${ksm}/${name}`)])) : undefined,
		kvm: probe.exists("/sys/module/kvm"),
		kvmParameters: recordOf(KVM_PARAMETERS.map((path) => [path.split("/").at(-1) ?? path, probe.text(`/sys/module/${path}`)])),
		vms: probe.names("/sys/kernel/debug/kvm")?.filter((name) => /^\d+-\d+$/.test(name)).length,
	};
}

/** major * 1000 + minor; 0 where the release is none. */
export function releaseNumber(release: string): number {
	const match = /^(\d+)\.(\d+)/.exec(release);
	return match === null ? 0 : Number(match[1]) * 1000 + Number(match[2]);
}
