// A machine: the TLB geometry and page-table depth that a replay simulates. What changes with it is in `tlb`, `walk` and cycles only; exits do not.
import { BadInputError } from "../errors.js";
import { type FieldReader, readDocument } from "./fields.js";

/** One TLB level for 4 KiB pages. `ways` divides `entries`; the number of sets need not be a power of two. */
export interface TlbLevel {
	readonly entries: number;
	readonly ways: number;
}

export interface Machine {
	readonly name: string;
	readonly title: string;
	/** Where the figures come from. */
	readonly source: readonly string[];
	/** Cycles a second, for simulated accesses a second. */
	readonly hz: number;
	readonly tlb: { readonly l1: TlbLevel; readonly l2: TlbLevel };
	/** Levels of the guest's own page table, and of the host's (TDP) one. */
	readonly guestLevels: 4 | 5;
	readonly hostLevels: 4 | 5;
}

/** Sets of a level. */
export function setsOf(level: TlbLevel): number {
	return level.entries / level.ways;
}

const SKYLAKE_SP: Machine = {
	name: "skylake-sp",
	title: "Intel Xeon Scalable (Skylake-SP), 2.7 GHz",
	source: [
		"Intel 64 and IA-32 Architectures Optimization Reference Manual, Skylake: 64-entry 4-way first-level data TLB, 1536-entry 12-way second level, 4 KiB pages",
	],
	hz: 2_700_000_000,
	tlb: { l1: { entries: 64, ways: 4 }, l2: { entries: 1536, ways: 12 } },
	guestLevels: 4,
	hostLevels: 4,
};

export const MACHINES: readonly Machine[] = [SKYLAKE_SP];
export const DEFAULT_MACHINE = SKYLAKE_SP;

export function findMachine(name: string): Machine | undefined {
	return MACHINES.find((machine) => machine.name === name);
}

/** Beyond these a file is a mistake; the engine reserves memory for every entry of every vCPU. */
const MAX_ENTRIES = 1 << 16;
const MAX_WAYS = 64;

function readLevel(fields: FieldReader): TlbLevel {
	const entries = fields.integer("entries", 1, MAX_ENTRIES);
	const ways = fields.integer("ways", 1, MAX_WAYS);
	if (entries % ways !== 0) fields.fail("ways", `${ways} ways do not divide ${entries} entries`);
	fields.done();
	return { entries, ways };
}

/** A machine from JSON as `mmreplay machines NAME` prints it. @throws BadInputError that names the field */
export function parseMachine(text: string, where: string): Machine {
	const fields = readDocument(text, where, "a machine");
	fields.optional("schema");
	const tlb = fields.object("tlb");
	const levels = (name: string): 4 | 5 => (fields.integer(name, 4, 5) === 5 ? 5 : 4);
	const machine: Machine = {
		name: fields.text("name"),
		title: fields.has("title") ? fields.text("title") : "",
		source: fields.has("source") ? fields.texts("source") : [],
		hz: fields.number("hz", 1e6, 1e11),
		tlb: { l1: readLevel(tlb.object("l1")), l2: readLevel(tlb.object("l2")) },
		guestLevels: levels("guestLevels"),
		hostLevels: levels("hostLevels"),
	};
	tlb.done();
	fields.done();
	if (machine.name === "") throw new BadInputError("name: is empty", { where });
	return machine;
}
