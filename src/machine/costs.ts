// Cycles for each counted thing (kernel.md section 8). Counts come first; time is counts x this vector, and a user brings his own.
import { type FieldReader, readDocument } from "./fields.js";

/** Whose time it is: `guest` on the vCPU's way (the guest waits), `host` anybody's. */
type Side = "guest" | "host";

export interface Cost {
	readonly cycles: number;
	readonly side: Side;
	/** Counters (dotted paths; `x.*` sums what is below x) that it is multiplied with. */
	readonly counters: readonly string[];
	readonly source: string;
	/** Not measured, or not on this kind of machine. */
	readonly estimate: boolean;
}

export const COST_NAMES = [
	"access",
	"tlbL2Hit",
	"walkReference",
	"vmexit",
	"flushGuest",
	"flushPrimary",
	"hostFault",
	"cowCopy",
	"notifierBracket",
	"changePte",
	"mmuLockWrite",
] as const;
export type CostName = (typeof COST_NAMES)[number];

export interface Costs {
	readonly name: string;
	readonly items: Readonly<Record<CostName, Cost>>;
}

const ESTIMATE = "kernel.md section 8";

export const DEFAULT_COSTS: Costs = {
	name: "default",
	items: {
		access: {
			cycles: 4,
			side: "guest",
			counters: ["accesses.guestRead", "accesses.guestWrite"],
			source: "first-level data cache latency, Skylake: 4 to 5 cycles (Intel optimization manual); a cache is not simulated",
			estimate: true,
		},
		tlbL2Hit: {
			cycles: 9,
			side: "guest",
			counters: ["tlb.l2Hit"],
			source: "second-level TLB hit: 7 to 9 cycles, secondary sources",
			estimate: true,
		},
		walkReference: {
			cycles: 4,
			side: "guest",
			counters: ["walk.memoryReferences"],
			source: "a page-table reference that hits the first-level cache; up to 24 a two-dimensional walk (Bhargava et al., ASPLOS'08)",
			estimate: true,
		},
		vmexit: {
			cycles: 4500,
			side: "guest",
			counters: ["vmexits"],
			source: `an EPT violation with the page present in the host, 3000 to 6000 cycles (${ESTIMATE}); of these 1539 for the bare exit and entry, measured on Skylake-X (kvm-unit-tests)`,
			estimate: true,
		},
		flushGuest: {
			cycles: 4500,
			side: "host",
			counters: ["flush.guestTlb"],
			source: `kvm_flush_remote_tlbs: an interrupt to each vCPU in guest mode, 4000 + 500 a vCPU (${ESTIMATE})`,
			estimate: true,
		},
		flushPrimary: {
			cycles: 4500,
			side: "host",
			counters: ["flush.primaryTlb"],
			source: `a remote shootdown of the host's own TLBs, 4000 + 500 a CPU (${ESTIMATE})`,
			estimate: true,
		},
		hostFault: {
			cycles: 3241,
			side: "host",
			counters: ["hostFaults"],
			source: `a minor page fault, median on an 11th generation i7, Linux 6.6 (${ESTIMATE})`,
			estimate: false,
		},
		cowCopy: {
			cycles: 1000,
			side: "host",
			counters: ["cowCopies.*"],
			source: `a copy of 4 KiB, 400 to 1000 cycles warm, 1000 to 2500 cold (${ESTIMATE})`,
			estimate: true,
		},
		notifierBracket: {
			cycles: 1000,
			side: "host",
			counters: ["notifier.rangeStart"],
			source: `a pair of range start and end for KVM, memslot hit: 500 to 1500 cycles, locks included (${ESTIMATE})`,
			estimate: true,
		},
		changePte: {
			cycles: 500,
			side: "host",
			counters: ["notifier.changePte"],
			source: "half of a bracket: one SRCU section and one walk of the memslots",
			estimate: true,
		},
		mmuLockWrite: {
			cycles: 70,
			side: "host",
			counters: ["mmuLockWrite"],
			source: `mmu_lock for writing, uncontended: 40 to 100 cycles (${ESTIMATE}); contention is not simulated`,
			estimate: true,
		},
	},
};

const MAX_CYCLES = 1e12;

function readCost(name: CostName, fields: FieldReader, where: string): Cost {
	const before = DEFAULT_COSTS.items[name];
	const value = fields.optional(name);
	if (value === undefined) return before;
	if (typeof value === "number") {
		return { ...before, cycles: fields.number(name, 0, MAX_CYCLES), source: where, estimate: false };
	}
	const cost = fields.object(name);
	const read: Cost = {
		...before,
		cycles: cost.number("cycles", 0, MAX_CYCLES),
		source: cost.has("source") ? cost.text("source") : where,
		estimate: cost.has("estimate") ? cost.boolean("estimate") : false,
	};
	// As `compare --json` prints them; what a cost is multiplied with is not the user's to change.
	cost.optional("side");
	cost.optional("counters");
	cost.optional("source");
	cost.optional("estimate");
	cost.done();
	return read;
}

/**
 * Costs from JSON: `{ "name": …, "items": { "vmexit": 5200, "hostFault": { "cycles": 2000, "source": "…", "estimate": true } } }`. Those left out stay.
 * @throws BadInputError that names the field
 */
export function parseCosts(text: string, where: string): Costs {
	const fields = readDocument(text, where, "a cost vector");
	fields.optional("schema");
	const items = fields.object("items");
	const costs: Costs = {
		name: fields.has("name") ? fields.text("name") : where,
		items: {
			access: readCost("access", items, where),
			tlbL2Hit: readCost("tlbL2Hit", items, where),
			walkReference: readCost("walkReference", items, where),
			vmexit: readCost("vmexit", items, where),
			flushGuest: readCost("flushGuest", items, where),
			flushPrimary: readCost("flushPrimary", items, where),
			hostFault: readCost("hostFault", items, where),
			cowCopy: readCost("cowCopy", items, where),
			notifierBracket: readCost("notifierBracket", items, where),
			changePte: readCost("changePte", items, where),
			mmuLockWrite: readCost("mmuLockWrite", items, where),
		},
	};
	items.done();
	fields.done();
	return costs;
}
