// Memslots inferred from the evidence: hva − gpa is constant over a slot. What was proved, what was only extended to, and what contradicts itself is
// counted and said.
import { BadInputError } from "../errors.js";
import { type KnownSlot, type KnownVm, NO_POINTER } from "./knownvm.js";
import type { SeenTask, SlotEvidence } from "./slotevidence.js";

/** Pages without a pair of their own join a slot this near; pages that the guest has touched also one as near as it is long. */
const NEAR = 512;
/** Where pages stand whose hva nothing shows: above every user address, so that no range ever meets them. */
const NOWHERE = 2 ** 35;

export interface InferredSlots {
	readonly vms: readonly KnownVm[];
	/** One line a VM, and what is doubtful. */
	readonly said: readonly string[];
}

/** Consecutive gfns with one hva − gpa. */
interface Run {
	gfn: number;
	end: number;
	/** hva page − gfn. */
	readonly offset: number;
	readonly as: number;
	zaps: number;
	faults: number;
}

const hexPage = (page: number): string => `0x${(page * 4096).toString(16)}`;

/** @throws BadInputError where a VM's memslots cannot be had, or (unless `lenient`) contradict themselves */
export function inferSlots(evidence: SlotEvidence, lenient: boolean, where: string): InferredSlots {
	const said: string[] = [];
	const vms: KnownVm[] = [];
	for (const group of groups(evidence, where)) {
		const { contradictions, runs } = runsOf(evidence, group.mm);
		if (contradictions.length > 0) {
			const what = `${contradictions.length} guest pages have more than one host page (the first: ${contradictions[0] ?? ""}): memslots moved while the capture ran, or the tasks are of several VMs`;
			if (!lenient)
				throw new BadInputError(what, { where, hint: "--memslots FILE gives the memslots by hand; --lenient takes the likelier page" });
			said.push(what);
		}
		if (runs.length === 0)
			throw new BadInputError(`the memslots of the VM of task ${group.leader} are not recorded and nothing in the capture tells them`, {
				where,
				hint: "--memslots FILE gives them by hand; or capture with kvm_tdp_mmu_spte_changed and the notifier's range probes",
			});
		const extended = extend(runs, evidence, group);
		const proved = `${runs.reduce((sum, run) => sum + run.zaps, 0)} pages by their zaps, ${runs.reduce((sum, run) => sum + run.faults, 0)} by their faults alone`;
		const slots = [...runs, ...extended.unplaced].map(
			(run, slot): KnownSlot => ({ slot, as: run.as, gfn: run.gfn, page: run.gfn + run.offset, pages: run.end - run.gfn, flags: 0 }),
		);
		const shown = runs.map(
			(run) => `gpa ${hexPage(run.gfn)}-${hexPage(run.end)} at hva ${hexPage(run.gfn + run.offset)}${run.as === 1 ? " (SMM)" : ""}`,
		);
		said.push(
			`memslots of vm ${vms.length} (task ${group.leader}) are inferred: ${shown.slice(0, 8).join(", ")}${shown.length > 8 ? ` and ${shown.length - 8} more` : ""}: ${proved}${extended.joined > 0 ? `, ${extended.joined} pages beside them taken along` : ""}${extended.unplaced.length > 0 ? `, ${extended.unplaced.reduce((sum, run) => sum + run.end - run.gfn, 0)} pages of memory whose host page nothing shows` : ""}`,
		);
		vms.push({ vm: vms.length, pid: group.leader, mm: group.mm, tasks: group.tasks.map((task) => task.pid), slots });
	}
	return { vms, said };
}

interface Group {
	readonly mm: number;
	/** Thread group, or the smallest of its tasks' ids. */
	readonly leader: number;
	readonly tasks: readonly SeenTask[];
}

/** Tasks that took nested faults, by their mm; the mm of one without is that of its thread group, or the only one there is. */
function groups(evidence: SlotEvidence, where: string): Group[] {
	const faulting = [...evidence.tasks.values()].filter((task) => task.faults > 0);
	const mmOfGroup = new Map<number, number>();
	for (const task of evidence.tasks.values()) {
		const mm = task.vmMm !== NO_POINTER ? task.vmMm : task.mm;
		if (task.tgid >= 0 && mm !== NO_POINTER) mmOfGroup.set(task.tgid, mm);
	}
	const byMm = new Map<number, SeenTask[]>();
	const lost: SeenTask[] = [];
	for (const task of faulting) {
		const mm = task.vmMm !== NO_POINTER ? task.vmMm : mmOfGroup.get(task.tgid);
		if (mm === undefined) lost.push(task);
		else byMm.set(mm, [...(byMm.get(mm) ?? []), task]);
	}
	if (lost.length > 0) {
		const without = [...evidence.pairs.keys()].filter((mm) => !byMm.has(mm));
		const [only, ...others] = byMm.size > 0 && without.length === 0 ? [...byMm.keys()] : without;
		const sameVm =
			lost.every((task) => task.vcpu !== lost[0]?.vcpu || task === lost[0]) ||
			lost.every((task) => task.tgid >= 0 && task.tgid === lost[0]?.tgid);
		if (only === undefined || others.length > 0 || !sameVm)
			throw new BadInputError(
				`nothing tells which VM ${lost.length} of ${faulting.length} vCPU tasks belong to (the first: ${lost[0]?.pid ?? 0})`,
				{
					where,
					hint: "--memslots FILE names the VMs with their tasks: vm0 pid 121 mm 0xffff… tasks 130,132",
				},
			);
		byMm.set(only, [...(byMm.get(only) ?? []), ...lost]);
	}
	return [...byMm]
		.map(([mm, tasks]) => ({ mm, tasks, leader: Math.min(...tasks.map((task) => (task.tgid >= 0 ? task.tgid : task.pid))) }))
		.sort((a, b) => a.leader - b.leader);
}

