// The records of a workload, block by block, as columns: no object a record, so that writing keeps up with the disk. What may follow what, so
// that a trace is one that a host could have had: kernel.md 1.3 to 1.5 (merges, breaks) and 1.14 (discarded pages).
import type { AgentEntry } from "../trace/agents.js";
import type { CauseColumns } from "../trace/columns.js";
import { Access, AGENT_SHIFT, AgentKind, NotifyEvent, OPERATION, Operation, OpFlag, Point } from "../trace/kinds.js";
import type { Agent } from "../trace/record.js";
import { PAGE_SPAN } from "../trace/wire.js";
import { Random } from "./random.js";
import { regionPages, type Workload } from "./workload.js";
import { Zipf } from "./zipf.js";

/** Host virtual pages of every VM's memory begin here, each in an address space of its own. */
const HVA_BASE = 7 * PAGE_SPAN;
/** Pages remembered for merges and breaks, as a power of two. */
const REMEMBERED = 4096;
const MOST_ZAPPED = 16;
const NONE: readonly number[] = [];
/** Seeds that a stream draws for its parts. */
const ZIPF_SEED = 0x5eed;

/** Pages of some VM, the latest ones: page and VM in one number. */
class Recent {
	readonly #places = new Int32Array(REMEMBERED).fill(-1);
	#count = 0;

	add(place: number): void {
		this.#places[this.#count++ & (REMEMBERED - 1)] = place;
	}

	/** One of them, or -1. */
	draw(random: Random): number {
		return this.#places[random.below(Math.min(Math.max(this.#count, 1), REMEMBERED))];
	}

