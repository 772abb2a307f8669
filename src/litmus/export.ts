// A witness as a trace: the scenario's beginning as records that lead to it, then the execution's accesses and operations with their windows. `replay
// --check` under the same strategy then breaks the same rule. What a trace cannot say (docs/litmus.md, "as a trace") is refused with the reason.
import { UsageError } from "../errors.js";
import type { Strategy } from "../strategies/steps.js";
import { emptyHeader } from "../trace/header.js";
import { Access, AgentKind, NotifyEvent, type OperationName, OpFlag, Point } from "../trace/kinds.js";
import type { Agent, TraceHeader } from "../trace/record.js";
import type { TraceWriter } from "../trace/writer.js";
import { explore } from "./explore.js";
import { compileProgram } from "./program.js";
import type { Scenario, Statement, ThreadSpec, WHOLE_OPERATIONS } from "./scenario.js";
import { findWitness, type Witness, type WitnessStep } from "./witness.js";

/** First page of the memslot, as an hva and as a gfn; then the scenario's pages in order, and behind them those that only hold KSM pages. */
const HVA = 0x1000;
const GFN = 0x100;
const SLOT_PAGES = 16;
const HOLDERS = 8;
const MM = 1;
const CHILD_MM = 2;
const VM = 1;

const NOBODY: Agent = { kind: AgentKind.mm, vm: 0, vcpu: 0, mm: MM, thread: 0 };

/**
 * Write the records of the shortest witness that a trace can tell, and return the trace's header. The same rule then breaks in a replay.
 * @throws UsageError where there is none
 */
export function exportWitness(scenario: Scenario, strategy: Strategy, writer: TraceWriter): TraceHeader {
	const program = compileProgram(scenario, strategy);
	const witness = findWitness(program, true);
	if (witness !== null) return new WitnessExport(scenario, strategy, witness, writer).run();
	const possible = explore(program, { countPaths: false }).allowed;
	throw new UsageError(possible ? "this outcome cannot be told by a trace" : "this outcome cannot happen", {
		where: `${scenario.name}, ${strategy.name}`,
		hint: possible
			? "it takes somebody's step under a page-table lock, or between a fault's gup and its install: moments to a trace (docs/litmus.md)"
			: "only what can happen has a witness",
	});
}

/** An operation of a thread that is under way. */
interface OpenOperation {
	readonly name: OperationName;
	readonly window: number;
	committed: boolean;
}

class WitnessExport {
	readonly #scenario: Scenario;
	readonly #strategy: Strategy;
	readonly #witness: Witness;
	readonly #writer: TraceWriter;
	readonly #vcpus: readonly string[];
	readonly #open = new Map<string, OpenOperation>();
	#windows = 0;

	constructor(scenario: Scenario, strategy: Strategy, witness: Witness, writer: TraceWriter) {
		this.#scenario = scenario;
		this.#strategy = strategy;
		this.#witness = witness;
		this.#writer = writer;
		this.#vcpus = scenario.threads.filter(({ kind }) => kind === "vcpu").map(({ name }) => name);
	}

	run(): TraceHeader {
		const other = this.#scenario.threads.find(({ kind }) => ["mirror", "sva", "dma"].includes(kind));
		if (other !== undefined)
			throw this.#refuse(`${other.name} is a device (${other.kind}), and replay follows the host and its guests only`);
		this.#setUp();
		for (const step of this.#witness.steps) this.#step(step);
		// What is left behind shows at the next look.
		if (this.#vcpus.length > 0) for (const at of this.#scenario.pages.keys()) this.#guest(0, at, false);
		return {
			...emptyHeader(),
			access: "complete",
			importer: "mmreplay litmus",
			warnings: [`one witness of litmus ${this.#scenario.name} under ${this.#strategy.name}`],
			vms: [{ id: VM, mm: MM, vcpus: Math.max(1, this.#vcpus.length), memoryBytes: SLOT_PAGES * 4096 }],
		};
	}

	#refuse(why: string): UsageError {
		return new UsageError(`this witness cannot be said in a trace: ${why}`, {
			where: `${this.#scenario.name}, ${this.#strategy.name}`,
			hint: "docs/litmus.md says which can",
		});
	}

	#operation(name: OperationName, page: number, args: readonly number[], agent = NOBODY): void {
		this.#writer.cause({ kind: "operation", name, agent, page, args });
	}

	#guest(vcpu: number, page: number, write: boolean): void {
		const agent = { kind: AgentKind.guest, vm: VM, vcpu, mm: MM, thread: 0 };
		this.#writer.cause({ kind: "access", agent, access: write ? Access.guestWrite : Access.guestRead, page: GFN + page });
	}

	/** The id of a frame that is a KSM page. */
	#kpage(frame: string): number {
		return this.#scenario.frames.findIndex(({ name }) => name === frame) + 1;
	}

	#setUp(): void {
		const { pages, frames } = this.#scenario;
		this.#operation("memslot", HVA, [0, 0, GFN, SLOT_PAGES, 0], { kind: AgentKind.vm, vm: VM, vcpu: 0, mm: MM, thread: 0 });
		for (const [at, frame] of frames.entries()) {
			const mapped = pages.some(({ pte }) => pte?.frame === frame.name);
			if (frame.kind === "ksm" && (frame.held || !mapped)) this.#enterTree(HVA + HOLDERS + at, this.#kpage(frame.name));
		}
		for (const [at, { pte }] of pages.entries()) {
			const frame = frames.find(({ name }) => name === pte?.frame);
			if (pte === null) continue;
			if (frame === undefined) this.#operation("populate", HVA + at, [1, 2]);
			else if (frame.kind === "ksm" && frame.held) this.#merge(HVA + at, this.#kpage(frame.name));
			else if (frame.kind === "ksm") this.#enterTree(HVA + at, this.#kpage(frame.name));
			else this.#anonymous(HVA + at, frame.kind === "shared", pte.writable);
		}
		for (const [at, { spte }] of pages.entries()) if (spte !== null) for (const vcpu of this.#vcpus.keys()) this.#guest(vcpu, at, false);
	}

	#anonymous(page: number, shared: boolean, writable: boolean): void {
		this.#operation("populate", page, [1, 1]);
		if (shared) this.#operation("fork", page, [Point.whole, 0, 1, NotifyEvent.protectionPage, CHILD_MM]);
		else if (!writable) this.#operation("ksmWriteProtect", page, [Point.whole, 0, OpFlag.unlocks]);
	}

