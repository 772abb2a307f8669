// Phases of a capture and the accesses of its logs, put in order with the kernel's events. Where nothing else runs in a phase, its accesses stand at
// its begin, in the log's order, and the model makes their faults and copies. Where kernel events or two actors run at the same time, these are the
// observed ones, each with its own begin and end, and an access stands behind the last attempt of its fault (model.md section 1).
import type { AccessLog, LoggedAccess, LoggedOperation } from "./accesslog.js";
import type { CapturedVm } from "./host.js";
import type { BracketItem, FaultItem, HostFault, InstantItem, Item } from "./items.js";

/** Linux's page size here. */
const PAGE = 4096;

export interface PhaseSpan {
	readonly number: number;
	readonly begin: number;
	/** Place of the next phase's begin: work between END and BEGIN belongs to the phase that ended. */
	end: number;
}

/** An access of a log at its place. */
export interface PlacedAccess {
	at: number;
	readonly vm: CapturedVm;
	readonly access: LoggedAccess;
	/** A copy of a page that is neither KSM's nor the zero page is recorded for it. */
	copied: boolean;
}

const BEGIN = /^PHASE (\d+) BEGIN/;

export function phaseSpans(marks: readonly InstantItem[], last: number): PhaseSpan[] {
	const spans: PhaseSpan[] = [];
	for (const item of marks) {
		const match = BEGIN.exec(item.text ?? "");
		if (match === null) continue;
		const before = spans.at(-1);
		if (before !== undefined) before.end = item.begin;
		spans.push({ number: Number(match[1]), begin: item.begin, end: last + 1 });
	}
	return spans;
}

/** One actor of a phase: a VM's guest or its host thread, with its accesses in order. */
interface Actor {
	readonly vm: CapturedVm;
	readonly host: boolean;
	readonly accesses: readonly LoggedAccess[];
	readonly pages: ReadonlySet<number>;
}

/** Host stores that a logged operation makes: `F` refills its pages, one store a page as far as faults go. */
function refills(operations: readonly LoggedOperation[]): LoggedAccess[] {
	return operations
		.filter((operation) => operation.letter === "F")
		.flatMap((operation) =>
			Array.from({ length: Math.ceil(operation.bytes / PAGE) }, (_, page) => ({
				host: true,
				write: true,
				gpa: 0,
				hva: operation.hva + page * PAGE,
			})),
		);
}

function actorsOf(span: PhaseSpan, logs: ReadonlyMap<CapturedVm, AccessLog>): Actor[] {
	const actors: Actor[] = [];
	for (const [vm, log] of logs) {
		const phase = log.phases.get(span.number);
		if (phase === undefined) continue;
		for (const [host, accesses] of [
			[false, phase.guest],
			[true, [...phase.host, ...refills(phase.operations)]],
		] as const)
			if (accesses.length > 0) actors.push({ vm, host, accesses, pages: new Set(accesses.map((a) => Math.floor(a.hva / PAGE))) });
	}
	return actors;
}

export interface PhasedAccesses {
	readonly placed: PlacedAccess[];
	/** Faults and copies of phases in order, which the logged accesses account for: the model makes them itself. */
	readonly explained: Set<Item>;
	/** Numbers of phases that needed the observed order. */
	readonly concurrent: number[];
	/** Observed faults in those that match no access of the log. */
	unmatched: number;
}

export function placeAccesses(
	spans: readonly PhaseSpan[],
	items: readonly Item[],
	hostFaults: readonly HostFault[],
	logs: ReadonlyMap<CapturedVm, AccessLog>,
): PhasedAccesses {
	const result: PhasedAccesses = { placed: [], explained: new Set(), concurrent: [], unmatched: 0 };
	let from = 0;
	const byPlace = [...items].sort((a, b) => a.begin - b.begin);
	for (const span of spans) {
		while (from < byPlace.length && (byPlace[from]?.begin ?? 0) < span.begin) from++;
		let to = from;
		while (to < byPlace.length && (byPlace[to]?.begin ?? 0) < span.end) to++;
		const within = byPlace.slice(from, to);
		from = to;
		const actors = actorsOf(span, logs);
		if (actors.length === 0) continue;
		placePhase(span, actors, within, hostFaults, result);
	}
	return result;
}

