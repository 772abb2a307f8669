// A witness as a trace: the scenario's beginning as records that lead to it, then the execution's accesses and operations with their windows. `replay
// --check` under the same strategy then breaks the same rule. What a trace cannot say (docs/litmus.md, "as a trace") is refused with the reason.
import { UsageError } from "../errors.js";
import { DEFAULT_MACHINE, setsOf } from "../machine/machine.js";
import { ReferenceModel } from "../model/replay.js";
import { isUnlockedAt, type Strategy } from "../strategies/steps.js";
import { emptyHeader } from "../trace/header.js";
import { Access, AgentKind, DeviceKind, NotifyEvent, type OperationName, OpFlag, Point } from "../trace/kinds.js";
import type { Agent, TraceHeader, TraceRecord } from "../trace/record.js";
import { TraceWriter } from "../trace/writer.js";
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
const DEVICE_TLB = 64;

const NOBODY: Agent = { kind: AgentKind.mm, vm: 0, vcpu: 0, mm: MM, thread: 0 };

/**
 * Write the records of the shortest witness that a trace can tell, and return the trace's header. The same rule then breaks in a replay.
 * @throws UsageError where there is none
 */
function exportWitness(scenario: Scenario, strategy: Strategy, writer: TraceWriter): TraceHeader {
	const program = compileProgram(scenario, strategy);
	const witness = findWitness(program, true);
	if (witness !== null) return new WitnessExport(scenario, strategy, witness, writer).run();
	const possible = explore(program, { countPaths: false }).allowed;
	throw new UsageError(possible ? "this outcome cannot be told by a trace" : "this outcome cannot happen", {
		where: `${scenario.name}, ${strategy.name}`,
		hint: possible
			? "it takes somebody's step within a commit or a fault that a trace has as one moment (docs/litmus.md)"
			: "only what can happen has a witness",
	});
}

/**
 * The same as a file; none is left where it cannot be.
 * @throws UsageError as above
 */
export function writeWitness(path: string, scenario: Scenario, strategy: Strategy): void {
	const writer = new TraceWriter(path);
	try {
		writer.finish(exportWitness(scenario, strategy, writer));
	} catch (error) {
		writer.abort();
		throw error;
	}
}

/** An operation of a thread that is under way. */
interface OpenOperation {
	readonly name: OperationName;
	readonly window: number;
	committed: boolean;
	/** Its commit is cut behind its set-pte. */
	cut: boolean;
}

class WitnessExport {
	readonly #scenario: Scenario;
	readonly #strategy: Strategy;
	readonly #witness: Witness;
	readonly #writer: TraceWriter;
	/** Replays what is written: a witness is one only if it shows. */
	readonly #model: ReferenceModel;
	#causes = 0;
	readonly #vcpus: readonly string[];
	/** Kinds of device that the scenario has: one of each at most. */
	readonly #devices: readonly ("mirror" | "sva")[];
	/** vCPUs whose fault has begun, with its page. */
	readonly #faults = new Map<string, number>();
	#hasFaults = false;
	readonly #open = new Map<string, OpenOperation>();
	#windows = 0;