	#enterTree(page: number, kpage: number): void {
		this.#operation("populate", page, [1, 1]);
		this.#operation("ksmWriteProtect", page, [Point.whole, 0, 0]);
		this.#operation("ksmPromote", page, [kpage, 0]);
	}

	#merge(page: number, kpage: number): void {
		this.#operation("populate", page, [1, 1]);
		this.#operation("ksmWriteProtect", page, [Point.whole, 0, OpFlag.kpageGiven]);
		this.#operation("ksmReplace", page, [Point.whole, 0, 0, kpage]);
	}

	#step(step: WitnessStep): void {
		const thread = this.#scenario.threads.find(({ name }) => name === step.thread);
		// The vCPUs' own flush: replay has it at their next exit.
		if (thread === undefined) return;
		const statement = thread.statements[step.statement - 1];
		const page = this.#scenario.pages.findIndex(({ name }) => name === step.view.page);
		if (/^(recheck|check-pins|compare|lock-page): no$/.test(step.does))
			throw this.#refuse("an operation finds its page changed and gives up");
		if (step.ends && (statement.do === "read" || statement.do === "write")) this.#access(thread, statement, page);
		else this.#operationStep(thread, statement, step.does, page);
	}

	#access(thread: ThreadSpec, statement: Statement, page: number): void {
		const write = statement.do === "write";
		if (thread.kind === "vcpu") {
			this.#guest(this.#vcpus.indexOf(thread.name), page, write);
			return;
		}
		const number = this.#scenario.threads.indexOf(thread);
		const agent = { kind: AgentKind.host, vm: 0, vcpu: 0, mm: MM, thread: number };
		this.#writer.cause({ kind: "access", agent, access: write ? Access.hostWrite : Access.hostRead, page: HVA + page });
	}

	/** Which record a statement's operation is; an access may have a copy of its own. */
	#nameOf(statement: Statement, committedBefore: boolean): OperationName {
		if (statement.do === "merge") return committedBefore ? "ksmReplace" : "ksmWriteProtect";
		if (statement.do !== "operation") return "cow";
		const names: Record<(typeof WHOLE_OPERATIONS)[number], OperationName> = {
			cow: "cow",
			unshare: "unshare",
			"ksm-write-protect": "ksmWriteProtect",
			zap: "zap",
			reclaim: "zap",
			protect: "protect",
			invalidate: "invalidate",
		};
		return names[statement.operation];
	}

	#operationStep(thread: ThreadSpec, statement: Statement, does: string, page: number): void {
		const name = does.split(":")[0];
		if (["alloc-copy", "range-start", "lock"].includes(name)) this.#begin(thread, statement, page);
		const open = this.#open.get(thread.name);
		if (open === undefined) return;
		if (name === "set-pte" || name === "set-pte-wp") {
			this.#point(open, Point.commit, statement, page);
			open.committed = true;
		} else if (name === "unlock") {
			const late = this.#strategy.operations[this.#kindOf(open)].some(({ step }) => step === "range-end" || step === "invalidate-range");
			if (!late) this.#end(thread, open, statement, page);
		} else if (name === "range-end" || name === "inval-range") this.#end(thread, open, statement, page);
	}

	#kindOf({ name }: OpenOperation): keyof Strategy["operations"] {
		switch (name) {
			case "ksmWriteProtect":
				return "ksm-write-protect";
			case "ksmReplace":
				return "ksm-replace";
			case "cow":
			case "unshare":
			case "protect":
			case "invalidate":
				return name;
			default:
				return "zap";
		}
	}

	#begin(thread: ThreadSpec, statement: Statement, page: number): void {
		const before = this.#open.get(thread.name);
		if (before !== undefined && !before.committed) return;
		const open = { name: this.#nameOf(statement, before !== undefined), window: ++this.#windows, committed: false };
		this.#open.set(thread.name, open);
		this.#point(open, Point.begin, statement, page);
	}

	#end(thread: ThreadSpec, open: OpenOperation, statement: Statement, page: number): void {
		this.#point(open, Point.end, statement, page);
		// A merge goes on with its replace.
		if (statement.do !== "merge" || open.name === "ksmReplace") this.#open.delete(thread.name);
	}

	#point({ name, window }: OpenOperation, point: number, statement: Statement, page: number): void {
		const kpage = statement.do === "merge" ? this.#kpage(statement.frame) : 0;
		const args: Partial<Record<OperationName, number[]>> = {
			cow: [0],
			unshare: [0],
			ksmWriteProtect: [statement.do === "merge" ? OpFlag.kpageGiven : OpFlag.unlocks],
			ksmReplace: [0, kpage],
			zap: [1, NotifyEvent.clear],
			protect: [1, NotifyEvent.protectionVma, OpFlag.writable],
			invalidate: [1, NotifyEvent.clear],
		};
		this.#operation(name, HVA + page, [point, window, ...(args[name] ?? [])]);
	}
}
