// stats.jsonl of the rig: the kernel's own counters at the end of each phase; what a phase did is the growth from row to row.
import { basename } from "node:path";
import { BadInputError } from "../errors.js";
import { readLines, type SourceDigest } from "./input.js";

export interface PhaseCounters {
	readonly phase: number;
	readonly kind: string;
	/** Growth since the previous row: pf_taken, pf_fixed, … summed over the VMs, cow_ksm. */
	readonly growth: ReadonlyMap<string, number>;
	/** False: guest and host disagreed about a page in this phase (racez). */
	readonly ok: boolean;
	/** The VM whose phase it was; -1: all of them. */
	readonly vm: number;
	/** Accesses that the rig says it made. */
	readonly guestAccesses: number;
	readonly hostAccesses: number;
}

const KVM = ["pf_taken", "pf_fixed", "pf_fast", "pf_spurious", "pf_emulate"] as const;

interface Row {
	phase?: number;
	kind?: string;
	ok?: number;
	vm?: number;
	guest_n?: number;
	host_n?: number;
	vmstat?: Record<string, number>;
	kvm?: Record<string, number>[];
}

function totals(row: Row): Map<string, number> {
	const sums = new Map<string, number>();
	for (const name of KVM)
		sums.set(
			name,
			(row.kvm ?? []).reduce((sum, vm) => sum + (vm[name] ?? 0), 0),
		);
	const cow = row.vmstat?.cow_ksm;
	if (cow !== undefined && cow >= 0) sums.set("cow_ksm", cow);
	return sums;
}

export async function readStats(path: string): Promise<{ rows: PhaseCounters[]; source: SourceDigest; warnings: string[] }> {
	const source: SourceDigest = { name: "", sha256: "" };
	const rows: PhaseCounters[] = [];
	const warnings: string[] = [];
	let before: Map<string, number> | null = null;
	for await (const lines of readLines(path, source)) {
		for (const line of lines) {
			if (line.text.trim() === "") continue;
			let row: Row;
			try {
				row = JSON.parse(line.text) as Row;
			} catch {
				if (!line.complete) {
					warnings.push(`${basename(path)}: the last row is cut off and was left out`);
					continue;
				}
				throw new BadInputError("not a row of JSON", { where: `${path}, line ${line.number}` });
			}
			if (row.phase === undefined) continue;
			const now = totals(row);
			if (before !== null && row.kind !== "end") {
				const growth = new Map<string, number>();
				for (const [name, value] of now) growth.set(name, value - (before.get(name) ?? 0));
				rows.push({
					phase: row.phase,
					kind: row.kind ?? "",
					growth,
					ok: row.ok !== 0,
					vm: row.vm ?? -1,
					guestAccesses: row.guest_n ?? 0,
					hostAccesses: row.host_n ?? 0,
				});
			}
			before = now;
		}
	}
	return { rows, source, warnings };
}
