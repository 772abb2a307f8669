// The counters of a replay: one flat list of dotted paths, the same for the engine, the reference model and the reports.
// Each is a u64, an exact sum that does not depend on order. What they mean: docs/counters.md; their names are the compare JSON's.
import { RULES } from "./coherence.js";
import { VMEXIT_CAUSES, ZAP_CAUSES } from "./trace/kinds.js";

/** Call sites of `bySite`, by the name of the cause; those before memslot are the operations with a step table, in OperationKind order. */
export const SITES = [
	"cow",
	"unshare",
	"ksmWriteProtect",
	"ksmReplace",
	"zap",
	"protect",
	"fork",
	"invalidate",
	"thpSplit",
	"thpCollapse",
	"uprobeReplace",
	"migrateVma",
	"mkclean",
	"softDirty",
	"hugeCow",
	"mremap",
	"reclaim",
	"migrate",
	"numaHint",
	"remapFilePages",
	"hugetlbCow",
	"memslot",
	"age",
	"dirtyLog",
	"kvmZapAll",
] as const;
export type Site = (typeof SITES)[number];

const SITE_COUNTERS = ["count", "sptePresent", "spteRebuilt", "exitsCaused", "flushes", "flushesEffective", "mmuLockWrite"] as const;

/** Where the buckets of `refaultAccesses` begin: 0, 1, and powers of two; the last one has no end. */
export const REFAULT_BUCKETS: readonly number[] = [0, ...Array.from({ length: 32 }, (_, at) => 2 ** at)];

/** The same for `refaultNs`, in nanoseconds: up to 18 minutes. */
export const REFAULT_NS_BUCKETS: readonly number[] = [0, ...Array.from({ length: 41 }, (_, at) => 2 ** at)];

/** Lengths of retry chains that `retriesInARow` has a counter for: each up to 16, then powers of two. */
export const RETRY_CHAINS: readonly number[] = [
	...Array.from({ length: 16 }, (_, at) => at + 1),
	...Array.from({ length: 12 }, (_, at) => 2 ** (at + 5)),
];

/** Every counter's path; the index is its place in the engine's counter block. */
export const COUNTER_PATHS: readonly string[] = [
	"accesses.guestRead",
	"accesses.guestWrite",
	"accesses.hostRead",
	"accesses.hostWrite",
	"accesses.deviceRead",
	"accesses.deviceWrite",
	"vmexits",
	"vmexitsFixed",
	"vmexitsRetried",
	"vmexitsFast",
	"vmexitsSpurious",
	"vmexitsEmulated",
	"vmexitsRead",
	"vmexitsWrite",
	"vmexitsNotPresent",
	"vmexitsProtection",
	...VMEXIT_CAUSES.flatMap((cause) => ["read", "write", "fetch"].map((access) => `vmexitsByCause.${cause}.${access}`)),
	"inProgressLoops",
	...RETRY_CHAINS.map((length) => `retriesInARow.${length}`),
	"mmio.read",
	"mmio.write",
	"mmio.reserved",
	"hostFaults",
	"cowBreaks",
	"cowCopies.ksm",
	"cowCopies.zero",
	"cowCopies.shared",
	"cowCopies.file",
	"cowCopies.unshare",
	"cowReuses",
	"ksmMerges",
	"ksmWriteProtects",
	"ksmReplaces",
	"ksmZeroMerges",
	"ksmRefused",
	"notifier.rangeStart",
	"notifier.rangeEnd",
	"notifier.changePte",
	"notifier.changePteEffective",
	"notifier.changePteEstablished",
	"notifier.changePteFailed",
	"notifier.invalidateSecondaryTlb",
	"notifier.invalidateMissing",
	"spteInstalled",
	"spteZapped",
	"spteChanged",
	"sptePrefetched",
	"pfnAccessed",
	"pfnDirtied",
	...ZAP_CAUSES.map((cause) => `spteZappedByCause.${cause}`),
	"establish.refusedOverlap",
	"establish.refusedWritable",
	"establish.refusedNoTable",
	"establish.neverTouched",
	"mmuLockWrite",
	...SITES.flatMap((site) => SITE_COUNTERS.map((counter) => `bySite.${site}.${counter}`)),
	...REFAULT_BUCKETS.map((from) => `refaultAccesses.${from}`),
	...REFAULT_NS_BUCKETS.map((from) => `refaultNs.${from}`),
	"flush.primaryTlb",
	"flush.guestTlb",
	"flush.guestTlbEffective",
	"flush.deviceTlb",
	"tlb.l1Hit",
	"tlb.l1Miss",
	"tlb.l2Hit",
	"tlb.l2Miss",
	"tlb.flushed",
	"hostTlb.l1Hit",
	"hostTlb.l1Miss",
	"hostTlb.l2Hit",
	"hostTlb.l2Miss",
	"hostTlb.flushed",
	"device.tlbHit",
	"device.tlbMiss",
	"device.pageRequests",
	"device.mirrorFaults",
	"device.mirrorRetries",
	"device.mirrorInvalidations",
	"device.refused",
	"device.waits",
	"walk.count",
	"walk.memoryReferences",
	"walk.pscHits",
	"hostWalk.count",
	"hostWalk.memoryReferences",
	"hostWalk.pscHits",
	"coherence.violations",
	...RULES.map((rule) => `coherence.byRule.${rule}`),
];

/** Whether a counter means something only where every access is in the trace: what TLBs and walks do, and what a flush takes from a TLB. */
export function needsEveryAccess(path: string): boolean {
	return /^(tlb|hostTlb|walk|hostWalk)\.|\.(flushes|guestTlb)Effective$/.test(path);
}

const INDEX = new Map(COUNTER_PATHS.map((path, index) => [path, index]));

/** Place of a counter in the block. Throws RangeError on a name that is none. */
export function counterIndex(path: string): number {
	const index = INDEX.get(path);
	if (index === undefined) throw new RangeError(`no counter ${path}`);
	return index;
}

/** A counter as JSON: an integer while it is exact in a double, a decimal string beyond (cli.md). */
export type CounterValue = number | string;
/** null: not known. */
export interface CounterTree {
	[key: string]: CounterValue | null | CounterTree;
}

/** Nest the flat counters by their dotted paths. */
export function counterTree(values: ArrayLike<bigint>, isKnown: (path: string) => boolean = () => true): CounterTree {
	const root: CounterTree = {};
	COUNTER_PATHS.forEach((path, index) => {
		const keys = path.split(".");
		const leaf = keys.pop() ?? path;
		let node = root;
		for (const key of keys) {
			const next = node[key];
			if (typeof next === "object" && next !== null) node = next;
			else {
				const made: CounterTree = {};
				node[key] = made;
				node = made;
			}
		}
		const value = values[index] ?? 0n;
		node[leaf] = !isKnown(path) ? null : value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value.toString();
	});
	return root;
}
