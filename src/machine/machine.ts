// A machine: the TLBs, walk caches and page-table depths that a replay simulates. What changes with it is in `tlb`, `walk` and cycles only; exits do
// not. What each field means, with drawings: docs/machines.md; its schema: docs/machine.schema.json.
import { BadInputError } from "../errors.js";
import { type FieldReader, readDocument } from "./fields.js";

/** Who leaves a full set: the least recently used entry, or the one that a tree of bits points at (docs/machines.md has both to the bit). */
export type Replacement = "lru" | "tree-plru";

/** Entries in sets. `ways` divides `entries`; the number of sets need not be a power of two. */
export interface TlbArray {
	readonly entries: number;
	readonly ways: number;
	/** `lru` where it is left out. */
	readonly replacement?: Replacement;
}

/**
 * How a level holds 2 MiB pages: in an array of their own; `shared`: in the array of the 4 KiB pages; `pieces`: as the 4 KiB pages that were touched (so
 * where it is left out); `none`: not at all.
 */
export type HugeEntries = TlbArray | "shared" | "pieces" | "none";

/** One TLB level: its array of 4 KiB pages, and where 2 MiB pages go. */
export interface TlbLevel extends TlbArray {
	readonly huge?: HugeEntries;
}

/** Entries of the paging-structure cache of each level, fully associative, LRU. Level 2 is the one whose entries lead to leaf tables (PDEs). */
export interface PscLevels {
	readonly level2: number;
	readonly level3: number;
	readonly level4: number;
	readonly level5: number;
}

export interface Psc {
	/** False: the sizes stand for information, and walks take the closed formula. */
	readonly used: boolean;
	/** Of the walk from linear addresses: the guest's own tables, and the host's in the walks of its own threads. */
	readonly linear: PscLevels;
	/** Of the walk from guest-physical addresses: the TDP tables. */
	readonly nested: PscLevels;
}

/** Pages that the guest itself maps: as large as KVM's leaf (`host`), or one size whatever KVM has. A trace does not tell. */
export type GuestPageSize = "host" | "4k" | "2m";

/** What a flush takes away. How often one happens does not depend on it. */
export interface FlushScope {
	/** kvm_flush_remote_tlbs: the whole VM, as on hosts without ranged flushes, or the range that it is for. */
	readonly guest: "all" | "ranged";
	/** Up to so many pages the host's own flush goes page by page; beyond, the CPU loses all of the mm. */
	readonly hostPages: number;
}

export interface Machine {
	readonly name: string;
	readonly title: string;
	/** Where the figures come from. */
	readonly source: readonly string[];
	/** Cycles a second, for simulated accesses a second. */
	readonly hz: number;
	readonly tlb: { readonly l1: TlbLevel; readonly l2: TlbLevel };
	/** Left out: none. */
	readonly psc?: Psc;
	/** Levels of the guest's own page table (0: it has none, and walks have one dimension), and of the host's, TDP and primary alike. */
	readonly guestLevels: GuestLevels;
	readonly hostLevels: HostLevels;
	/** `host` where it is left out. */
	readonly guestPageSize?: GuestPageSize;
	/** `all` and 1 where it is left out. */
	readonly flush?: FlushScope;
}
type GuestLevels = 0 | 3 | 4 | 5;
type HostLevels = 3 | 4 | 5;

/** What of a machine decides counters. */
export type SimulatedMachine = Omit<Machine, "name" | "title" | "source" | "hz">;

/** Sets of an array. */
export function setsOf(array: TlbArray): number {
	return array.entries / array.ways;
}

/** Beyond these a file is a mistake; the engine reserves memory for every entry of every vCPU. */
const MAX_ENTRIES = 1 << 16;
const MAX_WAYS = 128;
/** Bits of a tree are kept in one 64-bit word. */
const MAX_TREE_WAYS = 64;
const MAX_PSC_ENTRIES = 256;
/** Beyond, a flush page by page would never be the cheaper one. */
const MAX_FLUSH_PAGES = 1 << 12;