	constructor(scenario: Scenario, strategy: Strategy, witness: Witness, writer: TraceWriter) {
		this.#scenario = scenario;
		this.#strategy = strategy;
		this.#witness = witness;
		this.#writer = writer;
		const { tlb, guestLevels, hostLevels } = DEFAULT_MACHINE;
		const level = (of: typeof tlb.l1): { sets: number; ways: number } => ({ sets: setsOf(of), ways: of.ways });
		this.#model = new ReferenceModel({
			strategy,
			tlb: { l1: level(tlb.l1), l2: level(tlb.l2) },
			guestLevels,
			hostLevels,
			copiesRecorded: false,
		});
		const { pages, threads } = scenario;
		this.#devices = (["mirror", "sva"] as const).filter((kind) => {
			const table = kind === "mirror" ? "mirror" : "device";
			return threads.some((thread) => thread.kind === kind) || pages.some((page) => page[table] !== null);
		});
		this.#vcpus = scenario.threads.filter(({ kind }) => kind === "vcpu").map(({ name }) => name);
	}

	run(): TraceHeader {
		const other = this.#scenario.threads.find(({ kind }) => kind === "dma");
		if (other !== undefined) throw this.#refuse(`${other.name} writes to a page that it has pinned, whatever the tables say`);
		this.#setUp();
		this.#attach();
		for (const step of this.#witness.steps) this.#step(step);
		// What is left behind shows at the next look.
		// A page that a fault has installed too late has the same content until somebody stores to the new one.
		if (this.#hasFaults) for (const at of this.#scenario.pages.keys()) this.#host(0, at, true);
		if (this.#vcpus.length > 0) for (const at of this.#scenario.pages.keys()) this.#guest(0, at, false);
		for (const kind of this.#devices) for (const at of this.#scenario.pages.keys()) this.#device(kind, at, false);
		if (this.#model.world.violations.length === 0)
			throw this.#refuse("its replay breaks no rule, since a trace has an operation's copy of the data and its new PTE as one moment");
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

	#cause(record: TraceRecord): void {
		this.#writer.cause(record);
		this.#model.replay(record, this.#causes++);
	}

	#operation(name: OperationName, page: number, args: readonly number[], agent = NOBODY): void {
		this.#cause({ kind: "operation", name, agent, page, args });
	}

	#guest(vcpu: number, page: number, write: boolean): void {
		const agent = { kind: AgentKind.guest, vm: VM, vcpu, mm: MM, thread: 0 };
		this.#cause({ kind: "access", agent, access: write ? Access.guestWrite : Access.guestRead, page: GFN + page });
	}

	#device(kind: "mirror" | "sva", page: number, write: boolean): void {
		const agent = { kind: AgentKind.device, vm: 0, vcpu: 0, mm: MM, thread: DeviceKind[kind] };
		this.#cause({ kind: "access", agent, access: write ? Access.deviceWrite : Access.deviceRead, page: HVA + page });
	}

	/** The devices, and what they have of the pages: a read gives them the PTE's rights. */
	#attach(): void {
		for (const kind of this.#devices) {
			const agent = { kind: AgentKind.device, vm: 0, vcpu: 0, mm: MM, thread: DeviceKind[kind] };
			this.#operation("deviceAttach", HVA, [DeviceKind[kind], SLOT_PAGES, DEVICE_TLB], agent);
			for (const [at, page] of this.#scenario.pages.entries()) {
				if (page[kind === "mirror" ? "mirror" : "device"] !== null) this.#device(kind, at, false);
			}
		}
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
		if (this.#isFault(thread, step, page)) return;
		if (step.ends && (statement.do === "read" || statement.do === "write")) this.#access(thread, statement, page);
		else this.#operationStep(thread, statement, step, page);
	}

	/** A read's fault whose gup and install have somebody else's step between them: a recorded one, with its begin and end. */
	#isFault(thread: ThreadSpec, step: WitnessStep, page: number): boolean {
		const vcpu = this.#vcpus.indexOf(thread.name);
		if (vcpu < 0 || thread.statements[step.statement - 1].do !== "read") return false;
		const agent = { kind: AgentKind.guest, vm: VM, vcpu, mm: MM, thread: 0 };
		const fault = (point: number): void => this.#operation("fault", GFN + page, [point, Access.guestRead, 0], agent);
		if (step.does === "gup") {
			const { steps } = this.#witness;
			if (steps[steps.indexOf(step) + 1]?.thread === thread.name) return false;
			fault(Point.begin);
			this.#faults.set(thread.name, page);
			this.#hasFaults = true;
			return true;
		}
		if (!step.does.startsWith("install") || !this.#faults.delete(thread.name)) return false;
		fault(Point.end);
		return true;
	}

	#access(thread: ThreadSpec, statement: Statement, page: number): void {
		const write = statement.do === "write";
		if (thread.kind === "vcpu") {
			this.#guest(this.#vcpus.indexOf(thread.name), page, write);
			return;
		}
		if (thread.kind === "mirror" || thread.kind === "sva") {
			this.#device(thread.kind, page, write);
			return;
		}
		this.#host(this.#scenario.threads.indexOf(thread), page, write);
	}

	#host(thread: number, page: number, write: boolean): void {
		const agent = { kind: AgentKind.host, vm: 0, vcpu: 0, mm: MM, thread };
		this.#cause({ kind: "access", agent, access: write ? Access.hostWrite : Access.hostRead, page: HVA + page });
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

	#operationStep(thread: ThreadSpec, statement: Statement, step: WitnessStep, page: number): void {
		const name = step.does.split(":")[0];
		if (["alloc-copy", "range-start", "lock"].includes(name)) this.#begin(thread, statement, page);
		const open = this.#open.get(thread.name);
		if (open === undefined) return;
		if (open.cut) {
			this.#point(open, Point.commit, statement, page);
			open.cut = false;
		}
		if (name === "set-pte" || name === "set-pte-wp") {
			open.cut = this.#isCutAt(step);
			this.#point(open, open.cut ? Point.set : Point.commit, statement, page);
			open.committed = true;
		} else if (name === "unlock") {
			if (!this.#isToldLate(open)) this.#end(thread, open, statement, page);
		} else if (name === "range-end" || name === "inval-range" || name === "inval-missing") this.#end(thread, open, statement, page);
	}

	/** Whether somebody else's step comes between the new PTE and what is left to do under the lock. */
	#isCutAt(step: WitnessStep): boolean {
		const later = this.#witness.steps.slice(this.#witness.steps.indexOf(step) + 1);
		const own = later.findIndex(({ thread }) => thread === step.thread);
		return later.length > 0 && own !== 0 && later[own]?.does.split(":")[0] !== "unlock";
	}

	/** Whether something of the operation that is told to the secondary MMUs comes after its unlock. */
	#isToldLate(open: OpenOperation): boolean {
		const steps = this.#strategy.operations[this.#kindOf(open)];
		return steps.some(({ step }, at) => {
			if (!isUnlockedAt(steps, at)) return false;
			return step === "range-end" || step === "invalidate-range" || (step === "invalidate-missing" && this.#devices.length > 0);
		});
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
		const open = { name: this.#nameOf(statement, before !== undefined), window: ++this.#windows, committed: false, cut: false };
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
