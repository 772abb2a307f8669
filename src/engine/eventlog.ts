// What happens at each cause of a trace under several strategies, in order: the engine's log (assembly/log.ts), read a block at a time.
import { VMEXIT_CAUSES } from "../trace/kinds.js";
import type { Block, TraceReader } from "../trace/reader.js";
import { BlockType } from "../trace/wire.js";
import { LOG_ENTRY_BYTES, LOGGED_COUNTERS, Log, type LoggedCounter } from "./boundary.js";
import { readInto } from "./feed.js";
import { type Group, giveBack, groupsOf, type ReplayOptions } from "./replay.js";

/** Who wants to know. `strategy`: its place in the options' list. */
export interface LogListener {
	/** One kvm_page_fault. cause: the end of a vmexitsByCause path; zapped: `zap` has told of the SPTE that it misses. */
	exit(strategy: number, vm: number, vcpu: number, gfn: number, cause: string, zapped: boolean): void;
	/** An SPTE of address space 0 became absent; of one record's zaps under a strategy the first 512. */
	zap(strategy: number, vm: number, gfn: number): void;
	growth(strategy: number, counter: LoggedCounter, by: number): void;
}

const ACCESSES = ["read", "write", "fetch"] as const;
const CAUSES = VMEXIT_CAUSES.flatMap((cause) => ACCESSES.map((access) => `${cause}.${access}`));

/** One engine's place in the trace. */
class Cursor {
	readonly #trace: TraceReader;
	readonly #group: Group;
	readonly #blocks: Iterator<Block>;
	#block: Block | undefined;
	#more = false;
	#log: DataView = new DataView(new ArrayBuffer(0));
	#at = 0;

	constructor(trace: TraceReader, group: Group) {
		this.#trace = trace;
		this.#group = group;
		this.#blocks = trace.blocks()[Symbol.iterator]();
	}

	/** The next entry's cause; undefined at the end. */
	#sequence(): number | undefined {
		for (;;) {
			if (this.#at < this.#log.byteLength) return (this.#block?.firstSequence ?? 0) + this.#log.getUint32(this.#at, true);
			if (!this.#refill()) return undefined;
		}
	}

	#refill(): boolean {
		const { engine } = this.#group;
		while (!this.#more) {
			const next = this.#blocks.next();
			if (next.done === true) return false;
			const block = next.value;
			if (block.type !== BlockType.events) continue;
			const where = this.#trace.where(block);
			readInto(engine, this.#trace, block, where);
			engine.decode(block, this.#trace.limits, where);
			this.#block = block;
			this.#more = true;
		}
		this.#more = engine.runLogged(this.#block === undefined ? "" : this.#trace.where(this.#block));
		this.#log = engine.log();
		this.#at = 0;
		return true;
	}

	/** Tell of everything up to and with cause `sequence`. */
	tell(sequence: number, listener: LogListener): void {
		for (let next = this.#sequence(); next !== undefined && next <= sequence; next = this.#sequence()) {
			this.#entry(listener);
			this.#at += LOG_ENTRY_BYTES;
		}
	}

	#entry(listener: LogListener): void {
		const log = this.#log;
		const at = this.#at;
		const strategy = this.#group.members[log.getUint8(at + 5)] ?? 0;
		const detail = log.getUint16(at + 6, true);
		const gfn = log.getUint32(at + 8, true) + log.getUint32(at + 12, true) * 2 ** 32;
		const vm = log.getUint32(at + 16, true);
		const amount = log.getUint32(at + 24, true) + log.getUint32(at + 28, true) * 2 ** 32;
		switch (log.getUint8(at + 4)) {
			case Log.exit:
				listener.exit(strategy, vm, log.getUint32(at + 20, true), gfn, CAUSES[detail] ?? "other.read", amount !== 0);
				break;
			case Log.zap:
				listener.zap(strategy, vm, gfn);
				break;
			default:
				listener.growth(strategy, LOGGED_COUNTERS[detail] ?? "spteZapped", amount);
		}
	}
}

export class EventLog {
	readonly #groups: readonly Group[];
	readonly #cursors: readonly Cursor[];

	/** @throws LimitError */
	constructor(trace: TraceReader, options: ReplayOptions) {
		this.#groups = groupsOf(options, trace.header);
		this.#cursors = this.#groups.map((group) => new Cursor(trace, group));
	}

	/** Replay up to and with cause `sequence`, and tell what happens. @throws BadInputError, LimitError */
	tell(sequence: number, listener: LogListener): void {
		for (const cursor of this.#cursors) cursor.tell(sequence, listener);
	}

	/** Each strategy's counters, in the order of the options; the engines are gone afterwards. */
	finish(): BigUint64Array[] {
		const found: BigUint64Array[] = [];
		for (const { engine, members } of this.#groups) {
			for (const [index, counters] of engine.counters().entries()) found[members[index] ?? 0] = counters;
		}
		giveBack(this.#groups.map(({ engine }) => engine));
		return found;
	}
}