/** Pairs of an mm as runs. Proved pairs first; a pair by a fault alone counts where its offset is a proved one or stands for two pages. */
function runsOf(evidence: SlotEvidence, mm: number): { contradictions: string[]; runs: Run[] } {
	const contradictions: string[] = [];
	const runs: Run[] = [];
	const spaces = evidence.pairs.get(mm) ?? [];
	spaces.forEach((space, as) => {
		const proved = new Set<number>();
		const standing = new Map<number, number>();
		for (const [gfn, candidates] of space)
			for (const [page, { zap }] of candidates) {
				if (zap > 0) proved.add(page - gfn);
				standing.set(page - gfn, (standing.get(page - gfn) ?? 0) + 1);
			}
		let run: Run | undefined;
		for (const gfn of [...space.keys()].sort((a, b) => a - b)) {
			const candidates = [...(space.get(gfn) ?? [])].sort(([, a], [, b]) => b.zap - a.zap || b.fault - a.fault);
			if (candidates.filter(([, counts]) => counts.zap > 0).length > 1)
				contradictions.push(`gpa ${hexPage(gfn)}: hva ${candidates.map(([page]) => hexPage(page)).join(" and ")}`);
			const best = candidates.find(
				([page, { zap }]) => zap > 0 || proved.has(page - gfn) || (proved.size === 0 && (standing.get(page - gfn) ?? 0) > 1),
			);
			if (best === undefined) continue;
			const [page, { zap }] = best;
			if (run === undefined || run.offset !== page - gfn) {
				run = { gfn, end: gfn, offset: page - gfn, as, zaps: 0, faults: 0 };
				runs.push(run);
			}
			run.end = gfn + 1;
			if (zap > 0) run.zaps++;
			else run.faults++;
		}
	});
	return { contradictions, runs };
}

/** Pages of memory that no pair shows join the nearest slot, where there is one near; the rest gets host pages of its own. */
function extend(runs: Run[], evidence: SlotEvidence, group: Group): { joined: number; unplaced: Run[] } {
	const main = runs.filter((run) => run.as === 0);
	const memory = new Set<number>();
	const sure = evidence.sptes > 0;
	for (const task of group.tasks)
		for (const [gfn, { reserved, installed }] of task.gfns) if (sure ? installed : !reserved && !evidence.mmio.has(gfn)) memory.add(gfn);
	let joined = 0;
	const unplaced: Run[] = [];
	for (const gfn of [...memory].sort((a, b) => a - b)) {
		if (main.some((run) => gfn >= run.gfn && gfn < run.end)) continue;
		if (join(main, gfn)) joined++;
		else if (sure) {
			const last = unplaced.at(-1);
			if (last !== undefined && last.end === gfn) last.end++;
			else unplaced.push({ gfn, end: gfn + 1, offset: NOWHERE, as: 0, zaps: 0, faults: 0 });
		}
	}
	for (const page of [...(evidence.ksmPages.get(group.mm) ?? [])].sort((a, b) => a - b)) {
		if (main.some((run) => page - run.offset >= run.gfn && page - run.offset < run.end)) continue;
		// Guests' memory is not all that a VMM lets KSM merge: only what lies beside it counts.
		if (main.some((run) => join([run], page - run.offset, main, NEAR))) joined++;
	}
	cutDevices(runs, evidence, group);
	return { joined, unplaced };
}

/** Takes pages out of the slots that the guest touches and that never get an entry: devices' registers, such as the VGA window below 1 MiB. */
function cutDevices(runs: Run[], evidence: SlotEvidence, group: Group): void {
	const device = new Set<number>();
	const proved = evidence.pairs.get(group.mm)?.[0];
	for (const task of group.tasks)
		for (const [gfn, { reserved, installed }] of task.gfns) {
			const never = !group.tasks.some((other) => other.gfns.get(gfn)?.installed === true) && proved?.has(gfn) !== true;
			if (!installed && never && (reserved || evidence.mmio.has(gfn) || evidence.sptes > 0)) device.add(gfn);
		}
	for (const gfn of [...device].sort((a, b) => a - b)) {
		const at = runs.findIndex((run) => run.as === 0 && gfn >= run.gfn && gfn < run.end);
		const run = runs[at];
		if (run === undefined) continue;
		const parts = [
			{ ...run, end: gfn },
			{ ...run, gfn: gfn + 1, zaps: 0, faults: 0 },
		].filter((part) => part.end > part.gfn);
		runs.splice(at, 1, ...parts);
	}
}

/** Stretches the nearest run to a gfn; false if none is near, or another run stands between. */
function join(runs: readonly Run[], gfn: number, all: readonly Run[] = runs, reach = Number.POSITIVE_INFINITY): boolean {
	const distance = (run: Run): number => (gfn < run.gfn ? run.gfn - gfn : gfn - run.end + 1);
	const [nearest] = [...runs].sort((a, b) => distance(a) - distance(b));
	if (nearest === undefined || gfn < 0 || distance(nearest) > Math.min(reach, Math.max(NEAR, nearest.end - nearest.gfn))) return false;
	const [from, to] = [Math.min(nearest.gfn, gfn), Math.max(nearest.end, gfn + 1)];
	if (all.some((run) => run !== nearest && run.gfn < to && run.end > from)) return false;
	nearest.gfn = from;
	nearest.end = to;
	return true;
}
