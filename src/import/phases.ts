// Phases of a capture and the accesses of its logs, put in order with the kernel's events. Where nothing else runs in a phase, its accesses stand at
// its begin, in the log's order, and the model makes their faults and copies. Where kernel events or two actors run at the same time, these are the
// observed ones, each with its own begin and end, and an access stands behind the last attempt of its fault (model.md section 1).
import type { AccessList, AccessLog, LoggedOperation } from "./accesslog.js";
import type { CapturedVm } from "./host.js";
import type { BracketItem, FaultItem, HostFault, Item } from "./items.js";

/** Linux's page size here. */
const PAGE = 4096;
/** Accesses of the log among which that of an observed fault is looked for. */
const LOOK_AHEAD = 1 << 16;

export interface PhaseSpan {
	readonly number: number;
	readonly begin: number;
	/** Place of the next phase's begin: work between END and BEGIN belongs to the phase that ended. */
	end: number;
}

const BEGIN = /^PHASE (\d{1,9}) BEGIN/;

/** The number of a phase that a mark begins; -1 where it begins none. */
export const phaseOf = (mark: string): number => Number(BEGIN.exec(mark)?.[1] ?? -1);

/** What must be known of a phase before its first access is written. */
export interface PhaseNature {
	/** The observed order is needed. */
	readonly concurrent: boolean;
	/** Pages of the recorded copies that the model would not derive (neither KSM's nor the zero page), once for each. */
	readonly copies: readonly number[];
}

/** One actor of a phase: a VM's guest or its host thread, with its accesses in order. */
export class Actor {
	readonly vm: CapturedVm;
	readonly host: boolean;
	readonly length: number;
	/** Copies that the next stores on a page are told of. */
	readonly copies = new Map<number, number>();
	gpa = 0;
	hva = 0;
	write = false;
	/** Of the next access that is placed, and where the last one was. */
	next = 0;
	anchor: number;
	readonly #accesses: AccessList | null;
	readonly #logged: number;
	/** Host stores that a logged operation makes: `F` refills its pages, one store a page as far as faults go. */
	readonly #refills: readonly { readonly from: number; readonly page: number; readonly pages: number }[];
	readonly #pages = new Set<number>();

	constructor(vm: CapturedVm, host: boolean, accesses: AccessList | null, operations: readonly LoggedOperation[], begin: number) {
		this.vm = vm;
		this.host = host;
		this.anchor = begin;
		this.#accesses = accesses;
		let length = accesses?.length ?? 0;
		this.#logged = length;
		this.#refills = operations
			.filter(({ letter }) => host && letter === "F")
			.map(({ hva, bytes }) => {
				const pages = Math.ceil(bytes / PAGE);
				length += pages;
				return { from: length - pages, page: Math.floor(hva / PAGE), pages };
			});
		this.length = length;
		if (accesses !== null) for (let at = 0; at < accesses.length; at++) this.#pages.add(Math.floor(accesses.read(at).hva / PAGE));
	}

	/** Whether any of its accesses is of an hva page. */
	touches(page: number): boolean {
		return this.#pages.has(page) || this.#refills.some((refill) => page >= refill.page && page < refill.page + refill.pages);
	}

	read(number: number): void {
		if (this.#accesses !== null && number < this.#logged) {
			({ gpa: this.gpa, hva: this.hva, write: this.write } = this.#accesses.read(number));
			return;
		}
		const refill = this.#refills.findLast(({ from }) => from <= number);
		this.gpa = 0;
		this.hva = refill === undefined ? 0 : (refill.page + number - refill.from) * PAGE;
		this.write = true;
	}

	/** Whether an access is of the address that a fault has. */
	isOf(number: number, fault: ObservedFault): boolean {
		this.read(number);
		return (this.host ? this.hva : this.gpa) === fault.address && this.write === fault.write;
	}

	/** Whether the store that was read last is told of a copy. */
	takesCopy(): boolean {
		if (this.copies.size === 0 || !this.write) return false;
		const page = Math.floor(this.hva / PAGE);
		const left = this.copies.get(page) ?? 0;
		if (left === 1) this.copies.delete(page);
		else if (left > 1) this.copies.set(page, left - 1);
		return left > 0;
	}
}

/** Accesses of a log that stand at one place: those with numbers in [from, to) of an actor. */
export interface PlacedRun {
	at: number;
	readonly actor: Actor;
	readonly from: number;
	readonly to: number;
}

interface ObservedFault {
	readonly at: number;
	readonly address: number;
	readonly write: boolean;
}

/** Items of a part of a phase, and what the logged accesses make of them. */
interface ResolvedItems {
	/** Accesses at their places, actor by actor. */
	readonly runs: readonly PlacedRun[];
	/** Items that no logged access accounts for: the model makes the others itself. */
	readonly left: readonly Item[];
}

/** What an item is to the accesses of a phase. */
type Part = "fault" | "copy" | "foreign" | "none";

export class Phase {
	readonly span: PhaseSpan;
	readonly actors: readonly Actor[];
	/** Observed faults that match no access of the log. */
	unmatched = 0;

	constructor(span: PhaseSpan, logs: ReadonlyMap<CapturedVm, AccessLog>) {
		this.span = span;
		const actors: Actor[] = [];
		for (const [vm, log] of logs) {
			const phase = log.phases.get(span.number);
			if (phase === undefined) continue;
			for (const host of [false, true]) {
				const actor = new Actor(vm, host, host ? phase.host : phase.guest, phase.operations, span.begin);
				if (actor.length > 0) actors.push(actor);
			}
		}
		this.actors = actors;
	}

