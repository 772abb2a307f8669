// A thread's program as the explorer runs it: micro-steps, each atomic, with what it reads and writes for the partial-order reduction.
import type { Memory, PageSlots, State } from "./memory.js";

/** One atomic step. */
export interface MicroStep {
	/** As the step tables and docs/litmus.md name it. */
	readonly label: string;
	readonly page: PageSlots | null;
	/** Number of the statement that it belongs to. */
	readonly statement: number;
	/** Objects read and written (see Footprint). */
	readonly reads: number;
	readonly writes: number;
	/** Whether it can run now; absent: always. */
	readonly ready?: (s: State) => boolean;
	/** Run it and return the place to go on at. */
	readonly run: (s: State) => number;
}

/** A place in a thread's program that is not known yet. */
export interface Label {
	at: number;
}

/** What two steps may quarrel about, as bits: four for each page, then what all pages share. */
export class Footprint {
	/** Frames may be mapped at more than one page: then they are one object. */
	readonly #sharedFrames: boolean;
	readonly none = 0;
	/** KVM's sequence, count and hull. */
	readonly vm = 1 << 16;
	/** Which frames are in use. */
	readonly allocation = 1 << 17;

	constructor(sharedFrames: boolean) {
		this.#sharedFrames = sharedFrames;
	}

	/** The PTE and the host TLBs. */
	pte(page: PageSlots): number {
		return 1 << (page.index * 4);
	}

	/** The secondary MMUs' entries, TLBs and sequences. */
	secondary(page: PageSlots): number {
		return 2 << (page.index * 4);
	}

	/** Contents and counts. */
	frames(page: PageSlots): number {
		return 4 << (this.#sharedFrames ? 0 : page.index * 4);
	}

	locks(page: PageSlots): number {
		return 8 << (page.index * 4);
	}

	/** All of a page. */
	all(page: PageSlots): number {
		return this.pte(page) | this.secondary(page) | this.frames(page) | this.locks(page);
	}
}

/** The bytes that a thread has for itself. -1 where its program never needs one: a small state is a fast one. */
export interface Locals {
	readonly pc: number;
	/** The PTE that the operation or fault at hand began with. */
	readonly original: number;
	/** The page that it allocated. */
	readonly fresh: number;
	/** Bits of Phase. */
	readonly phase: number;
	/** The PTE that write_protect_page left, for replace_page's pte_same. */
	readonly protectedPte: number;
	/** A fault: the sequence before gup, and what gup found. */
	readonly snapshot: number;
	readonly found: number;
	/** dma: the entry that is pinned. */
	readonly pinned: number;
	/** Value + 1 of each register; 0 before its read. */
	readonly registers: ReadonlyMap<string, number>;
}

/** What a thread's program will ask of its locals. */
export interface Needs {
	/** It runs operations, or faults that may copy. */
	readonly operations: boolean;
	/** It write-protects pages for a merge. */
	readonly merges: boolean;
	/** Its accesses go through a table of its own: KVM's, or a mirror's. */
	readonly ownTable: boolean;
	readonly pins: boolean;
	readonly registers: readonly string[];
}

/** How far an operation has come. */
export const Phase = { committed: 1, openGuest: 2, openMirror: 4, failed: 8, cleared: 16 } as const;

/** One thread's program while it is compiled. */
export class ThreadCode {
	readonly id: number;
	readonly memory: Memory;
	readonly footprint: Footprint;
	readonly locals: Locals;
	readonly steps: MicroStep[] = [];
	/** Number of the statement that is being compiled. */
	statement = 0;

	constructor(id: number, memory: Memory, footprint: Footprint, needs: Needs) {
		this.id = id;
		this.memory = memory;
		this.footprint = footprint;
		const byte = (needed: boolean): number => (needed ? memory.byte() : -1);
		this.locals = {
			pc: byte(true),
			original: byte(needs.operations),
			fresh: byte(needs.operations),
			phase: byte(needs.operations),
			protectedPte: byte(needs.merges),
			snapshot: byte(needs.ownTable),
			found: byte(needs.ownTable),
			pinned: byte(needs.pins),
			registers: new Map(needs.registers.map((register) => [register, byte(true)])),
		};
	}

	/** Place of the next step. */
	get here(): number {
		return this.steps.length;
	}

	/** Append a step; `run` may return nothing: then the next step follows. */
	emit(step: {
		readonly label: string;
		readonly page?: PageSlots;
		readonly reads?: number;
		readonly writes?: number;
		readonly ready?: (s: State) => boolean;
		readonly run: (s: State, next: number) => number | undefined;
	}): void {
		const next = this.here + 1;
		const { run } = step;
		this.steps.push({
			label: step.label,
			page: step.page ?? null,
			statement: this.statement,
			reads: step.reads ?? 0,
			writes: step.writes ?? 0,
			...(step.ready === undefined ? {} : { ready: step.ready }),
			run: (s) => run(s, next) ?? next,
		});
	}

	/** Have `leave` run, and say where to go on, at every step from `first` to before `end` that goes on at `end`. */
	wrap(first: number, end: number, leave: (s: State) => number): void {
		for (let at = first; at < end; at++) {
			const step = this.steps[at];
			this.steps[at] = {
				...step,
				run: (s) => {
					const to = step.run(s);
					return to === end ? leave(s) : to;
				},
			};
		}
	}
}
