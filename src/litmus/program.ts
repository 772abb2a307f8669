// A scenario under one strategy as programs of atomic steps: what the explorer runs.
import type { Step, Strategy } from "../strategies/steps.js";
import { type AccessPlan, compileGuestAccess, compileHostAccess, compileMirrorAccess } from "./access.js";
import { Footprint, type Label, type Locals, type MicroStep, type Needs, ThreadCode } from "./code.js";
import { beginCopy, compileCopy, faultFootprint, faultReady, takeFault } from "./fault.js";
import { FrameBit, frameOf, Memory, type PageSlots, PRESENT, type State, WRITABLE } from "./memory.js";
import { compileMerge, compileWriteProtect } from "./merge.js";
import { compileOperation } from "./operation.js";
import { compileDma, compilePin, compileUnpin } from "./pin.js";
import { RULE_BIT } from "./rules.js";
import type { Condition, Scenario, Statement, ThreadKind, ThreadSpec } from "./scenario.js";

export interface ProgramThread {
	readonly name: string;
	/** flush: the vCPUs' own part of a flush that was requested and not waited for. It has no end. */
	readonly kind: ThreadKind | "flush";
	readonly steps: readonly MicroStep[];
	readonly locals: Locals;
}

export interface Program {
	readonly scenario: Scenario;
	readonly strategy: Strategy;
	readonly memory: Memory;
	readonly initial: State;
	readonly threads: readonly ProgramThread[];
	/** Every PTE changes under its lock only: what the partial-order reduction rests on. */
	readonly disciplined: boolean;
	/** Whether the forbidden outcome holds, once no thread can go on. */
	outcome(s: State): boolean;
	/** Whether it is already certain: by the rules broken and the registers read so far. */
	decided(s: State): boolean;
	/** Bits of the rules that are broken, once no thread can go on. */
	broken(s: State): number;
	/** Whether every thread has come to its end. */
	finished(s: State): boolean;
}

/** The scenario without the threads that do not exist under a strategy. */
function scenarioFor(scenario: Scenario, strategy: string): Scenario {
	const absent = scenario.without.filter(({ strategies }) => strategies.includes(strategy)).map(({ thread }) => thread);
	return absent.length === 0 ? scenario : { ...scenario, threads: scenario.threads.filter(({ name }) => !absent.includes(name)) };
}

/**
 * How many pages the programs may allocate: one for each statement that may copy or populate, and one more for each that may take a page away from under
 * a writer, who then begins anew.
 */
function copiesOf(scenario: Scenario): number {
	const may = (statement: Statement): boolean =>
		statement.do === "write" ||
		statement.do === "pin" ||
		statement.do === "merge" ||
		(statement.do === "operation" && ["cow", "unshare", "zap", "reclaim", "ksm-write-protect"].includes(statement.operation));
	return scenario.threads.reduce((sum, { statements }) => sum + statements.filter(may).length, 0);
}

function needsOf({ kind, statements }: ThreadSpec): Needs {
	const does = (...what: Statement["do"][]): boolean => statements.some((statement) => what.includes(statement.do));
	return {
		operations: does("write", "operation", "merge", "pin"),
		merges: does("merge") || statements.some((s) => s.do === "operation" && s.operation === "ksm-write-protect"),
		ownTable: kind === "vcpu" || kind === "mirror",
		pins: does("pin"),
		registers: statements.flatMap((statement) => (statement.do === "read" ? [statement.register] : [])),
	};
}

/** Whether a list changes the PTE between lock and unlock only. */
function isDisciplined(steps: readonly Step[]): boolean {
	const names = steps.map(({ step }) => step);
	const [lock, unlock] = [names.indexOf("lock"), names.indexOf("unlock")];
	const writes = names.flatMap((name, at) => (["clear-flush", "set-pte", "set-pte-write-protected", "recheck"].includes(name) ? [at] : []));
	return writes.every((at) => lock >= 0 && lock < at && at < unlock);
}

