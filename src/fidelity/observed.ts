// What the captured kernel was seen to do, in the counters of a replay: the observations of a trace summed up by phase.

import { Access, SpteBit, VMEXIT_CAUSES, ZAP_CAUSES } from "../trace/kinds.js";
import type { TraceReader } from "../trace/reader.js";
import type { OperationRecord } from "../trace/record.js";
import { records } from "../trace/records.js";
import { isWriteAccess } from "./access.js";
import type { PhaseStart } from "./phases.js";

/** Kernel counters of `counters` records (KVM debugfs, vmstat), and the replay's counter that each is. */
export const KERNEL_COUNTERS: Readonly<Record<string, string>> = {
	pf_taken: "vmexits",
	pf_fixed: "vmexitsFixed",
	pf_fast: "vmexitsFast",
	pf_spurious: "vmexitsSpurious",
	pf_emulate: "vmexitsEmulated",
	cow_ksm: "cowBreaks",
};

/** Sums by counter path. */
export type Sums = Map<string, number>;

export interface Observed {
	/** From the trace's events, over all of it. */
	readonly total: Sums;
	/** One for each phase, in order. */
	readonly phases: readonly Sums[];
	/** From the kernel's own counters: by phase number, in the kernel's names. */
	readonly kernel: ReadonlyMap<number, Sums>;
	/** Observations by kind: what the capture records at all. */
	readonly kinds: ReadonlyMap<string, number>;
}

const ACCESS_NAMES: Readonly<Record<number, string>> = {
	[Access.guestRead]: "read",
	[Access.guestWrite]: "write",
	[Access.guestFetch]: "fetch",
};

/** Notifier ranges of more than one page: no counter of a replay, but what the flushes leave open (rows.ts). */
export const WIDE_RANGES = "wideRanges";

type Add = (counter: string, by?: number) => void;

/**
 * SPTE changes one after another. KVM's change_pte handler (up to 6.9) zaps an entry and installs the new one at once: two events that nothing of
 * the VM comes between are one change in place. Where the bracket's start has zapped, a change_pte call lies between the two.
 */
class SpteChanges {
	/** The last zap of a VM while nothing came after it; `undo` takes its counts back. */
	readonly #zapped = new Map<number, { as: number; gfn: number; undo(): void }>();

	/** Anything else that the VM's notifier or its vCPUs did. */
	interrupt(vm: number): void {
		this.#zapped.delete(vm);
	}

	change(record: OperationRecord, add: Add): void {
		const [as = 0, , before = 0, after = 0, cause = 0] = record.args;
		const { vm } = record.agent;
		const last = this.#zapped.get(vm);
		this.#zapped.delete(vm);
		const was = (before & SpteBit.present) !== 0;
		const is = (after & SpteBit.present) !== 0;
		if (was && !is) {
			const byCause = `spteZappedByCause.${ZAP_CAUSES[cause] ?? "other"}`;
			add("spteZapped");
			add(byCause);
			const undo = (): void => {
				add("spteZapped", -1);
				add(byCause, -1);
			};
			this.#zapped.set(vm, { as, gfn: record.page, undo });
		} else if (!was && is && last !== undefined && last.as === as && last.gfn === record.page) {
			last.undo();
			add("spteChanged");
		} else if (!was && is) add("spteInstalled");
		else if (was && is) add("spteChanged");
	}
}

function count(record: OperationRecord, changes: SpteChanges, add: Add): void {
	const { args } = record;
	switch (record.name) {
		case "vmexit": {
			const [access = 0, protection = 0, cause = 0] = args;
			add("vmexits");
			add(isWriteAccess(access) ? "vmexitsWrite" : "vmexitsRead");
			add(protection !== 0 ? "vmexitsProtection" : "vmexitsNotPresent");
			add(`vmexitsByCause.${VMEXIT_CAUSES[cause] ?? "other"}.${ACCESS_NAMES[access] ?? "read"}`);
			changes.interrupt(record.agent.vm);
			return;
		}
		case "mmioFault":
			add(isWriteAccess(args[0] ?? 0) ? "mmio.write" : "mmio.read");
			if (args[1] !== 0) add("mmio.reserved");
			return;
		case "rangeStart":
			add("notifier.rangeStart");
			if ((args[0] ?? 1) > 1) add(WIDE_RANGES);
			return;
		case "rangeEnd":
			add("notifier.rangeEnd");
			changes.interrupt(record.agent.vm);
			return;
		case "changePte":
			add("notifier.changePte");
			changes.interrupt(record.agent.vm);
			return;
		case "spteChanged":
			changes.change(record, add);
			return;
		case "cowCopy":
			add("cowCopies");
			return;
		case "hostFault":
			add("hostFaults");
			return;
		case "flush":
			add("flush.guestTlb");
			return;
		case "ksmMerge":
			add("ksmMerges");
			return;
		default:
			return;
	}
}

/** Sum the observations of a trace. */
export function observe(trace: TraceReader, starts: readonly PhaseStart[]): Observed {
	const total: Sums = new Map();
	const phases: Sums[] = starts.map(() => new Map());
	const kernel = new Map<number, Sums>();
	const kinds = new Map<string, number>();
	const changes = new SpteChanges();
	let phase = -1;
	const into = (sums: Sums | undefined, counter: string, by: number): void => {
		sums?.set(counter, (sums.get(counter) ?? 0) + by);
	};
	const add: Add = (counter, by = 1) => {
		into(total, counter, by);
		into(phases[phase], counter, by);
	};
	for (const { record, sequence } of records(trace, { causes: false })) {
		if (record.kind !== "operation") continue;
		kinds.set(record.name, (kinds.get(record.name) ?? 0) + 1);
		if (record.name === "counters") {
			const number = record.args[0] ?? 0;
			const sums: Sums = kernel.get(number) ?? new Map();
			kernel.set(number, sums);
			into(sums, record.text ?? "", record.args[2] ?? 0);
			continue;
		}
		// An observation stands before cause number `sequence`; a phase's mark is a cause of that phase.
		while (phase + 1 < starts.length && (starts[phase + 1]?.sequence ?? 0) < sequence) phase++;
		count(record, changes, add);
	}
	return { total, phases, kernel, kinds };
}