function placePhase(
	span: PhaseSpan,
	actors: readonly Actor[],
	within: readonly Item[],
	hostFaults: readonly HostFault[],
	result: PhasedAccesses,
): void {
	const copies: BracketItem[] = [];
	const faults: FaultItem[] = [];
	let foreign = false;
	for (const item of within) {
		if (item.kind === "fault") {
			const actor = actors.find((a) => !a.host && a.vm === item.vm);
			if (actor?.pages.has(item.vm.hvaPage(0, Math.floor(item.gpa / PAGE)))) faults.push(item);
		} else if (item.kind === "bracket" && item.hit) {
			const host = item.vcpu < 0;
			const actor = actors.find((a) => a.vm === item.vm && a.host === host && a.pages.has(item.page));
			if (item.name === "cow" && actor !== undefined) copies.push(item);
			else foreign = true;
		}
	}
	if (foreign || actors.length !== 1) {
		result.concurrent.push(span.number);
		for (const fault of faults) fault.logged = true;
		for (const actor of actors) placeByFaults(span, actor, faults, copies, hostFaults, result);
		return;
	}
	for (const item of [...faults, ...copies]) result.explained.add(item);
	for (const actor of actors)
		for (const access of actor.accesses) result.placed.push({ at: span.begin, vm: actor.vm, access, copied: false });
	hintCopies(span, copies, result);
}

/**
 * Every access goes right behind its actor's last observed fault; the one that an observed fault belongs to goes behind that fault's last attempt, a
 * store by the host behind the copy that it made.
 */
function placeByFaults(
	span: PhaseSpan,
	actor: Actor,
	faults: readonly FaultItem[],
	copies: readonly BracketItem[],
	hostFaults: readonly HostFault[],
	result: PhasedAccesses,
): void {
	const observed = actor.host
		? ownFaults(span, actor, copies, hostFaults)
		: faults.filter((f) => f.vm === actor.vm).map((f) => ({ at: f.end, address: f.gpa, write: (f.errorCode & 2) !== 0 }));
	const address = (access: LoggedAccess): number => (actor.host ? access.hva : access.gpa);
	let next = 0;
	let anchor = span.begin;
	const place = (at: number): void => {
		const access = actor.accesses[next++];
		if (access !== undefined) result.placed.push({ at, vm: actor.vm, access, copied: false });
	};
	for (const fault of observed) {
		const last = actor.accesses[next - 1];
		const repeat = last !== undefined && address(last) === fault.address && last.write === fault.write;
		let match = next;
		while (match < actor.accesses.length) {
			const access = actor.accesses[match];
			if (access !== undefined && address(access) === fault.address && access.write === fault.write) break;
			match++;
		}
		if (match >= actor.accesses.length || (repeat && match > next)) {
			const placed = result.placed.at(-1);
			if (!repeat) result.unmatched++;
			else if (placed !== undefined) {
				anchor = fault.at;
				placed.at = anchor;
			}
			continue;
		}
		while (next < match) place(anchor);
		anchor = fault.at;
		place(anchor);
	}
	while (next < actor.accesses.length) place(anchor);
}

/** The faults of a VM's host thread on its pages, a store's behind its copy. */
function ownFaults(
	span: PhaseSpan,
	{ vm, pages }: Actor,
	copies: readonly BracketItem[],
	hostFaults: readonly HostFault[],
): { at: number; address: number; write: boolean }[] {
	const own = hostFaults.filter((f) => f.vm === vm && f.at >= span.begin && f.at < span.end && pages.has(Math.floor(f.hva / PAGE)));
	return own.map(({ at, hva, write }, place) => {
		const next = own[place + 1]?.at ?? span.end;
		const page = Math.floor(hva / PAGE);
		const copy = copies.find((one) => one.vm === vm && one.vcpu < 0 && one.page === page && one.begin > at && one.begin < next);
		return { at: write ? (copy?.end ?? at) : at, address: hva, write };
	});
}

/** A recorded copy that the model would not derive (neither KSM's nor the zero page) is told to the first store on its page that can be meant. */
function hintCopies(span: PhaseSpan, copies: readonly BracketItem[], result: PhasedAccesses): void {
	const wanted = copies.filter((copy) => copy.source === "other");
	if (wanted.length === 0) return;
	const placed = result.placed.filter((p) => p.at >= span.begin && p.at < span.end);
	for (const copy of wanted) {
		const host = copy.vcpu < 0;
		const meant = placed.find(
			(p) => !p.copied && p.vm === copy.vm && p.access.host === host && p.access.write && Math.floor(p.access.hva / PAGE) === copy.page,
		);
		if (meant !== undefined) meant.copied = true;
	}
}
