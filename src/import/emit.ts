// Items, placed accesses and observations become the records of a trace, in one order: by place in the capture, ends before begins.
import { Access, FaultFlag, Hint, Operation, type OperationName, OpFlag, Point } from "../trace/kinds.js";
import type { Agent, TraceRecord } from "../trace/record.js";
import { accessOf } from "./errorcode.js";
import type { CapturedVm } from "./host.js";
import { type BracketItem, type FaultItem, faultAddressSpace, type InstantItem, type Item, type ObservedItem } from "./items.js";
import type { PlacedRun } from "./phases.js";
import { HOST, VmAgents } from "./vmagents.js";

const PAGE = 4096;
const MAX_ARGUMENTS = Math.max(...Object.values(Operation).map(({ args }) => args.length));

export interface RecordSink {
	cause(record: TraceRecord): void;
	observe(record: TraceRecord): void;
	/** Either of an operation without a text, by its code: its arguments are values[from] and those that follow, which are lent. */
	operation(code: number, agent: Agent, page: number, values: Float64Array, from: number, ns: number): void;
}

/** Something to write at a place. Ends go before begins at the same place, accesses after the mark that they follow. */
interface Piece {
	at: number;
	rank: number;
	what: Item | PlacedRun;
	point: number;
}

/** As many as a step of the capture leaves. */
const SPARE = 4096;

/** A fault that waited for a migration goes on behind it. */
const RANK = { restore: -2, end: 0, commit: 1, instant: 2, begin: 3, access: 4, merge: 5 } as const;

const byPlace = (a: Piece, b: Piece): number => a.at - b.at || a.rank - b.rank;

/** Smallest free numbers for operations that are open at the same time. */
class Windows {
	readonly #used = new Set<number>();
	take(): number {
		let window = 1;
		while (this.#used.has(window)) window++;
		this.#used.add(window);
		return window;
	}
	give(window: number): void {
		this.#used.delete(window);
	}
}

export class Emitter {
	readonly #sink: RecordSink;
	readonly #ns: (at: number) => number;
	readonly #pieces: Piece[] = [];
	/** Pieces to use again. */
	readonly #spare: Piece[] = [];
	readonly #windows = new Windows();
	readonly #agents = new VmAgents();
	readonly #split = new Map<BracketItem, number>();
	/** Arguments of the record at hand. */
	readonly #values = new Float64Array(MAX_ARGUMENTS);
	/** Records at addresses that no machine has: they are left out. */
	impossible = 0;
	/** Operations whose begin and end have something else between them: something ran at the same time. */
	splitOperations = 0;
	/** Ranges that reach guest memory and of which nothing tells what they were for, by enum mmu_notifier_event. */
	readonly unexplained = new Map<number, number>();
	/** No bracket is recorded, so a copy has no record of its own. */
	deriveCopies = false;

	constructor(sink: RecordSink, ns: (at: number) => number) {
		this.#sink = sink;
		this.#ns = ns;
	}

	/** Records of the state before the capture began. */
	before(vms: readonly CapturedVm[], logged: boolean, known: boolean): void {
		if (!logged && !known) return;
		for (const vm of vms) {
			const populate = (page: number, pages: number, state: number): void => {
				this.#set(pages, state);
				this.#operation("populate", this.#agents.mm(vm), page, 0);
			};
			for (const slot of vm.slots) {
				this.#set(slot.slot, slot.as, slot.gfn, slot.pages, slot.flags);
				this.#operation("memslot", this.#agents.vm(vm), slot.page, 0);
				if (logged) populate(slot.page, slot.pages, 1);
			}
			if (!logged) continue;
			for (const page of [...vm.hugeAtStart].sort((a, b) => a - b)) populate(page, 512, 3);
			for (const page of [...vm.holes].sort((a, b) => a - b)) populate(page, 1, 0);
		}
	}

	/** Accesses of a log, after the marks and faults at their place. */
	placeRun(run: PlacedRun): void {
		this.#piece(run.at, RANK.access, run, Point.whole);
	}

	#piece(at: number, rank: number, what: Item | PlacedRun, point: number): void {
		const piece = this.#spare.pop();
		if (piece === undefined) {
			this.#pieces.push({ at, rank, what, point });
			return;
		}
		piece.at = at;
		piece.rank = rank;
		piece.what = what;
		piece.point = point;
		this.#pieces.push(piece);
	}

