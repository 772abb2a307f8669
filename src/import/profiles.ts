// What differs between kernels in what a capture shows: which events there are, how the structs that probes read have moved, and what a missing
// event is replaced by (formats.md section 3). A profile is told by a release, or inferred from what the capture has.

import { NotifyEvent } from "../trace/kinds.js";

interface KernelProfile {
	/** The long-term kernel that it is named after. */
	readonly name: "5.10" | "6.1" | "6.6" | "6.12";
	/** First release, as major * 1000 + minor. */
	readonly from: number;
	/** struct mmu_notifier_range begins with its vma. */
	readonly rangeLayout: "old" | "new";
	/** __mmu_notifier_change_pte and kvm_set_spte_hva exist. */
	readonly changePte: boolean;
	readonly ksmTracepoints: boolean;
	/** kvm_page_fault has vcpu and rip. */
	readonly faultHasVcpu: boolean;
}

/** From the newest: the first that a release is not older than. */
const PROFILES: readonly KernelProfile[] = [
	{ name: "6.12", from: 6010, rangeLayout: "new", changePte: false, ksmTracepoints: true, faultHasVcpu: true },
	{ name: "6.6", from: 6003, rangeLayout: "new", changePte: true, ksmTracepoints: true, faultHasVcpu: true },
	{ name: "6.1", from: 5019, rangeLayout: "old", changePte: true, ksmTracepoints: false, faultHasVcpu: true },
	{ name: "5.10", from: 0, rangeLayout: "old", changePte: true, ksmTracepoints: false, faultHasVcpu: false },
];

/** Fetch expression → field of struct mmu_notifier_range; the vma member went in 6.3. */
export const RANGE_LAYOUTS: Readonly<Record<"old" | "new", Readonly<Record<string, string>>>> = {
	old: { "+8($arg1)": "mm", "+16($arg1)": "start", "+24($arg1)": "end", "+32($arg1)": "flags", "+36($arg1)": "event" },
	new: { "+0($arg1)": "mm", "+8($arg1)": "start", "+16($arg1)": "end", "+24($arg1)": "flags", "+28($arg1)": "event" },
};

const KERNEL_HALF = 1n << 63n;

function kernelPointer(value: string | undefined): boolean {
	try {
		return value !== undefined && BigInt.asUintN(64, BigInt(value)) >= KERNEL_HALF;
	} catch {
		return false;
	}
}

/** Whether a probe was defined for the range with its vma: by what it fetches, and where that leaves it open by what a line shows there. */
export function isOldRange(fetches: ReadonlyMap<string, string>, shown: (name: string) => string | undefined): boolean {
	const expressions = new Set(fetches.values());
	if (expressions.has("+0($arg1)") || expressions.has("+28($arg1)")) return false;
	if (expressions.has("+36($arg1)")) return true;
	const atEight = [...fetches].find(([, fetch]) => fetch === "+8($arg1)");
	// The mm is a kernel pointer, a range's start is a user address.
	if (atEight !== undefined) return kernelPointer(shown(atEight[0]));
	return expressions.has("+24($arg1)");
}

/** major * 1000 + minor of `6.1.0-50-amd64`; undefined where it is no release. */
function releaseNumber(release: string): number | undefined {
	const match = /^(\d+)\.(\d+)/.exec(release);
	return match === null ? undefined : Number(match[1]) * 1000 + Number(match[2]);
}

/** Enterprise Linux keeps a release's number and takes KVM and mm of later ones into it: the number tells nothing of them. Oracle's and ELRepo's do not. */
const BACKPORTED = /\.el\d+(?!\w*uek|.*elrepo)/;

/** What a capture shows of its kernel. */
export interface KernelSigns {
	rangeLayout: "old" | "new" | "";
	changePte: boolean;
	/** Notifier ranges at COW and KSM sites were seen: without change_pte among them there is none. */
	ranges: boolean;
	ksmTracepoints: boolean;
	/** undefined: no kvm_page_fault. */
	faultHasVcpu: boolean | undefined;
	/** Merges were seen. */
	merges: boolean;
	/** FAULT_FLAG_VMA_LOCK among the fault flags (since 6.4). */
	vmaLock: boolean;
}

export interface TakenProfile {
	readonly profile: KernelProfile;
	/** How it was chosen, for the header. */
	readonly evidence: string;
	/** What the capture shows that a kernel of this profile cannot have. */
	readonly contradictions: readonly string[];
}

