// How far a strategy's counts can be believed, given what the capture knows of its accesses (model.md sections 1 and 3; kernel.md 10.2).
import { hostOf, type KvmHost } from "../trace/kvmhost.js";
import type { TraceHeader } from "../trace/record.js";

export interface Exactness {
	readonly exact: boolean | "lowerBound";
	readonly why: string;
}

/**
 * Which strategies keep at least the mappings that another keeps, one step a line; the rest follows step by step.
 * - wrapped and drop keep the same: change_pte comes after the zap and never finds an entry (2.3). fix and flag keep the same in KVM (2.6).
 * - Everything keeps what drop keeps: drop zaps at every site, and holds faults back to the end of the bracket.
 * - fix-map keeps what fix zaps, the entry of a writable new PTE (11.1).
 * - establish-map also creates writable entries, establish only read-only ones (10.2, last column).
 * - establish-lean creates what establish-map does, but for the write-protects that a replace follows.
 * - establish-naive is establish-map without its guard (litmus h).
 * - Up to 3.6 KVM did at the eligible sites what fix does (2.2, 2.3). The draft of 2008 zaps where drop does, only later.
 * - A variant (`fix:seqBump=false`) leaves out or loosens a step: it keeps what its strategy keeps.
 * - legacy-2.6.32 and legacy-3.6 update in place and zap for a writable new PTE, as fix does (2.2); range-after-unlock zaps as drop does, only later.
 * fix and establish are not on one line: fix keeps an entry through a bracket that changes nothing (a merge that fails) and beside somebody else's
 * bracket, where establish zaps and does not create; establish creates entries of cold pages, which fix never does.
 */
const KEEPS_AT_LEAST: readonly (readonly [more: string, less: string])[] = [
	["drop", "wrapped"],
	["wrapped", "drop"],
	["fix", "drop"],
	["flag", "fix"],
	["fix", "flag"],
	["fix-map", "fix"],
	["establish", "drop"],
	["establish-lean", "drop"],
	["establish-map", "establish"],
	["establish-map", "establish-lean"],
	["establish-naive", "establish-map"],
	["legacy-2.6.32", "fix"],
	["legacy-3.6", "fix"],
	["fix", "legacy-2.6.32"],
	["fix", "legacy-3.6"],
	["range-after-unlock", "drop"],
];

/** The strategy that a variant is made of. */
function baseOf(strategy: string): string {
	return strategy.split(":")[0] ?? strategy;
}

function isKnown(strategy: string): boolean {
	return KEEPS_AT_LEAST.some(([more, less]) => more === strategy || less === strategy);
}

/** Whether `more` keeps at least the mappings that `less` keeps, at every moment. */
export function keepsAtLeast(more: string, less: string): boolean {
	const reached = new Set([baseOf(more)]);
	for (const at of reached) for (const [from, to] of KEEPS_AT_LEAST) if (from === at) reached.add(to);
	return reached.has(less);
}

/**
 * Why a host keeps fewer mappings than the captured one did; undefined where it keeps as many. The legacy MMU's prefetch keeps more; without A/D bits
 * ageing makes SPTEs exit once more, and without page-modification logging dirty logging does.
 */
function losesOnHost(host: KvmHost, captured: KvmHost): string | undefined {
	if (captured.eptAd && !host.eptAd) return "SPTEs that are aged or changed in place exit without A/D bits, and the captured host had them";
	if (captured.mmu === "legacy" && captured.eptAd && host.mmu === "tdp") return "the captured host's MMU prefetched";
	if (captured.pml && !host.pml) return "dirty logging takes the right to write, and on the captured host it did not";
	return undefined;
}

/** `builtIn`: whether the strategy is one of ours, of which the order above speaks. `host`: the one that the replay assumed. */
export function exactness(header: TraceHeader, strategy: string, builtIn: boolean, host = hostOf(header.host)): Exactness {
	const found = exactnessOf(header, strategy, builtIn);
	const loss = header.access === "inferred" && found.exact === true ? losesOnHost(host, hostOf(header.host)) : undefined;
	return loss === undefined
		? found
		: { exact: "lowerBound", why: `accesses are inferred from faults, and ${loss}: accesses that no fault shows may exit as well` };
}

function exactnessOf(header: TraceHeader, strategy: string, builtIn: boolean): Exactness {
	const [loss] = header.losses;
	if (loss !== undefined) return { exact: false, why: `the capture lost events (${loss.name}: ${loss.count})` };
	if (header.access === "none") return { exact: false, why: "the trace has no accesses" };
	if (header.access === "complete") {
		if (!header.concurrent) return { exact: true, why: "every access is in the trace" };
		return { exact: false, why: "accesses and kernel events ran at the same time: their order is inferred from the observed faults" };
	}
	const captured = header.strategy;
	if (captured === "")
		return { exact: false, why: "accesses are inferred from faults, and it is not known which strategy the captured kernel ran" };
	if (!builtIn || !isKnown(baseOf(strategy)) || !isKnown(captured)) {
		return {
			exact: false,
			why: `accesses are inferred from faults, and whether it keeps what ${captured} kept, which was captured, is not known`,
		};
	}
	if (keepsAtLeast(strategy, captured)) {
		return { exact: true, why: `accesses are inferred from faults, and it keeps at least the mappings of ${captured}, which was captured` };
	}
	return {
		exact: "lowerBound",
		why: `accesses are inferred from faults, and it does not keep all mappings of ${captured}, which was captured: accesses that no fault shows may exit as well`,
	};
}
