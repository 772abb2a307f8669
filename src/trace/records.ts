// Records one by one: the slow path for the reference model, info, cat and the importers' tests.
import { BadInputError, LimitError } from "../errors.js";
import { type Complain, decodeColumns, type EventColumns, type Flaw } from "./decode.js";
import { type Access, AGENT_SHIFT, FIRST_OBSERVATION, OPERATION } from "./kinds.js";
import { OPERATION_BY_CODE, type OperationShape } from "./operations.js";
import type { Block, TraceReader } from "./reader.js";
import type { TraceRecord } from "./record.js";
import { VarintError, VarintReader } from "./varint.js";
import { BlockType, NO_OFFSET } from "./wire.js";

/** A record and its place: causes that come before it in the trace. For a cause that is its own number, from 0. */
export interface Sequenced {
	readonly sequence: number;
	readonly record: TraceRecord;
}

/** Walks the columns of one block. */
export class RecordCursor {
	readonly #columns: EventColumns;
	readonly #argument: VarintReader;
	readonly #complain: Complain;
	readonly #observations: boolean;
	#event = 0;
	#failed = false;

	constructor(columns: EventColumns, complain: Complain) {
		this.#columns = columns;
		this.#complain = complain;
		this.#observations = columns.position !== undefined;
		this.#argument = new VarintReader(columns.payload, columns.argument.from, columns.argument.to);
	}

	/** Causes before the next record (observations); undefined at the end. */
	get position(): number | undefined {
		return this.#failed || this.#event >= this.#columns.events ? undefined : this.#columns.position?.[this.#event];
	}

	/** The next record; undefined at the end, or after a complaint. */
	next(): TraceRecord | undefined {
		const columns = this.#columns;
		const event = this.#event;
		if (this.#failed) return undefined;
		if (event >= columns.events) {
			if (!this.#argument.done) this.#fail(`${this.#argument.end - this.#argument.at} bytes are left over in column argument`);
			return undefined;
		}
		const op = columns.op[event];
		const { agent, basePage } = columns.agents[op >>> AGENT_SHIFT];
		const page = basePage + columns.page[event];
		const offset = columns.offset?.[event];
		const base = {
			agent,
			page,
			...(columns.ns === undefined ? {} : { ns: columns.ns[event] }),
			...(offset === undefined || offset === NO_OFFSET ? {} : { offset }),
		};
		const access = op & 7;
		if (access !== OPERATION) {
			if (this.#observations) return this.#fail("an access among observations");
			this.#event++;
			return { kind: "access", access: access as Access, ...base };
		}
		const operation = this.#operation();
		if (operation === undefined) return undefined;
		this.#event++;
		return { kind: "operation", ...operation, ...base };
	}

	#fail(reason: string): undefined {
		this.#failed = true;
		const event = this.#event < this.#columns.events ? this.#event : undefined;
		this.#complain({ at: this.#argument.at, event, reason });
	}

	#operation(): { name: OperationShape["name"]; args: number[]; text?: string } | undefined {
		const argument = this.#argument;
		try {
			if (argument.done) return this.#fail("column argument is used up");
			const code = argument.uint32();
			const shape = OPERATION_BY_CODE[code];
			if (shape === undefined) return this.#fail(`operation code ${code}`);
			if (code >= FIRST_OBSERVATION !== this.#observations)
				return this.#fail(`${shape.name} among ${this.#observations ? "observations" : "causes"}`);
			const count = argument.uint32();
			if (count !== shape.args.length) return this.#fail(`${shape.name} with ${count} arguments, not ${shape.args.length}`);
			const args: number[] = [];
			for (let index = 0; index < count; index++) {
				const value = argument.unsigned();
				if (value > shape.max[index]) return this.#fail(`${shape.name}: ${shape.args[index]} ${value}`);
				args.push(value);
			}
			if (shape.text < 0) return { name: shape.name, args };
			const text = this.#columns.strings[args[shape.text]];
			if (text === undefined) return this.#fail(`${shape.name} names string ${args[shape.text]} of ${this.#columns.strings.length}`);
			args[shape.text] = 0;
			return { name: shape.name, args, text };
		} catch (error) {
			if (!(error instanceof VarintError)) throw error;
			return this.#fail(`column argument ${error.message}`);
		}
	}
}

/** @throws BadInputError with file, byte, block and event */
function strict(trace: TraceReader, block: Block): Complain {
	return ({ at, event, reason }: Flaw): never => {
		const where = `${trace.where(block)}, payload byte ${at}${event === undefined ? "" : `, event ${event}`}`;
		throw new BadInputError(`a damaged block: ${reason}`, { where, hint: "mmreplay validate says all that is wrong" });
	};
}

/** The columns of an EVENTS or OBSERVATIONS block. They hold on to a payload of their own. @throws BadInputError */
function columnsOf(trace: TraceReader, block: Block): EventColumns | undefined {
	return decodeColumns(new Uint8Array(trace.payload(block)), block, trace.limits, strict(trace, block));
}

function cursorOf(trace: TraceReader, block: Block): RecordCursor | undefined {
	const columns = columnsOf(trace, block);
	return columns && new RecordCursor(columns, strict(trace, block));
}

/** Observations that were read and whose causes were not yet. In file order, whatever their positions say. */
class Pending {
	readonly #cursors: { cursor: RecordCursor; events: number; where: string }[] = [];
	#events = 0;

	add(cursor: RecordCursor, events: number, limit: number, where: string): void {
		this.#cursors.push({ cursor, events, where });
		this.#events += events;
		if (this.#events > limit) throw new LimitError(`more than ${limit} observations come before their causes`, { where });
	}

	/** Those that come before cause number `cause`. */
	*until(cause: number): Generator<Sequenced> {
		for (let first = this.#cursors[0]; first !== undefined; first = this.#cursors[0]) {
			for (let position = first.cursor.position; position !== undefined; position = first.cursor.position) {
				if (position > cause) return;
				const record = first.cursor.next();
				if (record !== undefined) yield { sequence: position, record };
			}
			// Once more at its end: what is left over in its argument column.
			first.cursor.next();
			this.#events -= first.events;
			this.#cursors.shift();
		}
	}
}

export interface RecordOptions {
	/** Both by default. */
	readonly causes?: boolean;
	readonly observations?: boolean;
	/** Blocks to take instead of all of the trace's: a salvage's. */
	readonly blocks?: Iterable<Block>;
}

/**
 * Causes and observations merged: an observation at position p comes before cause number p.
 * @throws BadInputError, LimitError, after every record before the damage
 */
export function* records(trace: TraceReader, options: RecordOptions = {}): Generator<Sequenced, void, void> {
	const { causes = true, observations = true } = options;
	const pending = new Pending();
	for (const block of options.blocks ?? trace.blocks()) {
		if (block.type === BlockType.observations && observations) {
			const cursor = cursorOf(trace, block);
			if (cursor !== undefined) pending.add(cursor, block.events, trace.limits.pendingObservations, trace.where(block));
			yield* pending.until(causes ? block.firstSequence : Number.POSITIVE_INFINITY);
		} else if (block.type === BlockType.events && causes) {
			const cursor = cursorOf(trace, block);
			let sequence = block.firstSequence;
			for (let record = cursor?.next(); record !== undefined; record = cursor?.next()) {
				if (observations) yield* pending.until(sequence);
				yield { sequence, record };
				sequence++;
			}
		}
	}
	yield* pending.until(Number.POSITIVE_INFINITY);
}