	/** Whole where nothing else lies between its begin and its end; split at them otherwise. What has not ended yet is split. */
	place(item: Item, split: boolean): void {
		if (item.kind === "instant") this.#piece(item.begin, item.name === "migrateRestore" ? RANK.restore : RANK.instant, item, Point.whole);
		else if (item.kind === "fault" && (item.mmio || item.end === item.begin)) this.#piece(item.begin, RANK.begin, item, Point.whole);
		else if (!split) this.#piece(beginOf(item), RANK.begin, item, Point.whole);
		else {
			if (item.kind === "bracket") this.splitOperations++;
			this.#piece(beginOf(item), RANK.begin, item, Point.begin);
			if (item.end >= 0) this.placeEnd(item);
		}
	}

	/** The rest of an item that was split before it ended; what lies before `from` is written. */
	placeEnd(item: BracketItem | FaultItem, from = 0): void {
		if (item.kind === "bracket") {
			if (item.commit < 0) this.#piece(item.end, RANK.end - 1, item, Point.commit);
			else this.#piece(Math.max(from, item.commit), RANK.commit, item, Point.commit);
		}
		this.#piece(item.end, RANK.end, item, Point.end);
	}

	/** The merge that an item made, where the capture has no event for it. */
	placeMerge(item: BracketItem | InstantItem): void {
		this.#piece(item.kind === "bracket" ? item.end : item.begin, RANK.merge, item, Point.whole);
	}

	/** Write what lies before `limit`, observations where they belong; how many of those there were. */
	write(observed: readonly ObservedItem[], limit: number): number {
		const pieces = this.#pieces;
		if (!isSorted(pieces)) pieces.sort(byPlace);
		let next = 0;
		let written = 0;
		for (let piece = pieces[written]; piece !== undefined && piece.at < limit; piece = pieces[++written]) {
			const before = piece.rank === RANK.merge ? piece.at + 1 : piece.at;
			for (let item = observed[next]; item !== undefined && item.at < before; item = observed[++next]) this.#observation(item);
			this.#write(piece);
		}
		for (const piece of pieces.splice(0, written)) if (this.#spare.length < SPARE) this.#spare.push(piece);
		for (let item = observed[next]; item !== undefined && item.at < limit; item = observed[++next]) this.#observation(item);
		return next;
	}

	#write({ what, point, rank, at }: Piece): void {
		if (!("kind" in what)) this.#accesses(what);
		else if (rank === RANK.merge) {
			const { vm = null, page = 0 } = "page" in what ? what : {};
			this.#observation({ at, name: "ksmMerge", vm, vcpu: 0, page, args: [], dropped: false });
		} else if (what.kind === "instant") this.#instant(what);
		else if (what.kind === "fault") this.#fault(what, point);
		else this.#bracket(what, point);
	}

