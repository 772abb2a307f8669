// What a generated trace is made of: the workloads by name, their parameters and the bounds of these.
import type { PatternName } from "./boundary.js";

export interface Workload {
	readonly pattern: PatternName;
	readonly vms: number;
	/** Of each VM. */
	readonly vcpus: number;
	/** Of each VM; `hits` and `zipf` divide them among its vCPUs. */
	readonly pages: number;
	/** hits: pages that a vCPU goes round in. */
	readonly hot: number;
	/** hits: fraction of accesses to any page of the VM instead. */
	readonly cold: number;
	/** Zipf's law. */
	readonly exponent: number;
	/** Fraction of accesses that write. */
	readonly writes: number;
	/** Fraction of records that begin a KSM merge (two records: write-protect, replace). */
	readonly merges: number;
	/** Fraction of records that are writes to a merged page, which break it. */
	readonly breaks: number;
	/** Fraction of records that are accesses of a VMM's thread. */
	readonly host: number;
	/** Fraction of records that discard up to 16 pages (MADV_DONTNEED). */
	readonly zaps: number;
	/** Different contents that pages merge into. */
	readonly contents: number;
	/** Every page is written once before the workload begins. */
	readonly warm: boolean;
}

const PLAIN: Workload = {
	pattern: "uniform",
	vms: 1,
	vcpus: 8,
	pages: 65_536,
	hot: 32,
	cold: 0,
	exponent: 1.2,
	writes: 0.3,
	merges: 0,
	breaks: 0,
	host: 0,
	zaps: 0,
	contents: 1024,
	warm: false,
};

interface NamedWorkload {
	readonly name: string;
	readonly summary: string;
	readonly workload: Workload;
}

/** p to r: the workloads that the benchmark takes (docs/performance.md). */
export const WORKLOADS: readonly NamedWorkload[] = [
	{ name: "hits", summary: "each vCPU goes round in pages that its TLB holds", workload: { ...PLAIN, pattern: "hits", pages: 4096 } },
	{ name: "zipf", summary: "few pages take most accesses", workload: { ...PLAIN, pattern: "zipf" } },
	{ name: "uniform", summary: "every page alike", workload: PLAIN },
	{ name: "scan", summary: "one page after the other, each vCPU from a place of its own", workload: { ...PLAIN, pattern: "scan" } },
	{
		name: "ksm-merge-storm",
		summary: "ksmd merges as fast as the guests write",
		workload: { ...PLAIN, pattern: "zipf", vms: 4, vcpus: 2, pages: 16_384, merges: 0.2, breaks: 0.02 },
	},
	{
		name: "cow-storm",
		summary: "guests write to what was merged",
		workload: { ...PLAIN, pattern: "zipf", vms: 4, vcpus: 2, pages: 16_384, merges: 0.1, breaks: 0.1, host: 0.02 },
	},
	{
		name: "mixed",
		summary: "all of these, with accesses of the VMM and pages given back",
		workload: { ...PLAIN, pattern: "mixed", vms: 2, vcpus: 4, pages: 32_768, merges: 0.005, breaks: 0.005, host: 0.02, zaps: 0.001 },
	},
	{ name: "p", summary: "benchmark: only hits", workload: { ...PLAIN, pattern: "hits", vms: 8, vcpus: 1, pages: 64, hot: 32 } },
	{
		name: "h",
		summary: "benchmark: 97% first-level hits, merges and breaks",
		workload: { ...PLAIN, pattern: "hits", vms: 8, vcpus: 1, pages: 256, hot: 6, merges: 0.002, breaks: 0.002 },
	},
	{
		name: "z",
		summary: "benchmark: Zipf(1.2) over 384 pages a vCPU, 1% merges, 1% breaks",
		workload: { ...PLAIN, pattern: "zipf", vms: 8, vcpus: 1, pages: 384, merges: 0.01, breaks: 0.01 },
	},
	{ name: "m", summary: "benchmark: uniform over 64 Ki pages", workload: { ...PLAIN, merges: 0.001, breaks: 0.001, warm: true } },
	{
		name: "r",
		summary: "benchmark: uniform over 16 Mi pages, 64 GiB",
		workload: { ...PLAIN, pages: 1 << 24, merges: 0.001, breaks: 0.001, warm: true },
	},
];

interface Bound {
	readonly least: number;
	readonly most: number;
	readonly whole: boolean;
}

const fraction: Bound = { least: 0, most: 1, whole: false };

/** What each parameter may be. Together, pages stay within what the engine has frames for. */
export const BOUNDS = {
	vms: { least: 1, most: 1024, whole: true },
	vcpus: { least: 1, most: 1024, whole: true },
	pages: { least: 1, most: 2 ** 25, whole: true },
	hot: { least: 1, most: 2 ** 20, whole: true },
	cold: fraction,
	exponent: { least: 0, most: 8, whole: false },
	writes: fraction,
	merges: fraction,
	breaks: fraction,
	host: fraction,
	zaps: fraction,
	contents: { least: 1, most: 2 ** 31, whole: true },
} as const satisfies Partial<Record<keyof Workload, Bound>>;

/** Pages of all VMs, at most: twice as many frames are as many as the engine knows. */
const MOST_PAGES = 2 ** 25;
/** Pages of the alias table of Zipf's law. */
const MOST_ZIPF_PAGES = 2 ** 22;
/** vCPUs of all VMs. */
const MOST_VCPUS = 4096;

/** Pages that a vCPU of `hits` or `zipf` has to itself. */
export function regionPages({ pages, vcpus }: Workload): number {
	return Math.max(1, Math.floor(pages / vcpus));
}

/** What is wrong with parameters that are right one by one; undefined where nothing is. */
export function contradiction(workload: Workload): { what: string; where: string } | undefined {
	const { vms, vcpus, pages, hot, pattern, merges, breaks, host, zaps } = workload;
	if (vms * vcpus > MOST_VCPUS) return { what: `${vms * vcpus} vCPUs in all, more than ${MOST_VCPUS}`, where: "--vms, --vcpus" };
	if (vms * pages > MOST_PAGES) return { what: `${vms * pages} pages in all, more than ${MOST_PAGES}`, where: "--vms, --pages" };
	const usesZipf = pattern === "zipf" || pattern === "mixed";
	if (usesZipf && regionPages(workload) > MOST_ZIPF_PAGES)
		return { what: `Zipf's law over ${regionPages(workload)} pages a vCPU, more than ${MOST_ZIPF_PAGES}`, where: "--pages" };
	if (pattern === "hits" && hot > pages) return { what: `${hot} hot pages of ${pages}`, where: "--hot" };
	if (merges + breaks + host + zaps > 1)
		return { what: "the fractions of records are more than all of them", where: "--merges, --breaks, --host, --zaps" };
	return undefined;
}