	/** The latest one, which is then forgotten, or -1. */
	take(): number {
		if (this.#count === 0) return -1;
		const place = this.#places[--this.#count & (REMEMBERED - 1)];
		this.#places[this.#count & (REMEMBERED - 1)] = -1;
		return place;
	}

	forget(from: number, to: number): void {
		for (let at = 0; at < REMEMBERED; at++) if (this.#places[at] >= from && this.#places[at] < to) this.#places[at] = -1;
	}
}

/** One bit a page. */
class Marks {
	readonly #words: Uint32Array;

	constructor(count: number) {
		this.#words = new Uint32Array(Math.ceil(count / 32));
	}

	has(at: number): boolean {
		return ((this.#words[at >>> 5] >>> (at & 31)) & 1) === 1;
	}

	set(at: number): void {
		this.#words[at >>> 5] |= 1 << (at & 31);
	}

	/** `bit`: 1, or 0 for none. */
	clear(at: number, bit = 1): void {
		this.#words[at >>> 5] &= ~(bit << (at & 31));
	}
}

/** Records that come before any other, the last one first: the end of something begun. */
class Waiting {
	readonly #op: Uint32Array;
	readonly #page: Uint32Array;
	/** Of each record how many, then they. */
	readonly #arguments: Uint32Array;
	count = 0;

	constructor(most: number) {
		this.#op = new Uint32Array(most);
		this.#page = new Uint32Array(most);
		this.#arguments = new Uint32Array(most << ARGUMENT_SHIFT);
	}

	push(op: number, page: number, argument: readonly number[]): void {
		const at = this.count++;
		this.#op[at] = op;
		this.#page[at] = page;
		const first = at << ARGUMENT_SHIFT;
		this.#arguments[first] = argument.length;
		for (let index = 0; index < argument.length; index++) this.#arguments[first + 1 + index] = argument[index];
	}

	/** The last one, as record `at` of the columns. */
	pop(columns: Columns, at: number): void {
		const from = --this.count;
		columns.op[at] = this.#op[from];
		columns.page[at] = this.#page[from];
		const first = from << ARGUMENT_SHIFT;
		const count = this.#arguments[first];
		for (let index = 1; index <= count; index++) columns.argument[columns.arguments++] = this.#arguments[first + index];
	}
}

/** Of a waiting record: a number of arguments and up to seven. */
const ARGUMENT_SHIFT = 3;

/** Records as they are made; used again for the next block. */
class Columns {
	readonly op: Uint32Array;
	readonly page: Uint32Array;
	readonly argument: Uint32Array;
	/** Arguments so far. */
	arguments = 0;

	constructor(records: number) {
		this.op = new Uint32Array(records);
		this.page = new Uint32Array(records);
		this.argument = new Uint32Array(records << ARGUMENT_SHIFT);
	}
}

const threshold = (fraction: number): number => Math.floor(fraction * 2 ** 32);

export class Stream {
	readonly agents: readonly AgentEntry[];
	readonly #workload: Workload;
	readonly #random: Random;
	readonly #zipf: Zipf | undefined;
	readonly #written = new Recent();
	readonly #merged = new Recent();
	/** Pages that are a KSM page and were not written since. */
	readonly #shared: Marks;
	/** Where each vCPU of a scan stands. */
	readonly #cursors: Uint32Array;
	/** First page of what each vCPU has to itself, and of its VM among the pages of all. */
	readonly #regions: Uint32Array;
	readonly #places: Uint32Array;
	readonly #toCold: number;
	/** Index of the first agent of a kind; guests begin at 0. */
	readonly #mmAgents: number;
	readonly #hostAgents: number;
	readonly #waiting: Waiting;
	#columns = new Columns(0);
	/** Pages of all VMs that are still to be written once. */
	#cold: number;
	#warmed = 0;

	constructor(workload: Workload, seed: number) {
		const { vms, vcpus, pages, pattern, warm } = workload;
		this.#workload = workload;
		this.#random = new Random(seed);
		this.#shared = new Marks(vms * pages);
		const usesZipf = pattern === "zipf" || pattern === "mixed";
		this.#zipf = usesZipf ? new Zipf(regionPages(workload), workload.exponent, seed + ZIPF_SEED) : undefined;
		const each = <T>(value: (guest: number) => T): T[] => Array.from({ length: vms * vcpus }, (_, guest) => value(guest));
		this.#cursors = Uint32Array.from(each((guest) => Math.floor(((guest % vcpus) * pages) / vcpus)));
		this.#regions = Uint32Array.from(each((guest) => ((guest % vcpus) * regionPages(workload)) % pages));
		this.#places = Uint32Array.from(each((guest) => Math.floor(guest / vcpus) * pages));
		this.#toCold = threshold(workload.cold);
		this.#mmAgents = vms * vcpus;
		this.#hostAgents = this.#mmAgents + vms;
		const entries: AgentEntry[] = [];
		const add = (kind: Agent["kind"], vm: number, vcpu: number, basePage: number): void => {
			entries.push({ agent: { kind, vm, vcpu, mm: vm, thread: 0 }, basePage });
		};
		for (let vm = 0; vm < vms; vm++) for (let vcpu = 0; vcpu < vcpus; vcpu++) add(AgentKind.guest, vm, vcpu, 0);
		for (let vm = 0; vm < vms; vm++) add(AgentKind.mm, 0, 0, HVA_BASE);
		for (let vm = 0; vm < vms; vm++) add(AgentKind.host, 0, 0, HVA_BASE);
		for (let vm = 0; vm < vms; vm++) add(AgentKind.vm, vm, 0, HVA_BASE);
		this.agents = entries.map(({ agent, basePage }, index) => ({
			basePage,
			agent: index < this.#mmAgents ? agent : { ...agent, mm: (index - this.#mmAgents) % vms },
		}));
		this.#cold = warm ? vms * pages : 0;
		// A merge is two records, all else is one.
		this.#waiting = new Waiting(vms + 2);
		for (let vm = vms - 1; vm >= 0; vm--) {
			const op = OPERATION | ((this.#hostAgents + vms + vm) << AGENT_SHIFT);
			this.#waiting.push(op, 0, [Operation.memslot.code, 5, 0, 0, 0, pages, 0]);
		}
	}

	/** The next `count` records; the columns are valid until the next call. */
	take(count: number): CauseColumns {
		if (this.#columns.op.length !== count) this.#columns = new Columns(count);
		const columns = this.#columns;
		const waiting = this.#waiting;
		columns.arguments = 0;
		let at = 0;
		for (; waiting.count > 0 && at < count; at++) waiting.pop(columns, at);
		if (this.#cold > 0) at = this.#warm(columns.op, columns.page, at);
		this.#accesses(columns, at);
		return { agents: this.agents, op: columns.op, page: columns.page, argument: columns.argument.subarray(0, columns.arguments) };
	}

	/** Write pages for the first time, in order; their places are as good as any other's for a merge. */
	#warm(op: Uint32Array, page: Uint32Array, from: number): number {
		const { vms, vcpus, pages } = this.#workload;
		let at = from;
		for (; at < op.length && this.#cold > 0; at++, this.#cold--) {
			const vm = this.#warmed % vms;
			const place = (this.#warmed - vm) / vms;
			op[at] = Access.guestWrite | ((vm * vcpus + (place % vcpus)) << AGENT_SHIFT);
			page[at] = place % pages;
			this.#warmed++;
		}
		return at;
	}

	/** Accesses, and what is drawn between them, until the columns are full. */
	#accesses(columns: Columns, from: number): void {
		const { vms, vcpus, writes, merges, breaks, host, zaps } = this.#workload;
		const { op, page } = columns;
		const waiting = this.#waiting;
		const random = this.#random;
		const guests = vms * vcpus;
		const toMerge = threshold(merges);
		const toBreak = threshold(merges + breaks);
		const toHost = threshold(merges + breaks + host);
		const rare = threshold(merges + breaks + host + zaps);
		const writing = Math.floor(writes * 65_536);
		const mask = 65_536 % guests === 0 ? guests - 1 : -1;
		const remembers = merges > 0;
		for (let at = from; at < op.length; ) {
			const drawn = random.next() >>> 0;
			if (drawn < rare) {
				if (drawn < toMerge) this.#merge();
				else if (drawn < toBreak) this.#break();
				else if (drawn < toHost) this.#host();
				else this.#zap();
				if (waiting.count > 0) {
					for (; waiting.count > 0 && at < op.length; at++) waiting.pop(columns, at);
					continue;
				}
			}
			const bits = random.next();
			const guest = mask < 0 ? random.below(guests) : (bits >>> 16) & mask;
			// A sign bit, not a branch: which accesses write is not predictable.
			const write = ((bits & 0xffff) - writing) >>> 31;
			const target = this.#page(guest);
			op[at] = (Access.guestRead + (Access.guestWrite - Access.guestRead) * write) | (guest << AGENT_SHIFT);
			page[at++] = target;
			if (!remembers) continue;
			const place = this.#places[guest] + target;
			this.#shared.clear(place, write);
			if ((bits & 0xf0) === 0 && write === 1) this.#written.add(place);
		}
	}

	#page(guest: number): number {
		const workload = this.#workload;
		switch (workload.pattern) {
			case "hits":
				return this.#hit(guest);
			case "zipf":
				return this.#popular(guest);
			case "uniform":
				return this.#random.below(workload.pages);
			case "scan":
				return this.#scan(guest);
			case "mixed": {
				const which = this.#random.next() & 15;
				return which < 10 ? this.#popular(guest) : which < 14 ? this.#scan(guest) : this.#random.below(workload.pages);
			}
		}
	}

	#hit(guest: number): number {
		const { pages, hot } = this.#workload;
		const random = this.#random;
		if (this.#toCold > 0 && random.next() >>> 0 < this.#toCold) return random.below(pages);
		const page = this.#regions[guest] + random.below(hot);
		return page < pages ? page : page - pages;
	}

	#popular(guest: number): number {
		const { pages } = this.#workload;
		const page = this.#regions[guest] + (this.#zipf?.draw(this.#random) ?? 0);
		return page < pages ? page : page - pages;
	}

	#scan(guest: number): number {
		const page = this.#cursors[guest];
		this.#cursors[guest] = page + 1 === this.#workload.pages ? 0 : page + 1;
		return page;
	}

	#operate(agents: number, vm: number, page: number, ...argument: readonly number[]): void {
		this.#waiting.push(OPERATION | ((agents + vm) << AGENT_SHIFT), page, argument);
	}

	/** ksmd finds a page that was written a while ago equal to another: write_protect_page, replace_page. */
	#merge(): void {
		const { pages, contents } = this.#workload;
		const place = this.#written.draw(this.#random);
		// ksmd passes over its own pages.
		if (place < 0 || this.#shared.has(place)) return;
		const page = place % pages;
		const vm = (place - page) / pages;
		const content = 1 + this.#random.below(contents);
		// Last in, first out.
		this.#operate(this.#mmAgents, vm, page, Operation.ksmReplace.code, 4, Point.whole, 0, 0, content);
		this.#operate(this.#mmAgents, vm, page, Operation.ksmWriteProtect.code, 3, Point.whole, 0, OpFlag.kpageGiven);
		this.#merged.add(place);
		this.#shared.set(place);
	}

	#break(): void {
		const { pages, vcpus } = this.#workload;
		const place = this.#merged.take();
		if (place < 0 || !this.#shared.has(place)) return;
		this.#shared.clear(place);
		const page = place % pages;
		const guest = ((place - page) / pages) * vcpus + this.#random.below(vcpus);
		this.#waiting.push(Access.guestWrite | (guest << AGENT_SHIFT), page, NONE);
	}

	#host(): void {
		const { vms, pages } = this.#workload;
		const random = this.#random;
		const kind = (random.next() & 3) === 0 ? Access.hostWrite : Access.hostRead;
		const vm = random.below(vms);
		const page = random.below(pages);
		if (kind === Access.hostWrite) this.#shared.clear(vm * pages + page);
		this.#waiting.push(kind | ((this.#hostAgents + vm) << AGENT_SHIFT), page, NONE);
	}

	#zap(): void {
		const { vms, pages } = this.#workload;
		const random = this.#random;
		const page = random.below(pages);
		const count = Math.min(1 + random.below(MOST_ZAPPED), pages - page);
		const vm = random.below(vms);
		const from = vm * pages + page;
		this.#written.forget(from, from + count);
		this.#merged.forget(from, from + count);
		for (let place = from; place < from + count; place++) this.#shared.clear(place);
		this.#operate(this.#mmAgents, vm, page, Operation.zap.code, 4, Point.whole, 0, count, NotifyEvent.clear);
	}
}