/** @throws LimitError where the scenario is too large for a state */
export function compileProgram(whole: Scenario, strategy: Strategy): Program {
	const scenario = scenarioFor(whole, strategy.name);
	const memory = new Memory(scenario, { copies: copiesOf(scenario), flushes: defersFlush(strategy), windows: hasWindow(strategy) });
	const merges = scenario.threads.some(({ statements }) => statements.some((statement) => statement.do === "merge"));
	const frames = scenario.pages.flatMap(({ pte, spte, mirror, device }) => {
		const names = [pte, spte, mirror, device].map((mapping) => mapping?.frame);
		return [...new Set(names.filter((name) => name !== undefined))];
	});
	const footprint = new Footprint(merges || new Set(frames).size < frames.length);
	const flags = [...new Set(scenario.threads.flatMap(({ statements }) => statements.flatMap((s) => (s.do === "signal" ? [s.flag] : []))))];
	const numbers: Record<ThreadKind, number> = { host: 0, ksmd: 0, vcpu: 0, mirror: 0, sva: 0, dma: 0 };
	const threads = scenario.threads.map((thread, id): ProgramThread => {
		const code = new ThreadCode(id, memory, footprint, needsOf(thread));
		const tlb = thread.kind === "vcpu" ? numbers.vcpu++ : thread.kind === "host" || thread.kind === "ksmd" ? numbers.host++ : 0;
		const compiler = new ThreadCompiler(code, thread, strategy, scenario, flags, tlb);
		for (const statement of thread.statements) compiler.compile(statement);
		if (code.here > 255) throw new RangeError(`thread ${thread.name} has ${code.here} steps`);
		return { name: thread.name, kind: thread.kind, steps: code.steps, locals: code.locals };
	});
	if (memory.hasGuest && defersFlush(strategy)) threads.push(flushThread(threads.length, memory, footprint));
	const own = scenario.threads.flatMap(({ statements }) => statements.flatMap((s) => (s.do === "operation" && s.steps ? [s.steps] : [])));
	const outcome = compileCondition(scenario.forbidden, threads);
	return {
		scenario,
		strategy,
		memory,
		initial: memory.initial(scenario),
		threads,
		disciplined: [...Object.values(strategy.operations), ...own].every(isDisciplined),
		outcome: (s) => outcome(s, memory.brokenAtEnd(s)),
		decided: (s) => outcome(s, s[memory.rules]),
		broken: (s) => memory.brokenAtEnd(s),
		finished: (s) => threads.every(({ kind, locals, steps }) => kind === "flush" || s[locals.pc] === steps.length),
	};
}

function defersFlush(strategy: Strategy): boolean {
	return Object.values(strategy.operations).some((steps) => steps.some((step) => step.step === "change-pte" && step.flush === "deferred"));
}

function hasWindow(strategy: Strategy): boolean {
	return strategy.operations.cow.some(({ step }) => step === "set-pte-write-protected");
}

/** KVM_REQ_TLB_FLUSH: done at some later exit of the vCPUs, whenever that is. */
function flushThread(id: number, memory: Memory, footprint: Footprint): ProgramThread {
	const code = new ThreadCode(id, memory, footprint, { operations: false, merges: false, ownTable: false, pins: false, registers: [] });
	const touched = memory.pages.reduce((mask, page) => mask | footprint.secondary(page), 0);
	code.emit({
		label: "flush",
		reads: touched,
		writes: touched,
		ready: (s) => memory.pages.some(({ flushRequest }) => s[flushRequest] !== 0),
		run: (s) => {
			for (const page of memory.pages) {
				if (s[page.flushRequest] !== 0) memory.flushGuests(s, page);
				s[page.flushRequest] = 0;
			}
			return 0;
		},
	});
	return { name: "flush", kind: "flush", steps: code.steps, locals: code.locals };
}

function compileCondition(condition: Condition, threads: readonly ProgramThread[]): (s: State, broken: number) => boolean {
	switch (condition.is) {
		case "rule": {
			const bit = RULE_BIT[condition.rule];
			return (_, broken) => (broken & bit) !== 0;
		}
		case "register": {
			const slot = threads.find(({ name }) => name === condition.thread)?.locals.registers.get(condition.register);
			// A thread that does not exist under this strategy reads nothing.
			if (slot === undefined) return () => false;
			const { value, equal } = condition;
			return (s) => s[slot] !== 0 && (s[slot] === value + 1) === equal;
		}
		case "all": {
			const parts = condition.of.map((part) => compileCondition(part, threads));
			return (s, broken) => parts.every((part) => part(s, broken));
		}
		case "any": {
			const parts = condition.of.map((part) => compileCondition(part, threads));
			return (s, broken) => parts.some((part) => part(s, broken));
		}
	}
}

class ThreadCompiler {
	readonly #code: ThreadCode;
	readonly #thread: ThreadSpec;
	readonly #strategy: Strategy;
	readonly #scenario: Scenario;
	readonly #flags: readonly string[];
	/** Which of the guest or host TLBs is this thread's. */
	readonly #tlb: number;

