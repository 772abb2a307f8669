// Kernels that worlds are made of, from 2.6.32 to 6.12: which operations each has, and which hosts KVM knew by then (kernel.md sections 1 and 2).
import fc from "fast-check";
import type { OperationName } from "../../src/trace/kinds.js";
import { hostOf, type KvmHost } from "../../src/trace/kvmhost.js";

export interface Era {
	readonly release: string;
	/** Operations that it does not have, yet or any more. */
	readonly lacks: ReadonlySet<OperationName>;
	/** It has transparent huge pages (2.6.38). */
	readonly huge: boolean;
	readonly host: fc.Arbitrary<KvmHost>;
}

/** Releases at which something came or went. */
const SINCE: readonly (readonly [from: number, name: OperationName])[] = [
	[2_006_038, "thpSplit"],
	[2_006_038, "thpCollapse"],
	[2_006_038, "thpCollapsed"],
	[2_006_038, "hugeCow"],
	[3_005_000, "uprobeReplace"],
	[3_008_000, "numaHint"],
	[4_014_000, "migrateVma"],
	[6_002_000, "unshare"],
];
const UNTIL: readonly (readonly [end: number, name: OperationName])[] = [[5_008_000, "hugeCow"]];

function numberOf(release: string): number {
	const [major = 0, minor = 0, patch = 0] = release.split(".").map(Number);
	return (major * 1000 + minor) * 1000 + patch;
}

/** The TDP MMU is there since 5.10, page-modification logging since 4.0, A/D bits in EPT since 3.7. */
function hostsOf(release: number): fc.Arbitrary<KvmHost> {
	const mmu: fc.Arbitrary<KvmHost["mmu"]> =
		release < 5_010_000
			? fc.constant("legacy")
			: fc.oneof({ weight: 2, arbitrary: fc.constant<"tdp">("tdp") }, fc.constant<"legacy">("legacy"));
	const eptAd = release < 3_007_000 ? fc.constant(false) : fc.boolean();
	const pml = release < 4_000_000 ? fc.constant(false) : fc.boolean();
	return fc.record({ mmu, eptAd, pml }).map((told) => hostOf(told));
}

function eraOf(release: string): Era {
	const number = numberOf(release);
	const lacks = [...SINCE.filter(([from]) => number < from), ...UNTIL.filter(([end]) => number >= end)].map(([, name]) => name);
	return { release, lacks: new Set(lacks), huge: number >= 2_006_038, host: hostsOf(number) };
}

export const ERAS: readonly Era[] = ["2.6.32", "3.6", "3.10", "4.4", "4.19", "5.4", "5.15", "6.1", "6.6", "6.12"].map(eraOf);
