// Every interleaving of a program: breadth first over its states, each seen once. With the reduction, a state in which some thread's next step is
// independent of all that the others can still do is left by that step alone (docs/litmus.md says why that keeps every final state).
import type { MicroStep } from "./code.js";
import type { State } from "./memory.js";
import type { Program, ProgramThread } from "./program.js";
import { Numbers, StateStore } from "./store.js";

export interface ExploreOptions {
	/** Default: true. */
	readonly reduce?: boolean;
	/**
	 * As a trace tells it: what is done under a page-table lock is one moment, but that it may be cut behind its set-pte; so is one attempt of a vCPU or a
	 * mirror, but that a vCPU's read may have its gup and its install apart. A part of all interleavings; without the reduction.
	 */
	readonly recordGrain?: boolean;
	/** Stop at the first state in which the outcome is certain. */
	readonly stopAtOutcome?: boolean;
	/** States, at most. */
	readonly limit?: number;
	/** Count the interleavings; default: true. */
	readonly countPaths?: boolean;
}

export interface Exploration {
	readonly states: number;
	readonly transitions: number;
	/** States in which no thread can go on: the same with the reduction and without. */
	readonly finals: number;
	/** Complete executions through the states explored; null where they were not counted, or the exploration stopped early. */
	readonly interleavings: bigint | null;
	/** Whether some execution ends in the forbidden outcome. */
	readonly allowed: boolean;
	/** Bits of the rules broken in some execution. */
	readonly broken: number;
	/** Executions end with a thread that waits for ever. */
	readonly stuck: boolean;
	/** Steps of the shortest execution to the outcome: the thread of each; null where there is none. */
	readonly path: readonly number[] | null;
	readonly seconds: number;
}

const DEFAULT_LIMIT = 1 << 25;

/** One thread's steps with what is still to come from each place, for the reduction. */
class Runner {
	readonly pc: number;
	readonly steps: readonly MicroStep[];
	readonly end: number;
	/** From each place: all that the thread may still read, and write. */
	readonly #futureReads: Int32Array;
	readonly #futureWrites: Int32Array;

	constructor(thread: ProgramThread) {
		const { steps, locals } = thread;
		this.pc = locals.pc;
		this.steps = steps;
		this.end = steps.length;
		this.#futureReads = new Int32Array(this.end + 1);
		this.#futureWrites = new Int32Array(this.end + 1);
		// A statement may go back to its own first step, never further.
		for (let place = this.end - 1; place >= 0; place--) {
			const first = steps.findIndex(({ statement }) => statement === steps[place].statement);
			for (let at = first; at < this.end; at++) {
				this.#futureReads[place] |= steps[at].reads;
				this.#futureWrites[place] |= steps[at].writes;
			}
		}
	}

	/** Whether nothing that this thread may do from `place` on has to do with a step. */
	isIndependent(place: number, step: MicroStep): boolean {
		const reads = this.#futureReads[place];
		const writes = this.#futureWrites[place];
		return (step.writes & (reads | writes)) === 0 && (step.reads & writes) === 0;
	}
}

/** Directly behind set-pte, where the lock is held for more than its unlock: a trace has the two parts of such a commit apart. */
function isCut(steps: readonly MicroStep[], place: number): boolean {
	const before = steps[place - 1]?.label;
	return (before === "set-pte" || before === "set-pte-wp") && steps[place].label !== "unlock";
}

/** Between the snapshot of an attempt and its install: a trace has the two apart only for a vCPU's read, as a recorded fault. */
function isWithinAttempt({ kind, steps }: ProgramThread, place: number): boolean {
	if (kind !== "vcpu" && kind !== "mirror") return false;
	const { label, statement } = steps[place];
	const reads = steps.some((step) => step.statement === statement && step.label.startsWith("read "));
	return label === "gup" || (label === "install" && !(kind === "vcpu" && reads));
}

/** @throws LimitError beyond the limit of states */
export function explore(program: Program, options: ExploreOptions = {}): Exploration {
	return new Explorer(program, options).run();
}

class Explorer {
	readonly #program: Program;
	readonly #runners: readonly Runner[];
	readonly #reduce: boolean;
	readonly #stop: boolean;
	readonly #counts: boolean;
	readonly #recordGrain: boolean;
	readonly #store: StateStore;
	/** Successors of each state, one after the other, and where those of a state begin. */
	readonly #edges = new Numbers();
	readonly #edgesOf = new Numbers();
	/** How each state was first reached: from which, by whom. */
	readonly #parents = new Numbers();
	readonly #movers = new Numbers();
	readonly #current: State;
	readonly #currentWords: Uint32Array;
	readonly #next: State;
	readonly #nextWords: Uint32Array;
	#finals = 0;
	#broken = 0;
	#stuck = false;
	#found = -1;

	constructor(program: Program, options: ExploreOptions) {
		this.#program = program;
		this.#runners = program.threads.map((thread) => new Runner(thread));
		this.#recordGrain = options.recordGrain === true;
		this.#reduce = options.reduce !== false && program.disciplined && !this.#recordGrain;
		this.#stop = options.stopAtOutcome === true;
		this.#counts = options.countPaths !== false;
		const { width } = program.memory;
		this.#store = new StateStore(width / 4, options.limit ?? DEFAULT_LIMIT);
		this.#current = new Uint8Array(width);
		this.#currentWords = new Uint32Array(this.#current.buffer);
		this.#next = new Uint8Array(width);
		this.#nextWords = new Uint32Array(this.#next.buffer);
	}