	partOf(item: Item): Part {
		if (item.kind === "fault") {
			const actor = this.actors.find((one) => !one.host && one.vm === item.vm);
			return actor?.touches(item.vm.hvaPage(0, Math.floor(item.gpa / PAGE))) === true ? "fault" : "none";
		}
		if (item.kind !== "bracket" || !item.hit) return "none";
		const host = item.vcpu < 0;
		const own = this.actors.some((one) => one.vm === item.vm && one.host === host && one.touches(item.page));
		return item.name === "cow" && own ? "copy" : "foreign";
	}

	/** `within`: what begins in a part of the phase, in order; `from`: nothing is placed before it; `last`: the phase ends with this part. */
	resolve(within: readonly Item[], hostFaults: readonly HostFault[], nature: PhaseNature, from: number, last: boolean): ResolvedItems {
		if (this.actors.length === 0) return { runs: [], left: within };
		return nature.concurrent ? this.#concurrent(within, hostFaults, from, last) : this.#alone(within, nature.copies);
	}

	/** All accesses at the begin of the phase; the model makes their faults and copies. */
	#alone(within: readonly Item[], copies: readonly number[]): ResolvedItems {
		const left = within.filter((item) => {
			const part = this.partOf(item);
			return part !== "fault" && part !== "copy";
		});
		const runs: PlacedRun[] = [];
		for (const actor of this.actors) {
			if (actor.next > 0) continue;
			for (const page of copies) actor.copies.set(page, (actor.copies.get(page) ?? 0) + 1);
			placeTo(actor, actor.length, 0, runs);
		}
		return { runs, left };
	}

	#concurrent(within: readonly Item[], hostFaults: readonly HostFault[], from: number, last: boolean): ResolvedItems {
		const copies: BracketItem[] = [];
		const faults: FaultItem[] = [];
		for (const item of within) {
			const part = this.partOf(item);
			if (item.kind === "bracket" && part === "copy") copies.push(item);
			if (item.kind !== "fault" || part !== "fault") continue;
			item.logged = true;
			faults.push(item);
		}
		const runs: PlacedRun[] = [];
		for (const actor of this.actors) {
			const observed = actor.host ? this.#ownFaults(actor, copies, hostFaults) : attempts(actor, faults);
			this.#placeByFaults(actor, observed, from, runs);
			if (last) placeTo(actor, actor.length, from, runs);
		}
		return { runs, left: within };
	}

	/**
	 * Every access goes right behind its actor's last observed fault; the one that an observed fault belongs to goes behind that fault's last attempt, a
	 * store by the host behind the copy that it made.
	 */
	#placeByFaults(actor: Actor, observed: readonly ObservedFault[], from: number, runs: PlacedRun[]): void {
		/** That of the last fault alone. */
		let latest: PlacedRun | undefined;
		for (const fault of observed) {
			const repeat = actor.next > 0 && actor.isOf(actor.next - 1, fault);
			const end = Math.min(actor.length, actor.next + LOOK_AHEAD);
			let match = actor.next;
			while (match < end && !actor.isOf(match, fault)) match++;
			if (match >= end || (repeat && match > actor.next)) {
				if (!repeat) this.unmatched++;
				else {
					actor.anchor = fault.at;
					if (latest !== undefined) latest.at = Math.max(from, fault.at);
				}
				continue;
			}
			placeTo(actor, match, from, runs);
			actor.anchor = fault.at;
			placeTo(actor, match + 1, from, runs);
			latest = runs.at(-1);
		}
	}

	/** The faults of a VM's host thread on its pages, a store's behind its copy. */
	#ownFaults(actor: Actor, copies: readonly BracketItem[], hostFaults: readonly HostFault[]): ObservedFault[] {
		const { vm } = actor;
		const own = hostFaults.filter((fault) => fault.vm === vm && actor.touches(Math.floor(fault.hva / PAGE)));
		const made = copies.filter((copy) => copy.vm === vm && copy.vcpu < 0);
		let first = 0;
		return own.map(({ at, hva, write }, place) => {
			const next = own[place + 1]?.at ?? this.span.end;
			const page = Math.floor(hva / PAGE);
			while (first < made.length && made[first].begin <= at) first++;
			let copy: BracketItem | undefined;
			for (let one = first; one < made.length && made[one].begin < next && copy === undefined; one++)
				if (made[one].page === page) copy = made[one];
			return { at: write ? Math.max(copy?.end ?? at, at) : at, address: hva, write };
		});
	}
}

/** The accesses up to `to` stand at the actor's last fault. */
function placeTo(actor: Actor, to: number, from: number, runs: PlacedRun[]): void {
	if (to > actor.next) runs.push({ at: Math.max(from, actor.anchor), actor, from: actor.next, to });
	actor.next = to;
}

/** The observed faults of a guest; one that still waits stands where it began. */
const attempts = (actor: Actor, faults: readonly FaultItem[]): ObservedFault[] =>
	faults
		.filter((fault) => fault.vm === actor.vm)
		.map(({ begin, end, gpa, errorCode }) => ({ at: Math.max(begin, end), address: gpa, write: (errorCode & 2) !== 0 }));