	constructor(code: ThreadCode, thread: ThreadSpec, strategy: Strategy, scenario: Scenario, flags: readonly string[], tlb: number) {
		this.#code = code;
		this.#thread = thread;
		this.#strategy = strategy;
		this.#scenario = scenario;
		this.#flags = flags;
		this.#tlb = tlb;
	}

	#page(name: string): PageSlots {
		const page = this.#code.memory.pages.find((slots) => slots.name === name);
		if (page === undefined) throw new RangeError(`no page ${name}`);
		return page;
	}

	compile(statement: Statement): void {
		this.#code.statement++;
		const cow = this.#strategy.operations.cow;
		switch (statement.do) {
			case "read":
			case "write":
				this.#access({
					page: this.#page(statement.page),
					write: statement.do === "write",
					value: statement.do === "write" ? statement.value : 0,
					register: statement.do === "read" ? (this.#code.locals.registers.get(statement.register) ?? 0) : 0,
					cow,
				});
				return;
			case "signal":
			case "await":
				this.#flag(statement.do, statement.flag);
				return;
			case "merge": {
				const kpage = this.#scenario.frames.findIndex(({ name }) => name === statement.frame) + 1;
				compileMerge(this.#code, this.#page(statement.page), kpage, this.#strategy);
				return;
			}
			case "pin":
				compilePin(this.#code, this.#page(statement.page), cow);
				return;
			case "dma":
				compileDma(this.#code, this.#page(statement.page), statement.value);
				return;
			case "unpin":
				compileUnpin(this.#code, this.#page(statement.page));
				return;
			case "operation":
				this.#operation(statement);
				return;
		}
	}

	#access(plan: AccessPlan): void {
		switch (this.#thread.kind) {
			case "vcpu":
				compileGuestAccess(this.#code, plan, this.#tlb);
				return;
			case "mirror":
				compileMirrorAccess(this.#code, plan);
				return;
			case "sva":
				compileHostAccess(this.#code, plan, plan.page.device);
				return;
			default:
				compileHostAccess(this.#code, plan, plan.page.hostTlbs[this.#tlb] ?? -1);
				return;
		}
	}

	/** User space's own synchronisation: a lock handed over without entering the kernel. */
	#flag(what: "signal" | "await", name: string): void {
		const { flags } = this.#code.memory;
		const bit = 1 << this.#flags.indexOf(name);
		if (what === "await") {
			this.#code.emit({ label: `await ${name}`, ready: (s) => (s[flags] & bit) !== 0, run: () => undefined });
			return;
		}
		this.#code.emit({
			label: `signal ${name}`,
			run: (s) => {
				s[flags] |= bit;
				return undefined;
			},
		});
	}

	#operation(statement: Extract<Statement, { do: "operation" }>): void {
		const page = this.#page(statement.page);
		const { operation, earlyFree } = statement;
		const kind = operation === "reclaim" ? "zap" : operation;
		const steps = statement.steps ?? this.#strategy.operations[kind];
		if (kind === "ksm-write-protect") {
			compileWriteProtect(this.#code, page, steps);
			return;
		}
		if (kind === "cow" || kind === "unshare") {
			this.#copyFault(kind, page, steps);
			return;
		}
		compileOperation(this.#code, { kind, page, steps, earlyFree, reclaims: operation === "reclaim" });
	}

	/** A write fault (cow), or an unshare fault: the operation runs where the page must be copied. */
	#copyFault(kind: "cow" | "unshare", page: PageSlots, steps: readonly Step[]): void {
		const code = this.#code;
		const touched = faultFootprint(code, page);
		const done: Label = { at: -1 };
		code.emit({
			label: "fault",
			page,
			reads: touched,
			writes: touched,
			ready: (s) => faultReady(s, page, true),
			run: (s) => {
				const pte = s[page.pte];
				if ((pte & PRESENT) === 0 || (pte & WRITABLE) !== 0) return done.at;
				if (kind === "cow") return takeFault(code, s, page, true) ? undefined : done.at;
				if (code.memory.has(s, frameOf(pte), FrameBit.exclusive)) return done.at;
				beginCopy(code, s, page);
				return undefined;
			},
		});
		if (kind === "cow") compileCopy(code, page, steps, done);
		else compileOperation(code, { kind, page, steps });
		done.at = code.here;
	}
}
