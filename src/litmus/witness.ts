// One execution that ends in the forbidden outcome, the shortest there is, step by step with the state beside it.
import type { MicroStep } from "./code.js";
import { explore } from "./explore.js";
import { FrameBit, frameOf, type Memory, type PageSlots, PRESENT, type State, WRITABLE } from "./memory.js";
import type { Program, ProgramThread } from "./program.js";
import { RULE_BIT, RULES, type Rule } from "./rules.js";

/** What the tables say of one page: a frame's name and its right ("N w"), with `!` where the frame is freed; "-": nothing. */
export interface PageView {
	readonly page: string;
	readonly pte: string;
	readonly spte?: string;
	/** Of each vCPU. */
	readonly tlb?: readonly string[];
	readonly mirror?: string;
	readonly device?: string;
}

export interface WitnessStep {
	readonly thread: string;
	/** What the thread does: a step of its operation, an access with its value, a fault. */
	readonly does: string;
	/** Number of the thread's statement. */
	readonly statement: number;
	/** Whether this step ends that statement. */
	readonly ends: boolean;
	/** The page that the step is about, afterwards. */
	readonly view: PageView;
	readonly seq?: number;
	readonly inProgress?: number;
	/** From this step on the forbidden outcome holds. */
	readonly breaks: boolean;
}

export interface Witness {
	readonly initial: readonly PageView[];
	readonly steps: readonly WitnessStep[];
	/** What is broken at the end of it. */
	readonly rules: readonly Rule[];
}

/**
 * The shortest execution to the outcome; null where there is none. `recordGrain`: the shortest of those that a trace can tell.
 * @throws LimitError
 */
export function findWitness(program: Program, recordGrain = false): Witness | null {
	const { path } = explore(program, { reduce: false, stopAtOutcome: true, recordGrain });
	return path === null ? null : replayPath(program, path);
}

function replayPath(program: Program, path: readonly number[]): Witness {
	const { memory, threads } = program;
	let state = program.initial;
	const states: State[] = [];
	const steps = path.map((number) => {
		const thread = threads[number];
		const step = thread.steps[state[thread.locals.pc]];
		const before = state;
		state = state.slice();
		state[thread.locals.pc] = step.run(state);
		states.push(state);
		const page = step.page ?? memory.pages[0];
		const next = thread.steps[state[thread.locals.pc]];
		return {
			thread: thread.name,
			does: describe(memory, thread, step, before, state),
			statement: step.statement,
			ends: next === undefined || next.statement !== step.statement,
			view: viewOf(memory, state, page),
			...(memory.hasGuest ? { seq: state[memory.seq], inProgress: state[memory.inProgress] } : {}),
		};
	});
	const holds = states.map((each) => program.decided(each) || program.outcome(each));
	const breaking = holds.lastIndexOf(false) + 1;
	const last = states.at(-1) ?? state;
	const broken = program.decided(last) ? last[memory.rules] : program.broken(last);
	return {
		initial: memory.pages.map((page) => viewOf(memory, program.initial, page)),
		steps: steps.map((step, at) => ({ ...step, breaks: at === breaking })),
		rules: RULES.filter((rule) => (broken & RULE_BIT[rule]) !== 0),
	};
}

/** The step's name, and what became of it where that is not a matter of course. */
function describe(memory: Memory, thread: ProgramThread, step: MicroStep, before: State, after: State): string {
	const from = before[thread.locals.pc];
	const to = after[thread.locals.pc];
	const done = thread.steps[to]?.statement !== step.statement;
	const access = /^(read|write|pin) /.test(step.label);
	if (access && !done && step.label.startsWith("pin")) return to === from + 1 ? step.label : "fault";
	if (access && !done) return step.label.replace(/^\w+/, thread.kind === "vcpu" ? "exit:" : "fault:");
	if (step.label.startsWith("read ")) {
		for (const [name, slot] of thread.locals.registers) if (before[slot] !== after[slot]) return `${step.label} ${name}=${after[slot] - 1}`;
	}
	if (step.label === "install" && step.page !== null) {
		const slot = thread.kind === "vcpu" ? step.page.spte : step.page.mirror;
		return before[slot] === after[slot] ? "install: stale" : "install";
	}
	if (["recheck", "check-pins", "compare", "lock-page"].includes(step.label) && to !== from + 1) return `${step.label}: no`;
	if (step.label === "gup" && to === from + 3) return "gup: must copy";
	if (step.label === "gup" && to === from) return "gup: host fault";
	if (step.label === "change-pte" && step.page !== null && memory.hasGuest) {
		const [old, now] = [before[step.page.spte], after[step.page.spte]];
		if (old === now) return "change-pte: -";
	}
	return step.label;
}

function viewOf(memory: Memory, s: State, page: PageSlots): PageView {
	const entry = (value: number): string => {
		if ((value & PRESENT) === 0) return "-";
		const frame = frameOf(value);
		return `${memory.frameNames[frame]} ${(value & WRITABLE) !== 0 ? "w" : "r"}${memory.has(s, frame, FrameBit.freed) ? "!" : ""}`;
	};
	return {
		page: page.name,
		pte: entry(s[page.pte]),
		...(memory.hasGuest ? { spte: entry(s[page.spte]), tlb: page.guestTlbs.map((slot) => entry(s[slot])) } : {}),
		...(memory.hasMirror ? { mirror: entry(s[page.mirror]) } : {}),
		...(memory.hasDevice ? { device: entry(s[page.device]) } : {}),
	};
}