function readArray(fields: FieldReader): TlbArray {
	const entries = fields.integer("entries", 1, MAX_ENTRIES);
	const ways = fields.integer("ways", 1, MAX_WAYS);
	if (entries % ways !== 0) fields.fail("ways", `${ways} ways do not divide ${entries} entries`);
	if (!fields.has("replacement")) return { entries, ways };
	const replacement = fields.word("replacement", ["lru", "tree-plru"]);
	if (replacement === "tree-plru" && ways > MAX_TREE_WAYS) fields.fail("ways", `tree-plru takes up to ${MAX_TREE_WAYS} ways`);
	return { entries, ways, replacement };
}

function readLevel(fields: FieldReader): TlbLevel {
	const array = readArray(fields);
	const huge = fields.optional("huge");
	if (huge === undefined) return array;
	if (typeof huge === "string") return { ...array, huge: fields.word("huge", ["shared", "pieces", "none"]) };
	const own = fields.object("huge");
	const entries = readArray(own);
	own.done();
	return { ...array, huge: entries };
}

function readPscLevels(fields: FieldReader): PscLevels {
	const entries = (name: string): number => (fields.has(name) ? fields.integer(name, 0, MAX_PSC_ENTRIES) : 0);
	const levels = { level2: entries("level2"), level3: entries("level3"), level4: entries("level4"), level5: entries("level5") };
	fields.done();
	return levels;
}

function readPsc(fields: FieldReader): Psc {
	const psc = {
		used: fields.boolean("used"),
		linear: readPscLevels(fields.object("linear")),
		nested: readPscLevels(fields.object("nested")),
	};
	fields.done();
	return psc;
}

function readFlush(fields: FieldReader): FlushScope {
	const flush = { guest: fields.word("guest", ["all", "ranged"]), hostPages: fields.integer("hostPages", 1, MAX_FLUSH_PAGES) };
	fields.done();
	return flush;
}

function readGuestLevels(fields: FieldReader): GuestLevels {
	const levels = fields.integer("guestLevels", 0, 5);
	if (levels === 0 || levels === 3 || levels === 4 || levels === 5) return levels;
	return fields.fail("guestLevels", "must be 0 (no table of its own), 3, 4 or 5");
}

function readHostLevels(fields: FieldReader): HostLevels {
	const levels = fields.integer("hostLevels", 3, 5);
	return levels === 3 || levels === 5 ? levels : 4;
}

/** A machine from JSON as `mmreplay machines NAME` prints it. @throws BadInputError that names the field */
export function parseMachine(text: string, where: string): Machine {
	const fields = readDocument(text, where, "a machine");
	fields.optional("schema");
	fields.optional("$schema");
	const tlb = fields.object("tlb");
	const level = (name: string): TlbLevel => {
		const of = tlb.object(name);
		const read = readLevel(of);
		of.done();
		return read;
	};
	const machine: Machine = {
		name: fields.text("name"),
		title: fields.has("title") ? fields.text("title") : "",
		source: fields.has("source") ? fields.texts("source") : [],
		hz: fields.number("hz", 1e6, 1e11),
		tlb: { l1: level("l1"), l2: level("l2") },
		...(fields.has("psc") ? { psc: readPsc(fields.object("psc")) } : {}),
		guestLevels: readGuestLevels(fields),
		hostLevels: readHostLevels(fields),
		...(fields.has("guestPageSize") ? { guestPageSize: fields.word("guestPageSize", ["host", "4k", "2m"]) } : {}),
		...(fields.has("flush") ? { flush: readFlush(fields.object("flush")) } : {}),
	};
	tlb.done();
	fields.done();
	if (machine.name === "") throw new BadInputError("name: is empty", { where });
	return machine;
}

export { DEFAULT_MACHINE, MACHINES } from "./presets.js";
export { findMachine } from "./variants.js";