	run(): Exploration {
		const began = performance.now();
		const store = this.#store;
		this.#next.set(this.#program.initial);
		store.intern(this.#nextWords);
		this.#parents.push(-1);
		this.#movers.push(-1);
		for (let state = 0; state < store.size && !(this.#stop && this.#found >= 0); state++) this.#expand(state);
		const seconds = (performance.now() - began) / 1000;
		const complete = !(this.#stop && this.#found >= 0);
		const interleavings = complete && this.#counts ? this.#countPaths() : null;
		return {
			states: store.size,
			transitions: this.#edges.length,
			finals: this.#finals,
			interleavings,
			allowed: this.#found >= 0,
			broken: this.#broken,
			stuck: this.#stuck,
			path: this.#found < 0 ? null : this.#pathTo(this.#found),
			seconds,
		};
	}

	#expand(state: number): void {
		const runners = this.#runners;
		const current = this.#current;
		this.#store.load(state, this.#currentWords);
		this.#edgesOf.push(this.#edges.length);
		const before = this.#edges.length;
		const alone = this.#reduce ? this.#ample() : this.#recordGrain ? this.#undivided() : -1;
		if (alone >= 0) this.#move(state, alone, runners[alone].steps[current[runners[alone].pc]]);
		else {
			for (let thread = 0; thread < runners.length; thread++) {
				const runner = runners[thread];
				const place = current[runner.pc];
				if (place === runner.end) continue;
				const step = runner.steps[place];
				if (step.ready === undefined || step.ready(current)) this.#move(state, thread, step);
			}
		}
		if (this.#edges.length === before) this.#conclude(state);
	}

	/** A thread whose next step can run and is independent of everything that any other thread may still do; -1: none. */
	#ample(): number {
		const runners = this.#runners;
		const current = this.#current;
		for (let thread = 0; thread < runners.length; thread++) {
			const runner = runners[thread];
			const place = current[runner.pc];
			if (place === runner.end) continue;
			const step = runner.steps[place];
			if (step.ready !== undefined && !step.ready(current)) continue;
			let independent = true;
			for (let other = 0; other < runners.length && independent; other++) {
				if (other !== thread) independent = runners[other].isIndependent(current[runners[other].pc], step);
			}
			if (independent) return thread;
		}
		return -1;
	}

	/** A thread in the middle of what a trace has as one moment; -1: none, or it has to wait. */
	#undivided(): number {
		const current = this.#current;
		const { memory, threads } = this.#program;
		return this.#runners.findIndex((runner, thread) => {
			const place = current[runner.pc];
			if (place === runner.end || !(runner.steps[place].ready?.(current) ?? true)) return false;
			if (memory.pages.some(({ ptl }) => current[ptl] === thread + 1)) return !isCut(runner.steps, place);
			return isWithinAttempt(threads[thread], place);
		});
	}

	#move(state: number, thread: number, step: MicroStep): void {
		const next = this.#next;
		const words = this.#nextWords;
		const from = this.#currentWords;
		for (let word = 0; word < words.length; word++) words[word] = from[word];
		next[this.#runners[thread].pc] = step.run(next);
		const number = this.#store.intern(words);
		if (number >= 0) {
			this.#edges.push(number);
			return;
		}
		this.#edges.push(~number);
		this.#parents.push(state);
		this.#movers.push(thread);
		if (this.#stop && this.#found < 0 && this.#program.decided(next)) this.#found = ~number;
	}

	/** No thread can go on. */
	#conclude(state: number): void {
		const program = this.#program;
		const current = this.#current;
		this.#finals++;
		this.#broken |= program.broken(current);
		if (!program.finished(current)) this.#stuck = true;
		if (this.#found < 0 && program.outcome(current)) this.#found = state;
	}

	#pathTo(state: number): number[] {
		const path: number[] = [];
		for (let at = state; this.#parents.at(at) >= 0; at = this.#parents.at(at)) path.push(this.#movers.at(at));
		return path.reverse();
	}

	/** Paths from the first state to the last ones, in an order in which every state comes after all that lead to it. */
	#countPaths(): bigint {
		const { size } = this.#store;
		const end = (state: number): number => (state + 1 < size ? this.#edgesOf.at(state + 1) : this.#edges.length);
		const waiting = new Int32Array(size);
		for (let edge = 0; edge < this.#edges.length; edge++) waiting[this.#edges.at(edge)]++;
		const order = new Int32Array(size);
		let ordered = 1;
		for (let at = 0; at < ordered; at++) {
			for (let edge = this.#edgesOf.at(order[at]); edge < end(order[at]); edge++) {
				const to = this.#edges.at(edge);
				waiting[to]--;
				if (waiting[to] === 0) order[ordered++] = to;
			}
		}
		if (ordered !== size) throw new RangeError(`${this.#program.scenario.name}: an execution that never ends`);
		const count = <N extends number | bigint>(zero: N, one: N, add: (a: N, b: N) => N): N => {
			const paths = new Array<N>(size).fill(zero);
			paths[0] = one;
			let total = zero;
			for (const state of order) {
				const [from, to] = [this.#edgesOf.at(state), end(state)];
				if (from === to) total = add(total, paths[state]);
				for (let edge = from; edge < to; edge++) {
					const next = this.#edges.at(edge);
					paths[next] = add(paths[next], paths[state]);
				}
			}
			return total;
		};
		const small = count<number>(0, 1, (a, b) => a + b);
		return Number.isSafeInteger(small) ? BigInt(small) : count<bigint>(0n, 1n, (a, b) => a + b);
	}
}