	/** Its arguments are the first of `#values`. */
	#operation(name: OperationName, agent: Agent, page: number, at: number): void {
		const { code, args } = Operation[name];
		const values = this.#values;
		if (!isAddressed(page, values, args.length)) {
			this.impossible++;
			return;
		}
		this.#sink.operation(code, agent, page, values, 0, this.#ns(at));
	}

	#instant(item: InstantItem): void {
		if (item.name === "mark") {
			this.#mark(item);
			return;
		}
		for (let each = 0; each < item.args.length; each++) this.#values[each] = item.args[each];
		if (item.name === "childCow" || item.name === "exit") {
			const agent: Agent = { ...HOST, mm: item.mm ?? 0 };
			this.#operation(item.name === "exit" ? "exit" : "cow", agent, item.page, item.begin);
		} else if (item.vm !== null)
			this.#operation(item.name, this.#agents[OF_VM.has(item.name) ? "vm" : "mm"](item.vm), item.page, item.begin);
	}

	#mark({ begin: at, text }: InstantItem): void {
		const begin = /^PHASE (\d+) BEGIN/.exec(text ?? "");
		const end = /^PHASE (\d+) END/.exec(text ?? "");
		const phase = Number(begin?.[1] ?? end?.[1] ?? 0);
		const args = [phase, begin !== null ? 0 : end !== null ? 1 : 2, 0];
		if (!isAddressed(0, args, args.length)) this.impossible++;
		else this.#sink.cause({ kind: "operation", name: "mark", agent: HOST, page: 0, args, ns: this.#ns(at), text });
	}

	#accesses({ actor, from, to, at }: PlacedRun): void {
		const { vm, host } = actor;
		const agent = host ? this.#agents.host(vm) : this.#agents.guest(vm, 0);
		const ns = this.#ns(at);
		for (let number = from; number < to; number++) {
			actor.read(number);
			const kind = host ? (actor.write ? Access.hostWrite : Access.hostRead) : actor.write ? Access.guestWrite : Access.guestRead;
			const address = host ? actor.hva : actor.gpa;
			const page = Math.floor(address / PAGE);
			const offset = address % PAGE;
			if (actor.takesCopy()) this.#sink.cause({ kind: "operation", name: "access", agent, page, args: [kind, Hint.copy], ns, offset });
			else this.#sink.cause({ kind: "access", access: kind, agent, page, ns, offset });
		}
	}

	#fault(item: FaultItem, point: number): void {
		const agent = this.#agents.guest(item.vm, item.vcpu);
		const access = accessOf(item.errorCode);
		const page = Math.floor(item.gpa / PAGE);
		const at = point === Point.end ? item.end : item.begin;
		if (item.mmio) {
			this.#set(access, (item.errorCode & 8) >> 3);
			this.#operation("mmio", agent, page, at);
			return;
		}
		const as = faultAddressSpace(item);
		const late = point !== Point.whole && item.installed && !item.ownCow ? FaultFlag.lateSnapshot : 0;
		const flags =
			(as === 1 ? FaultFlag.smm : 0) |
			late |
			(item.filled ? FaultFlag.filled : 0) |
			(item.huge ? FaultFlag.huge : 0) |
			(item.logged ? FaultFlag.logged : 0) |
			(this.deriveCopies ? FaultFlag.deriveCopy : 0);
		this.#set(point, access, flags);
		this.#operation("fault", agent, page, at);
	}

	#bracket(item: BracketItem, point: number): void {
		let window = 0;
		if (point === Point.begin) {
			window = this.#windows.take();
			this.#split.set(item, window);
		} else window = this.#split.get(item) ?? 0;
		if (point === Point.end) this.#windows.give(window);
		if (item.name === "invalidate" && item.hit && point <= Point.begin)
			this.unexplained.set(item.event, (this.unexplained.get(item.event) ?? 0) + 1);
		const own = item.name === "cow" && (item.flags & OpFlag.ownFault) !== 0;
		const agent = own ? this.#agents.guest(item.vm, item.vcpu) : this.#agents.mm(item.vm);
		const at = point === Point.end ? item.end : point === Point.commit ? item.commit : beginOf(item);
		this.#setBracket(item, point, window);
		this.#operation(item.name, agent, item.page, at < 0 ? item.end : at);
	}

	#observation(item: ObservedItem): void {
		if (item.dropped) return;
		const values = this.#values;
		const { args } = item;
		for (let each = 0; each < args.length; each++) values[each] = args[each];
		if (!isAddressed(item.page, values, args.length)) {
			this.impossible++;
			return;
		}
		const { vm } = item;
		const agent = vm === null ? HOST : isOfGuest(item.name) ? this.#agents.guest(vm, item.vcpu) : this.#agents.vm(vm);
		this.#sink.operation(Operation[item.name].code, agent, item.page, values, 0, this.#ns(item.at));
	}

	#set(first: number, second: number, third = 0, fourth = 0, fifth = 0): void {
		const values = this.#values;
		values[0] = first;
		values[1] = second;
		values[2] = third;
		values[3] = fourth;
		values[4] = fifth;
	}

	#setBracket(item: BracketItem, point: number, window: number): void {
		switch (item.name) {
			case "ksmReplace":
				this.#set(point, window, item.flags, item.kpage);
				return;
			case "ksmWriteProtect":
			case "cow":
			case "unshare":
			case "uprobeReplace":
				this.#set(point, window, item.flags);
				return;
			case "protect":
				this.#set(point, window, item.pages, item.event, item.flags);
				return;
			case "fork":
				this.#set(point, window, item.pages, item.event, item.child);
				return;
			case "mremap":
				this.#set(point, window, item.pages, item.event, item.to);
				return;
			default:
				this.#set(point, window, item.pages, item.event);
		}
	}
}

function isSorted(pieces: readonly Piece[]): boolean {
	for (let at = 1; at < pieces.length; at++) if (byPlace(pieces[at - 1], pieces[at]) > 0) return false;
	return true;
}

function isAddressed(page: number, args: ArrayLike<number>, count: number): boolean {
	if (!(page >= 0 && page <= Number.MAX_SAFE_INTEGER && Math.floor(page) === page)) return false;
	for (let each = 0; each < count; each++) {
		const value = args[each];
		if (!(value >= 0 && value <= Number.MAX_SAFE_INTEGER && Math.floor(value) === value)) return false;
	}
	return true;
}

/** A range begins when KVM works on it, which is later than its announcement where mmu_lock or a flush had to be waited for. */
export const beginOf = (item: Item): number => (item.kind === "bracket" && item.locked >= 0 ? item.locked : item.begin);

/** Operations on a VM; others are on its mm. */
const OF_VM: ReadonlySet<InstantItem["name"]> = new Set(["memslot", "dirtyLog", "kvmZapAll"]);
const isOfGuest = (name: string): boolean => name === "vmexit" || name === "mmioFault" || name === "spteChanged";