function contradictions(profile: KernelProfile, signs: KernelSigns): string[] {
	const found: string[] = [];
	if (signs.changePte && !profile.changePte) found.push("change_pte is called, which Linux has not had since 6.10");
	if (signs.ksmTracepoints && !profile.ksmTracepoints) found.push("ksm tracepoints, which Linux has only since 6.3");
	if (signs.rangeLayout !== "" && signs.rangeLayout !== profile.rangeLayout)
		found.push(
			`the probes read struct mmu_notifier_range ${signs.rangeLayout === "old" ? "with its first member vma" : "without its first member vma"}, which is not that kernel's`,
		);
	if (signs.vmaLock && profile.rangeLayout === "old") found.push("faults under the VMA lock, which Linux has only since 6.4");
	if (signs.faultHasVcpu === true && !profile.faultHasVcpu) found.push("kvm_page_fault with its vCPU, which Linux has only since 5.19");
	if (signs.faultHasVcpu === false && profile.faultHasVcpu) found.push("kvm_page_fault without its vCPU, as up to 5.18");
	return found;
}

function signsAsText(signs: KernelSigns): string {
	const said = [];
	if (signs.changePte) said.push("change_pte is called");
	else if (signs.ranges) said.push("no change_pte");
	if (signs.ksmTracepoints) said.push("ksm tracepoints");
	else if (signs.merges) said.push("no ksm tracepoints");
	if (signs.vmaLock) said.push("faults under the VMA lock");
	if (signs.rangeLayout !== "") said.push(`ranges ${signs.rangeLayout === "old" ? "with" : "without"} vma`);
	if (signs.faultHasVcpu !== undefined) said.push(`kvm_page_fault ${signs.faultHasVcpu ? "with" : "without"} its vCPU`);
	return said.length === 0 ? "nothing in the capture tells" : said.join(", ");
}

/** The profile of a release that was told (by --kernel) or found (in the source), or the newest that the capture's own signs allow. */
export function takeProfile(told: string | undefined, found: string, signs: KernelSigns): TakenProfile {
	const release = told ?? found;
	const number = releaseNumber(release);
	const how = told !== undefined ? "told" : "found in the source";
	const byRelease = number === undefined || BACKPORTED.test(release) ? undefined : PROFILES.find((profile) => number >= profile.from);
	if (byRelease !== undefined)
		return {
			profile: byRelease,
			evidence: `kernel profile ${byRelease.name} (${how}: ${release})`,
			contradictions: contradictions(byRelease, signs),
		};
	// What is not seen proves nothing, but makes a kernel that has it the less likely one.
	const unlikely = (profile: KernelProfile): number =>
		(profile.changePte && signs.ranges && !signs.changePte ? 2 : 0) +
		(profile.ksmTracepoints && signs.merges && !signs.ksmTracepoints ? 1 : 0);
	const fitting = PROFILES.filter((profile) => contradictions(profile, signs).length === 0).sort((a, b) => unlikely(a) - unlikely(b));
	const [profile = PROFILES[0] as KernelProfile] = fitting;
	const others = fitting.slice(1).map((other) => other.name);
	const open = others.length === 0 ? "" : `; ${others.join(", ")} not ruled out`;
	return {
		profile,
		evidence: `kernel profile ${profile.name} (inferred${number === undefined ? "" : `, since ${release} has parts of later kernels`}: ${signsAsText(signs)}${open})`,
		contradictions: fitting.length === 0 ? ["no kernel that is known here shows all of it together"] : [],
	};
}

/** Ranges that more than one site makes, and the functions that tell which: enum mmu_notifier_event (kernel.md 1.0, 1.1). */
const AMBIGUOUS: ReadonlyMap<number, string> = new Map([
	[NotifyEvent.clear, "clear PTEs inside a merge; nothing else is known of them"],
	[
		NotifyEvent.protectionVma,
		"change the protection of mappings: mprotect, NUMA hinting or uffd-wp (change_prot_numa, mwriteprotect_range tell)",
	],
	[NotifyEvent.protectionPage, "write-protect pages: fork, or writeback (folio_mkclean tells)"],
	[NotifyEvent.migrate, "move pages to or from a device (migrate_vma_setup, migrate_vma_pages tell)"],
	[NotifyEvent.exclusive, "make pages a device's alone (no operation here does)"],
]);

/** What it costs that a capture has ranges of guest memory without the function that made them. `ranges`: how many, by their event. */
export function rangeCosts(ranges: ReadonlyMap<number, number>): string[] {
	return [...ranges]
		.sort(([a], [b]) => a - b)
		.map(
			([event, count]) =>
				`${count} ranges over guest memory ${AMBIGUOUS.get(event) ?? `have the event ${event}`}: they zap SPTEs, and the PTEs below are taken to stay`,
		);
}
